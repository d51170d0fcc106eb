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
#include "record/tape.h"

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

/* A block written by hand: what from_bytes says of it. */
static int judge(struct crier_record_head head, const char *tape, size_t len)
{
    struct crier_record *r = NULL;
    char *block = crier_malloc(sizeof head + len);
    head.magic = CRIER_RECORD_MAGIC;
    head.version = CRIER_RECORD_VERSION;
    head.tape = (uint32_t)len;
    head.size = (uint32_t)(sizeof head + len);
    memcpy(block, &head, sizeof head);
    if (len)
        memcpy(block + sizeof head, tape, len);
    int rc = crier_record_from_bytes(block, sizeof head + len, &r, NULL);
    crier_record_unref(r);
    free(block);
    return rc;
}

static void put(struct crier_buf *b, enum crier_type type, uint8_t plain, const char *key,
                const void *payload, size_t size)
{
    struct crier_tape_item item = {(uint8_t)type, plain, (uint16_t)strlen(key), (uint32_t)size};
    crier_buf_append(b, &item, sizeof item);
    crier_buf_puts(b, key);
    if (payload)
        crier_buf_append(b, payload, size);
}

static void by_hand(void **state)
{
    (void)state;
    const struct crier_record_head good = {.level = CRIER_INFO, .ok = -1};
    struct crier_record_head head = good;
    assert_int_equal(judge(good, NULL, 0), 0);
    head.level = 25;
    assert_int_equal(judge(head, NULL, 0), CRIER_ECORRUPT);
    head = good;
    head.sim = 2;
    assert_int_equal(judge(head, NULL, 0), CRIER_ECORRUPT);
    head = good;
    head.ok = 2;
    assert_int_equal(judge(head, NULL, 0), CRIER_ECORRUPT);
    head = good;
    head.kind = CRIER_KIND_COUNT;
    assert_int_equal(judge(head, NULL, 0), CRIER_ECORRUPT);
    head = good;
    head.seq = INT64_MAX;
    assert_int_equal(judge(head, NULL, 0), 0);
    head.seq++; /* more than JSON's readers take */
    assert_int_equal(judge(head, NULL, 0), CRIER_ECORRUPT);
    head = good;
    head.plain[2] = 2;
    assert_int_equal(judge(head, NULL, 0), CRIER_ECORRUPT);

    const double nan = 0.0 / 0.0, one = 1;
    const struct {
        int type, plain;
        const char *key;
        const void *payload;
        size_t size;
        int want;
    } items[] = {
        {CRIER_NUM, 0, "n", &one, 8, 0},
        {CRIER_NUM, 0, "n", &nan, 8, CRIER_ECORRUPT},
        {CRIER_INT, 0, "n", &one, 7, CRIER_ECORRUPT},
        {CRIER_TRUE, 0, "n", &one, 1, CRIER_ECORRUPT},
        {CRIER_STR, 0, "n", "\xff", 1, CRIER_ECORRUPT},
        {CRIER_STR, 0, "\xff", "", 0, CRIER_ECORRUPT},
        {CRIER_STR, CRIER_PLAIN_KEY, "\"", "", 0, CRIER_ECORRUPT},
        {CRIER_STR, CRIER_PLAIN_KEY, "n", "\n", 1, 0},
        {CRIER_STR, 4, "n", "", 0, CRIER_ECORRUPT},
        {CRIER_OBJECT + 1, 0, "n", "", 0, CRIER_ECORRUPT},
        {CRIER_ARRAY, 0, "n", "\1\0\1\0\0\0\0\0k", 9, CRIER_ECORRUPT},
        {CRIER_OBJECT, 0, "n", "\1\0\1\0\0\0\0\0k", 9, 0},
        {CRIER_STR, 0, "text", "x", 1, CRIER_ECORRUPT}, /* a common member's name */
        {CRIER_STR, 0, "texts", "x", 1, 0},
    };
    struct crier_buf b = {0};
    for (size_t i = 0; i < CRIER_COUNT(items); i++) {
        crier_buf_clear(&b);
        put(&b, (enum crier_type)items[i].type, (uint8_t)items[i].plain, items[i].key,
            items[i].payload, items[i].size);
        if (judge(good, b.data, b.len) != items[i].want)
            fail_msg("item %zu", i);
    }
    for (size_t depth = CRIER_TAPE_DEEPEST; depth <= CRIER_TAPE_DEEPEST + 1; depth++) {
        crier_buf_clear(&b);
        for (size_t left = depth; left > 0; left--)
            put(&b, CRIER_ARRAY, 0, "", NULL, (left - 1) * sizeof(struct crier_tape_item));
        assert_int_equal(judge(good, b.data, b.len),
                         depth == CRIER_TAPE_DEEPEST ? 0 : CRIER_ECORRUPT);
    }
    crier_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back), cmocka_unit_test(truncated), cmocka_unit_test(other_version),
        cmocka_unit_test(mutated),    cmocka_unit_test(false_claim),
        cmocka_unit_test(by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
