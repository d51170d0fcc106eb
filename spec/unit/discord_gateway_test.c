/* SPDX-License-Identifier: MIT
 *
 * The gateway's messages, their compression, close codes, and the cache, each by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "discord/gateway_cache.h"
#include "discord/gateway_session.h"


static void test_frame(void **state)
{
    static const char *const texts[] = {
        "{\"t\":\"X\",\"s\":7,\"op\":0,\"d\":{\"a\":[1,{\"op\":5}]}}",
        "{\"d\":{\"a\":[1,{\"op\":5}]},\"op\":0,\"s\":7,\"t\":\"X\",\"more\":[{}]}"};
    struct crier_gateway_frame f;
    struct crier_err err = {0};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(crier_gateway_frame_read(texts[i], strlen(texts[i]), &f, &err), 0);
        assert_int_equal(f.op, 0);
        assert_int_equal(f.seq, 7);
        assert_string_equal(f.name, "X");
        assert_int_equal(f.data.len, 18);
        assert_memory_equal(f.data.data, "{\"a\":[1,{\"op\":5}]}", 18);
    }
    assert_int_equal(crier_gateway_frame_read("{\"op\":9,\"d\":true}", 17, &f, &err), 0);
    assert_int_equal(f.type, CRIER_SCAN_TRUE);
    assert_int_equal(f.seq, -1);
    /* Without data there is an empty text, which can be scanned. */
    assert_int_equal(crier_gateway_frame_read("{\"op\":10}", 9, &f, &err), 0);
    assert_int_equal(f.type, CRIER_SCAN_NULL);
    assert_non_null(f.data.data);
    assert_int_equal(f.data.len, 0);
}

static void test_no_frame(void **state)
{
    static const char *const texts[] = {"", "[]", "{}", "{\"op\":-1}", "{\"op\":0", "null",
                                        "{\"op\":0,\"d\":{]}}", "{\"op\":0}}", "\xff\xfe"};
    struct crier_gateway_frame f;
    struct crier_err err;
    (void)state;
    for (unsigned i = 0; i < CRIER_COUNT(texts); i++)
        assert_int_not_equal(crier_gateway_frame_read(texts[i], strlen(texts[i]), &f, &err), 0);
}

static const char guild[] =
    "{\"t\":\"GUILD_CREATE\",\"s\":2,\"op\":0,\"d\":{\"channels\":[{\"id\":\"201\",\"type\":0,"
    "\"name\":\"open\",\"permission_overwrites\":[]},{\"id\":\"202\",\"name\":\"ro\",\"type\":5,"
    "\"permission_overwrites\":[{\"id\":\"100\",\"type\":0,\"deny\":\"2048\",\"allow\":\"0\"},"
    "{\"id\":\"51\",\"type\":0,\"deny\":\"0\",\"allow\":\"2048\"}]},{\"id\":\"203\",\"type\":0,"
    "\"name\":\"hidden\",\"permission_overwrites\":[{\"id\":\"9\",\"type\":1,\"deny\":\"1024\","
    "\"allow\":\"0\"}]}],\"threads\":[{\"id\":\"204\",\"type\":11,\"parent_id\":\"202\",\"name\":"
    "\"t\"}],\"roles\":[{\"id\":\"100\",\"permissions\":\"68608\"},{\"id\":\"51\",\"permissions\":"
    "\"0\"},{\"id\":\"52\",\"permissions\":\"8\"}],\"members\":[{\"user\":{\"id\":\"9\"},"
    "\"roles\":[]}],\"id\":\"100\",\"name\":\"caf\\u00e9\",\"owner_id\":\"1\"}}";

/* Every prefix, and every byte changed: no crash, and what is cut is no message. */
static void test_broken(void **state)
{
    struct crier_gateway_frame f;
    struct crier_err err;
    struct crier_gateway_cache *cache = crier_gateway_cache_new();
    size_t len = sizeof guild - 1;
    uint64_t rng = 88172645463325252ULL;
    (void)state;
    crier_gateway_cache_me(cache, 9);
    for (size_t n = 0; n < len; n++) {
        char *cut = malloc(n ? n : 1); /* exactly so large, for who looks at reads beyond it */
        memcpy(cut, guild, n);
        assert_int_not_equal(crier_gateway_frame_read(cut, n, &f, &err), 0);
        free(cut);
    }
    for (unsigned round = 0; round < 20000; round++) {
        char *copy = malloc(len);
        memcpy(copy, guild, len);
        for (unsigned i = 0; i < 3; i++) {
            rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
            copy[rng % len] = "{}[]\",:\\0u\n\xff" "9e-t"[rng >> 40 & 15];
        }
        if (crier_gateway_frame_read(copy, len, &f, &err) == 0 && f.type == CRIER_SCAN_OBJECT)
            crier_gateway_cache_apply(cache, f.name, f.data, NULL);
        free(copy);
    }
    crier_gateway_cache_free(cache);
}

static uint64_t may(struct crier_gateway_cache *cache, uint64_t channel, int64_t now)
{
    uint64_t bits = 0;
    assert_true(crier_gateway_cache_permissions(cache, channel, now, &bits));
    return bits;
}

static enum crier_gateway_news apply(struct crier_gateway_cache *cache, const char *name,
                                     const char *data)
{
    return crier_gateway_cache_apply(cache, name, (struct crier_str){data, strlen(data)}, NULL);
}

static void created(struct crier_gateway_cache *cache, int id, int author)
{
    char data[160];
    snprintf(data, sizeof data,
             "{\"author\":{\"username\":\"x\",\"id\":\"%d\"},\"embeds\":[{}],\"channel_id\":\"201\","
             "\"id\":\"%d\"}",
             author, id);
    apply(cache, "MESSAGE_CREATE", data);
}

static void test_last_message(void **state)
{
    struct crier_gateway_cache *cache = crier_gateway_cache_new();
    struct crier_cached_channel c;
    static const char of_guild[] =
        "{\"id\":\"100\",\"name\":\"g\",\"channels\":[{\"id\":\"201\",\"position\":3,"
        "\"last_message_id\":\"500\"},{\"id\":\"202\",\"last_message_id\":null}]}";
    (void)state;
    crier_gateway_cache_me(cache, 9);
    apply(cache, "GUILD_CREATE", of_guild);
    created(cache, 501, 9);
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), -1); /* nobody watches */
    assert_int_equal(crier_gateway_cache_last_own(cache, 202), -1);
    crier_gateway_cache_watch(cache, true);
    apply(cache, "GUILD_CREATE", of_guild);
    assert_true(crier_gateway_cache_channel(cache, 201, &c));
    assert_int_equal(c.position, 3);
    assert_true(c.last_message == 500);
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), -1); /* whose it is, nobody has said */
    assert_int_equal(crier_gateway_cache_last_own(cache, 202), 0);  /* there is none */
    assert_int_equal(crier_gateway_cache_last_own(cache, 999), -1);
    created(cache, 510, 9);
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), 1);
    created(cache, 511, 8);
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), 0);
    /* Ours, before its event has come; an older event, behind it, changes nothing. */
    crier_gateway_cache_sent(cache, 201, 520);
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), 1);
    created(cache, 515, 8);
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), 1);
    /* A channel that is changed keeps what is known of it. */
    apply(cache, "CHANNEL_UPDATE",
          "{\"id\":\"201\",\"guild_id\":\"100\",\"name\":\"n\",\"last_message_id\":\"500\"}");
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), 1);
    apply(cache, "MESSAGE_DELETE", "{\"id\":\"515\",\"channel_id\":\"201\"}");
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), 1);
    apply(cache, "MESSAGE_DELETE", "{\"id\":\"520\",\"channel_id\":\"201\"}");
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), -1);
    created(cache, 530, 9);
    apply(cache, "MESSAGE_DELETE_BULK", "{\"ids\":[\"1\"],\"channel_id\":\"201\"}");
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), -1);
    created(cache, 531, 9);
    crier_gateway_cache_watch(cache, false);
    crier_gateway_cache_watch(cache, true);
    assert_int_equal(crier_gateway_cache_last_own(cache, 201), -1); /* meanwhile anybody may have */
    crier_gateway_cache_free(cache);
}

/* What is counted when it comes is what is counted when it goes. */
static void test_a_name_with_nul(void **state)
{
    (void)state;
    struct crier_gateway_cache *cache = crier_gateway_cache_new();
    struct crier_gateway_cache_stats stats;
    struct crier_cached_guild found;
    apply(cache, "GUILD_CREATE",
          "{\"id\":\"100\",\"name\":\"ca\\u00009\",\"channels\":[{\"id\":\"201\",\"name\":\"x\\u0000y\"}]}");
    assert_true(crier_gateway_cache_guild(cache, 100, &found));
    assert_string_equal(found.name, "ca");
    crier_gateway_cache_forget(cache, 0, 1);
    crier_gateway_cache_stats(cache, &stats);
    assert_int_equal(stats.bytes, 0);
    crier_gateway_cache_free(cache);
}

static void test_permissions(void **state)
{
    const uint64_t all = CRIER_PERM_VIEW_CHANNEL | CRIER_PERM_SEND_MESSAGES |
                         CRIER_PERM_READ_MESSAGE_HISTORY;
    struct crier_gateway_cache *cache = crier_gateway_cache_new();
    struct crier_gateway_frame f;
    struct crier_cached_guild g;
    uint64_t bits;
    (void)state;
    crier_gateway_cache_me(cache, 9);
    assert_int_equal(crier_gateway_frame_read(guild, sizeof guild - 1, &f, NULL), 0);
    assert_int_equal(crier_gateway_cache_apply(cache, f.name, f.data, NULL), CRIER_NEWS_GUILD_NEW);
    assert_int_equal(crier_gateway_cache_apply(cache, f.name, f.data, NULL),
                     CRIER_NEWS_GUILD_BACK);
    assert_true(crier_gateway_cache_guild(cache, 100, &g));
    assert_string_equal(g.name, "caf\xc3\xa9");
    assert_int_equal(g.channels, 4);
    assert_true(may(cache, 201, 0) == all);
    assert_true(may(cache, 202, 0) == (all & ~CRIER_PERM_SEND_MESSAGES));
    assert_true(may(cache, 203, 0) == 0); /* what cannot be seen can be used for nothing */
    assert_true(may(cache, 204, 0) == may(cache, 202, 0));
    assert_false(crier_gateway_cache_permissions(cache, 999, 0, &bits));
    /* A role of ours that the channel lets in. */
    apply(cache, "GUILD_MEMBER_UPDATE",
          "{\"guild_id\":\"100\",\"user\":{\"id\":\"9\"},\"roles\":[\"51\"]}");
    assert_true(may(cache, 202, 0) == all);
    /* Somebody else's changes are not ours. */
    apply(cache, "GUILD_MEMBER_UPDATE",
          "{\"guild_id\":\"100\",\"user\":{\"id\":\"8\"},\"roles\":[]}");
    assert_true(may(cache, 202, 0) == all);
    /* A timeout leaves reading, until it is over. */
    apply(cache, "GUILD_MEMBER_UPDATE",
          "{\"guild_id\":\"100\",\"user\":{\"id\":\"9\"},\"roles\":[],"
          "\"communication_disabled_until\":\"1970-01-01T00:00:10.000000+00:00\"}");
    assert_true(may(cache, 201, 9000000) ==
                (CRIER_PERM_VIEW_CHANNEL | CRIER_PERM_READ_MESSAGE_HISTORY));
    assert_true(may(cache, 201, 11000000) == all);
    /* An administrator, and the owner. */
    apply(cache, "GUILD_MEMBER_UPDATE",
          "{\"guild_id\":\"100\",\"user\":{\"id\":\"9\"},\"roles\":[\"52\"]}");
    assert_true(may(cache, 203, 0) == CRIER_PERM_ALL);
    apply(cache, "GUILD_ROLE_UPDATE",
          "{\"guild_id\":\"100\",\"role\":{\"id\":\"52\",\"permissions\":\"0\"}}");
    assert_true(may(cache, 203, 0) == 0);
    apply(cache, "GUILD_UPDATE", "{\"id\":\"100\",\"owner_id\":\"9\",\"name\":\"mine\"}");
    assert_true(may(cache, 203, 0) == CRIER_PERM_ALL);
    assert_int_equal(apply(cache, "GUILD_DELETE", "{\"id\":\"100\",\"unavailable\":true}"),
                     CRIER_NEWS_GUILD_AWAY);
    assert_int_equal(apply(cache, "GUILD_DELETE", "{\"id\":\"100\"}"), CRIER_NEWS_GUILD_GONE);
    assert_false(crier_gateway_cache_permissions(cache, 201, 0, &bits));
    crier_gateway_cache_free(cache);
}

static void test_inflate(void **state)
{
    struct crier_gateway_inflate in = {0};
    struct crier_err err = {0};
    z_stream z = {0};
    unsigned char out[4096];
    (void)state;
    assert_int_equal(deflateInit(&z, 6), Z_OK);
    for (unsigned round = 0; round < 3; round++) {
        z.next_in = (unsigned char *)guild;
        z.avail_in = sizeof guild - 1;
        z.next_out = out;
        z.avail_out = sizeof out;
        deflate(&z, Z_SYNC_FLUSH);
        size_t n = sizeof out - z.avail_out;
        for (size_t i = 0; i < n; i++) /* byte by byte */
            assert_int_equal(
                crier_gateway_inflate(&in, (char *)out + i, 1, i + 1 == n, &err), i + 1 == n);
        assert_int_equal(in.out.len, sizeof guild - 1);
        assert_memory_equal(in.out.data, guild, sizeof guild - 1);
    }
    assert_int_equal(crier_gateway_inflate(&in, "\x07\x07\x07\x07", 4, true, &err), CRIER_ECORRUPT);
    deflateEnd(&z);
    crier_gateway_inflate_fini(&in);
}

static void test_bomb(void **state)
{
    struct crier_gateway_inflate in = {0};
    struct crier_err err = {0};
    z_stream z = {0};
    static unsigned char zeros[1 << 20], out[1 << 20];
    int rc = 0;
    (void)state;
    assert_int_equal(deflateInit(&z, 9), Z_OK);
    for (unsigned i = 0; i < 80 && rc == 0; i++) {
        z.next_in = zeros;
        z.avail_in = sizeof zeros;
        z.next_out = out;
        z.avail_out = sizeof out;
        deflate(&z, Z_NO_FLUSH);
        rc = crier_gateway_inflate(&in, (char *)out, sizeof out - z.avail_out, false, &err);
    }
    assert_int_equal(rc, CRIER_ELIMIT);
    deflateEnd(&z);
    crier_gateway_inflate_fini(&in);
}

static void test_close_codes(void **state)
{
    static const int stop[] = {4004, 4010, 4011, 4012, 4013, 4014};
    static const int resume[] = {0, 1000, 1001, 1006, 4000, 4001, 4002, 4005, 4008, 4999};
    static const int identify[] = {4003, 4007, 4009};
    const char *text;
    (void)state;
    for (unsigned i = 0; i < CRIER_COUNT(stop); i++)
        assert_int_equal(crier_gateway_close_class(stop[i], &text), CRIER_GW_STOP);
    for (unsigned i = 0; i < CRIER_COUNT(resume); i++)
        assert_int_equal(crier_gateway_close_class(resume[i], &text), CRIER_GW_RESUME);
    for (unsigned i = 0; i < CRIER_COUNT(identify); i++)
        assert_int_equal(crier_gateway_close_class(identify[i], &text), CRIER_GW_IDENTIFY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame),    cmocka_unit_test(test_no_frame),
        cmocka_unit_test(test_broken),   cmocka_unit_test(test_permissions),
        cmocka_unit_test(test_last_message),
        cmocka_unit_test(test_a_name_with_nul),
        cmocka_unit_test(test_inflate),  cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_close_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
