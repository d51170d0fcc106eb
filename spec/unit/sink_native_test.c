/* SPDX-License-Identifier: MIT
 *
 * Plugins in C behind the interface of drivers. (Shared objects: spec/native_sink_spec.lua.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "record/build.h"
#include "sink/native.h"
#include "sink/registry.h"

static int answer, opened, closed;
static size_t stored;
static const char *reason;
static char seen[200], batch[40];

static int p_open(const struct crier_sink_open *in, void **self, struct crier_err *err)
{
    opened++;
    assert_ptr_equal(in->arg, batch);
    snprintf(seen, sizeof seen, "%u %s %s %s %s %d", in->abi, in->name, in->options, in->folder,
             in->state_folder ? in->state_folder : "-", in->sim);
    *self = &answer;
    return answer < 0 ? crier_err_set(err, answer, "%s", reason ? reason : "") : 0;
}

static int p_write(void *self, struct crier_record *const *records, size_t count,
                   const char *batch_id, size_t *done, struct crier_err *err)
{
    assert_ptr_equal(self, &answer);
    assert_non_null(records[count - 1]);
    snprintf(batch, sizeof batch, "%s", batch_id);
    *done = stored;
    if (reason)
        crier_err_set(err, CRIER_EIO, "%s", reason);
    return answer;
}

static int64_t p_idle(void *self)
{
    (void)self;
    return answer;
}

static void p_close(void *self)
{
    (void)self;
    closed++;
}

static struct crier_sink_plugin plugin(void)
{
    return (struct crier_sink_plugin){.abi = CRIER_SINK_ABI,
                                      .struct_size = sizeof(struct crier_sink_plugin),
                                      .kind = "spec",
                                      .open = p_open,
                                      .write = p_write,
                                      .idle = p_idle,
                                      .close = p_close};
}

static void refused(const struct crier_sink_plugin *p, const char *text)
{
    struct crier_err err = {0};
    assert_int_equal(crier_native_check(p, "x.so", &err), CRIER_EVERSION);
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in: %s", text, err.text);
}

static void what_is_taken(void **state)
{
    (void)state;
    struct crier_sink_plugin p = plugin();
    struct crier_err err = {0};
    assert_int_equal(crier_native_check(&p, "x.so", &err), CRIER_OK);
    p.struct_size += 64; /* of a later header, whose new members are not known here */
    assert_int_equal(crier_native_check(&p, "x.so", &err), CRIER_OK);
    p.abi = 2;
    refused(&p, "x.so has ABI 2, this crier takes 1");
    p = plugin();
    p.struct_size = sizeof(struct crier_sink_plugin) - 8;
    refused(&p, "x.so has a crier_sink_plugin of");
    /* What is behind abi and struct_size is not looked at when these are wrong. */
    struct {
        unsigned abi, struct_size;
    } shortest = {1, 8};
    refused((const void *)&shortest, "of 8 bytes");
    p = plugin();
    p.write = NULL;
    refused(&p, "lacks one of kind, open, write and close");
}

static void opening(void **state)
{
    (void)state;
    struct crier_sink_plugin p = plugin();
    struct crier_sink_env env = {.folder = "/f", .sim = true};
    struct crier_err err = {0};
    void *self = NULL;
    answer = 0;
    assert_int_equal(crier_native_begin(&p, &env, NULL, "n", &batch, &self, &err), CRIER_OK);
    assert_string_equal(seen, "1 n {} /f - 1");
    crier_native_close(self);
    assert_int_equal(closed, 1);
    answer = CRIER_EDENIED;
    reason = "no";
    assert_int_equal(crier_native_begin(&p, &env, "{\"a\":1}", "n", &batch, &self, &err), CRIER_EDENIED);
    assert_string_equal(err.text, "no");
    answer = -9999;
    reason = NULL;
    assert_int_equal(crier_native_begin(&p, &env, NULL, "n", &batch, &self, &err), CRIER_ECONFIG);
    assert_string_equal(err.text, "it gave no reason");
    assert_int_equal(closed, 1);
}

static void writing(void **state)
{
    (void)state;
    static const struct {
        int answer;
        size_t stored;
        const char *reason;
        enum crier_verdict verdict;
        size_t done;
        const char *text;
    } cases[] = {
        {CRIER_SINK_WRITTEN, 0, NULL, CRIER_WRITTEN, 0, ""},
        {CRIER_SINK_WRITTEN, 1, "ignored", CRIER_WRITTEN, 1, ""},
        {CRIER_SINK_RETRY, 1, "later", CRIER_RETRY_LATER, 1, "later"},
        {CRIER_SINK_RETRY, 99, "later", CRIER_RETRY_LATER, 2, "later"},
        {CRIER_SINK_RETRY, 0, NULL, CRIER_RETRY_LATER, 0, "spec gave no reason"},
        {CRIER_SINK_REJECTED, 1, "bad", CRIER_REJECTED, 1, "bad"},
        {CRIER_SINK_DROPPED, 0, "gone", CRIER_DROPPED, 0, "gone"},
        {CRIER_SINK_DOWN, 0, "login", CRIER_UNAVAILABLE, 0, "login"},
        {17, 0, NULL, CRIER_RETRY_LATER, 0, "write of spec answered 17, which means nothing"},
        {-3, 0, NULL, CRIER_RETRY_LATER, 0, "write of spec answered -3, which means nothing"},
    };
    struct crier_sink_plugin p = plugin();
    struct crier_sink_env env = {.folder = "/f"};
    struct crier_err err = {0};
    struct crier_source source;
    struct crier_builder b;
    struct crier_record *records[2];
    void *self = NULL;
    answer = 0;
    assert_int_equal(crier_native_begin(&p, &env, NULL, "n", &batch, &self, &err), CRIER_OK);
    crier_source_init(&source, "node", false, NULL);
    crier_builder_init(&b, &source);
    for (int i = 0; i < 2; i++) {
        crier_build_begin(&b, CRIER_KIND_LOG, CRIER_INFO, 1);
        records[i] = crier_build_end(&b);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t done = 0;
        char id[27];
        err = (struct crier_err){0};
        answer = cases[i].answer;
        stored = cases[i].stored;
        reason = cases[i].reason;
        assert_int_equal(crier_native_write(self, records, 2, &done, &err), cases[i].verdict);
        assert_int_equal(done, cases[i].done);
        assert_string_equal(err.text, cases[i].text);
        crier_record_id(records[0], id);
        assert_string_equal(batch, id);
    }
    answer = 5;
    assert_int_equal(crier_native_idle(self, 1000), 1005);
    answer = -1;
    assert_true(crier_native_idle(self, 1000) == CRIER_NEVER);
    crier_native_close(self);
    for (int i = 0; i < 2; i++)
        crier_record_unref(records[i]);
    crier_builder_fini(&b);
    crier_source_fini(&source);
}

static void kinds_are_added_once(void **state)
{
    (void)state;
    static const struct crier_sink_driver one = {.kind = "spec"}, again = {.kind = "spec"},
                                          native = {.kind = "native"};
    struct crier_err err = {0};
    assert_int_equal(crier_sink_driver_add(&one, &err), CRIER_OK);
    assert_ptr_equal(crier_sink_driver_find("spec"), &one);
    assert_int_equal(crier_sink_driver_add(&again, &err), CRIER_EEXIST);
    assert_int_equal(crier_sink_driver_add(&native, &err), CRIER_EEXIST);
    assert_string_equal(err.text, "there is a sink kind 'native' already");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken),
        cmocka_unit_test(opening),
        cmocka_unit_test(writing),
        cmocka_unit_test(kinds_are_added_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
