/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discord/outcome.h"
#include "discord/request.h"

static char *repeat(const char *s, size_t n)
{
    struct crier_buf b = {0};
    while (n--)
        crier_buf_puts(&b, s);
    return crier_buf_take(&b);
}

/* Takes its arguments. */
static int check(char *text, char *embeds, size_t files, struct crier_err *err)
{
    struct crier_content *content = crier_content_new();
    content->text = text;
    content->embeds = embeds;
    content->file_count = files;
    content->files = crier_calloc(files + 1, sizeof *content->files);
    for (size_t i = 0; i < files; i++) {
        content->files[i].name = crier_strdup("a.txt");
        content->files[i].data = crier_strdup("x");
        content->files[i].len = 1;
    }
    memset(err, 0, sizeof *err);
    int rc = crier_content_check(content, err);
    crier_content_unref(content);
    return rc;
}

static void text_counts_utf16_units(void **state)
{
    (void)state;
    struct crier_err err;
    assert_int_equal(check(repeat("a", 2000), NULL, 0, &err), 0);
    assert_int_equal(check(repeat("a", 2001), NULL, 0, &err), CRIER_EINVAL);
    assert_non_null(strstr(err.text, "2001"));
    assert_non_null(strstr(err.text, "2000"));
    assert_int_equal(check(repeat("\xc5\xa1", 2000), NULL, 0, &err), 0);
    assert_int_equal(check(repeat("\xe2\x82\xac", 2001), NULL, 0, &err), CRIER_EINVAL);
    assert_int_equal(check(repeat("\xf0\x9f\x98\x80", 1000), NULL, 0, &err), 0);
    assert_int_equal(check(repeat("\xf0\x9f\x98\x80", 1001), NULL, 0, &err), CRIER_EINVAL);
}

static void something_must_be_sent(void **state)
{
    (void)state;
    struct crier_err err;
    assert_int_equal(check(NULL, NULL, 0, &err), CRIER_EINVAL);
    assert_int_equal(check(crier_strdup(" \n"), NULL, 0, &err), CRIER_EINVAL);
    assert_int_equal(check(NULL, crier_strdup("[]"), 0, &err), CRIER_EINVAL);
    assert_int_equal(check(NULL, crier_strdup("[{\"title\":\"t\"}]"), 0, &err), 0);
    assert_int_equal(check(NULL, NULL, 1, &err), 0);
    assert_int_equal(check(NULL, NULL, 10, &err), 0);
    assert_int_equal(check(NULL, NULL, 11, &err), CRIER_EINVAL);
    assert_int_equal(check(NULL, crier_strdup("{\"title\":1}"), 0, &err), CRIER_EINVAL);
    assert_int_equal(check(NULL, crier_strdup("[{]"), 0, &err), CRIER_EINVAL);
    assert_int_equal(check(NULL, crier_strdup("[1]"), 0, &err), CRIER_EINVAL);
}

static char *embed(const char *before, size_t n, const char *after)
{
    char *x = repeat("x", n), *out = crier_asprintf("[{%s%s%s}]", before, x, after);
    free(x);
    return out;
}

static void embed_limits(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        size_t max;
        const char *place;
    } cases[] = {
        {"\"title\":\"", "\"", 256, "embeds[1].title"},
        {"\"description\":\"", "\"", 4096, "embeds[1].description"},
        {"\"footer\":{\"text\":\"", "\"}", 2048, "embeds[1].footer.text"},
        {"\"author\":{\"name\":\"", "\"}", 256, "embeds[1].author.name"},
        {"\"fields\":[{\"value\":\"v\",\"name\":\"", "\"}]", 256, "embeds[1].fields[1].name"},
        {"\"fields\":[{\"name\":\"n\",\"value\":\"", "\"}]", 1024, "embeds[1].fields[1].value"},
    };
    struct crier_err err;
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        assert_int_equal(check(NULL, embed(cases[i].before, cases[i].max, cases[i].after), 0, &err),
                         0);
        assert_int_equal(
            check(NULL, embed(cases[i].before, cases[i].max + 1, cases[i].after), 0, &err),
            CRIER_EINVAL);
        assert_non_null(strstr(err.text, cases[i].place));
    }
}

static char *list_of(const char *item, size_t n)
{
    struct crier_buf b = {0};
    crier_buf_putc(&b, '[');
    for (size_t i = 0; i < n; i++)
        crier_buf_printf(&b, "%s%s", i ? "," : "", item);
    crier_buf_putc(&b, ']');
    return crier_buf_take(&b);
}

static void embed_counts_and_sum(void **state)
{
    (void)state;
    struct crier_err err;
    assert_int_equal(check(NULL, list_of("{\"title\":\"t\"}", 10), 0, &err), 0);
    assert_int_equal(check(NULL, list_of("{\"title\":\"t\"}", 11), 0, &err), CRIER_EINVAL);
    assert_non_null(strstr(err.text, "11 embeds"));
    for (size_t n = 25; n <= 26; n++) {
        char *fields = list_of("{\"name\":\"n\",\"value\":\"v\"}", n);
        char *text = crier_asprintf("[{\"fields\":%s}]", fields);
        assert_int_equal(check(NULL, text, 0, &err), n == 25 ? 0 : CRIER_EINVAL);
        free(fields);
    }
    char *x3000 = repeat("x", 3000);
    char *one = crier_asprintf("{\"description\":\"%s\"}", x3000);
    assert_int_equal(check(NULL, list_of(one, 2), 0, &err), 0); /* 6000 */
    char *text = crier_asprintf("[%s,%s,{\"title\":\"x\"}]", one, one);
    assert_int_equal(check(NULL, text, 0, &err), CRIER_EINVAL);
    assert_non_null(strstr(err.text, "6001"));
    free(one);
    free(x3000);
}

/* --- payloads ------------------------------------------------------------------------------ */

static struct crier_content *content_of(const char *text, const char *embeds)
{
    struct crier_content *content = crier_content_new();
    content->text = crier_strdup(text);
    content->embeds = crier_strdup(embeds);
    return content;
}

static void payload_is(const struct crier_content *content, const struct crier_mentions *mentions,
                       const char *nonce, const char *expected)
{
    struct crier_buf out = {0};
    crier_request_payload(content, mentions, nonce, &out);
    assert_string_equal(out.data, expected);
    crier_buf_fini(&out);
}

static void payloads_always_say_who_may_be_pinged(void **state)
{
    (void)state;
    struct crier_content *content = content_of("hi", NULL);
    payload_is(content, NULL, "n1",
               "{\"content\":\"hi\",\"allowed_mentions\":{\"parse\":[]},\"nonce\":\"n1\","
               "\"enforce_nonce\":true}");
    payload_is(content, NULL, NULL,
               "{\"content\":\"hi\",\"embeds\":[],\"attachments\":[],\"components\":[],"
               "\"allowed_mentions\":{\"parse\":[]}}");
    uint64_t ids[] = {863071397207212052, 7};
    struct crier_mentions m = {.everyone = true, .role_ids = ids, .role_count = 2};
    payload_is(content, &m, "n",
               "{\"content\":\"hi\",\"allowed_mentions\":{\"parse\":[\"everyone\"],\"roles\":["
               "\"863071397207212052\",\"7\"]},\"nonce\":\"n\",\"enforce_nonce\":true}");
    /* `parse` and a list of the same kind exclude each other for Discord. */
    m = (struct crier_mentions){.roles = true,
                                .users = true,
                                .role_ids = ids,
                                .role_count = 2,
                                .user_ids = ids,
                                .user_count = 1};
    payload_is(content, &m, NULL,
               "{\"content\":\"hi\",\"embeds\":[],\"attachments\":[],\"components\":[],"
               "\"allowed_mentions\":{\"parse\":[\"roles\",\"users\"]}}");
    crier_content_unref(content);
    content = content_of(NULL, "[{\"title\":\"t\"}]");
    payload_is(content, NULL, NULL,
               "{\"content\":\"\",\"embeds\":[{\"title\":\"t\"}],\"attachments\":[],\"components\":[],"
               "\"allowed_mentions\":{\"parse\":[]}}");
    crier_content_unref(content);
}

static void files_make_multipart(void **state)
{
    (void)state;
    struct crier_content *content = content_of("pic", NULL);
    content->file_count = 2;
    content->files = crier_calloc(2, sizeof *content->files);
    content->files[0].name = crier_strdup("a \"b\".png");
    content->files[0].data = memcpy(crier_malloc(4), "\x89P\0G", 4);
    content->files[0].len = 4;
    content->files[1].name = crier_strdup("log.txt");
    content->files[1].path = crier_strdup("/var/log/x");
    struct crier_buf payload = {0};
    crier_request_payload(content, NULL, NULL, &payload);
    assert_string_equal(payload.data, "{\"content\":\"pic\",\"embeds\":[],\"attachments\":["
                                      "{\"id\":\"0\",\"filename\":\"a \\\"b\\\".png\"},"
                                      "{\"id\":\"1\",\"filename\":\"log.txt\"}],\"components\":[],"
                                      "\"allowed_mentions\":{\"parse\":[]}}");
    struct crier_http_request req;
    crier_http_request_init(&req, "PATCH", "http://127.0.0.1/");
    crier_request_body(&req, content, payload.data, payload.len);
    assert_null(req.body);
    assert_int_equal(req.header_count,
                     0); /* the transport says multipart/form-data; boundary=... */
    assert_int_equal(req.part_count, 3);
    assert_string_equal(req.parts[0].name, "payload_json");
    assert_string_equal(req.parts[0].content_type, "application/json");
    assert_null(req.parts[0].filename);
    assert_string_equal(req.parts[0].data, payload.data);
    assert_int_equal(req.parts[0].len, payload.len);
    assert_string_equal(req.parts[1].name, "files[0]");
    assert_string_equal(req.parts[1].filename, "a \"b\".png");
    assert_int_equal(req.parts[1].len, 4);
    assert_memory_equal(req.parts[1].data, "\x89P\0G", 4);
    assert_string_equal(req.parts[2].name, "files[1]");
    assert_null(req.parts[2].data);
    assert_string_equal(req.parts[2].path, "/var/log/x");
    crier_http_request_fini(&req);
    crier_buf_fini(&payload);
    crier_content_unref(content);
}

static void nonces_repeat_and_differ(void **state)
{
    (void)state;
    char a[26], b[26];
    crier_discord_nonce("gallery", 978332728615378984, 1790000000000000, a);
    crier_discord_nonce("gallery", 978332728615378984, 1790000000000000, b);
    assert_int_equal(strlen(a), 25);
    assert_string_equal(a, b);
    /* SHA-256 of "gallery\0978332728615378984:1790000000000000", from another implementation. */
    assert_string_equal(a, "qohpprd26yjnzhcznrcpcfnyt");
    crier_discord_nonce("gallery", 978332728615378984, 1790000000000001, b);
    assert_string_not_equal(a, b);
    crier_discord_nonce("gallery", 978332728615378985, 1790000000000000, b);
    assert_string_not_equal(a, b);
    crier_discord_nonce("galler", 978332728615378984, 1790000000000000, b);
    assert_string_not_equal(a, b);
}

/* --- outcomes ------------------------------------------------------------------------------ */

static void every_code_has_its_class(void **state)
{
    (void)state;
    enum {
        C = CRIER_REQ_CREATE,
        E = CRIER_REQ_EDIT,
        D = CRIER_REQ_DELETE,
        M = CRIER_REQ_DM,
        G = CRIER_REQ_GET,
        O = CRIER_REQ_OTHER,
        ALL = CRIER_REQ_ANY
    };
    enum {
        OK = CRIER_CLASS_OK,
        RETRY = CRIER_CLASS_RETRY,
        LOST = CRIER_CLASS_LOST,
        WAIT = CRIER_CLASS_WAIT,
        DROP = CRIER_CLASS_DROP,
        PAUSE = CRIER_CLASS_PAUSE,
        DOUBT = CRIER_CLASS_DOUBT,
        REBUILD = CRIER_CLASS_REBUILD,
        BAD = CRIER_CLASS_BAD,
        STOP = CRIER_CLASS_STOP,
        BREAK = CRIER_CLASS_BREAK
    };
    static const struct {
        int status, code;
        unsigned kinds;
        int class_, wait;
    } cases[] = {
        {200, 0, ALL, OK, 0},
        {201, 0, ALL, OK, 0},
        {204, 0, ALL, OK, 0},
        {304, 0, ALL, OK, 0},
        {200, 50035, ALL, OK, 0}, /* a member `code` of a success means nothing */
        {0, CRIER_CODE_LOST, ALL, LOST, 0},
        {0, CRIER_CODE_NOT_SENT, ALL, RETRY, 0},
        {429, 0, ALL, WAIT, 0},
        {429, 20016, ALL, WAIT, 60},
        {429, 20028, ALL, WAIT, 60},
        {429, 20029, ALL, WAIT, 60},
        {429, 20022, ALL, WAIT, 60},
        {429, 30046, C | D | M | G | O, WAIT, 60},
        {429, 30046, E, REBUILD, 0},
        {429, 40062, ALL, WAIT, 60},
        {429, CRIER_CODE_BANNED, ALL, BREAK, 600},
        {403, 40003, ALL, WAIT, 300},
        {403, CRIER_CODE_QUARANTINED, ALL, PAUSE, 3600},
        {401, 0, ALL, STOP, 0},
        {401, 40001, ALL, STOP, 0},
        {403, 50014, ALL, STOP, 0},
        {403, 40333, ALL, STOP, 0},
        {403, 50001, ALL, PAUSE, 300},
        {403, 50013, ALL, PAUSE, 60},
        {403, 50007, ALL, DROP, 0},
        {403, 50278, ALL, DROP, 0},
        {403, 50009, ALL, PAUSE, 600},
        {403, 20009, ALL, DROP, 0},
        {404, 10013, ALL, DROP, 0},
        {400, 50033, ALL, DROP, 0},
        {404, 10003, ALL, DROP, 0},
        {404, 10004, ALL, DROP, 0},
        {404, 10008, C | D, OK, 0},
        {404, 10008, E | O, REBUILD, 0},
        {404, 10008, G | M, BAD, 0},
        {400, 160002, ALL, BAD, 0},
        {403, 160002, ALL, BAD, 0},
        {400, 160004, ALL, OK, 0},
        {403, 160005, ALL, DROP, 0},
        {400, 50083, E, REBUILD, 0},
        {400, 50083, C | D | O, BAD, 0},
        {400, 160006, ALL, WAIT, 600},
        {400, 160007, ALL, WAIT, 600},
        {400, 40033, ALL, OK, 0},
        {400, 40058, ALL, BAD, 0},
        {400, 50008, ALL, BAD, 0},
        {400, 50024, ALL, BAD, 0},
        {400, 40067, ALL, BAD, 0},
        {400, 50006, ALL, BAD, 0},
        {400, 50035, ALL, BAD, 0},
        {400, 50109, ALL, BAD, 0},
        {400, 30015, ALL, BAD, 0},
        {400, 50045, ALL, BAD, 0},
        {413, 40005, ALL, BAD, 0},
        {413, 0, ALL, BAD, 0},
        {400, 400001, ALL, BAD, 0},
        {400, 200000, ALL, BAD, 0},
        {400, 200001, ALL, BAD, 0},
        {400, 240000, ALL, BAD, 0},
        {403, 50005, ALL, BAD, 0},
        {403, 50021, ALL, BAD, 0},
        {403, 50068, ALL, BAD, 0},
        {400, 30007, ALL, BAD, 0},
        {403, 30010, ALL, BAD, 0},
        {400, 30003, ALL, BAD, 0},
        {503, 40004, ALL, RETRY, 5},
        {503, 40006, ALL, RETRY, 5},
        {500, 130000, ALL, RETRY, 5},
        {503, 110000, ALL, RETRY, 5},
        {502, 0, ALL, RETRY, 0},
        {503, 0, ALL, RETRY, 0},
        {500, 0, ALL, LOST, 0},
        {504, 0, ALL, LOST, 0},
        {520, 0, ALL, LOST, 0},
        {522, 0, ALL, LOST, 0},
        {524, 0, ALL, LOST, 0},
        {404, 10014, ALL, BAD, 0},
        {405, 0, ALL, BAD, 0},
        {400, 0, ALL, BAD, 0},
        {400, 99999, ALL, BAD, 0},
        {403, 99999, ALL, DOUBT, 0},
        {404, 0, ALL, DOUBT, 0},
        {301, 0, ALL, BAD, 0},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        for (unsigned kind = 1; kind <= CRIER_REQ_OTHER; kind <<= 1) {
            if (!(cases[i].kinds & kind))
                continue;
            const struct crier_outcome_row *row =
                crier_outcome_row(cases[i].status, cases[i].code, (enum crier_request_kind)kind);
            if ((int)row->class_ != cases[i].class_ || row->wait != cases[i].wait)
                fail_msg("%d %d kind %u: class %d wait %d, expected %d %d", cases[i].status,
                         cases[i].code, kind, row->class_, row->wait, cases[i].class_,
                         cases[i].wait);
        }
    }
}

static int code_of(int status, const char *headers, const char *body)
{
    struct crier_http_response res = {.status = status};
    crier_buf_puts(&res.headers, headers);
    json_t *json = json_loads(body, 0, NULL);
    int code = crier_outcome_code(&res, json);
    json_decref(json);
    crier_buf_fini(&res.headers);
    return code;
}

static void bans_are_told_from_rate_limits(void **state)
{
    (void)state;
    static const char blocked[] = "{\"code\":0,\"message\":\"You are being blocked from accessing "
                                  "our API temporarily\"}";
    static const char limited[] = "{\"message\":\"You are being rate limited.\",\"retry_after\":1,"
                                  "\"global\":false}";
    assert_int_equal(code_of(429, "", "error code: 1015"), CRIER_CODE_BANNED);
    assert_int_equal(code_of(429, "", blocked), CRIER_CODE_BANNED);
    assert_int_equal(code_of(429, "retry-after: 1\n", limited), 0);
    assert_int_equal(code_of(429, "x-ratelimit-scope: user\n", limited), 0);
    assert_int_equal(code_of(429, "via: 1.1 google\n", limited), 0);
    assert_int_equal(code_of(403, "",
                             "{\"code\":20026,\"message\":\"Your bot has been flagged by "
                             "our anti-spam system\"}"),
                     CRIER_CODE_QUARANTINED);
    assert_int_equal(code_of(403, "", "{\"code\":50013,\"message\":\"Missing Permissions\"}"),
                     50013);
    assert_int_equal(code_of(502, "", "<html>"), 0);
}

static void the_errors_tree_becomes_one_line(void **state)
{
    (void)state;
    json_t *errors = json_loads(
        "{\"embeds\":{\"0\":{\"title\":{\"_errors\":[{\"code\":\"X\",\"message\":\"Must be 256 or "
        "fewer in length.\"}]}}},\"content\":{\"_errors\":[{\"message\":\"a\"},{\"message\":\"b\"}"
        "]},\"_errors\":[{\"message\":\"top\"}]}",
        0, NULL);
    struct crier_buf out = {0};
    crier_outcome_flatten(errors, &out);
    assert_string_equal(out.data, "embeds[0].title: Must be 256 or fewer in length.; content: a; "
                                  "content: b; top");
    crier_buf_fini(&out);
    json_decref(errors);
}

static void user_tokens_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *me;
        bool user;
    } cases[] = {{"{\"id\":\"1\",\"bot\":true}", false},
                 {"{\"id\":\"1\",\"bot\":false}", true},
                 {"{\"id\":\"1\"}", true},
                 {"{\"message\":\"401: Unauthorized\"}", false}};
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        json_t *me = json_loads(cases[i].me, 0, NULL);
        assert_int_equal(crier_discord_is_user(me), cases[i].user);
        json_decref(me);
    }
    assert_false(crier_discord_is_user(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_counts_utf16_units),
        cmocka_unit_test(something_must_be_sent),
        cmocka_unit_test(embed_limits),
        cmocka_unit_test(embed_counts_and_sum),
        cmocka_unit_test(payloads_always_say_who_may_be_pinged),
        cmocka_unit_test(files_make_multipart),
        cmocka_unit_test(nonces_repeat_and_differ),
        cmocka_unit_test(every_code_has_its_class),
        cmocka_unit_test(bans_are_told_from_rate_limits),
        cmocka_unit_test(the_errors_tree_becomes_one_line),
        cmocka_unit_test(user_tokens_are_recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
