/* SPDX-License-Identifier: MIT
 *
 * Stored records: what was written reads back; what is damaged is refused, or is a record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/build.h"

#define LIT(s) (s), sizeof(s) - 1

static struct crier_record *sample(void)
{
    struct crier_source source;
    struct crier_builder b;
    uint64_t seed = 3;
    crier_source_init(&source, "web-1", true, &seed);
    crier_builder_init(&b, &source);
    crier_build_begin(&b, CRIER_KIND_MESSAGE, CRIER_CRITICAL, 1763764270123456);
    crier_build_logger(&b, LIT("message.gallery"));
    crier_build_text(&b, LIT("gallery #\xc5\xa1p edited"));
    crier_build_where(&b, LIT("bot.lua:14"));
    crier_build_ok(&b, false);
    crier_build_json(&b, LIT("channels"),
                     LIT("{\"successful\":[{\"name\":\"a\",\"id\":1}],\"failed\":[],\"x\":null}"));
    CRIER_B_SNOWFLAKE(&b, "guild", 863071397207212052u);
    CRIER_B_NUM(&b, "success_rate", 0.5);
    CRIER_B_TIME(&b, "created", 1);
    CRIER_B_STR(&b, "odd \"key\"", "odd \\ text");
    CRIER_B_STR(&b, "text", "moved");
    struct crier_record *r = crier_build_end(&b);
    crier_builder_fini(&b);
    crier_source_fini(&source);
    return r;
}

static size_t walk(struct crier_iter it)
{
    struct crier_value v;
    size_t sum = 0;
    while (crier_next(&it, &v)) {
        sum += (size_t)v.type + v.key.len;
        if (v.type == CRIER_STR)
            for (size_t i = 0; i < v.s.len; i++)
                sum += (unsigned char)v.s.data[i];
        sum += walk(crier_values(&v));
    }
    return sum;
}

static void reads_back(void **state)
{
    (void)state;
    struct crier_record *r = sample(), *again = NULL;
    struct crier_str bytes = crier_record_bytes(r);
    char *odd = crier_malloc(bytes.len + 1); /* stored bytes need no alignment */
    memcpy(odd + 1, bytes.data, bytes.len);
    assert_int_equal(crier_record_from_bytes(odd + 1, bytes.len, &again, NULL), 0);
    free(odd);
    assert_string_equal(crier_record_json(again).data, crier_record_json(r).data);
    assert_memory_equal(crier_record_id_bytes(again), crier_record_id_bytes(r), 16);
    assert_int_equal(crier_record_bytes(again).len, bytes.len);
    assert_memory_equal(crier_record_bytes(again).data, bytes.data, bytes.len);
    crier_record_unref(again);
    crier_record_unref(r);
}

static void truncated(void **state)
{
    (void)state;
    struct crier_record *r = sample(), *again;
    struct crier_str bytes = crier_record_bytes(r);
    for (size_t len = 0; len < bytes.len; len++) {
        struct crier_err err = {0};
        char *part = crier_malloc(len + 1);
        memcpy(part, bytes.data, len);
        assert_int_equal(crier_record_from_bytes(part, len, &again, &err), CRIER_ECORRUPT);
        assert_int_equal(err.code, CRIER_ECORRUPT);
        if (len >= 12) { /* the same with a size in the head that agrees */
            uint32_t size = (uint32_t)len;
            memcpy(part + 8, &size, sizeof size);
            assert_int_equal(crier_record_from_bytes(part, len, &again, NULL), CRIER_ECORRUPT);
        }
        free(part);
    }
    char *longer = crier_malloc(bytes.len + 1);
    memcpy(longer, bytes.data, bytes.len);
    longer[bytes.len] = 0;
    assert_int_equal(crier_record_from_bytes(longer, bytes.len + 1, &again, NULL), CRIER_ECORRUPT);
    free(longer);
    crier_record_unref(r);
}

static void other_version(void **state)
{
    (void)state;
    struct crier_record *r = sample(), *again;
    struct crier_str bytes = crier_record_bytes(r);
    struct crier_err err = {0};
    char *copy = crier_malloc(bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    copy[4]++;
    assert_int_equal(crier_record_from_bytes(copy, bytes.len, &again, &err), CRIER_EVERSION);
    assert_non_null(strstr(err.text, "format 2"));
    free(copy);
    crier_record_unref(r);
}

static void mutated(void **state)
{
    (void)state;
    struct crier_record *r = sample();
    struct crier_str bytes = crier_record_bytes(r);
    struct crier_rng rng;
    size_t taken = 0, refused = 0, sum = 0;
    char *copy = crier_malloc(bytes.len);
    crier_rng_seed(&rng, 42);
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, bytes.data, bytes.len);
        for (int64_t n = crier_rng_range(&rng, 1, 4); n > 0; n--) {
            /* one in two at the tape's start, where the lengths are */
            size_t at = (size_t)crier_rng_range(&rng, 0, (int64_t)bytes.len - 1);
            if (n % 2)
                at = (size_t)crier_rng_range(&rng, 8, 160);
            copy[at] = (char)(copy[at] ^ (1 << crier_rng_range(&rng, 0, 7)));
        }
        struct crier_record *again = NULL;
        int rc = crier_record_from_bytes(copy, bytes.len, &again, NULL);
        if (rc) {
            assert_true(rc == CRIER_ECORRUPT || rc == CRIER_EVERSION);
            refused++;
            continue;
        }
        taken++;
        sum += walk(crier_record_fields(again)) + crier_record_json(again).len;
        /* whatever was taken is the same record when it is stored again */
        struct crier_str stored = crier_record_bytes(again);
        assert_memory_equal(stored.data, copy, bytes.len);
        crier_record_unref(again);
    }
    assert_true(taken > 1000 && refused > 1000 && sum > 0);
    free(copy);
    crier_record_unref(r);
}

/* A text that claims to need no escaping, but does, would break the JSON. */
static void false_claim(void **state)
{
    (void)state;
    struct crier_record *r = sample(), *again;
    struct crier_str bytes = crier_record_bytes(r);
    char *copy = crier_malloc(bytes.len);
    static const char *const needles[] = {"bot.lua:14", "message.gallery", "success_rate", "moved"};
    for (size_t i = 0; i < CRIER_COUNT(needles); i++) {
        memcpy(copy, bytes.data, bytes.len);
        char *at = memmem(copy, bytes.len, needles[i], strlen(needles[i]));
        assert_non_null(at);
        *at = '"';
        assert_int_equal(crier_record_from_bytes(copy, bytes.len, &again, NULL), CRIER_ECORRUPT);
    }
    free(copy);
    crier_record_unref(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back), cmocka_unit_test(truncated), cmocka_unit_test(other_version),
        cmocka_unit_test(mutated),    cmocka_unit_test(false_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
