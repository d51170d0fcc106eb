/* SPDX-License-Identifier: MIT
 *
 * The client in virtual time over a transport that answers from a script.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discord/client.h"

#define WALL 1790000000000000LL /* 2026-09-21T14:13:20Z */
#define TOKEN "MTA.secret.token"
#define NONCE "abcdefghijklmnopqrstuvwxy"

#define FOUND "1551597221969920000"  /* a message of 5 s after WALL */
#define NEXT "1551597242941440000"   /* ... of 10 s */
#define BEFORE "1551597200998400000" /* ... of WALL itself: within what clocks may differ */

enum answer { ANSWER, REFUSED, DROPPED, HANGS };

struct step {
    enum answer how;
    int status;
    const char *headers, *body;
    int64_t latency; /* 0: 10 ms */
};

struct sent {
    char method[8];
    char *url, *body, *headers;
    int64_t at;
    size_t parts;
};

struct fake {
    struct crier_transport base;
    struct crier_loop *loop;
    const struct step *steps;
    size_t count;
    struct sent log[512];
    size_t sent;
    int in_flight, max_in_flight;
};

struct crier_http_call {
    struct fake *fake;
    struct crier_timer timer;
    struct crier_http_response res;
    void (*done)(void *arg, struct crier_http_response *res);
    void *arg;
};

static void fake_fire(struct crier_timer *timer)
{
    struct crier_http_call *call = CRIER_CONTAINER(timer, struct crier_http_call, timer);
    call->fake->in_flight--;
    call->done(call->arg, &call->res);
    crier_buf_fini(&call->res.headers);
    crier_buf_fini(&call->res.body);
    free(call);
}

static struct crier_http_call *fake_start(struct crier_transport *t, struct crier_http_request *req,
                                          void (*done)(void *arg, struct crier_http_response *res),
                                          void *arg)
{
    struct fake *fake = CRIER_CONTAINER(t, struct fake, base);
    static const struct step fine = {.status = 200, .body = "{\"id\":\"77\"}"};
    const struct step *step = fake->sent < fake->count ? &fake->steps[fake->sent] : &fine;
    assert_true(fake->sent < CRIER_COUNT(fake->log));
    struct sent *log = &fake->log[fake->sent++];
    struct crier_buf headers = {0};
    for (size_t i = 0; i < req->header_count; i++)
        crier_buf_printf(&headers, "%s\n", req->headers[i]);
    memcpy(log->method, req->method, sizeof log->method);
    log->url = crier_strdup(req->url);
    log->body = crier_strdup(req->body ? req->body : req->part_count ? req->parts[0].data : "");
    log->headers = crier_buf_take(&headers);
    log->parts = req->part_count;
    log->at = crier_loop_now(fake->loop);
    crier_http_request_fini(req);

    struct crier_http_call *call = crier_calloc(1, sizeof *call);
    call->fake = fake;
    call->done = done;
    call->arg = arg;
    call->timer.fire = fake_fire;
    call->res.latency = step->latency ? step->latency : 10 * CRIER_MS;
    if (step->how == ANSWER) {
        call->res.status = step->status;
        crier_buf_puts(&call->res.headers, step->headers ? step->headers : "via: 1.1 google\n");
        crier_buf_puts(&call->res.body, step->body ? step->body : "");
    } else {
        call->res.sent = step->how == REFUSED ? CRIER_HTTP_NOT_SENT : CRIER_HTTP_UNKNOWN;
        crier_err_set(&call->res.err, step->how == HANGS ? CRIER_ETIMEOUT : CRIER_ENET, "broken");
    }
    fake->in_flight++;
    if (fake->in_flight > fake->max_in_flight)
        fake->max_in_flight = fake->in_flight;
    crier_timer_in(fake->loop, &call->timer, call->res.latency);
    return call;
}

static void fake_cancel(struct crier_transport *t, struct crier_http_call *call)
{
    (void)t;
    call->res.status = 0;
    crier_err_set(&call->res.err, CRIER_ECANCELED, "canceled");
    crier_timer_in(call->fake->loop, &call->timer, 0);
}

static const struct crier_transport_ops fake_ops = {fake_start, fake_cancel, NULL, false};

/* What the owner was told, in order. */
struct told {
    enum crier_outcome outcome;
    int status, code, requests;
    int64_t waited, at;
    uint64_t id;
    bool body;
    struct crier_err err;
};

struct world {
    struct crier_clock *clock;
    struct crier_loop *loop;
    struct fake fake;
    struct crier_discord *d;
    struct crier_content *content;
    struct told told[512];
    size_t count;
    bool starting; /* a call into the client is on the stack: nobody may be called back */
};
static struct world *w;

static void on_done(void *arg, const struct crier_discord_result *result)
{
    assert_false(w->starting);
    struct told *t = &w->told[w->count++];
    const char *id = json_string_value(json_object_get(result->body, "id"));
    *t = (struct told){.outcome = result->outcome,
                       .status = result->status,
                       .code = result->code,
                       .requests = result->requests,
                       .waited = result->waited,
                       .at = crier_loop_now(w->loop),
                       .id = (uint64_t)(uintptr_t)arg,
                       .body = id && (strcmp(id, "77") == 0 || strcmp(id, FOUND) == 0),
                       .err = result->err};
    assert_null(strstr(result->err.text, "secret"));
    assert_null(strstr(result->err.where, "secret"));
    if (result->outcome != CRIER_SENT)
        assert_true(result->err.code < 0 && *result->err.text);
}

static void open_world(const struct step *steps, size_t count, int per_second)
{
    w = crier_calloc(1, sizeof *w);
    w->clock = crier_clock_virtual(WALL);
    w->loop = crier_loop_new(w->clock);
    w->fake.base.ops = &fake_ops;
    w->fake.loop = w->loop;
    w->fake.steps = steps;
    w->fake.count = count;
    struct crier_discord_config config = {.name = "main",
                                          .api = "https://discord.test/api/v10",
                                          .token = TOKEN,
                                          .global_per_second = per_second,
                                          .rng_seed = 1};
    w->d = crier_discord_new(w->loop, &w->fake.base, &config);
    w->content = crier_content_new();
    w->content->text = crier_strdup("hello");
}

#define OPEN(...)                                                                                  \
    const struct step steps[] = {__VA_ARGS__};                                                     \
    open_world(steps, CRIER_COUNT(steps), 50)

static void close_world(void)
{
    crier_discord_free(w->d);
    crier_loop_run(w->loop, CRIER_NEVER); /* canceled exchanges come back */
    for (size_t i = 0; i < w->fake.sent; i++) {
        free(w->fake.log[i].url);
        free(w->fake.log[i].body);
        free(w->fake.log[i].headers);
    }
    crier_content_unref(w->content);
    crier_loop_free(w->loop);
    crier_clock_free(w->clock);
    free(w);
    w = NULL;
}

static struct crier_request_id create_at(uint64_t channel, uintptr_t tag, int64_t first,
                                         int64_t not_after)
{
    w->starting = true;
    struct crier_request_id id = crier_discord_create(w->d, channel, w->content, NULL, NONCE, first,
                                                      not_after, on_done, (void *)tag);
    w->starting = false;
    return id;
}

static struct crier_request_id create(uint64_t channel, uintptr_t tag)
{
    return create_at(channel, tag, 0, CRIER_NEVER);
}

static void cancel(struct crier_request_id id)
{
    w->starting = true;
    crier_discord_cancel(w->d, id);
    w->starting = false;
}

static void run(void)
{
    crier_loop_run(w->loop, CRIER_NEVER);
}

/* --- tests --------------------------------------------------------------------------------- */

static void a_create_is_made_as_discord_wants_it(void **state)
{
    (void)state;
    OPEN({.status = 200, .body = "{\"id\":\"77\"}"});
    create(5, 1);
    run();
    assert_int_equal(w->count, 1);
    assert_int_equal(w->told[0].outcome, CRIER_SENT);
    assert_true(w->told[0].body);
    assert_int_equal(w->told[0].requests, 1);
    const struct sent *s = &w->fake.log[0];
    assert_string_equal(s->method, "POST");
    assert_string_equal(s->url, "https://discord.test/api/v10/channels/5/messages");
    assert_non_null(strstr(s->headers, "Authorization: Bot " TOKEN "\n"));
    assert_non_null(
        strstr(s->headers,
               "User-Agent: DiscordBot (https://github.com/crier-bot/crier, " CRIER_VERSION ")\n"));
    assert_non_null(strstr(s->headers, "Content-Type: application/json\n"));
    assert_non_null(strstr(s->body, "\"nonce\":\"" NONCE "\",\"enforce_nonce\":true"));
    assert_non_null(strstr(s->body, "\"allowed_mentions\":{\"parse\":[]}"));
    assert_int_equal(crier_discord_pending(w->d), 0);
    close_world();
}

static void other_requests(void **state)
{
    (void)state;
    OPEN({.status = 200, .body = "{\"id\":\"77\"}"}, {.status = 204}, {.status = 200},
         {.status = 200});
    crier_discord_edit(w->d, 5, 6, w->content, NULL, CRIER_NEVER, on_done, NULL);
    run();
    crier_discord_delete(w->d, 5, 6, CRIER_NEVER, on_done, NULL);
    run();
    crier_discord_open_dm(w->d, 9, CRIER_NEVER, on_done, NULL);
    run();
    crier_discord_get(w->d, "/guilds/1?with_counts=true", CRIER_NEVER, on_done, NULL);
    run();
    static const char *const expected[][3] = {
        {"PATCH", "https://discord.test/api/v10/channels/5/messages/6",
         "{\"content\":\"hello\",\"embeds\":[],\"attachments\":[],\"components\":[],\"allowed_"
         "mentions\":{\"parse\":"
         "[]}}"},
        {"DELETE", "https://discord.test/api/v10/channels/5/messages/6", ""},
        {"POST", "https://discord.test/api/v10/users/@me/channels", "{\"recipient_id\":\"9\"}"},
        {"GET", "https://discord.test/api/v10/guilds/1?with_counts=true", ""},
    };
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(w->fake.log[i].method, expected[i][0]);
        assert_string_equal(w->fake.log[i].url, expected[i][1]);
        assert_string_equal(w->fake.log[i].body, expected[i][2]);
        assert_int_equal(w->told[i].outcome, CRIER_SENT);
    }
    close_world();
}

static void files_go_as_parts_at_each_attempt(void **state)
{
    (void)state;
    OPEN({.how = DROPPED}, {.status = 200, .body = "{\"id\":\"77\"}"});
    w->content->files = crier_calloc(1, sizeof *w->content->files);
    w->content->file_count = 1;
    w->content->files[0].name = crier_strdup("a.txt");
    w->content->files[0].data = crier_strdup("data");
    w->content->files[0].len = 4;
    create(5, 1);
    run();
    assert_int_equal(w->fake.sent, 2);
    assert_int_equal(w->fake.log[0].parts, 2);
    assert_int_equal(w->fake.log[1].parts, 2);
    assert_string_equal(w->fake.log[0].body, w->fake.log[1].body);
    close_world();
}

/* One answer and what becomes of a create, an edit and a delete. 'W' and 'R' are repeated. */
static void answers_become_outcomes(void **state)
{
    (void)state;
    enum {
        S = CRIER_SENT,
        D = CRIER_DROP,
        P = CRIER_PAUSE,
        B = CRIER_BAD,
        U = CRIER_REBUILD,
        X = CRIER_STOP
    };
    static const struct {
        int status;
        const char *body;
        int create, edit, delete_;
        const char *text; /* in the create's (or the edit's) error */
    } cases[] = {
        {404, "{\"code\":10008,\"message\":\"Unknown Message\"}", S, U, S,
         "404 10008 Unknown Mess"},
        {404, "{\"code\":10003,\"message\":\"Unknown Channel\"}", D, D, D,
         "404 10003 Unknown Chan"},
        {403, "{\"code\":50001,\"message\":\"Missing Access\"}", P, P, P,
         "403 50001 Missing Access"},
        {403, "{\"code\":50013,\"message\":\"Missing Permissions\"}", P, P, P, "50013"},
        {403, "{\"code\":50007,\"message\":\"Cannot send messages to this user\"}", D, D, D,
         "50007"},
        {400, "{\"code\":50083,\"message\":\"Thread is archived\"}", B, U, B, "50083"},
        {400,
         "{\"code\":50035,\"message\":\"Invalid Form Body\",\"errors\":{\"content\":{\"_errors"
         "\":[{\"code\":\"BASE_TYPE_MAX_LENGTH\",\"message\":\"Must be 2000 or fewer in "
         "length.\"}]}}}",
         B, B, B, "400 50035 Invalid Form Body: content: Must be 2000 or fewer in length."},
        {413, "<html>too large</html>", B, B, B, "413"},
        {405, "{\"code\":0,\"message\":\"405: Method Not Allowed\"}", B, B, B, "405"},
        {401, "{\"code\":0,\"message\":\"401: Unauthorized\"}", X, X, X, "bot 'main': 401"},
        {403, "{\"code\":40333,\"message\":\"internal network error\"}", X, X, X, "40333"},
        {403, "{\"code\":1,\"message\":\"?\"}", B, B, B, "403 1 ?"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        for (int kind = 0; kind < 3; kind++) {
            OPEN({.status = cases[i].status, .body = cases[i].body});
            if (kind == 0)
                create(5, 1);
            else if (kind == 1)
                crier_discord_edit(w->d, 5, 6, w->content, NULL, CRIER_NEVER, on_done, NULL);
            else
                crier_discord_delete(w->d, 5, 6, CRIER_NEVER, on_done, NULL);
            run();
            int expected = kind == 0   ? cases[i].create
                           : kind == 1 ? cases[i].edit
                                       : cases[i].delete_;
            assert_int_equal(w->fake.sent, 1);
            assert_int_equal(w->count, 1);
            if ((int)w->told[0].outcome != expected)
                fail_msg("case %zu kind %d: %s", i, kind, crier_outcome_name(w->told[0].outcome));
            assert_int_equal(w->told[0].status, cases[i].status);
            if (expected == S)
                assert_false(w->told[0].body);
            else if (expected != X)
                assert_non_null(strstr(w->told[0].err.text, cases[i].text));
            struct crier_err why = {0};
            assert_int_equal(crier_discord_stopped(w->d, &why), expected == X);
            if (expected == X)
                assert_non_null(strstr(why.text, cases[i].text));
            close_world();
        }
    }
}

static void what_may_be_repeated_is_repeated_with_the_same_nonce(void **state)
{
    (void)state;
    OPEN({.status = 502}, {.how = REFUSED}, {.how = DROPPED}, {.how = HANGS}, {.status = 500},
         {.status = 503, .body = "{\"code\":130000,\"message\":\"overloaded\"}"},
         {.status = 200, .body = "{\"id\":\"77\"}"});
    create(5, 1);
    run();
    assert_int_equal(w->count, 1);
    assert_int_equal(w->told[0].outcome, CRIER_SENT);
    assert_int_equal(w->told[0].err.code, 0);
    assert_int_equal(w->told[0].requests, 7);
    for (size_t i = 1; i < w->fake.sent; i++) {
        assert_string_equal(w->fake.log[i].body, w->fake.log[0].body);
        assert_string_equal(w->fake.log[i].method, "POST");
        int64_t gap = w->fake.log[i].at - w->fake.log[i - 1].at - 10 * CRIER_MS;
        assert_in_range(gap, 250 * CRIER_MS, (250 * CRIER_MS << i) + CRIER_MS);
    }
    assert_true(w->fake.log[6].at - w->fake.log[5].at >= 5 * CRIER_S); /* overloaded: slowly */
    struct crier_discord_stats stats;
    crier_discord_stats(w->d, &stats);
    assert_int_equal(stats.requests, 7);
    assert_int_equal(stats.retries, 6);
    assert_int_equal(stats.sent, 1);
    close_world();
}

static void the_back_off_ends_at_thirty_seconds(void **state)
{
    (void)state;
    struct step steps[60];
    for (size_t i = 0; i < 60; i++)
        steps[i] = (struct step){.status = 502};
    open_world(steps, 60, 50);
    crier_discord_get(w->d, "/users/@me", CRIER_NEVER, on_done, NULL);
    run();
    int64_t longest = 0;
    for (size_t i = 1; i < w->fake.sent; i++) {
        int64_t gap = w->fake.log[i].at - w->fake.log[i - 1].at - 10 * CRIER_MS;
        longest = gap > longest ? gap : longest;
    }
    assert_in_range(longest, 25 * CRIER_S, 30 * CRIER_S);
    close_world();
}

static void rate_limits_are_waited_for(void **state)
{
    (void)state;
    OPEN(
        {.status = 200,
         .headers = "x-ratelimit-bucket: b\nx-ratelimit-limit: 1\n"
                    "x-ratelimit-remaining: 0\nx-ratelimit-reset-after: 2.500\n"},
        {.status = 429, .headers = "x-ratelimit-scope: shared\n", .body = "{\"retry_after\":7.25}"},
        {.status = 429,
         .headers = "x-ratelimit-scope: shared\nretry-after: 3\n",
         .body = "{\"code\":20028,\"message\":\"write limit\"}"},
        {.status = 429,
         .headers = "x-ratelimit-scope: shared\n",
         .body = "{\"code\":20028,\"message\":\"write limit\"}"});
    create(5, 1);
    create(5, 2);
    run();
    assert_int_equal(w->count, 2);
    assert_int_equal(w->told[1].outcome, CRIER_SENT);
    assert_int_equal(w->told[1].requests, 4);
    const struct sent *log = w->fake.log;
    assert_in_range(log[1].at - log[0].at, 2500 * CRIER_MS, 2520 * CRIER_MS);
    assert_in_range(log[2].at - log[1].at, 7250 * CRIER_MS, 7280 * CRIER_MS);
    assert_in_range(log[3].at - log[2].at, 3000 * CRIER_MS, 3020 * CRIER_MS);
    assert_in_range(log[4].at - log[3].at, 60 * CRIER_S, 61 * CRIER_S); /* told nothing */
    assert_in_range(w->told[1].waited, 72 * CRIER_S, 73 * CRIER_S);
    close_world();
}

static void a_shared_limit_holds_its_route_only(void **state)
{
    (void)state;
    OPEN(
        {.status = 429, .headers = "x-ratelimit-scope: shared\n", .body = "{\"retry_after\":100}"});
    create(5, 1);
    create(6, 2);
    crier_discord_get(w->d, "/channels/5", CRIER_NEVER, on_done, (void *)3);
    crier_loop_run(w->loop, CRIER_S);
    assert_int_equal(w->count, 2);
    assert_int_equal(w->told[0].id, 2);
    assert_int_equal(w->told[1].id, 3);
    run();
    assert_int_equal(w->told[2].id, 1);
    assert_in_range(w->told[2].at, 100 * CRIER_S, 101 * CRIER_S);
    close_world();
}

static void a_global_limit_holds_everything(void **state)
{
    (void)state;
    OPEN({.status = 429,
          .headers = "x-ratelimit-scope: global\nx-ratelimit-global: true\n",
          .body = "{\"retry_after\":4.0,\"global\":true}"});
    create(5, 1);
    crier_loop_run(w->loop, CRIER_S);
    create(6, 2);
    run();
    assert_int_equal(w->count, 2);
    for (size_t i = 1; i < w->fake.sent; i++)
        assert_in_range(w->fake.log[i].at, 4010 * CRIER_MS, 4100 * CRIER_MS);
    close_world();
}

static void fifty_a_second(void **state)
{
    (void)state;
    open_world(NULL, 0, 50);
    for (uintptr_t i = 0; i < 300; i++)
        create(1000 + i, i);
    run();
    assert_int_equal(w->count, 300);
    for (size_t i = 50; i < 300; i++)
        assert_true(w->fake.log[i].at - w->fake.log[i - 50].at >= CRIER_S);
    /* A request may have arrived as late as its answer came: 10 ms a second. */
    assert_in_range(w->fake.log[299].at, 5 * CRIER_S, 5 * CRIER_S + 51 * CRIER_MS);
    for (uintptr_t i = 0; i < 300; i++)
        assert_int_equal(w->told[i].id, i); /* first come, first served */
    close_world();
}

static void order_in_a_route_is_kept_over_retries(void **state)
{
    (void)state;
    OPEN({.status = 200,
          .headers = "x-ratelimit-bucket: b\nx-ratelimit-limit: 5\n"
                     "x-ratelimit-remaining: 4\nx-ratelimit-reset-after: 5.000\n"},
         {.status = 502}, {.how = DROPPED, .latency = 3 * CRIER_S});
    create(5, 0);
    crier_loop_run(w->loop, 5 * CRIER_MS); /* it is under way when the others come */
    for (uintptr_t i = 1; i < 4; i++)
        create(5, i);
    run();
    assert_int_equal(w->count, 4);
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(w->told[i].id, i);
    assert_int_equal(w->fake.max_in_flight, 1);
    close_world();
}

static void a_slow_route_holds_no_other(void **state)
{
    (void)state;
    OPEN({.status = 200, .latency = 20 * CRIER_S});
    create(5, 1);
    create(6, 2);
    run();
    assert_int_equal(w->told[0].id, 2);
    assert_true(w->told[0].at < CRIER_S);
    close_world();
}

static void a_deadline_ends_the_waiting(void **state)
{
    (void)state;
    OPEN({.status = 429, .headers = "x-ratelimit-scope: user\n", .body = "{\"retry_after\":100}"});
    create_at(5, 1, 0, CRIER_NEVER);
    create_at(5, 2, 0, 30 * CRIER_S); /* in line behind it */
    run();
    assert_int_equal(w->count, 2);
    assert_int_equal(w->told[0].id, 2);
    assert_int_equal(w->told[0].outcome, CRIER_RETRY);
    assert_int_equal(w->told[0].requests, 0);
    assert_int_equal(w->told[0].at, 30 * CRIER_S);
    assert_non_null(strstr(w->told[0].err.text, "deadline"));
    assert_int_equal(w->told[1].outcome, CRIER_SENT);
    close_world();
}

static void a_deadline_ends_the_repeating(void **state)
{
    (void)state;
    OPEN({.status = 502}, {.status = 502}, {.status = 502}, {.status = 502}, {.status = 502},
         {.status = 502}, {.status = 502}, {.status = 502});
    create_at(5, 1, 0, 2 * CRIER_S);
    run();
    assert_int_equal(w->told[0].outcome, CRIER_RETRY);
    assert_int_equal(w->told[0].status, 502);
    assert_true(w->told[0].at <= 2 * CRIER_S);
    assert_non_null(strstr(w->told[0].err.text, "given up after"));
    assert_string_equal(w->told[0].err.where, "POST /channels/5/messages");
    close_world();
}

static void requests_can_be_canceled(void **state)
{
    (void)state;
    open_world(NULL, 0, 50);
    struct crier_request_id a = create(5, 1), b = create(5, 2), c = create(5, 3);
    assert_true(a.id && b.id != a.id);
    cancel(b);
    crier_loop_run(w->loop, 5 * CRIER_MS); /* a is under way */
    assert_int_equal(w->fake.sent, 1);
    assert_int_equal(w->told[0].id, 2);
    assert_int_equal(w->told[0].outcome, CRIER_CANCELED);
    cancel(a);
    cancel(a);
    run();
    assert_int_equal(w->count, 3);
    assert_int_equal(w->told[1].id, 1);
    assert_int_equal(w->told[1].outcome, CRIER_CANCELED);
    assert_int_equal(w->told[2].id, 3);
    assert_int_equal(w->told[2].outcome, CRIER_SENT);
    assert_int_equal(w->fake.sent, 2);
    cancel(c); /* unknown by now */
    cancel((struct crier_request_id){0});
    run();
    assert_int_equal(w->count, 3);
    close_world();
}

static void freeing_tells_everybody(void **state)
{
    (void)state;
    open_world(NULL, 0, 50);
    for (uintptr_t i = 0; i < 3; i++)
        create(5, i);
    crier_loop_run(w->loop, 5 * CRIER_MS);
    assert_int_equal(w->fake.sent, 1);
    crier_discord_free(w->d);
    assert_int_equal(w->count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(w->told[i].outcome, CRIER_CANCELED);
    struct crier_discord_config config = {.name = "x", .api = "http://x", .token = "t"};
    w->d = crier_discord_new(w->loop, &w->fake.base, &config);
    close_world();
}

static void an_invalid_token_stops_all(void **state)
{
    (void)state;
    OPEN({.status = 401, .body = "{\"code\":0,\"message\":\"401: Unauthorized\"}"},
         {.status = 502, .latency = CRIER_S});
    create(5, 1);
    create(6, 2); /* under way at the same time: repeated no more */
    create(5, 3);
    run();
    assert_int_equal(w->fake.sent, 2);
    assert_int_equal(w->count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(w->told[i].outcome, CRIER_STOP);
    create(7, 4);
    run();
    assert_int_equal(w->fake.sent, 2);
    assert_int_equal(w->told[3].outcome, CRIER_STOP);
    assert_non_null(strstr(w->told[3].err.text, "token"));
    close_world();
}

static void a_ban_makes_everything_rest_and_then_probes(void **state)
{
    (void)state;
    const struct step ban = {
        .status = 429, .headers = "server: cloudflare\n", .body = "error code: 1015"};
    OPEN(ban, ban, ban);
    create(5, 1);
    create(6, 2); /* two that hit it together are one ban */
    crier_loop_run(w->loop, CRIER_S);
    struct crier_err why = {0};
    assert_in_range(crier_discord_resting(w->d, &why), 600 * CRIER_S, 601 * CRIER_S);
    assert_non_null(strstr(why.text, "blocks this network address"));
    for (uintptr_t i = 0; i < 5; i++)
        create(10 + i, 10 + i);
    create_at(20, 20, 0, 60 * CRIER_S);
    crier_loop_run(w->loop, 590 * CRIER_S);
    assert_int_equal(w->fake.sent, 2);
    assert_int_equal(w->told[0].outcome, CRIER_RETRY); /* its deadline passed */
    assert_non_null(strstr(w->told[0].err.text, "blocks"));
    crier_loop_run(w->loop, 700 * CRIER_S);
    assert_int_equal(w->fake.sent, 3); /* one probe, banned again: twice as long */
    crier_loop_run(w->loop, 1700 * CRIER_S);
    assert_int_equal(w->fake.sent, 3);
    run();
    assert_int_equal(w->count, 8);
    assert_in_range(w->fake.log[3].at, 1800 * CRIER_S, 1802 * CRIER_S);
    assert_true(w->fake.log[4].at >= w->fake.log[3].at + 10 * CRIER_MS); /* after the probe */
    assert_int_equal(crier_discord_resting(w->d, NULL), 0);
    close_world();
}

static void too_many_invalid_requests_make_it_rest(void **state)
{
    (void)state;
    static struct step steps[400];
    for (size_t i = 0; i < 400; i++)
        steps[i] = (struct step){.status = 403, .body = "{\"code\":50001,\"message\":\"No\"}"};
    open_world(steps, 400, 50);
    size_t made = 0;
    for (int round = 0; round < 3; round++) {
        for (uintptr_t i = 0; i < 400; i++)
            create(1000 + i, i);
        crier_loop_run(w->loop, (round + 1) * 20 * CRIER_S);
        made += w->fake.sent;
        for (size_t i = 0; i < w->fake.sent; i++) {
            free(w->fake.log[i].url);
            free(w->fake.log[i].body);
            free(w->fake.log[i].headers);
        }
        w->fake.sent = w->count = 0;
    }
    struct crier_err why = {0};
    assert_true(crier_discord_resting(w->d, &why) > 0);
    assert_non_null(strstr(why.text, "1000 requests"));
    assert_in_range(made, 1000, 1010);
    close_world();
}

/* What was under way when the ban came, and is answered properly, says nothing of it. */
static void one_that_was_let_through_before_does_not_end_a_ban(void **state)
{
    (void)state;
    const struct step ban = {.status = 429, .body = "error code: 1015", .headers = "server: x\n"};
    OPEN(ban, {.status = 200, .body = "{\"id\":\"77\"}", .latency = 50 * CRIER_MS}, ban);
    create(5, 1);
    create(6, 2);
    create(5, 3);
    run();
    for (uintptr_t i = 0; i < 4; i++)
        create(10 + i, i);
    run();
    assert_in_range(w->fake.log[2].at, 600 * CRIER_S, 602 * CRIER_S);
    assert_true(w->fake.log[3].at >=
                w->fake.log[2].at + 1200 * CRIER_S); /* one probe, then twice */
    close_world();
}

static void a_page_in_front_of_discord_drops_no_channel(void **state)
{
    (void)state;
    /* Cloudflare's own 403 is about the network, not about the channel. */
    const struct step page = {
        .status = 403, .headers = "server: cloudflare\n", .body = "\n<!DOCTYPE html>Access denied"};
    OPEN(page, page, page, {.status = 200, .body = "{\"id\":\"77\"}"});
    create(5, 1);
    run();
    assert_int_equal(w->fake.sent, 4);
    assert_int_equal(w->told[0].outcome, CRIER_SENT);
    assert_in_range(w->fake.log[1].at, 600 * CRIER_S, 601 * CRIER_S);
    close_world();

    const struct step none = {.status = 404, .headers = "server: x\n", .body = "<html>Not found"};
    open_world((struct step[]){none, none, none, none}, 4, 50);
    create(5, 1);
    run();
    assert_int_equal(w->fake.sent, 5);
    assert_int_equal(w->told[0].outcome, CRIER_SENT);
    close_world();

    /* Discord's own, if badly encoded, is none of these. */
    const struct step bad = {.status = 403, .body = "{\"code\":1,\"message\":\"\xff\"}"};
    open_world((struct step[]){bad}, 1, 50);
    create(5, 1);
    run();
    assert_int_equal(w->told[0].outcome, CRIER_BAD);
    assert_int_equal(crier_discord_resting(w->d, NULL), 0);
    close_world();
}

/* A limit that says it is over and is not would be asked again at each moment, and the count of
 * refused requests stop all bots. */
static void a_limit_that_does_not_end_is_asked_ever_more_rarely(void **state)
{
    (void)state;
    static struct step steps[100];
    for (size_t i = 0; i < 100; i++)
        steps[i] = (struct step){
            .status = 429, .headers = "x-ratelimit-scope: user\n", .body = "{\"retry_after\":0}"};
    open_world(steps, 100, 50);
    create(5, 1);
    crier_loop_run(w->loop, 600 * CRIER_S);
    assert_in_range(w->fake.sent, 10, 25);
    assert_int_equal(crier_discord_resting(w->d, NULL), 0);
    w->fake.count = w->fake.sent; /* it ends */
    create(5, 2);
    run();
    assert_int_equal(w->count, 2);
    assert_true(w->told[1].at - w->told[0].at < CRIER_S);
    close_world();
}

static void quarantine_ends_what_would_open_a_direct_message(void **state)
{
    (void)state;
    const struct step no = {
        .status = 403,
        .body = "{\"code\":20026,\"message\":\"Your bot was flagged by our anti-spam system\"}"};
    OPEN(no, {.status = 200, .body = "{\"id\":\"77\"}"}, no);
    for (uintptr_t i = 1; i <= 3; i++)
        crier_discord_open_dm(w->d, i, CRIER_NEVER, on_done, (void *)i);
    create(5, 9);
    run();
    assert_int_equal(w->fake.sent, 2); /* one of the three, and the create */
    assert_int_equal(w->count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(w->told[i].outcome, w->told[i].id == 9 ? CRIER_SENT : CRIER_PAUSE);
    struct crier_discord_stats stats;
    crier_discord_stats(w->d, &stats);
    assert_in_range(stats.quarantined, 3600 * CRIER_S, 3601 * CRIER_S);
    crier_loop_run(w->loop, 3601 * CRIER_S);
    for (uintptr_t i = 1; i <= 3; i++) /* the first one is the probe: twice as long */
        crier_discord_open_dm(w->d, i, CRIER_NEVER, on_done, (void *)i);
    run();
    assert_int_equal(w->fake.sent, 3);
    crier_discord_stats(w->d, &stats);
    assert_in_range(stats.quarantined, 3601 * CRIER_S + 7200 * CRIER_S,
                    3603 * CRIER_S + 7200 * CRIER_S);
    close_world();
}

static void an_unknown_refusal_drops_at_the_third_time(void **state)
{
    (void)state;
    const struct step no = {.status = 403, .body = "{\"code\":99999,\"message\":\"New\"}"};
    OPEN(no, no, {.status = 200}, no, no, no);
    static const enum crier_outcome expected[] = {CRIER_BAD, CRIER_BAD, CRIER_SENT,
                                                  CRIER_BAD, CRIER_BAD, CRIER_DROP};
    for (size_t i = 0; i < CRIER_COUNT(expected); i++) {
        create(5, i);
        run();
        assert_int_equal(w->told[i].outcome, expected[i]);
    }
    close_world();
}

static void too_many_dms_hold_the_opener_only(void **state)
{
    (void)state;
    OPEN({.status = 403,
          .body = "{\"code\":40003,\"message\":\"You are opening direct messages too "
                  "fast\"}"});
    crier_discord_open_dm(w->d, 1, 20 * CRIER_S, on_done, (void *)1);
    crier_discord_open_dm(w->d, 2, CRIER_NEVER, on_done, (void *)2);
    create(5, 3);
    crier_loop_run(w->loop, 299 * CRIER_S);
    assert_int_equal(w->count, 2);
    assert_int_equal(w->told[0].outcome, CRIER_RETRY); /* never CRIER_DROP */
    assert_int_equal(w->told[1].id, 3);
    run();
    assert_int_equal(w->count, 3);
    assert_int_equal(w->told[2].outcome, CRIER_SENT);
    assert_in_range(w->told[2].at, 300 * CRIER_S, 301 * CRIER_S);
    close_world();
}

/* --- looking at the channel ---------------------------------------------------------------- */

#define MESSAGE(id, extra)                                                                         \
    "{\"id\":\"" id "\",\"author\":{\"id\":\"42\"},\"content\":\"hello\",\"attachments\":[],"      \
    "\"embeds\":[]" extra "}"
#define DATE "date: Mon, 21 Sep 2026 14:13:20 GMT\n"
#define ME                                                                                         \
    {                                                                                              \
        .status = 200, .body = "{\"id\":\"42\",\"bot\":true}",                                     \
    }
#define LOST                                                                                       \
    {.how = HANGS, .latency = 30 * CRIER_S}, {.how = HANGS, .latency = 50 * CRIER_S},              \
    {                                                                                              \
        .how = HANGS, .latency = 50 * CRIER_S                                                      \
    }
#define LOOKING "https://discord.test/api/v10/channels/5/messages?limit=100"

static const struct sent *look(size_t i, const char *after)
{
    const struct sent *log = &w->fake.log[i];
    char *url = crier_asprintf(LOOKING "%s%s", after ? "&after=" : "", after ? after : "");
    assert_string_equal(log->method, "GET");
    assert_string_equal(log->url, url);
    free(url);
    return log;
}

/* The answers are lost for more than two minutes; then who we are, the channel, and the end. */
static void reconcile(const char *list, bool again)
{
    OPEN(LOST, ME, {.status = 200, .body = list}, {.status = 200, .body = "{\"id\":\"78\"}"});
    create(5, 1);
    create(5, 2); /* does not overtake */
    run();
    assert_int_equal(w->count, 2);
    assert_int_equal(w->told[0].id, 1);
    assert_int_equal(w->told[0].outcome, CRIER_SENT);
    assert_string_equal(w->fake.log[3].method, "GET");
    assert_string_equal(w->fake.log[3].url, "https://discord.test/api/v10/users/@me");
    look(4, "1551597192609792000"); /* 2 s before the first attempt */
    assert_true(w->fake.log[3].at > 120 * CRIER_S);
    assert_true(w->fake.log[2].at < 120 * CRIER_S);
    assert_int_equal(w->fake.sent, again ? 7 : 6);
    assert_int_equal(w->told[0].body, !again);
    if (again)
        assert_string_equal(w->fake.log[5].body, w->fake.log[0].body); /* the same nonce */
    close_world();
}

static void a_lost_create_is_looked_for_after_two_minutes(void **state)
{
    (void)state;
    reconcile("[" MESSAGE(FOUND, "") "]", false);
    reconcile("[" MESSAGE(FOUND, ",\"nonce\":\"" NONCE "\"") "]", false);
    reconcile("[" MESSAGE(FOUND, ",\"nonce\":\"other\"") "]", true);
    /* another author, another text, one file more, a poll, a sticker, a reply */
    reconcile("[{\"id\":\"" FOUND "\",\"author\":{\"id\":\"43\"},\"content\":\"hello\"}]", true);
    reconcile("[{\"id\":\"" FOUND "\",\"author\":{\"id\":\"42\"},\"content\":\"hell\"}]", true);
    reconcile("[{\"id\":\"" FOUND "\",\"author\":{\"id\":\"42\"},\"content\":\"hello\","
              "\"attachments\":[{}]}]",
              true);
    reconcile("[" MESSAGE(FOUND, ",\"poll\":{\"question\":{\"text\":\"?\"}}") "]", true);
    reconcile("[" MESSAGE(FOUND, ",\"sticker_items\":[{\"id\":\"1\"}]") "]", true);
    reconcile("[" MESSAGE(FOUND, ",\"message_reference\":{\"message_id\":\"1\"}") "]", true);
    /* the nonce wins over an equal text */
    reconcile(
        "[" MESSAGE("1551597242941440000", "") "," MESSAGE(FOUND, ",\"nonce\":\"" NONCE "\"") "]",
        false);
}

/* What this client knows to be another message is not taken for the lost one, however alike. */
static void an_equal_message_of_before_is_not_it(void **state)
{
    (void)state;
    OPEN({.status = 200, .headers = DATE, .body = MESSAGE(FOUND, "")}, LOST,
         {.status = 200,
          .body = "[" MESSAGE(NEXT, ",\"nonce\":\"other\"") "," MESSAGE(FOUND, "") "]"},
         {.status = 200, .body = "{\"id\":\"78\"}"});
    create(5, 1);
    create(5, 2);
    run();
    look(4, FOUND);
    assert_int_equal(w->fake.sent, 6);
    assert_int_equal(w->told[1].outcome, CRIER_SENT);
    assert_false(w->told[1].body); /* sent again */
    close_world();
}

static char *page(int64_t first)
{
    struct crier_buf b = {0};
    for (int i = 99; i >= 0; i--)
        crier_buf_printf(&b, "%c{\"id\":\"%lld\",\"author\":{\"id\":\"9\"},\"content\":\"hello\"}",
                         i == 99 ? '[' : ',', (long long)first + i);
    crier_buf_putc(&b, ']');
    return crier_buf_take(&b);
}

static void a_busy_channel_is_looked_through(void **state)
{
    (void)state;
    char *full = page(1551597200000000000);
    OPEN(LOST, ME, {.status = 200, .body = full}, {.how = DROPPED},
         {.status = 200, .body = "[" MESSAGE(FOUND, "") "]"});
    create(5, 1);
    run();
    look(5, "1551597200000000099");
    look(6, "1551597200000000099"); /* the same again, its answer was lost */
    assert_int_equal(w->fake.sent, 7);
    assert_true(w->told[0].body);
    close_world();
    free(full);
}

static void pages_without_end_or_that_do_not_go_on_are_given_up(void **state)
{
    (void)state;
    for (int stuck = 0; stuck < 2; stuck++) {
        static struct step steps[80];
        static char *pages[80];
        const struct step begin[] = {LOST, ME};
        memcpy(steps, begin, sizeof begin);
        for (int i = 4; i < 80; i++) {
            pages[i] = page(1551597200000000000 + (stuck ? 0 : i * 1000));
            steps[i] = (struct step){.status = 200, .body = pages[i]};
        }
        open_world(steps, 80, 50);
        create(5, 1);
        run();
        assert_in_range(w->fake.sent, 6, 4 + 50);
        assert_int_equal(w->told[0].outcome, CRIER_RETRY);
        assert_non_null(strstr(w->told[0].err.text, "not sent again"));
        close_world();
        for (int i = 4; i < 80; i++)
            free(pages[i]);
    }
}

/* Without Read Message History the list is empty: that says nothing. */
static void a_hidden_history_is_not_an_empty_channel(void **state)
{
    (void)state;
    static const struct {
        const char *channel;
        bool again;
    } cases[] = {
        {"{\"id\":\"5\",\"last_message_id\":null}", true},
        {"{\"id\":\"5\",\"last_message_id\":\"1551597192609792000\"}", true},
        {"{\"id\":\"5\",\"last_message_id\":\"" FOUND "\"}", false},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        OPEN(LOST, ME, {.status = 200, .body = "[]"}, {.status = 200, .body = cases[i].channel},
             {.status = 200, .body = "{\"id\":\"78\"}"});
        create(5, 1);
        run();
        assert_string_equal(w->fake.log[5].url, "https://discord.test/api/v10/channels/5");
        assert_int_equal(w->fake.sent, cases[i].again ? 7 : 6);
        assert_int_equal(w->told[0].outcome, cases[i].again ? CRIER_SENT : CRIER_RETRY);
        if (!cases[i].again)
            assert_non_null(strstr(w->told[0].err.text, "Read Message History"));
        close_world();
    }
}

static void a_restart_looks_first(void **state)
{
    (void)state;
    OPEN({.status = 200, .headers = DATE, .body = "{\"id\":\"1\",\"author\":{\"id\":\"42\"}}"},
         {.status = 200, .body = "[" MESSAGE(BEFORE, "") "]"},
         {.status = 200, .body = "{\"id\":\"78\"}"});
    create(9, 0); /* tells who we are, and the time */
    run();
    create_at(5, 1, WALL - 200 * CRIER_S, CRIER_NEVER);
    run();
    look(1, "1551596353707048960");
    assert_int_equal(w->told[1].outcome, CRIER_SENT);
    assert_int_equal(w->fake.sent, 2);
    create_at(6, 2, WALL - 20 * CRIER_S, CRIER_NEVER); /* inside the window: the nonce will do */
    run();
    assert_string_equal(w->fake.log[2].method, "POST");
    close_world();
}

static void a_wrong_clock_is_reckoned_with(void **state)
{
    (void)state;
    /* The server's clock is an hour behind ours; its Date says so. */
    OPEN({.status = 200,
          .body = "{\"id\":\"42\",\"bot\":true}",
          .headers = "date: Mon, 21 Sep 2026 13:13:20 GMT\n"},
         {.status = 200,
          .headers = "date: Mon, 21 Sep 2026 13:13:20 GMT\n",
          .body = "[" MESSAGE("1551581283614720000", "") "]"}); /* 13:10:05 */
    create_at(5, 1, WALL - 200 * CRIER_S, CRIER_NEVER);
    run();
    assert_int_equal(w->fake.sent, 2);
    look(1, "1551581254212648960"); /* 13:09:58 */
    assert_int_equal(w->told[0].outcome, CRIER_SENT);
    close_world();
}

/* The first attempt lies in the future: nobody knows how long ago it was. */
static void a_clock_that_was_set_back_is_reckoned_with(void **state)
{
    (void)state;
    OPEN(ME, {.status = 200, .body = "[" MESSAGE(BEFORE, "") "]"});
    create_at(5, 1, WALL + 3600 * CRIER_S, CRIER_NEVER);
    run();
    look(1, NULL);
    assert_int_equal(w->fake.sent, 2);
    assert_int_equal(w->told[0].outcome, CRIER_SENT);
    close_world();
}

static void what_was_never_executed_is_not_looked_for(void **state)
{
    (void)state;
    OPEN({.status = 429, .headers = "x-ratelimit-scope: shared\n", .body = "{\"retry_after\":300}"},
         {.how = REFUSED}, {.status = 200, .body = "{\"id\":\"77\"}"});
    create(5, 1);
    run();
    assert_int_equal(w->fake.sent, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(w->fake.log[i].method, "POST");
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_create_is_made_as_discord_wants_it),
        cmocka_unit_test(other_requests),
        cmocka_unit_test(files_go_as_parts_at_each_attempt),
        cmocka_unit_test(answers_become_outcomes),
        cmocka_unit_test(what_may_be_repeated_is_repeated_with_the_same_nonce),
        cmocka_unit_test(the_back_off_ends_at_thirty_seconds),
        cmocka_unit_test(rate_limits_are_waited_for),
        cmocka_unit_test(a_shared_limit_holds_its_route_only),
        cmocka_unit_test(a_global_limit_holds_everything),
        cmocka_unit_test(fifty_a_second),
        cmocka_unit_test(order_in_a_route_is_kept_over_retries),
        cmocka_unit_test(a_slow_route_holds_no_other),
        cmocka_unit_test(a_deadline_ends_the_waiting),
        cmocka_unit_test(a_deadline_ends_the_repeating),
        cmocka_unit_test(requests_can_be_canceled),
        cmocka_unit_test(freeing_tells_everybody),
        cmocka_unit_test(an_invalid_token_stops_all),
        cmocka_unit_test(a_ban_makes_everything_rest_and_then_probes),
        cmocka_unit_test(too_many_invalid_requests_make_it_rest),
        cmocka_unit_test(one_that_was_let_through_before_does_not_end_a_ban),
        cmocka_unit_test(a_page_in_front_of_discord_drops_no_channel),
        cmocka_unit_test(a_limit_that_does_not_end_is_asked_ever_more_rarely),
        cmocka_unit_test(quarantine_ends_what_would_open_a_direct_message),
        cmocka_unit_test(an_unknown_refusal_drops_at_the_third_time),
        cmocka_unit_test(too_many_dms_hold_the_opener_only),
        cmocka_unit_test(a_lost_create_is_looked_for_after_two_minutes),
        cmocka_unit_test(an_equal_message_of_before_is_not_it),
        cmocka_unit_test(a_busy_channel_is_looked_through),
        cmocka_unit_test(pages_without_end_or_that_do_not_go_on_are_given_up),
        cmocka_unit_test(a_hidden_history_is_not_an_empty_channel),
        cmocka_unit_test(a_restart_looks_first),
        cmocka_unit_test(a_wrong_clock_is_reckoned_with),
        cmocka_unit_test(a_clock_that_was_set_back_is_reckoned_with),
        cmocka_unit_test(what_was_never_executed_is_not_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
