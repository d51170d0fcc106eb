/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/control_http.h"

static void test_begins(void **state)
{
    (void)state;
    static const char *const yes[] = {"GET / HTTP/1.1\r", "X HTTP/", "PRI * HTTP/2.0"};
    static const char *const no[] = {"", "{\"cmd\":\"x HTTP/1.1\"}", "GET /metrics", "get / HTTP/1.1",
                                     "HTTP/1.1"};
    for (size_t i = 0; i < CRIER_COUNT(yes); i++)
        assert_true(crier_control_http_begins(yes[i], strlen(yes[i])));
    for (size_t i = 0; i < CRIER_COUNT(no); i++)
        assert_false(crier_control_http_begins(no[i], strlen(no[i])));
}

static void test_head_length(void **state)
{
    (void)state;
    static const char *const heads[] = {"GET / HTTP/1.1\r\nA: b\r\n\r\n", "GET / HTTP/1.1\nA: b\n\n",
                                        "G\r\n\n", "\n\n", "\r\n\r\n"};
    for (size_t i = 0; i < CRIER_COUNT(heads); i++) {
        size_t n = strlen(heads[i]);
        for (size_t len = 0; len < n; len++)
            assert_int_equal(crier_control_http_head_length(heads[i], len, len ? len - 1 : 0), 0);
        for (size_t from = 0; from < n; from++)
            assert_int_equal(crier_control_http_head_length(heads[i], n, from), n);
    }
    assert_int_equal(crier_control_http_head_length("a\r\n\r\nrest", 9, 0), 5);
    assert_int_equal(crier_control_http_head_length("a\nb\r\rc\n\rd", 10, 0), 0);
}

static void test_judge(void **state)
{
    (void)state;
#define H "Host: x\r\n"
    static const struct {
        int status;
        const char *head;
    } rows[] = {
        {200, "GET /metrics HTTP/1.1\r\n" H "\r\n"},
        {200, "GET /metrics HTTP/1.1\nhOST:\n\n"},
        {200, "GET /metrics HTTP/1.0\r\n\r\n"},
        {200, "HEAD /metrics HTTP/1.1\r\n" H "\r\n"},
        {200, "GET /metrics?collect[]=a HTTP/1.1\r\n" H "\r\n"},
        {200, "GET http://localhost:80/metrics?x HTTP/1.1\r\n" H "\r\n"},
        {200, "GET /metrics HTTP/1.1\r\n" H "X: caf\xc3\xa9\t\r\n\r\n"},
        {404, "GET / HTTP/1.1\r\n" H "\r\n"},
        {404, "GET /metrics/ HTTP/1.1\r\n" H "\r\n"},
        {404, "GET /metricsx HTTP/1.1\r\n" H "\r\n"},
        {404, "GET //metrics HTTP/1.1\r\n" H "\r\n"},
        {404, "GET http://localhost HTTP/1.1\r\n" H "\r\n"},
        {404, "OPTIONS * HTTP/1.1\r\n" H "\r\n"},
        {404, "POST /reload HTTP/1.1\r\n" H "\r\n"},
        {405, "POST /metrics HTTP/1.1\r\n" H "\r\n"},
        {405, "GETS /metrics HTTP/1.1\r\n" H "\r\n"},
        {405, "DELETE /metrics HTTP/1.0\r\n\r\n"},
        {505, "GET /metrics HTTP/2.0\r\n" H "\r\n"},
        {505, "GET /metrics HTTP/1.10\r\n" H "\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n" H H "\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n" H " folded\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n" H "Bad Name: x\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n" H "Name : x\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n" H ": x\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n" H "no field\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n" H "X: a\rb\r\n\r\n"},
        {400, "GET /metrics HTTP/1.1\r\n" H "X: \x1b[2J\r\n\r\n"},
        {400, "GET  /metrics HTTP/1.1\r\n" H "\r\n"},
        {400, "GET /metrics  HTTP/1.1\r\n" H "\r\n"},
        {400, "G\x01T /metrics HTTP/1.1\r\n" H "\r\n"},
        {400, "G(T /metrics HTTP/1.1\r\n" H "\r\n"},
        {400, "GET /metrics\r\n\r\n"},
        {400, "\r\n\r\n"},
    };
    struct crier_control_http request;
    for (size_t i = 0; i < CRIER_COUNT(rows); i++) {
        int status = crier_control_http_judge(rows[i].head, strlen(rows[i].head), &request);
        if (status != rows[i].status)
            fail_msg("%s: %d, not %d", rows[i].head, status, rows[i].status);
        assert_int_equal(request.head, strncmp(rows[i].head, "HEAD ", 5) == 0);
        if (status == 200)
            assert_string_equal(request.cmd, "metrics");
        else
            assert_non_null(request.why);
    }
    static const char nul[] = "GET /metrics HTTP/1.0\r\nA: \0\r\n\r\n";
    assert_int_equal(crier_control_http_judge(nul, sizeof nul - 1, &request), 400);
    assert_int_equal(crier_control_http_judge("GET /metrics HTTP/1.0\r\n", 23, &request), 400);
    assert_int_equal(crier_control_http_judge("", 0, &request), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins),
        cmocka_unit_test(test_head_length),
        cmocka_unit_test(test_judge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
