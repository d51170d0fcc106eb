/* SPDX-License-Identifier: MIT
 *
 * What alerts tell, as mails, JSON and texts of a chat.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "discord/transport.h"
#include "script/alert_notice.h"

static struct crier_notice *make(const char *alert, const char *text)
{
    struct crier_notice *n = crier_notice_new();
    memcpy(n->id, "01KB0000000000000000000000", 27);
    n->alert = crier_strdup(alert);
    n->key = crier_strdup("k");
    n->state = "firing";
    n->text = crier_strdup(text);
    n->node = crier_strdup("web 1");
    n->level = CRIER_LEVEL_ERROR;
    n->count = 1;
    n->since = n->time = 1764547205LL * CRIER_S; /* 2025-12-01T00:00:05Z, a Monday */
    return n;
}

static void texts_are_cut_by_utf16_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t units;
        const char *cut;
    } cases[] = {
        {"", 5, ""},
        {"abcde", 5, "abcde"},
        {"a\xff" "b\xe2", 9, "a\xef\xbf\xbd" "b\xef\xbf\xbd"},
        {"abcdef", 5, "ab..."},
        {"äöüß", 4, "äöüß"},
        {"äöüßa", 4, "ä..."},
        {"\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80", 4, "\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80"},
        {"\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80z", 4, "..."},
        {"\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80z", 5, "\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80z"},
        {"\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80zz", 5, "\xf0\x9f\x9a\x80..."},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        char *cut = crier_text_cut(cases[i].text, cases[i].units);
        assert_string_equal(cut, cases[i].cut);
        free(cut);
    }
}

static void addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b", "ops+x@example.com", "Crier <crier@example.com>",
                                       "Müller, Anna <a@example.com>"};
    static const char *const bad[] = {"",          "a",           "@b",           "a@",
                                      "a b@c",     "a@b\r\nx",    "X <a@b",       "a@b>",
                                      "ä@b",       "a@b,c@d",     "X <a@b> y",    "<>"};
    for (size_t i = 0; i < CRIER_COUNT(good); i++)
        assert_true(crier_mail_address_ok(good[i]));
    for (size_t i = 0; i < CRIER_COUNT(bad); i++)
        assert_false(crier_mail_address_ok(bad[i]));
    char *address = crier_mail_address("Crier <crier@example.com>");
    assert_string_equal(address, "crier@example.com");
    free(address);
}

static void hosts(void **state)
{
    (void)state;
    char host[32];
    assert_true(crier_url_host("https://u:p@hooks.slack.com:99/x?y", host, sizeof host));
    assert_string_equal(host, "hooks.slack.com");
    assert_true(crier_url_host("smtp://[::1]:25", host, sizeof host));
    assert_string_equal(host, "[::1]");
    assert_false(crier_url_host("ftp://x/", host, sizeof host));
    assert_false(crier_url_host("http:///x", host, sizeof host));
    assert_false(crier_url_host("http://a b/", host, sizeof host));
}

static void json_goes_there_and_back(void **state)
{
    (void)state;
    struct crier_notice *n = make("ä \"b\"", "no\ndisk");
    n->state = "left out";
    n->count = 37;
    n->record = crier_strdup("{\"kind\":\"log\"}");
    char *json = crier_notice_json(n), *again;
    struct crier_notice *back = crier_notice_from_json(json);
    assert_non_null(back);
    again = crier_notice_json(back);
    assert_string_equal(json, again);
    assert_string_equal(back->state, "left out");
    assert_int_equal(back->since, n->since);
    assert_string_equal(back->record, n->record);
    assert_null(crier_notice_from_json("{}"));
    assert_null(crier_notice_from_json("nonsense"));
    free(json);
    free(again);
    crier_notice_unref(back);
    crier_notice_unref(n);
}

static void chats(void **state)
{
    (void)state;
    struct crier_notice *n = make("stuck", "@everyone <!here> & \"x\"");
    n->count = 3;
    char *line = crier_notice_line(n, 2000), *discord = crier_notice_discord(n),
         *slack = crier_notice_slack(n);
    assert_string_equal(line, "[web 1] stuck firing: @everyone <!here> & \"x\" (3 times since "
                              "2025-12-01T00:00:05Z)");
    assert_non_null(strstr(discord, "\"allowed_mentions\":{\"parse\":[]}"));
    assert_non_null(strstr(slack, "&lt;!here&gt; &amp; "));
    free(line);
    free(discord);
    free(slack);
    crier_notice_unref(n);
}

static void a_mail(void **state)
{
    (void)state;
    struct crier_notice *n = make("Überlauf", "Straße\r\nBcc: x@y");
    char one[] = "ops@example.com", two[] = "Müller, Anna <a@example.com>";
    char *to[] = {one, two};
    struct crier_buf b = {0};
    crier_notice_mail(n, "Smith, J. <crier@example.com>", to, 2, "{state} {name}: {text} {x}", &b);
    assert_non_null(strstr(b.data, "Date: Mon, 01 Dec 2025 00:00:05 +0000\r\n"));
    assert_non_null(strstr(b.data, "From: \"Smith, J.\" <crier@example.com>\r\n"));
    assert_non_null(strstr(b.data, "To: ops@example.com,\r\n =?UTF-8?B?TcO8bGxlciwgQW5uYQ==?= "
                                   "<a@example.com>\r\n"));
    assert_non_null(strstr(b.data, "Message-ID: <01KB0000000000000000000000@web-1>\r\n"));
    assert_non_null(strstr(b.data, "Subject: =?UTF-8?B?"));
    /* Nothing of the text becomes a header, and no line is long. */
    assert_null(strstr(b.data, "Bcc:"));
    for (const char *p = b.data; *p;) {
        const char *end = strstr(p, "\r\n");
        assert_non_null(end);
        assert_true(end - p <= 78);
        p = end + 2;
    }
    crier_buf_fini(&b);
    crier_notice_unref(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_cut_by_utf16_units),
        cmocka_unit_test(addresses),
        cmocka_unit_test(hosts),
        cmocka_unit_test(json_goes_there_and_back),
        cmocka_unit_test(chats),
        cmocka_unit_test(a_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
