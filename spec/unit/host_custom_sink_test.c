/* SPDX-License-Identifier: MIT
 *
 * Custom sinks in virtual time: hours pass in moments, and two runs are alike to the byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"

static const char script[] =
    "local crier = require 'crier'\n"
    "local function out(text) local f = io.open('out.txt', 'a') f:write(os.time(), ' ', text, "
    "'\\n') "
    "f:close() end\n"
    "crier.sink.custom { name = 'c', kinds = 'log', batch = 2,\n"
    "  open = function(self) crier.sleep '1s' self.n = 0 end,\n"
    "  write = function(self, records)\n"
    "    self.n = self.n + 1\n"
    "    crier.sleep '10s'\n"
    "    out(('c %d %d %s %s'):format(self.n, #records, records[1].text, tostring(self.batch_id == "
    "records[1].id)))\n"
    "    if self.n % 3 == 0 then return nil, 'every third fails' end\n"
    "    if self.n == 4 then crier.sleep '1d' end\n"
    "    return true\n"
    "  end,\n"
    "  idle = function(self) out 'c idle' crier.sleep '1s' return 1800 end,\n"
    "  close = function(self) out 'c close' end }\n"
    "crier.sink.custom { name = 'm', module = 'm', kinds = 'log', options = { pause = '20s' } }\n"
    "crier.sink.memory {}\n"
    "crier.on('start', function()\n"
    "  for i = 1, 10 do crier.log.info('line ' .. i) crier.sleep '15m' end\n"
    "end)\n";

static const char module[] =
    "local crier = require 'crier'\n"
    "local function out(text) local f = io.open('out.txt', 'a') f:write(os.time(), ' ', text, "
    "'\\n') "
    "f:close() end\n"
    "return { open = function(o) return { pause = o.pause } end,\n"
    "  write = function(self, records)\n"
    "    crier.sleep(self.pause)\n"
    "    local res, err = crier.http.get 'http://127.0.0.1:1/'\n"
    "    out('m ' .. #records .. ' ' .. records[1].text .. ' ' .. tostring(res))\n"
    "    return true\n"
    "  end,\n"
    "  idle = function(self) out 'm idle' return 3600 end,\n"
    "  close = function(self) out 'm close' end }\n";

static void put(const char *folder, const char *name, const char *text)
{
    char *path = crier_path_join(folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

static char *run_once(void)
{
    char folder[] = "/tmp/crier-custom-XXXXXX", command[80];
    assert_non_null(mkdtemp(folder));
    put(folder, "bot.lua", script);
    put(folder, "m.lua", module);
    assert_int_equal(chdir(folder), 0);
    char *file = crier_path_join(folder, "bot.lua"), *out = crier_path_join(folder, "out.txt");
    struct crier_clock *clock = crier_clock_virtual(1790000000LL * CRIER_S);
    struct crier_host_config config = {.file = file,
                                       .sim = true,
                                       .sim_inline = true,
                                       .run_for = 10 * 3600 * CRIER_S,
                                       .clock = clock};
    assert_int_equal(crier_host_run(&config), 0);
    struct crier_buf b = {0};
    struct crier_err err = {0};
    assert_int_equal(crier_file_read(out, 1 << 20, &b, &err), 0);
    crier_clock_free(clock);
    free(file);
    free(out);
    assert_int_equal(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    return crier_buf_take(&b);
}

static void hours_in_moments(void **state)
{
    (void)state;
    char *out = run_once();
    assert_non_null(
        strstr(out, "1790000011 c 1 1 line 1 true")); /* open waits a second, write ten */
    assert_non_null(strstr(out, "1790000020 m 1 line 1 nil\n"));
    assert_non_null(strstr(out, "1790000020 m idle\n"));
    assert_non_null(strstr(out, "c idle\n"));
    assert_non_null(strstr(out, "c close\n"));
    assert_non_null(strstr(out, "m close\n"));
    assert_non_null(strstr(out, "m 1 line 10 nil\n"));
    char *again = run_once();
    assert_string_equal(out, again);
    free(out);
    free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hours_in_moments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
