/* SPDX-License-Identifier: MIT
 *
 * The gateway's client against the simulator's gateway, in process and in virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discord/gateway.h"
#include "sim/sim.h"

#define WALL (1780000000LL * CRIER_S)
#define INTENTS (CRIER_INTENT_GUILDS | CRIER_INTENT_MESSAGES | CRIER_INTENT_MEMBERS)

struct world {
    struct crier_clock *clock;
    struct crier_loop *loop;
    struct crier_sim *sim;
    struct crier_transport *transport;
    struct crier_gateway_sockets *sockets;
    struct crier_discord *client;
    struct crier_gateway *gateway;
    char *stored;
    struct crier_buf log; /* "MESSAGE_CREATE JOINED ..." */
    unsigned events, messages, refused, budget_notes, saves, states[CRIER_GW_STOPPED + 1];
    int refused_code;
};

static void on_event(void *arg, const char *name, struct crier_str data, int change)
{
    struct world *w = arg;
    assert_true(data.len >= 2 && data.data[0] == '{' && data.data[data.len - 1] == '}');
    w->events++;
    w->messages += strcmp(name, "MESSAGE_CREATE") == 0;
    crier_buf_printf(&w->log, "%s%s ", name, change > 0 ? "(joined)" : change < 0 ? "(left)" : "");
}

static void on_state(void *arg, unsigned shard, enum crier_gateway_state state, const char *text)
{
    struct world *w = arg;
    (void)shard;
    assert_non_null(text);
    w->states[state]++;
}

static void on_note(void *arg, const char *what, const char *text)
{
    struct world *w = arg;
    w->budget_notes += strcmp(what, "gateway.budget") == 0;
    assert_null(strstr(text, "good.bot.token"));
}

static void on_save(void *arg, const char *json)
{
    struct world *w = arg;
    w->saves++;
    free(w->stored);
    w->stored = crier_strdup(json);
    assert_null(strstr(json, "good.bot.token"));
}

static void on_refused(void *arg, const struct crier_err *err)
{
    struct world *w = arg;
    w->refused++;
    w->refused_code = err->sys;
}

static const struct crier_gateway_events events = {on_event, on_state, on_note, on_save,
                                                   on_refused};

static void load_world(struct world *w, const char *json)
{
    struct crier_err err = {0};
    char path[] = "/tmp/crier-gateway-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    fputs(json, f);
    fclose(f);
    if (crier_sim_load_world(w->sim, path, &err) != 0)
        fail_msg("%s", err.text);
    unlink(path);
}

static void start_client(struct world *w, uint32_t intents)
{
    struct crier_discord_config rest = {.name = "bot",
                                        .api = "http://127.0.0.1/api/v10",
                                        .token = "good.bot.token",
                                        .global_per_second = 50,
                                        .rng_seed = 7};
    struct crier_gateway_config config = {
        .token = "good.bot.token", .intents = intents, .stored = w->stored, .rng_seed = 11};
    w->client = crier_discord_new(w->loop, w->transport, &rest);
    w->gateway = crier_gateway_new(w->loop, w->client, w->sockets, &config, &events, w);
}

static void stop_client(struct world *w)
{
    crier_gateway_free(w->gateway, false);
    crier_discord_free(w->client);
    w->gateway = NULL;
    w->client = NULL;
}

static void begin(struct world *w, const char *world)
{
    memset(w, 0, sizeof *w);
    w->clock = crier_clock_virtual(WALL);
    w->loop = crier_loop_new(w->clock);
    struct crier_sim_config config = {.seed = 3, .latency = 20 * CRIER_MS};
    w->sim = crier_sim_new(w->loop, &config);
    load_world(w, world);
    w->transport = crier_sim_transport(w->sim, w->loop);
    w->sockets = crier_sim_gateway_sockets(w->sim, w->loop);
}

static void finish(struct world *w)
{
    if (w->gateway)
        stop_client(w);
    w->sockets->ops->free(w->sockets);
    w->transport->ops->free(w->transport);
    crier_sim_free(w->sim);
    crier_loop_free(w->loop);
    crier_clock_free(w->clock);
    crier_buf_fini(&w->log);
    free(w->stored);
}

static void run(struct world *w, double seconds)
{
    crier_loop_run(w->loop, crier_loop_now(w->loop) + (int64_t)(seconds * 1e6));
}

static void fault(struct world *w, const char *json)
{
    struct crier_err err = {0};
    if (crier_sim_fault(w->sim, json, &err) != 0)
        fail_msg("%s", err.text);
}

static void happen(struct world *w, const char *json)
{
    struct crier_err err = {0};
    if (crier_sim_event(w->sim, json, &err) != 0)
        fail_msg("%s", err.text);
}

static struct crier_gateway_shard_stats shard(struct world *w, unsigned i)
{
    struct crier_gateway_shard_stats st;
    crier_gateway_shard_stats(w->gateway, i, &st);
    return st;
}

static struct crier_sim_stats sim_stats(struct world *w)
{
    struct crier_sim_stats st = {0};
    crier_sim_stats(w->sim, &st);
    return st;
}

static void expect_log(struct world *w, const char *text)
{
    assert_string_equal(w->log.data ? w->log.data : "", text);
    crier_buf_clear(&w->log);
}

#define BOT "\"bots\":[{\"token\":\"good.bot.token\",\"name\":\"crier\",\"user\":\"9\"}]"
#define PEOPLE "\"users\":[{\"id\":\"301\",\"name\":\"ann\"}]"
#define SMALL                                                                                      \
    "{" BOT "," PEOPLE ",\"guilds\":[{\"id\":\"100\",\"name\":\"guild\",\"channels\":["            \
    "{\"id\":\"201\",\"name\":\"c1\"},{\"id\":\"202\",\"name\":\"c2\","                            \
    "\"deny\":[\"SEND_MESSAGES\"]}]}]}"

static void test_ready(void **state)
{
    struct world w;
    (void)state;
    begin(&w, SMALL);
    start_client(&w, INTENTS);
    run(&w, 2);
    assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
    expect_log(&w, "READY GUILD_CREATE ");
    assert_true(crier_gateway_me(w.gateway) == 9);

    struct crier_cached_channel c;
    struct crier_cached_guild g;
    uint64_t bits = 0;
    const struct crier_gateway_cache *cache = crier_gateway_cache(w.gateway);
    assert_true(crier_gateway_cache_guild(cache, 100, &g));
    assert_string_equal(g.name, "guild");
    assert_int_equal(g.channels, 2);
    assert_true(crier_gateway_cache_channel(cache, 202, &c));
    assert_string_equal(c.name, "c2");
    assert_true(c.guild == 100);
    assert_true(crier_gateway_cache_permissions(cache, 201, WALL, &bits));
    assert_true(bits & CRIER_PERM_SEND_MESSAGES);

    happen(&w, "{\"do\":\"message\",\"channel\":\"201\",\"user\":\"301\",\"content\":\"hi\"}");
    happen(&w, "{\"do\":\"channel_update\",\"channel\":\"201\",\"name\":\"renamed\"}");
    happen(&w, "{\"do\":\"channel_create\",\"guild\":\"100\",\"channel\":\"203\",\"name\":\"c3\"}");
    happen(&w, "{\"do\":\"channel_delete\",\"channel\":\"202\"}");
    run(&w, 1);
    expect_log(&w, "MESSAGE_CREATE CHANNEL_UPDATE CHANNEL_CREATE CHANNEL_DELETE ");
    assert_true(crier_gateway_cache_channel(cache, 201, &c));
    assert_string_equal(c.name, "renamed");
    assert_true(crier_gateway_cache_channel(cache, 203, &c));
    assert_false(crier_gateway_cache_channel(cache, 202, &c));

    /* A guild that we come into is told as that; one that comes back after an outage is not. */
    happen(&w, "{\"do\":\"guild_join\",\"guild\":\"101\",\"name\":\"second\"}");
    happen(&w, "{\"do\":\"guild_leave\",\"guild\":\"100\",\"unavailable\":true}");
    happen(&w, "{\"do\":\"guild_join\",\"guild\":\"100\"}");
    happen(&w, "{\"do\":\"guild_leave\",\"guild\":\"101\"}");
    run(&w, 1);
    expect_log(&w, "GUILD_CREATE(joined) GUILD_DELETE GUILD_CREATE GUILD_DELETE(left) ");
    assert_false(crier_gateway_cache_guild(cache, 101, &g));
    assert_true(crier_gateway_cache_guild(cache, 100, &g));
    finish(&w);
}

/* Hours of silence: heartbeats keep the connection, and the latency is the way there and back. */
static void test_heartbeats(void **state)
{
    struct world w;
    (void)state;
    begin(&w, SMALL);
    start_client(&w, INTENTS);
    run(&w, 6 * 3600);
    assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
    assert_int_equal(shard(&w, 0).reconnects, 0);
    assert_int_equal(shard(&w, 0).latency, 20 * CRIER_MS);
    assert_int_equal(sim_stats(&w).identifies, 1);
    finish(&w);
}

static void test_resume(void **state)
{
    static const char *const ends[] = {
        "{\"do\":\"gateway_close\",\"code\":4000}", "{\"do\":\"gateway_close\",\"code\":4001}",
        "{\"do\":\"gateway_close\",\"code\":4002}", "{\"do\":\"gateway_close\",\"code\":4005}",
        "{\"do\":\"gateway_close\",\"code\":4008}", "{\"do\":\"gateway_close\",\"code\":1001}",
        "{\"do\":\"gateway_drop\"}",                "{\"do\":\"gateway_reconnect\"}",
        "{\"do\":\"gateway_garbage\"}",             "{\"do\":\"gateway_invalid\",\"resumable\":true}",
    };
    struct world w;
    (void)state;
    begin(&w, SMALL);
    start_client(&w, INTENTS);
    run(&w, 2);
    crier_buf_clear(&w.log);
    for (unsigned i = 0; i < CRIER_COUNT(ends); i++) {
        bool ends_session = strstr(ends[i], "1001") != NULL;
        fault(&w, ends[i]);
        happen(&w, "{\"do\":\"message\",\"channel\":\"201\",\"user\":\"301\",\"content\":\"hi\"}");
        run(&w, 120);
        assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
        if (ends_session) {
            expect_log(&w, "READY GUILD_CREATE ");
        } else {
            assert_int_equal(w.messages, 1);
            assert_non_null(strstr(w.log.data, "RESUMED "));
        }
        w.messages = 0;
        crier_buf_clear(&w.log);
    }
    assert_int_equal(sim_stats(&w).identifies, 2);
    assert_int_equal(sim_stats(&w).resumes, CRIER_COUNT(ends) - 1);
    finish(&w);
}

static void test_new_session(void **state)
{
    static const char *const ends[] = {"{\"do\":\"gateway_close\",\"code\":4003}",
                                       "{\"do\":\"gateway_close\",\"code\":4007}",
                                       "{\"do\":\"gateway_close\",\"code\":4009}",
                                       "{\"do\":\"gateway_invalid\"}"};
    struct world w;
    (void)state;
    begin(&w, SMALL);
    start_client(&w, INTENTS);
    run(&w, 2);
    for (unsigned i = 0; i < CRIER_COUNT(ends); i++) {
        crier_buf_clear(&w.log);
        fault(&w, ends[i]);
        run(&w, 120);
        expect_log(&w, "READY GUILD_CREATE ");
        assert_int_equal(sim_stats(&w).identifies, i + 2);
    }
    assert_int_equal(sim_stats(&w).resumes, 0);
    finish(&w);
}

static void test_final_codes(void **state)
{
    static const int codes[] = {4004, 4010, 4011, 4012, 4013, 4014};
    (void)state;
    for (unsigned i = 0; i < CRIER_COUNT(codes); i++) {
        struct world w;
        char text[80];
        begin(&w, SMALL);
        start_client(&w, INTENTS);
        run(&w, 2);
        snprintf(text, sizeof text, "{\"do\":\"gateway_close\",\"code\":%d}", codes[i]);
        fault(&w, text);
        run(&w, 3600);
        assert_int_equal(shard(&w, 0).state, CRIER_GW_STOPPED);
        assert_int_equal(w.refused, 1);
        assert_int_equal(w.refused_code, codes[i]);
        assert_int_equal(sim_stats(&w).identifies, 1);
        assert_int_equal(sim_stats(&w).connections, 0);
        finish(&w);
    }
}

static void test_zombie(void **state)
{
    struct world w;
    (void)state;
    begin(&w, SMALL);
    start_client(&w, INTENTS);
    run(&w, 2);
    fault(&w, "{\"do\":\"gateway_mute\"}");
    happen(&w, "{\"do\":\"message\",\"channel\":\"201\",\"user\":\"301\",\"content\":\"hi\"}");
    run(&w, 90); /* two intervals */
    assert_int_equal(shard(&w, 0).zombies, 1);
    assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
    assert_int_equal(w.messages, 1);
    assert_int_equal(sim_stats(&w).identifies, 1);
    finish(&w);
}

/* A gateway that says nothing after the connection, or nothing after the identify. */
static void test_silence(void **state)
{
    static const char *const faults[] = {"{\"do\":\"gateway_mute\",\"on\":\"connect\"}",
                                         "{\"do\":\"gateway_mute\",\"on\":\"identify\"}"};
    (void)state;
    for (unsigned i = 0; i < CRIER_COUNT(faults); i++) {
        struct world w;
        begin(&w, SMALL);
        fault(&w, faults[i]);
        start_client(&w, INTENTS);
        run(&w, 200);
        assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
        assert_int_equal(shard(&w, 0).reconnects, 1);
        finish(&w);
    }
}

/* Half a day of a gateway that throws everybody out: never near the limit. */
static void test_budget(void **state)
{
    struct world w;
    struct crier_gateway_stats st;
    (void)state;
    begin(&w, "{" BOT "," PEOPLE ",\"gateway\":{\"total\":100}}");
    fault(&w, "{\"do\":\"gateway_close\",\"code\":4009,\"on\":\"identify\",\"times\":-1}");
    start_client(&w, INTENTS);
    run(&w, 40 * 3600);
    crier_gateway_stats(w.gateway, &st);
    assert_true(w.budget_notes >= 1);
    /* In 40 hours at most two days' worth less the reserve; the token is still good. */
    assert_int_equal(w.refused, 0);
    assert_true(st.day_used <= 95);
    /* And when it stops, all is well within the hour. */
    crier_sim_faults_clear(w.sim);
    run(&w, 25 * 3600);
    assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
    finish(&w);
}

/* The same, by a host that crashes and starts again and again, with its state. */
static void test_budget_over_restarts(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "{" BOT "," PEOPLE ",\"gateway\":{\"total\":60,\"keep\":\"1s\"}}");
    for (unsigned i = 0; i < 200; i++) {
        start_client(&w, INTENTS);
        run(&w, 3);
        stop_client(&w);
        run(&w, 20); /* the session is gone meanwhile */
    }
    assert_int_equal(w.refused, 0);
    assert_true(sim_stats(&w).identifies <= 57);
    assert_true(w.budget_notes >= 1);
    finish(&w);
}

/* What Discord says is left counts, even if nothing is known here. */
static void test_budget_of_others(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "{" BOT "," PEOPLE ",\"gateway\":{\"total\":1000,\"used\":960}}");
    start_client(&w, INTENTS);
    run(&w, 3600);
    assert_int_equal(sim_stats(&w).identifies, 0);
    assert_int_equal(w.budget_notes, 1);
    assert_int_equal(shard(&w, 0).state, CRIER_GW_WAITING);
    run(&w, 24 * 3600);
    assert_int_equal(sim_stats(&w).identifies, 1);
    assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
    finish(&w);
}

static void test_restart_resumes(void **state)
{
    struct world w;
    (void)state;
    begin(&w, SMALL);
    start_client(&w, INTENTS);
    run(&w, 3);
    stop_client(&w);
    happen(&w, "{\"do\":\"message\",\"channel\":\"201\",\"user\":\"301\",\"content\":\"hi\"}");
    happen(&w, "{\"do\":\"raw\",\"t\":\"GUILD_CREATE\",\"d\":{\"id\":\"55\",\"name\":\"old\","
               "\"joined_at\":\"2020-01-01T00:00:00.000000+00:00\"}}");
    happen(&w, "{\"do\":\"raw\",\"t\":\"GUILD_CREATE\",\"d\":{\"id\":\"56\",\"name\":\"new\","
               "\"joined_at\":\"2126-01-01T00:00:00.000000+00:00\"}}");
    crier_buf_clear(&w.log);
    run(&w, 30);
    start_client(&w, INTENTS);
    run(&w, 3);
    expect_log(&w, "MESSAGE_CREATE GUILD_CREATE GUILD_CREATE(joined) RESUMED ");
    assert_true(crier_gateway_me(w.gateway) == 9);
    assert_int_equal(sim_stats(&w).identifies, 1);
    stop_client(&w);
    /* Too old, and the simulator has forgotten it: a new one. */
    run(&w, 700);
    start_client(&w, INTENTS);
    run(&w, 10);
    assert_int_equal(sim_stats(&w).identifies, 2);
    stop_client(&w);
    /* More intents: the old session would not bring what they ask for. */
    start_client(&w, INTENTS | CRIER_INTENT_CONTENT);
    run(&w, 10);
    assert_int_equal(sim_stats(&w).identifies, 3);
    /* Fewer: nothing to do. */
    crier_gateway_set_intents(w.gateway, CRIER_INTENT_GUILDS);
    run(&w, 10);
    assert_int_equal(sim_stats(&w).identifies, 3);
    crier_gateway_set_intents(w.gateway, INTENTS | CRIER_INTENT_INVITES);
    run(&w, 10);
    assert_int_equal(sim_stats(&w).identifies, 4);
    assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
    finish(&w);
}

/* Four shards, two at a time: ids 100 << 22 .. are spread over them, each guild is told once. */
static void test_shards(void **state)
{
    struct world w;
    struct crier_buf world = {0};
    struct crier_gateway_cache_stats st;
    (void)state;
    crier_buf_puts(&world, "{" BOT ",\"gateway\":{\"shards\":4,\"max_concurrency\":2},\"guilds\":[");
    for (unsigned long long i = 1; i <= 40; i++)
        crier_buf_printf(&world, "%s{\"id\":\"%llu\"}", i > 1 ? "," : "", i << 22);
    crier_buf_puts(&world, "]}");
    begin(&w, world.data);
    crier_buf_fini(&world);
    start_client(&w, INTENTS);
    run(&w, 3);
    assert_int_equal(sim_stats(&w).identifies, 2);
    run(&w, 4);
    assert_int_equal(crier_gateway_shards(w.gateway), 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(shard(&w, i).state, CRIER_GW_READY);
        assert_int_equal(shard(&w, i).events, 11);
    }
    assert_int_equal(sim_stats(&w).identifies, 4);
    crier_gateway_cache_stats(crier_gateway_cache(w.gateway), &st);
    assert_int_equal(st.guilds, 40);
    /* One shard's new session forgets and learns only its own. */
    fault(&w, "{\"do\":\"gateway_invalid\"}");
    run(&w, 60);
    crier_gateway_cache_stats(crier_gateway_cache(w.gateway), &st);
    assert_int_equal(st.guilds, 40);
    finish(&w);
}

static void test_presence(void **state)
{
    struct world w;
    (void)state;
    begin(&w, SMALL);
    start_client(&w, INTENTS);
    run(&w, 10);
    for (unsigned i = 0; i < 500; i++) {
        char text[160];
        snprintf(text, sizeof text,
                 "{\"since\":null,\"status\":\"online\",\"afk\":false,\"activities\":"
                 "[{\"name\":\"n%u\",\"type\":0}]}",
                 i);
        crier_gateway_set_presence(w.gateway, text);
        run(&w, 0.1);
    }
    /* 500 in 50 s: had they all been sent, the connection would have been closed with 4008. */
    assert_int_equal(shard(&w, 0).reconnects, 0);
    assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
    finish(&w);
}

static void test_disallowed(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "{" BOT ",\"gateway\":{\"disallowed\":32768}}");
    start_client(&w, INTENTS | CRIER_INTENT_CONTENT);
    run(&w, 100);
    assert_int_equal(w.refused_code, 4014);
    assert_non_null(strstr(shard(&w, 0).why, "MESSAGE CONTENT INTENT"));
    finish(&w);
}

/* GET /gateway/bot fails for a while. */
static void test_unreachable(void **state)
{
    struct world w;
    (void)state;
    begin(&w, SMALL);
    fault(&w, "{\"match\":\"GET /gateway/bot\",\"do\":\"status\",\"status\":503,\"times\":30}");
    start_client(&w, INTENTS);
    run(&w, 3600);
    assert_int_equal(shard(&w, 0).state, CRIER_GW_READY);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready),
        cmocka_unit_test(test_heartbeats),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_new_session),
        cmocka_unit_test(test_final_codes),
        cmocka_unit_test(test_zombie),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_budget_over_restarts),
        cmocka_unit_test(test_budget_of_others),
        cmocka_unit_test(test_restart_resumes),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_presence),
        cmocka_unit_test(test_disallowed),
        cmocka_unit_test(test_unreachable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
