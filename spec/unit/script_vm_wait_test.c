/* SPDX-License-Identifier: MIT
 *
 * crier.sleep on a virtual loop, and crier.http on a transport that the test answers by hand.
 */
#include "script_vm_support.h"

#include "base/loop.h"
#include "discord/transport.h"

/* --- a transport ------------------------------------------------------------------------- */

struct crier_http_call {
    struct crier_http_request req;
    void (*done)(void *arg, struct crier_http_response *res);
    void *arg;
    bool cancelled;
};

static struct crier_http_call requests[8];
static int request_count;

static struct crier_http_call *fake_start(struct crier_transport *t, struct crier_http_request *req,
                                          void (*done)(void *arg, struct crier_http_response *res),
                                          void *arg)
{
    (void)t;
    assert_true(request_count < 8);
    struct crier_http_call *call = &requests[request_count++];
    *call = (struct crier_http_call){.req = *req, .done = done, .arg = arg};
    memset(req, 0, sizeof *req);
    return call;
}

static void fake_cancel(struct crier_transport *t, struct crier_http_call *call)
{
    (void)t;
    call->cancelled = true;
}

static const struct crier_transport_ops fake_ops = {.start = fake_start, .cancel = fake_cancel};
static struct crier_transport fake = {.ops = &fake_ops};

static void answer(int i, int status, const char *headers, const char *body, int code,
                   const char *fault)
{
    struct crier_http_response res = {.status = status};
    crier_buf_puts(&res.headers, headers);
    crier_buf_puts(&res.body, body);
    if (code)
        crier_err_set(&res.err, code, "%s", fault);
    requests[i].done(requests[i].arg, &res);
    crier_http_request_fini(&requests[i].req);
    crier_buf_fini(&res.headers);
    crier_buf_fini(&res.body);
}

static struct crier_clock *the_clock;
static struct crier_loop *loop;

static struct crier_vm *vm_on_loop(void)
{
    the_clock = crier_clock_virtual(0);
    loop = crier_loop_new(the_clock);
    struct crier_vm *vm =
        vm_with((struct crier_vm_config){.clock = the_clock, .virtual_time = true});
    vm->loop = loop;
    vm->http = &fake;
    lua_newtable(vm->L);
    crier_open_wait(vm->L);
    lua_setglobal(vm->L, "crier");
    request_count = 0;
    return vm;
}

static void done_with(struct crier_vm *vm)
{
    crier_vm_free(vm);
    crier_loop_free(loop);
    crier_clock_free(the_clock);
}

/* --- sleep ------------------------------------------------------------------------------- */

static void sleeping_takes_its_time(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_on_loop();
    struct ended a, b;
    start(vm, "crier.sleep '1m30s' crier.sleep(0.5) return 'a'", BUDGET, &a);
    start(vm, "local co = coroutine.wrap(function() crier.sleep '90s' coroutine.yield(1) end) co() "
              "return 'b'", BUDGET, &b);
    crier_loop_run(loop, 89 * CRIER_S);
    assert_int_equal(a.count + b.count, 0);
    crier_loop_run(loop, 90 * CRIER_S + 499 * CRIER_MS);
    assert_string_equal(b.result, "b");
    assert_int_equal(a.count, 0);
    crier_loop_run(loop, 90 * CRIER_S + 500 * CRIER_MS);
    assert_string_equal(a.result, "a");
    assert_int_equal(start(vm, "crier.sleep(0) return 'c'", BUDGET, &a) != NULL, 1);
    crier_loop_run(loop, CRIER_NEVER);
    assert_string_equal(a.result, "c");
    done_with(vm);
}

static void bad_durations_are_explained(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"crier.sleep '10'", "bot.lua:1: crier.sleep(duration): expected a duration such as"},
        {"crier.sleep(-1)", "crier.sleep(duration): "},
        {"crier.sleep(0/0)", "crier.sleep(duration): "},
        {"crier.sleep()", "crier.sleep(duration): expected a duration such as \"10s\", or seconds, "
                          "got no value"},
        {"crier.sleep {}", "got table"},
    };
    struct crier_vm *vm = vm_on_loop();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_has(error_of(vm, cases[i][0]), cases[i][1]);
    struct crier_lua_error error;
    assert_int_equal(crier_vm_run_text(vm, "x", "crier.sleep(1)", 14, &error), CRIER_ECONFIG);
    assert_has(error.message, "crier.sleep is not available while loading");
    crier_lua_error_fini(&error);
    assert_has(error_of(vm, "table.sort({1, 2}, function() crier.sleep(1) end)"),
               "crier.sleep cannot wait inside table.sort");
    assert_int_equal(vm->calls, 0);
    done_with(vm);
}

static void a_cancelled_sleep_leaves_no_timer(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_on_loop();
    struct ended end;
    struct crier_loop_stats stats;
    struct crier_call *call = start(vm, "pcall(crier.sleep, '1h') crier.sleep '1h'", BUDGET, &end);
    crier_call_cancel(call);
    assert_int_equal(end.rc, CRIER_ECANCELED);
    start(vm, "crier.sleep '2h'", BUDGET, &end);
    crier_vm_free(vm);
    assert_int_equal(end.rc, CRIER_ECANCELED);
    crier_loop_stats(loop, &stats);
    assert_int_equal(stats.armed, 0);
    crier_loop_free(loop);
    crier_clock_free(the_clock);
}

static void ten_thousand_sleep_at_once(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct crier_vm *vm = vm_on_loop();
    struct ended *ends = calloc(N, sizeof *ends);
    result_of(vm, "collectgarbage() n = 0 return 1");
    size_t before = vm->memory_used;
    for (int i = 0; i < N; i++)
        start(vm, "crier.sleep '10s' n = n + 1", BUDGET, &ends[i]);
    assert_int_equal(vm->calls, N);
    crier_loop_run(loop, CRIER_NEVER);
    assert_int_equal(vm->calls, 0);
    assert_string_equal(result_of(vm, "return n"), "10000");
    lua_gc(vm->L, LUA_GCCOLLECT);
    lua_gc(vm->L, LUA_GCCOLLECT);
    assert_in_range(vm->memory_used, before, before + 400 * 1024);
    free(ends);
    done_with(vm);
}

/* --- http -------------------------------------------------------------------------------- */

static const char *header(int i, const char *name)
{
    for (size_t h = 0; h < requests[i].req.header_count; h++)
        if (strncmp(requests[i].req.headers[h], name, strlen(name)) == 0)
            return requests[i].req.headers[h];
    return "";
}

static void a_get_brings_the_answer(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_on_loop();
    struct ended end;
    start(vm, "local r = assert(crier.http.get 'https://api.example/stats?x=1')\n"
              "local h = r.headers['set-cookie'] .. r.headers.etag\n"
              "return r.status .. r.body .. h .. r:json().a[2]", BUDGET, &end);
    assert_int_equal(request_count, 1);
    assert_string_equal(requests[0].req.method, "GET");
    assert_string_equal(requests[0].req.url, "https://api.example/stats?x=1");
    assert_int_equal(requests[0].req.timeout, 30 * CRIER_S);
    assert_int_equal(requests[0].req.redirects, 5);
    assert_int_equal(requests[0].req.max_body, 8 << 20);
    assert_null(requests[0].req.body);
    answer(0, 200, "set-cookie: a\netag: \"e\"\nset-cookie: b\nbroken\n", "{\"a\":[1,7]}", 0, "");
    assert_string_equal(end.result, "200{\"a\":[1,7]}a, b\"e\"7");
    done_with(vm);
}

static void options_reach_the_request(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_on_loop();
    struct ended end[3];
    start(vm, "crier.http.post('http://h/p', { json = { count = 2, list = {1} }, timeout = '5s',\n"
              "redirects = 0, max_body = '1KiB', headers = { ['X-A'] = 1 } })", BUDGET, &end[0]);
    start(vm, "crier.http.post('http://h/p', { json = 'x', headers = { ['content-type'] = 'a/b' } })",
          BUDGET, &end[1]);
    start(vm, "crier.http.request { method = 'PUT', url = 'http://h/q', body = 'a\\0b' }", BUDGET,
          &end[2]);
    assert_int_equal(request_count, 3);
    assert_string_equal(requests[0].req.method, "POST");
    assert_string_equal(requests[0].req.body, "{\"count\":2,\"list\":[1]}");
    assert_int_equal(requests[0].req.body_len, strlen(requests[0].req.body));
    assert_int_equal(requests[0].req.timeout, 5 * CRIER_S);
    assert_int_equal(requests[0].req.redirects, 0);
    assert_int_equal(requests[0].req.max_body, 1024);
    assert_string_equal(header(0, "X-A"), "X-A: 1");
    assert_string_equal(header(0, "Content-Type"), "Content-Type: application/json");
    assert_string_equal(header(1, "Content-Type"), "");
    assert_string_equal(header(1, "content-type"), "content-type: a/b");
    assert_string_equal(requests[2].req.method, "PUT");
    assert_int_equal(requests[2].req.body_len, 3);
    assert_memory_equal(requests[2].req.body, "a\0b", 3);
    for (int i = 0; i < 3; i++) {
        answer(i, 204, "", "", 0, "");
        assert_int_equal(end[i].rc, 0);
    }
    done_with(vm);
}

static void failures_are_values(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_on_loop();
    struct ended end;
    start(vm, "local r, m, c = crier.http.get 'https://user:pw@h.example:8080/secret?token=1' "
              "return tostring(r) .. '|' .. m .. '|' .. c", BUDGET, &end);
    answer(0, 0, "", "", CRIER_ETIMEOUT, "no answer within 30s");
    assert_string_equal(end.result, "nil|GET https://h.example: no answer within 30s|timeout");
    start(vm, "local r = crier.http.get 'http://h/' local v, m, c = r:json() "
              "return tostring(v) .. '|' .. m .. '|' .. c", BUDGET, &end);
    answer(1, 500, "", "<html>", 0, "");
    assert_has(end.result, "nil|invalid JSON at byte");
    vm->http = NULL;
    assert_has(result_of(vm, "return select(3, crier.http.get 'http://h/')"), "denied");
    done_with(vm);
}

static void misuse_raises_at_the_callers_line(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"crier.http.get()", "bot.lua:1: crier.http.get(url, options): expected a URL as a text, got no "
                             "value"},
        {"crier.http.get 'ftp://x/'", "url: expected http://... or https://..."},
        {"crier.http.get '/x'", "url: expected"},
        {"crier.http.get 'http:///x'", "url: expected"},
        {"crier.http.get 'http://a b/'", "url: expected"},
        {"crier.http.get 'http://a/\\r\\nX: y'", "url: expected"},
        {"crier.http.get('http://h', { timout = 1 })", "unknown option 'timout' (did you mean "
                                                       "'timeout'?)"},
        {"crier.http.get('http://h', { method = 'PUT' })", "unknown option 'method'"},
        {"crier.http.get('http://h', { 1 })", "unknown option [1]"},
        {"crier.http.get('http://h', 5)", "options: expected a table, got number"},
        {"crier.http.get('http://h', { timeout = '10' })", "crier.http: timeout: expected a duration"},
        {"crier.http.get('http://h', { redirects = -1 })", "redirects: expected a whole number"},
        {"crier.http.get('http://h', { max_body = 'x' })", "max_body: "},
        {"crier.http.get('http://h', { headers = 'x' })", "headers: expected a table"},
        {"crier.http.get('http://h', { headers = { ['A: b'] = 1 } })", "is not a header"},
        {"crier.http.get('http://h', { headers = { A = 'x\\r\\nB: y' } })", "line break"},
        {"crier.http.post('http://h', { body = {} })", "body: expected a text, got table"},
        {"crier.http.post('http://h', { body = '', json = 1 })", "give body or json, not both"},
        {"crier.http.post('http://h', { json = { a = print } })", "json: a: a function cannot be"},
        {"crier.http.request 'x'", "crier.http.request { method =, url =, ... }: expected"},
        {"crier.http.request { method = 'get', url = 'http://h' }", "method: expected a name"},
    };
    struct crier_vm *vm = vm_on_loop();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_has(error_of(vm, cases[i][0]), cases[i][1]);
    assert_int_equal(request_count, 0);
    struct crier_lua_error error;
    assert_int_equal(crier_vm_run_text(vm, "x", "crier.http.get 'http://h'", 25, &error),
                     CRIER_ECONFIG);
    assert_has(error.message, "crier.http is not available while loading");
    crier_lua_error_fini(&error);
    done_with(vm);
}

static char asked[128];

static bool only_local(void *owner, const char *host, char *why, size_t cap)
{
    (void)owner;
    snprintf(asked, sizeof asked, "%s", host);
    snprintf(why, cap, "refused in --sim: %s", host);
    return strcmp(host, "localhost") == 0;
}

static void hosts_can_be_refused(void **state)
{
    (void)state;
    static const char *const urls[][2] = {
        {"http://evil.example:80/x", "evil.example"},
        {"HTTPS://localhost@evil.example/x", "evil.example"},
        {"http://a:b@evil.example", "evil.example"},
        {"http://[2001:db8::1]:8080/", "[2001:db8::1]"},
        {"http://evil.example?@localhost/", "evil.example"},
        {"http://evil.example#@localhost/", "evil.example"},
    };
    struct crier_vm *vm = vm_on_loop();
    struct ended end;
    vm->allow_host = only_local;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char text[160];
        snprintf(text, sizeof text, "local r, m, c = crier.http.get '%s' return m .. '|' .. c",
                 urls[i][0]);
        assert_has(result_of(vm, text), "refused in --sim: ");
        assert_string_equal(asked, urls[i][1]);
    }
    assert_int_equal(request_count, 0);
    start(vm, "crier.http.get 'http://localhost:99/'", BUDGET, &end);
    assert_int_equal(request_count, 1);
    assert_int_equal(requests[0].req.redirects, 0); /* nor may one lead to another host */
    answer(0, 302, "location: http://evil.example\n", "", 0, "");
    assert_int_equal(end.rc, 0);
    done_with(vm);
}

static void a_request_can_be_given_up(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_on_loop();
    struct ended end;
    struct crier_call *call = start(vm, "crier.http.get 'http://h/'", BUDGET, &end);
    crier_call_cancel(call);
    assert_true(requests[0].cancelled);
    assert_int_equal(end.rc, CRIER_ECANCELED);
    start(vm, "crier.http.get 'http://h/'", BUDGET, &end);
    crier_vm_free(vm); /* the answers come later than the state lives */
    assert_true(requests[1].cancelled);
    answer(0, 0, "", "", CRIER_ECANCELED, "given up");
    answer(1, 0, "", "", CRIER_ECANCELED, "given up");
    assert_int_equal(end.count, 1);
    crier_loop_free(loop);
    crier_clock_free(the_clock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sleeping_takes_its_time),
        cmocka_unit_test(bad_durations_are_explained),
        cmocka_unit_test(a_cancelled_sleep_leaves_no_timer),
        cmocka_unit_test(ten_thousand_sleep_at_once),
        cmocka_unit_test(a_get_brings_the_answer),
        cmocka_unit_test(options_reach_the_request),
        cmocka_unit_test(failures_are_values),
        cmocka_unit_test(misuse_raises_at_the_callers_line),
        cmocka_unit_test(hosts_can_be_refused),
        cmocka_unit_test(a_request_can_be_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
