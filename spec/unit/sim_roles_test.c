/* SPDX-License-Identifier: MIT
 *
 * What a bot may do, computed three times from the same JSON: by the simulator (which refuses), by
 * the cache of the gateway's events, and from REST. They were written apart, so they judge each
 * other: on worlds that are drawn, with roles, overwrites of all kinds, and timeouts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "discord/gateway_cache.h"
#include "discord/view.h"
#include "sim/sim.h"

#define WALL (1780000000LL * CRIER_S)
enum { BOT = 9, GUILD = 100, ROLES = 4, CHANNELS = 3, WORLDS = 400 };

struct world {
    struct crier_clock *clock;
    struct crier_loop *loop;
    struct crier_sim *sim;
    struct crier_sim_answer answer;
};

static int ask(struct world *w, const char *method, const char *path, const char *body)
{
    struct crier_sim_request req = {.method = method,
                                    .path = path,
                                    .authorization = "Bot good.bot.token",
                                    .user_agent = "DiscordBot (https://example.com, 1)",
                                    .content_type = body ? "application/json" : NULL,
                                    .body = body,
                                    .body_len = body ? strlen(body) : 0};
    crier_sim_handle(w->sim, &req, &w->answer);
    return w->answer.status;
}

static json_t *get(struct world *w, const char *path)
{
    assert_int_equal(ask(w, "GET", path, NULL), 200);
    json_t *body = json_loadb(w->answer.body.data, w->answer.body.len, 0, NULL);
    assert_non_null(body);
    return body;
}

/* A few bits, most of them of those that matter here. */
static void put_bits(struct crier_buf *b, struct crier_rng *rng, const char *key)
{
    static const char *const names[] = {"VIEW_CHANNEL",  "SEND_MESSAGES",
                                        "EMBED_LINKS",   "ATTACH_FILES",
                                        "ADD_REACTIONS", "READ_MESSAGE_HISTORY"};
    bool first = true;
    crier_buf_printf(b, "\"%s\":[", key);
    for (size_t i = 0; i < CRIER_COUNT(names); i++) {
        if (crier_rng_range(rng, 0, 3) != 0)
            continue;
        crier_buf_printf(b, "%s\"%s\"", first ? "" : ",", names[i]);
        first = false;
    }
    crier_buf_puts(b, "]");
}

static void draw(struct crier_buf *b, struct crier_rng *rng)
{
    bool administrator = crier_rng_range(rng, 0, 20) == 0;
    crier_buf_printf(b,
                     "{\"bots\":[{\"token\":\"good.bot.token\",\"user\":\"%d\"}],\"guilds\":[{"
                     "\"id\":\"%d\",\"owner\":\"%d\",\"roles\":[{\"id\":\"%d\",",
                     BOT, GUILD, crier_rng_range(rng, 0, 20) == 0 ? BOT : 77, GUILD);
    put_bits(b, rng, "permissions");
    crier_buf_puts(b, "}");
    for (int i = 1; i <= ROLES; i++) {
        crier_buf_printf(b, ",{\"id\":\"%d\",", GUILD + i);
        put_bits(b, rng, "permissions");
        crier_buf_printf(b, ",\"position\":%d}", i);
    }
    crier_buf_printf(b, ",{\"id\":\"110\",\"permissions\":[%s]}],\"members\":[{\"user\":\"%d\",%s"
                        "\"roles\":[\"110\"",
                     administrator ? "\"ADMINISTRATOR\"" : "", BOT,
                     crier_rng_range(rng, 0, 4) == 0 ? "\"timeout\":\"1h\"," : "");
    for (int i = 1; i <= ROLES; i++)
        if (crier_rng_range(rng, 0, 1))
            crier_buf_printf(b, ",\"%d\"", GUILD + i);
    crier_buf_puts(b, "]}],\"channels\":[");
    for (int c = 0; c < CHANNELS; c++) {
        crier_buf_printf(b, "%s{\"id\":\"%d\",\"overwrites\":[", c ? "," : "", 200 + c);
        bool first = true;
        for (int i = 0; i <= ROLES + 2; i++) {
            if (crier_rng_range(rng, 0, 1))
                continue;
            crier_buf_printf(b, "%s{\"id\":\"%d\",", first ? "" : ",",
                             i <= ROLES ? GUILD + i : i == ROLES + 1 ? BOT : 78);
            put_bits(b, rng, "allow");
            crier_buf_puts(b, ",");
            put_bits(b, rng, "deny");
            crier_buf_puts(b, "}");
            first = false;
        }
        crier_buf_puts(b, "]}");
    }
    crier_buf_puts(b, "]}]}");
}

static void load(struct world *w, const char *json)
{
    struct crier_err err = {0};
    char path[] = "/tmp/crier-roles-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    fputs(json, f);
    fclose(f);
    int rc = crier_sim_load_world(w->sim, path, &err);
    unlink(path);
    if (rc != 0)
        fail_msg("%s: %s", err.text, json);
}

static void begin(struct world *w, const char *json)
{
    memset(w, 0, sizeof *w);
    w->clock = crier_clock_virtual(WALL);
    w->loop = crier_loop_new(w->clock);
    struct crier_sim_config config = {.seed = 3};
    w->sim = crier_sim_new(w->loop, &config);
    load(w, json);
}

static void finish(struct world *w)
{
    crier_sim_answer_fini(&w->answer);
    crier_sim_free(w->sim);
    crier_loop_free(w->loop);
    crier_clock_free(w->clock);
}

/* The bits that the requests below show. */
#define SHOWN                                                                                      \
    (CRIER_PERM_VIEW_CHANNEL | CRIER_PERM_SEND_MESSAGES | CRIER_PERM_EMBED_LINKS |                 \
     CRIER_PERM_READ_MESSAGE_HISTORY)

static int code_of(struct world *w, const char *method, const char *path, const char *body)
{
    int status = ask(w, method, path, body);
    json_t *answer = json_loadb(w->answer.body.data, w->answer.body.len, 0, NULL);
    int code = status < 300 ? 0 : (int)json_integer_value(json_object_get(answer, "code"));
    json_decref(answer);
    return code;
}

/* By what it refuses. */
static uint64_t shown_by(struct world *w, int channel)
{
    char path[80];
    uint64_t bits = 0;
    snprintf(path, sizeof path, "/channels/%d/messages", channel);
    int seen = code_of(w, "GET", path, NULL);
    assert_true(seen == 0 || seen == 50001);
    int sent = code_of(w, "POST", path, "{\"content\":\"x\"}");
    assert_int_equal(seen == 50001, sent == 50001);
    assert_true(sent == 0 || sent == 50001 || sent == 50013);
    int embed = code_of(w, "POST", path, "{\"embeds\":[{\"title\":\"x\"}]}");
    int reply = code_of(w, "POST", path, "{\"content\":\"x\",\"message_reference\":"
                                         "{\"message_id\":\"5\",\"fail_if_not_exists\":false}}");
    if (!seen)
        bits |= CRIER_PERM_VIEW_CHANNEL;
    if (!sent)
        bits |= CRIER_PERM_SEND_MESSAGES;
    if (!embed)
        bits |= CRIER_PERM_EMBED_LINKS;
    if (!reply)
        bits |= CRIER_PERM_READ_MESSAGE_HISTORY;
    return bits;
}

static void compare(struct world *w, const char *world, unsigned counts[2])
{
    json_t *guild = get(w, "/guilds/100"), *channels = get(w, "/guilds/100/channels");
    json_t *member = get(w, "/guilds/100/members/9");
    json_t *create = json_copy(guild), *members = json_array();
    struct crier_gateway_cache *cache = crier_gateway_cache_new();
    json_object_set(create, "channels", channels);
    json_array_append(members, member);
    json_object_set_new(create, "members", members);
    char *text = json_dumps(create, 0);
    crier_gateway_cache_me(cache, BOT);
    crier_gateway_cache_apply(cache, "GUILD_CREATE", (struct crier_str){text, strlen(text)}, NULL);
    for (int c = 0; c < CHANNELS; c++) {
        uint64_t cached = 0, did = shown_by(w, 200 + c);
        uint64_t rest = crier_permissions(guild, member, json_array_get(channels, (size_t)c), BOT,
                                          crier_loop_wall(w->loop));
        assert_true(crier_gateway_cache_permissions(cache, 200 + (uint64_t)c,
                                                    crier_loop_wall(w->loop), &cached));
        /* Only who may send at all shows what he may send. */
        uint64_t judged = did & CRIER_PERM_SEND_MESSAGES
                              ? SHOWN
                              : CRIER_PERM_VIEW_CHANNEL | CRIER_PERM_SEND_MESSAGES;
        if ((did & judged) != (rest & judged) || (did & judged) != (cached & judged))
            fail_msg("channel %d: the simulator says %#llx, REST %#llx, the cache %#llx, of %#llx: "
                     "%s",
                     200 + c, (unsigned long long)did, (unsigned long long)rest,
                     (unsigned long long)cached, (unsigned long long)judged, world);
        counts[(did & CRIER_PERM_SEND_MESSAGES) != 0]++;
    }
    crier_gateway_cache_free(cache);
    free(text);
    json_decref(create);
    json_decref(member);
    json_decref(channels);
    json_decref(guild);
}

static void test_three_agree(void **state)
{
    struct crier_rng rng;
    unsigned counts[2] = {0};
    (void)state;
    crier_rng_seed(&rng, 20261122);
    for (int i = 0; i < WORLDS; i++) {
        struct crier_buf text = {0};
        struct world w;
        draw(&text, &rng);
        begin(&w, text.data);
        compare(&w, text.data, counts);
        /* A timeout ends by itself. */
        crier_loop_run(w.loop, crier_loop_now(w.loop) + 3601 * CRIER_S);
        compare(&w, text.data, counts);
        finish(&w);
        crier_buf_fini(&text);
    }
    /* They were not all of one kind. */
    assert_true(counts[0] > WORLDS / 2 && counts[1] > WORLDS / 2);
}

static const char small[] =
    "{\"bots\":[{\"token\":\"good.bot.token\",\"user\":\"9\"}],\"guilds\":[{\"id\":\"100\","
    "\"roles\":[{\"id\":\"101\",\"name\":\"press\",\"permissions\":[\"SEND_MESSAGES\"]}],"
    "\"channels\":[{\"id\":\"200\",\"deny\":[\"SEND_MESSAGES\"],"
    "\"overwrites\":[{\"id\":\"101\",\"allow\":[\"SEND_MESSAGES\"]}]}]}]}";

static void happen(struct world *w, const char *json)
{
    struct crier_err err = {0};
    if (crier_sim_event(w->sim, json, &err) != 0)
        fail_msg("%s", err.text);
}

static int send(struct world *w)
{
    return code_of(w, "POST", "/channels/200/messages", "{\"content\":\"x\"}");
}

static void test_events_change_what_a_bot_may(void **state)
{
    struct world w;
    (void)state;
    begin(&w, small);
    assert_int_equal(send(&w), 50013);
    happen(&w, "{\"do\":\"member_update\",\"guild\":\"100\",\"roles\":[\"101\"]}"); /* every bot */
    assert_int_equal(send(&w), 0);
    happen(&w, "{\"do\":\"member_update\",\"guild\":\"100\",\"user\":\"9\",\"timeout\":\"10m\"}");
    assert_int_equal(send(&w), 50013);
    crier_loop_run(w.loop, crier_loop_now(w.loop) + 599 * CRIER_S);
    assert_int_equal(send(&w), 50013);
    crier_loop_run(w.loop, crier_loop_now(w.loop) + 2 * CRIER_S);
    assert_int_equal(send(&w), 0);
    happen(&w, "{\"do\":\"role_delete\",\"guild\":\"100\",\"role\":\"101\"}");
    assert_int_equal(send(&w), 50013);
    happen(&w, "{\"do\":\"role_update\",\"guild\":\"100\",\"role\":\"102\",\"name\":\"boss\","
               "\"permissions\":[\"ADMINISTRATOR\"]}");
    assert_int_equal(send(&w), 50013);
    happen(&w, "{\"do\":\"member_update\",\"guild\":\"100\",\"user\":\"9\",\"roles\":[\"102\"],"
               "\"timeout\":\"10m\"}");
    assert_int_equal(send(&w), 0); /* whom nothing stops, a timeout neither */
    happen(&w, "{\"do\":\"role_update\",\"guild\":\"100\",\"role\":\"102\",\"permissions\":[]}");
    assert_int_equal(send(&w), 50013);
    happen(&w, "{\"do\":\"member_update\",\"guild\":\"100\",\"user\":\"9\",\"timeout\":null}");
    happen(&w, "{\"do\":\"channel_update\",\"channel\":\"200\",\"user\":\"9\","
               "\"allow\":[\"SEND_MESSAGES\"]}");
    assert_int_equal(send(&w), 0);
    happen(&w, "{\"do\":\"channel_update\",\"channel\":\"200\",\"deny\":[\"VIEW_CHANNEL\"]}");
    assert_int_equal(send(&w), 50001);
    finish(&w);
}

static void test_what_is_wrong_has_its_place(void **state)
{
    static const struct {
        const char *guild, *text;
    } worlds[] = {
        {"\"roles\":[{\"id\":\"2\",\"permisions\":[]}]",
         "guilds[0].roles[0]: unknown key 'permisions' (did you mean 'permissions'?)"},
        {"\"roles\":[{\"id\":\"2\",\"permissions\":[\"FLY\"]}]",
         "guilds[0].roles[0].permissions: unknown permission 'FLY'"},
        {"\"roles\":[{\"id\":\"2\",\"permissions\":true}]",
         "guilds[0].roles[0].permissions: expected a list such as [\"SEND_MESSAGES\"]"},
        {"\"members\":[{\"roles\":[\"7\"]}]",
         "guilds[0].members[0].roles[0]: expected the id of a role of the guild"},
        {"\"members\":[{\"timeout\":\"10\"}]", "guilds[0].members[0].timeout: "},
        {"\"channels\":[{\"id\":\"2\",\"overwrites\":[{\"allow\":[]}]}]",
         "guilds[0].channels[0].overwrites[0].id: expected a snowflake"},
        {"\"channels\":[{\"id\":\"2\",\"slowmode\":-1}]",
         "guilds[0].channels[0].slowmode: expected a whole number of 0 or more"},
    };
    static const struct {
        const char *event, *text;
    } happenings[] = {
        {"{\"do\":\"member_update\",\"guild\":\"100\",\"user\":\"5\"}", "not a member"},
        {"{\"do\":\"member_update\",\"guild\":\"100\",\"timeout\":\"10\"}",
         "event.timeout: expected a duration"},
        {"{\"do\":\"member_update\",\"guild\":\"100\",\"roles\":[\"5\"]}",
         "event.roles: expected a list of the guild's roles"},
        {"{\"do\":\"role_delete\",\"guild\":\"100\",\"role\":\"100\"}", "other than @everyone"},
        {"{\"do\":\"role_update\",\"guild\":\"100\",\"role\":\"7\",\"permissions\":[\"FLY\"]}",
         "event.permissions: expected a list"},
        {"{\"do\":\"rol_update\",\"guild\":\"100\"}", "event.do: expected guild_join"},
    };
    struct world w;
    (void)state;
    begin(&w, small);
    for (size_t i = 0; i < CRIER_COUNT(worlds); i++) {
        struct crier_err err = {0};
        char path[] = "/tmp/crier-roles-XXXXXX";
        FILE *f = fdopen(mkstemp(path), "w");
        fprintf(f, "{\"guilds\":[{\"id\":\"1\",%s}]}", worlds[i].guild);
        fclose(f);
        assert_int_equal(crier_sim_load_world(w.sim, path, &err), CRIER_EINVAL);
        unlink(path);
        if (!strstr(err.text, worlds[i].text))
            fail_msg("%s, not %s", err.text, worlds[i].text);
    }
    for (size_t i = 0; i < CRIER_COUNT(happenings); i++) {
        struct crier_err err = {0};
        assert_int_not_equal(crier_sim_event(w.sim, happenings[i].event, &err), 0);
        if (!strstr(err.text, happenings[i].text))
            fail_msg("%s, not %s", err.text, happenings[i].text);
    }
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_agree),
        cmocka_unit_test(test_events_change_what_a_bot_may),
        cmocka_unit_test(test_what_is_wrong_has_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
