/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "script/sugar.h"

static const char bot_lua[] =
    "-- check it: crier check bot.lua        what will it do: crier simulate bot.lua --for 24h\n"
    "-- test it:  crier spec                 try it:          crier run --sim --watch bot.lua\n"
    "local crier = require \"crier\"\n"
    "\n"
    "crier.config { timezone = \"UTC\" }\n"
    "crier.bot { token = crier.secret.env \"DISCORD_TOKEN\" }\n"
    "\n"
    "-- Where the records of what the bot does go.\n"
    "crier.sink.console {}\n"
    "crier.sink.json { name = \"files\", path = \"History\" }\n"
    "\n"
    "-- Called before each send; what it returns is sent, nil skips this one.\n"
    "local tips = crier.data_function(function(ctx, list)\n"
    "  return list[ctx.sent % #list + 1]\n"
    "end)\n"
    "\n"
    "crier.GUILD { snowflake = \"863071397207212052\", logging = true, messages = {\n"
    "  crier.TextMESSAGE { name = \"tips\", channels = { \"978332728615378984\" }, period = \"1h\",\n"
    "                      data = tips { \"Drink some water.\", \"Look out of the window.\" } },\n"
    "  crier.TextMESSAGE { name = \"morning\", channels = { \"978332728615378984\" },\n"
    "                      period = crier.daily { at = \"09:00\" }, data = \"Good morning!\" },\n"
    "} }\n";

static const char bot_spec[] =
    "-- Runs in virtual time: no token, no network, the same each time.   crier spec\n"
    "local testing = require \"crier.testing\"\n"
    "\n"
    "describe(\"the bot\", function()\n"
    "  local bot\n"
    "  before_each(function() bot = testing.load(\"bot.lua\", { at = \"2026-01-01T08:30\" }) end)\n"
    "  after_each(testing.close_all)\n"
    "\n"
    "  it(\"gives a tip an hour, in turn\", function()\n"
    "    bot:advance \"2h1m\"\n"
    "    local sent = bot:expect_sent({ name = \"tips\" }, 3)\n"
    "    assert.equal(\"Drink some water.\", sent[1].text)\n"
    "    assert.equal(\"Look out of the window.\", sent[2].text)\n"
    "    bot:expect_no_errors()\n"
    "  end)\n"
    "\n"
    "  it(\"says good morning at nine\", function()\n"
    "    bot:advance \"29m\"\n"
    "    bot:expect_not_sent { name = \"morning\" }\n"
    "    bot:advance \"2m\"\n"
    "    bot:expect_sent({ name = \"morning\", text = \"Good morning!\" }, 1)\n"
    "  end)\n"
    "\n"
    "  it(\"gets a tip out although Discord has a bad minute\", function()\n"
    "    bot:advance \"30m\"\n"
    "    bot:fault { match = \"POST /channels/*/messages\", [\"do\"] = \"status\", status = 503, times = 2 }\n"
    "    bot:advance \"31m\"\n"
    "    bot:expect_sent({ name = \"tips\", ok = true }, 2)\n"
    "  end)\n"
    "end)\n";

static const char luarc[] = "{\n"
                            "  \"runtime.version\": \"Lua 5.4\",\n"
                            "  \"workspace.library\": [\".crier-types\"],\n"
                            "  \"diagnostics.globals\": [\"describe\", \"it\", \"before_each\", "
                            "\"after_each\", \"setup\", \"teardown\", \"pending\", \"assert\"]\n"
                            "}\n";

static const char busted[] = "return { default = { ROOT = { \"spec\" }, pattern = \"_spec\" } }\n";

static const char gitignore[] = ".crier/\nHistory/\n*.env\n";

static const char unit[] =
    "# sudo cp crier-bot.service /etc/systemd/system/ && sudo systemctl enable --now crier-bot\n"
    "[Unit]\n"
    "Description=Discord bot (crier)\n"
    "Wants=network-online.target\n"
    "After=network-online.target\n"
    "\n"
    "[Service]\n"
    "ExecStartPre=%s check %s/bot.lua\n"
    "ExecStart=%s run %s/bot.lua\n"
    "ExecReload=/bin/kill -HUP $MAINPID\n"
    "WorkingDirectory=%s\n"
    "# DISCORD_TOKEN=... in a file that only root reads (mode 0600)\n"
    "EnvironmentFile=/etc/crier-bot.env\n"
    "User=%s\n"
    "Restart=on-failure\n"
    "# 64, 66, 77, 78: it would fail again\n"
    "RestartPreventExitStatus=64 66 77 78\n"
    "TimeoutStopSec=30\n"
    "NoNewPrivileges=yes\n"
    "PrivateTmp=yes\n"
    "ProtectSystem=strict\n"
    "ReadWritePaths=%s\n"
    "\n"
    "[Install]\n"
    "WantedBy=multi-user.target\n";

static const char readme[] =
    "# A bot\n"
    "\n"
    "    crier check bot.lua                     what is wrong in it\n"
    "    crier simulate bot.lua --for 24h        a day of it, at once\n"
    "    crier spec                              its specs, in spec/\n"
    "    crier run --sim --watch bot.lua         against a simulated Discord\n"
    "    DISCORD_TOKEN=... crier run bot.lua     for good\n"
    "    crier reload bot.lua                    a changed bot.lua takes over, nothing is lost\n"
    "\n"
    "Put the ids of your server and channels into `bot.lua` (Discord: Settings, Advanced, Developer\n"
    "Mode; then Copy ID), and the bot's token into the environment variable `DISCORD_TOKEN`.\n"
    "`crier-bot.service` runs it under systemd. `.crier/` holds what it remembers.\n";

struct file {
    const char *name, *text;
    size_t len;
};

static int make(const char *path, struct crier_err *err)
{
    return crier_mkdirs(path, false, err);
}

static int write_file(const char *path, const char *text, size_t len, struct crier_err *err)
{
    FILE *f = fopen(path, "wx"); /* never over what is there */
    if (!f)
        return crier_err_sys(err, CRIER_EIO, errno, "cannot make '%s'", path);
    bool ok = fwrite(text, 1, len, f) == len;
    ok = fclose(f) == 0 && ok;
    return ok ? 0 : crier_err_sys(err, CRIER_EIO, errno, "cannot write '%s'", path);
}

static int write_all(const char *folder, const struct file *files, size_t n, struct crier_err *err)
{
    static const char *const folders[] = {"spec", ".crier-types/crier"};
    int rc = make(folder, err);
    for (size_t i = 0; i < CRIER_COUNT(folders) && rc == 0; i++) {
        char *path = crier_path_join(folder, folders[i]);
        rc = make(path, err);
        free(path);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        char *path = crier_path_join(folder, files[i].name);
        rc = write_file(path, files[i].text, files[i].len, err);
        free(path);
    }
    return rc;
}

/* Nothing is begun where something would be in the way. */
static int look(const char *folder, const struct file *files, size_t n)
{
    int found = 0;
    for (size_t i = 0; i < n; i++) {
        char *path = crier_path_join(folder, files[i].name);
        struct stat st;
        if (lstat(path, &st) == 0) {
            fprintf(stderr, "crier: '%s' is there already\n", path);
            found++;
        }
        free(path);
    }
    if (found)
        fprintf(stderr, "crier: nothing was written; give another folder\n");
    return found;
}

int crier_cmd_init(int argc, char **argv)
{
    struct crier_err err = {0};
    char folder[PATH_MAX], self[PATH_MAX];
    if (argc != 2)
        return crier_usage("init", argc < 2 ? "which folder?" : "one folder at a time");
    if (argv[1][0] == '-')
        return crier_usage("init", "unknown option '%s'", argv[1]);
    if (make(argv[1], &err) != 0 || !realpath(argv[1], folder)) {
        fprintf(stderr, "crier: cannot make the folder '%s': %s\n", argv[1],
                err.code ? err.text : strerror(errno));
        return 73;
    }
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    snprintf(self + (len > 0 ? len : 0), sizeof self - (size_t)(len > 0 ? len : 0), "%s",
             len > 0 ? "" : "/usr/bin/crier");
    const char *user = getenv("USER");
    char *service = crier_asprintf(unit, self, folder, self, folder, folder,
                                   user && *user ? user : "root", folder);
    const struct file files[] = {
        {"bot.lua", bot_lua, sizeof bot_lua - 1},
        {"spec/bot_spec.lua", bot_spec, sizeof bot_spec - 1},
        {".luarc.json", luarc, sizeof luarc - 1},
        {".crier-types/crier.lua", crier_sugar_crier, crier_sugar_crier_len},
        {".crier-types/crier/testing.lua", crier_sugar_testing, crier_sugar_testing_len},
        {".busted", busted, sizeof busted - 1},
        {".gitignore", gitignore, sizeof gitignore - 1},
        {"crier-bot.service", service, strlen(service)},
        {"README.md", readme, sizeof readme - 1},
    };
    int code = 0;
    if (look(folder, files, CRIER_COUNT(files))) {
        code = 73;
    } else if (write_all(folder, files, CRIER_COUNT(files), &err) != 0) {
        fprintf(stderr, "crier: %s\n", err.text);
        code = 73;
    } else {
        printf("%s: a bot, its spec, and what an editor and systemd need\n"
               "next: cd %s && crier spec && crier simulate bot.lua --for 24h\n",
               argv[1], argv[1]);
    }
    free(service);
    return code;
}
