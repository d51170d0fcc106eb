/* SPDX-License-Identifier: MIT
 *
 * The table of outcomes against the simulator: for every row and every kind of request that it is
 * for, the simulator answers so once, and the client does what the row's class says. In virtual
 * time; what is sent is counted by the simulator.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discord/client.h"
#include "sim/sim.h"

#define WALL 1790000000000000LL
#define CHANNEL 201
#define NONCE "abcdefghijklmnopqrstuvwxy"

enum { EVENTS = 4 };

struct world {
    struct crier_clock *clock;
    struct crier_loop *loop;
    struct crier_sim *sim;
    struct crier_transport *transport;
    struct crier_discord *d;
    struct crier_content *content;
    uint64_t message; /* of the bot, in the channel */
    unsigned done;
    struct crier_discord_result last;
    char text[300];
    int64_t done_at;
    unsigned events[EVENTS];
};
static struct world *w;

static void on_done(void *arg, const struct crier_discord_result *result)
{
    (void)arg;
    w->done++;
    w->last = *result;
    w->last.body = NULL;
    snprintf(w->text, sizeof w->text, "%s", result->err.text);
    w->done_at = crier_loop_now(w->loop);
    const char *id = json_string_value(json_object_get(result->body, "id"));
    if (id && result->outcome == CRIER_SENT && !w->message)
        w->message = strtoull(id, NULL, 10);
}

static void on_event(void *arg, enum crier_discord_event event, const struct crier_err *why)
{
    (void)arg;
    assert_true(*why->text);
    w->events[event]++;
}

static void run(void)
{
    crier_loop_run(w->loop, CRIER_NEVER);
}

static void open_world(void)
{
    w = crier_calloc(1, sizeof *w);
    w->clock = crier_clock_virtual(WALL);
    w->loop = crier_loop_new(w->clock);
    struct crier_sim_config sc = {.seed = 1, .latency = 10 * CRIER_MS};
    w->sim = crier_sim_new(w->loop, &sc);
    crier_sim_add_bot(w->sim, "good.bot.token", "crier");
    crier_sim_add_guild(w->sim, 100, "guild");
    crier_sim_add_channel(w->sim, CHANNEL, 100, "c1", 0);
    crier_sim_add_user(w->sim, 301, "ann");
    crier_sim_add_user(w->sim, 302, "bob");
    w->transport = crier_sim_transport(w->sim, w->loop);
    struct crier_discord_config config = {.name = "main",
                                          .api = "https://discord.test/api/v10",
                                          .token = "good.bot.token",
                                          .global_per_second = 50,
                                          .rng_seed = 1,
                                          .on_event = on_event};
    w->d = crier_discord_new(w->loop, w->transport, &config);
    w->content = crier_content_new();
    w->content->text = crier_strdup("hello");
    crier_discord_create(w->d, CHANNEL, w->content, NULL, "first", 0, CRIER_NEVER, on_done, NULL);
    run();
    assert_true(w->message);
    w->done = 0;
}

static void close_world(void)
{
    crier_discord_free(w->d);
    w->transport->ops->free(w->transport);
    crier_content_unref(w->content);
    crier_sim_free(w->sim);
    crier_loop_free(w->loop);
    crier_clock_free(w->clock);
    free(w);
    w = NULL;
}

static void fault(const char *fmt, ...)
{
    struct crier_err err = {0};
    va_list ap;
    char text[600];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (crier_sim_fault(w->sim, text, &err) != 0)
        fail_msg("%s: %s", text, err.text);
}

static const struct {
    enum crier_request_kind kind;
    const char *match;
} kinds[] = {
    {CRIER_REQ_CREATE, "POST /channels/201/messages"},
    {CRIER_REQ_EDIT, "PATCH /channels/201/messages/*"},
    {CRIER_REQ_DELETE, "DELETE /channels/201/messages/*"},
    {CRIER_REQ_DM, "POST /users/@me/channels"},
    {CRIER_REQ_GET, "GET /channels/201"},
    {CRIER_REQ_OTHER, "PUT /channels/201/messages/*/reactions/x/@me"},
};

static void ask(size_t kind)
{
    char path[120];
    switch (kinds[kind].kind) {
    case CRIER_REQ_CREATE:
        crier_discord_create(w->d, CHANNEL, w->content, NULL, NONCE, 0, CRIER_NEVER, on_done, NULL);
        break;
    case CRIER_REQ_EDIT:
        crier_discord_edit(w->d, CHANNEL, w->message, w->content, NULL, CRIER_NEVER, on_done, NULL);
        break;
    case CRIER_REQ_DELETE:
        crier_discord_delete(w->d, CHANNEL, w->message, CRIER_NEVER, on_done, NULL);
        break;
    case CRIER_REQ_DM:
        crier_discord_open_dm(w->d, 301, CRIER_NEVER, on_done, NULL);
        break;
    case CRIER_REQ_GET:
        crier_discord_get(w->d, "/channels/201", CRIER_NEVER, on_done, NULL);
        break;
    default:
        snprintf(path, sizeof path, "/channels/201/messages/%llu/reactions/%%F0%%9F%%91%%8D/@me",
                 (unsigned long long)w->message);
        crier_discord_call(w->d, "PUT", path, NULL, CRIER_NEVER, on_done, NULL);
    }
}

static const char *match_of(size_t kind)
{
    return kinds[kind].kind == CRIER_REQ_OTHER ? "PUT /channels/201/messages/*/reactions/*/@me"
                                               : kinds[kind].match;
}

static int status_for(const struct crier_outcome_row *row)
{
    static const struct {
        int code, status;
    } usual[] = {
        {40001, 401},  {50014, 401}, {40333, 403}, {20016, 429}, {20022, 429}, {20028, 429},
        {30046, 429},  {40062, 429}, {40003, 403}, {40004, 503}, {40006, 503}, {110000, 503},
        {130000, 500}, {10008, 404}, {10003, 404}, {10013, 404}, {50033, 400}, {50001, 403},
        {50013, 403},  {50007, 403}, {50009, 403}, {20009, 403}, {50278, 403}, {160005, 403},
    };
    if (row->status)
        return row->status;
    for (size_t i = 0; i < CRIER_COUNT(usual); i++)
        if (usual[i].code == row->code)
            return usual[i].status;
    return 400;
}

/* What the simulator is told to answer once; false: it cannot say so. */
static bool script(const struct crier_outcome_row *row, size_t kind)
{
    const char *match = match_of(kind);
    int status = status_for(row);
    if (row->code == CRIER_CODE_NOT_SENT) {
        fault("{\"match\":\"%s\",\"do\":\"refuse\"}", match);
    } else if (row->code == CRIER_CODE_LOST) {
        fault("{\"match\":\"%s\",\"do\":\"drop_after\"}", match);
    } else if (row->code == CRIER_CODE_BANNED) {
        fault("{\"match\":\"%s\",\"do\":\"status\",\"status\":429,\"body\":\"error code: 1015\"}",
              match);
    } else if (row->code == CRIER_CODE_QUARANTINED) {
        fault("{\"match\":\"%s\",\"do\":\"status\",\"status\":403,\"body\":{\"code\":20026,"
              "\"message\":\"This account was flagged by our anti-spam system\"}}",
              match);
    } else if (status == 304 || status < 300) {
        return false; /* the model's own answers */
    } else {
        fault("{\"match\":\"%s\",\"do\":\"status\",\"status\":%d,\"body\":{\"code\":%d,"
              "\"message\":\"as the table says\"}}",
              match, status, row->code ? row->code : 987654);
    }
    return true;
}

/* Requests that reached the model or its faults since the world was made. */
static uint64_t asked(void)
{
    struct crier_sim_stats stats;
    crier_sim_stats(w->sim, &stats);
    return stats.requests - 1;
}

static void one(const struct crier_outcome_row *row, size_t kind)
{
    static const int outcome[] = {
        [CRIER_CLASS_OK] = CRIER_SENT,         [CRIER_CLASS_RETRY] = CRIER_SENT,
        [CRIER_CLASS_LOST] = CRIER_SENT,       [CRIER_CLASS_WAIT] = CRIER_SENT,
        [CRIER_CLASS_BREAK] = CRIER_SENT,      [CRIER_CLASS_DROP] = CRIER_DROP,
        [CRIER_CLASS_PAUSE] = CRIER_PAUSE,     [CRIER_CLASS_DOUBT] = CRIER_BAD,
        [CRIER_CLASS_REBUILD] = CRIER_REBUILD, [CRIER_CLASS_BAD] = CRIER_BAD,
        [CRIER_CLASS_STOP] = CRIER_STOP,
    };
    bool again = row->class_ == CRIER_CLASS_RETRY || row->class_ == CRIER_CLASS_LOST ||
                 row->class_ == CRIER_CLASS_WAIT || row->class_ == CRIER_CLASS_BREAK;
    char what[80];
    snprintf(what, sizeof what, "%d %d kind %d: %s", status_for(row), row->code,
             (int)kinds[kind].kind, crier_class_name(row->class_));
    open_world();
    int64_t began = crier_loop_now(w->loop);
    if (script(row, kind)) {
        ask(kind);
        run();
        if (w->done != 1)
            fail_msg("%s: told %u times", what, w->done);
        if ((int)w->last.outcome != outcome[row->class_])
            fail_msg("%s: %s (%s)", what, crier_outcome_name(w->last.outcome), w->text);
        if (asked() != (again ? 2u : 1u) || w->last.requests != (again ? 2 : 1))
            fail_msg("%s: %d requests", what, (int)asked());
        int64_t took = w->done_at - began;
        if (again && took < (row->wait - (row->class_ == CRIER_CLASS_WAIT)) * CRIER_S)
            fail_msg("%s: repeated after %lld us", what, (long long)took);
        if (!again && row->class_ != CRIER_CLASS_OK && (!*w->text || w->last.status < 400))
            fail_msg("%s: no reason", what);
        if (row->class_ == CRIER_CLASS_PAUSE && w->last.pause != row->wait)
            fail_msg("%s: pauses for %d s", what, w->last.pause);
        if (row->help && !again && row->class_ != CRIER_CLASS_OK && !strstr(w->text, row->help))
            fail_msg("%s: no remedy in \"%s\"", what, w->text);
        if ((w->events[CRIER_DISCORD_STOPPED] == 1) != (row->class_ == CRIER_CLASS_STOP) ||
            (w->events[CRIER_DISCORD_RESTING] == 1) != (row->class_ == CRIER_CLASS_BREAK))
            fail_msg("%s: the owner is told something else", what);
        struct crier_sim_stats stats;
        crier_sim_stats(w->sim, &stats);
        if (kinds[kind].kind == CRIER_REQ_CREATE && w->last.outcome == CRIER_SENT && again)
            assert_int_equal(stats.creates, 2); /* the first one, and never two of this one */
    }
    close_world();
}

static void every_row_is_done_as_it_says(void **state)
{
    (void)state;
    size_t count, tried = 0;
    const struct crier_outcome_row *rows = crier_outcome_rows(&count);
    for (size_t i = 0; i < count; i++) {
        for (size_t kind = 0; kind < CRIER_COUNT(kinds); kind++) {
            struct crier_outcome_row row = rows[i];
            /* A row may be hidden from this kind by one before it. */
            if (crier_outcome_row(status_for(&row), row.code ? row.code : 987654,
                                  kinds[kind].kind) != &rows[i])
                continue;
            if (row.kinds & kinds[kind].kind) {
                one(&row, kind);
                tried++;
            }
            if (row.code_last) {
                row.code = row.code_last;
                one(&row, kind);
            }
        }
    }
    assert_true(tried > 250);
}

static void a_quarantined_bot_opens_no_more(void **state)
{
    (void)state;
    open_world();
    fault("{\"match\":\"POST /users/@me/channels\",\"do\":\"status\",\"status\":403,\"body\":"
          "{\"code\":0,\"message\":\"flagged by our anti-spam\"}}");
    int64_t began = crier_loop_now(w->loop);
    crier_discord_open_dm(w->d, 301, CRIER_NEVER, on_done, NULL);
    run();
    assert_int_equal(w->last.outcome, CRIER_PAUSE);
    assert_int_equal(w->events[CRIER_DISCORD_QUARANTINED], 1);
    struct crier_discord_stats stats;
    crier_discord_stats(w->d, &stats);
    assert_in_range(stats.quarantined, began + 3600 * CRIER_S, began + 3601 * CRIER_S);
    uint64_t before = asked();
    crier_discord_open_dm(w->d, 302, CRIER_NEVER, on_done, NULL);
    run();
    assert_int_equal(w->last.outcome, CRIER_PAUSE);
    assert_int_equal(asked(), before); /* not asked at all */
    crier_discord_create(w->d, CHANNEL, w->content, NULL, NONCE, 0, CRIER_NEVER, on_done, NULL);
    run();
    assert_int_equal(w->last.outcome, CRIER_SENT); /* channels go on */
    close_world();
}

static void dms_are_opened_one_by_one(void **state)
{
    (void)state;
    open_world();
    int64_t began = crier_loop_now(w->loop);
    for (int i = 0; i < 15; i++)
        crier_discord_open_dm(w->d, 301 + (uint64_t)(i % 2), CRIER_NEVER, on_done, NULL);
    run();
    assert_int_equal(w->done, 15);
    assert_in_range(w->done_at - began, 10 * CRIER_S, 11 * CRIER_S);
    fault("{\"match\":\"POST /users/@me/channels\",\"do\":\"status\",\"status\":403,\"body\":"
          "{\"code\":40003,\"message\":\"too fast\"}}");
    began = crier_loop_now(w->loop);
    for (int i = 0; i < 5; i++)
        crier_discord_open_dm(w->d, 301, CRIER_NEVER, on_done, NULL);
    run();
    assert_int_equal(w->done, 20);
    assert_int_equal(w->events[CRIER_DISCORD_SLOWED], 1);
    /* Five minutes, then four seconds between two of them, a little less each time. */
    assert_in_range(w->done_at - began, 310 * CRIER_S, 320 * CRIER_S);
    close_world();
}

static void a_post_whose_answer_is_lost_is_not_made_twice(void **state)
{
    (void)state;
    open_world();
    w->content->thread = crier_strdup("a post");
    fault("{\"match\":\"POST /channels/201/threads\",\"do\":\"drop_after\"}");
    crier_discord_create(w->d, CHANNEL, w->content, NULL, NONCE, 0, CRIER_NEVER, on_done, NULL);
    run();
    assert_int_equal(w->last.outcome, CRIER_RETRY);
    assert_int_equal(w->last.requests, 1);
    assert_non_null(strstr(w->text, "not repeated"));
    close_world();
}

static void one_breaker_serves_all_bots(void **state)
{
    (void)state;
    open_world();
    struct crier_breaker breaker = {0};
    struct crier_discord *d[2];
    for (int i = 0; i < 2; i++) {
        struct crier_discord_config config = {.name = i ? "b" : "a",
                                              .api = "https://discord.test/api/v10",
                                              .token = "good.bot.token",
                                              .global_per_second = 50,
                                              .rng_seed = 1,
                                              .breaker = &breaker};
        d[i] = crier_discord_new(w->loop, w->transport, &config);
    }
    fault("{\"match\":\"GET /channels/201\",\"do\":\"status\",\"status\":429,\"body\":\"1015\"}");
    crier_discord_get(d[0], "/channels/201", CRIER_NEVER, on_done, NULL);
    crier_loop_run(w->loop, crier_loop_now(w->loop) + CRIER_S);
    assert_int_equal(w->done, 0);
    crier_discord_get(d[1], "/users/@me", CRIER_NEVER, on_done, NULL);
    crier_loop_run(w->loop, crier_loop_now(w->loop) + 500 * CRIER_S);
    assert_int_equal(w->done, 0); /* the other one waits, too */
    assert_true(crier_discord_resting(d[1], NULL) > 0);
    run();
    assert_int_equal(w->done, 2);
    assert_int_equal(crier_discord_resting(d[0], NULL), 0);
    crier_discord_free(d[0]);
    crier_discord_free(d[1]);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_done_as_it_says),
        cmocka_unit_test(a_quarantined_bot_opens_no_more),
        cmocka_unit_test(dms_are_opened_one_by_one),
        cmocka_unit_test(a_post_whose_answer_is_lost_is_not_made_twice),
        cmocka_unit_test(one_breaker_serves_all_bots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
