/* SPDX-License-Identifier: MIT
 *
 * The whole host through the public interface alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crier/crier.h"

static char folder[64], script[96];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/crier-embed-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(script, sizeof script, "%s/bot.lua", folder);
    return 0;
}

static int remove_folder(void **state)
{
    char command[160];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void write_script(const char *text)
{
    FILE *f = fopen(script, "w");
    assert_non_null(f);
    fprintf(f,
            "local crier = require 'crier'\n"
            "local log = crier.sink.jsonl { name = 'log', path = 'log.jsonl', level = 'info' }\n"
            "%s",
            text);
    fclose(f);
}

static const char *logged(void)
{
    static char text[8 << 20];
    char path[96];
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f)
        fclose(f);
    return text;
}

static unsigned times(const char *part)
{
    unsigned n = 0;
    for (const char *at = logged(); (at = strstr(at, part)); at++)
        n++;
    return n;
}

static void says(const char *part)
{
    if (!strstr(logged(), part))
        fail_msg("%s is not in %s", part, logged());
}

static struct crier *new_host(void)
{
    struct crier_app_config c = {.struct_size = sizeof c, .file = script};
    struct crier *host = crier_new(&c, NULL);
    assert_non_null(host);
    return host;
}

static void test_register(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a b", "1st", "a.b"};
    struct crier_err err = {0};
    assert_null(crier_new(NULL, &err));
    assert_int_equal(err.code, CRIER_EINVAL);
    struct crier *c = new_host();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(crier_register_function(c, bad[i], NULL, NULL, &err), CRIER_EINVAL);
    assert_int_equal(crier_register_function(c, "f", NULL, NULL, &err), 0);
    assert_int_equal(crier_register_function(c, "f", NULL, NULL, &err), CRIER_EEXIST);
    struct crier_sink_plugin plugin = {.abi = CRIER_SINK_ABI + 1};
    assert_int_equal(crier_register_sink(&plugin, NULL, &err), CRIER_EVERSION);
    crier_free(c);
}

/* What is logged before the start is kept, to a bound; a stop that was asked for before holds. */
static void test_early(void **state)
{
    (void)state;
    write_script("crier.config { log_levels = { quiet = 'error' } }\n");
    struct crier *c = new_host();
    struct crier_logger *log = crier_host_logger(c, NULL), *quiet = crier_host_logger(c, "quiet");
    CRIER_LOG_WARNING(quiet, "not wanted");
    for (int i = 0; i < 1002; i++)
        CRIER_LOG_INFO(log, "early", crier_f_int("n", i), crier_f_str("text", "mine"));
    crier_stop(c);
    assert_int_equal(crier_run(c), 0);
    CRIER_LOG_ERROR(log, "late");
    assert_int_equal(times("\"text\":\"early\""), 999);
    assert_int_equal(times("\"n\":998,\"fields\":{\"text\":\"mine\"}}"), 1);
    says("3 records that were logged before the start were dropped");
    assert_int_equal(times("not wanted"), 0);
    assert_int_equal(times("\"late\""), 0);
    crier_logger_free(log);
    crier_free(c);
    CRIER_LOG_ERROR(quiet, "later still");
    crier_logger_free(quiet);
}

static void *run(void *c)
{
    return (void *)(intptr_t)crier_run(c);
}

static int finish(struct crier *c, pthread_t thread)
{
    void *code;
    crier_stop(c);
    pthread_join(thread, &code);
    return (int)(intptr_t)code;
}

static void *reload_some(void *c)
{
    intptr_t failed = 0;
    for (int i = 0; i < 5; i++)
        failed += crier_reload(c, NULL) != 0;
    return (void *)failed;
}

/* Reloads from several threads: each gets the answer of a loading that began after it asked. */
static void test_reload(void **state)
{
    (void)state;
    pthread_t runner, threads[4];
    struct crier_err err = {0};
    void *failed;
    write_script("crier.log.info('loaded')\n");
    struct crier *c = new_host();
    pthread_create(&runner, NULL, run, c);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, reload_some, c);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    write_script("crier.log.info('new one')\n");
    assert_int_equal(crier_reload(c, &err), 0);
    write_script("crier.sink.jsnl {}\n");
    assert_int_equal(crier_reload(c, &err), CRIER_ECONFIG);
    assert_non_null(strstr(err.text, "did you mean crier.sink.jsonl?"));
    struct crier_err last;
    crier_last_error(c, &last);
    assert_string_equal(last.text, err.text);
    /* One host at a time. */
    struct crier *other = new_host();
    assert_int_equal(crier_run(other), 75);
    crier_last_error(other, &last);
    assert_int_equal(last.code, CRIER_EBUSY);
    crier_free(other);
    assert_int_equal(finish(c, runner), 0);
    assert_int_equal(crier_reload(c, &err), CRIER_ECANCELED);
    assert_true(times("\"text\":\"loaded\"") >= 6);
    assert_int_equal(times("\"text\":\"new one\""), 1);
    crier_free(c);
}

static int echo(void *arg, const struct crier_value *args, size_t count, struct crier_reply *reply,
                struct crier_err *err)
{
    ++*(int *)arg;
    for (size_t i = 0; i < count; i++)
        crier_reply_add(reply, crier_f_value(NULL, &args[i]));
    (void)err;
    return 0;
}

static int refuse(void *arg, const struct crier_value *args, size_t count,
                  struct crier_reply *reply, struct crier_err *err)
{
    (void)arg;
    (void)args;
    crier_reply_add(reply, crier_f_int(NULL, 1));
    return count ? crier_err_set(err, CRIER_EDENIED, "not today") : CRIER_EIO;
}

/* Every type goes over and comes back. */
static void test_functions(void **state)
{
    (void)state;
    int calls = 0;
    write_script("local function same(a, b)\n"
                 "  if type(a) ~= 'table' then return a == b and math.type(a) == math.type(b) end\n"
                 "  for k, v in pairs(a) do if not same(v, b[k]) then return false end end\n"
                 "  for k in pairs(b) do if a[k] == nil then return false end end\n"
                 "  return true\n"
                 "end\n"
                 "crier.on('start', function()\n"
                 "  local sent = table.pack('a\\0b\\u{e9}', 5, -2.5, 2.0, true, false, nil, { 1, { "
                 "x = 'y' } },"
                 " { level = 'mine', ['a.b'] = {} }, nil)\n"
                 "  local got = table.pack(crier.app.echo(table.unpack(sent, 1, sent.n)))\n"
                 "  crier.log.info('echo', { same = same(sent, got), n = got.n })\n"
                 "  crier.log.info('none', { n = select('#', crier.app.echo()) })\n"
                 "  local big = crier.app.echo(('x'):rep(1000000))\n"
                 "  crier.log.info('big', { n = #big })\n"
                 "  local a, b, c = crier.app.refuse(1)\n"
                 "  crier.log.info('refused', { a = a == nil, b = b, c = c })\n"
                 "  local _, text = crier.app.refuse()\n"
                 "  crier.log.info('why', { b = text })\n"
                 "  crier.log.info('unknown', { e = select(2, pcall(function() return "
                 "crier.app.ecko end)) })\n"
                 "end)\n"
                 "crier.log.info('loading', { e = select(2, pcall(crier.app.echo, 1)) })\n");
    struct crier *c = new_host();
    assert_int_equal(crier_register_function(c, "echo", echo, &calls, NULL), 0);
    assert_int_equal(crier_register_function(c, "refuse", refuse, NULL, NULL), 0);
    crier_stop(c);
    assert_int_equal(crier_run(c), 0);
    says("\"text\":\"echo\"");
    says("\"same\":true");
    assert_int_equal(times("\"n\":10}") + times("\"n\":10,"), 1);
    says("\"text\":\"none\"");
    assert_int_equal(times("\"n\":0"), 1);
    assert_int_equal(times("\"n\":1000000"), 1);
    says("\"b\":\"not today\"");
    says("\"c\":\"denied\"");
    says("\"a\":true");
    says("there is no crier.app.ecko (did you mean crier.app.echo?)");
    says("crier.app.echo is not available while loading");
    assert_int_equal(calls, 3);
    crier_free(c);
}

static volatile sig_atomic_t hups;

static void on_hup(int number)
{
    (void)number;
    hups = hups + 1;
}

static void *ask(void *c)
{
    struct crier_logger *log = crier_host_logger(c, "asker");
    CRIER_LOG_INFO(log, "before");
    assert_int_equal(crier_reload(c, NULL), 0);
    kill(getpid(), SIGHUP); /* the program's */
    crier_stop(c);
    crier_logger_free(log);
    return NULL;
}

/* The program's signals stay its own, and are as they were afterwards. */
static void test_signals(void **state)
{
    (void)state;
    struct sigaction hup = {.sa_handler = on_hup}, now;
    pthread_t thread;
    sigaction(SIGHUP, &hup, NULL);
    write_script("");
    struct crier *c = new_host();
    pthread_create(&thread, NULL, ask, c);
    assert_int_equal(crier_run(c), 0);
    pthread_join(thread, NULL);
    assert_int_equal(hups, 1);
    sigaction(SIGHUP, NULL, &now);
    assert_ptr_equal(now.sa_handler, on_hup);
    sigaction(SIGPIPE, NULL, &now);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
    says("\"text\":\"before\"");
    /* A second run of the same. */
    crier_stop(c);
    assert_int_equal(crier_run(c), 0);
    crier_free(c);

    struct crier_app_config config = {
        .struct_size = sizeof config, .file = script, .signals = true};
    c = crier_new(&config, NULL);
    struct sigaction term = {.sa_handler = on_hup};
    sigaction(SIGTERM, &term, NULL);
    pthread_t runner;
    pthread_create(&runner, NULL, run, c);
    assert_int_equal(crier_reload(c, NULL), 0); /* it runs */
    kill(getpid(), SIGTERM);
    void *code;
    pthread_join(runner, &code);
    assert_null(code);
    assert_int_equal(hups, 1);
    sigaction(SIGTERM, NULL, &now);
    assert_ptr_equal(now.sa_handler, on_hup);
    crier_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_register, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_early, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_reload, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_functions, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_signals, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
