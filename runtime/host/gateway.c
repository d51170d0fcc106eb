/* SPDX-License-Identifier: MIT */
#include "host/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "script/reply.h"

struct host_gateway {
    struct host_bot *bot;
    struct crier_gateway *gateway;
    struct invites *invites;
    uint64_t lost; /* times that a connection was lost, for what is said of it */
};

static struct crier_gateway_sockets *sockets_of(struct crier_host *host)
{
    if (!host->sockets && host->inline_transport)
        host->sockets = crier_sim_gateway_sockets(host->sim, host->loop);
    else if (!host->sockets)
        host->sockets = crier_gateway_sockets_lws(host->loop);
    return host->sockets;
}

/* --- what a gateway tells ------------------------------------------------------------------- */

/* GUILDs by pattern: one that has come, has another name, or is left. */
static void tell_guilds(struct host_gateway *hg, const char *name, struct crier_str data, int change)
{
    struct crier_cached_guild guild;
    struct crier_host *host = hg->bot->host;
    bool left = change < 0;
    if (!crier_poster_has_patterns(host->poster) || strncmp(name, "GUILD_", 6) != 0)
        return;
    if (!left && strcmp(name, "GUILD_CREATE") != 0 && strcmp(name, "GUILD_UPDATE") != 0)
        return;
    uint64_t id = crier_gateway_cache_id(data);
    if (left)
        crier_poster_guild(host->poster, hg->bot->name, id, NULL);
    else if (crier_gateway_cache_guild(crier_gateway_cache(hg->gateway), id, &guild))
        crier_poster_guild(host->poster, hg->bot->name, id, guild.name);
}

static void on_event(void *arg, const char *name, struct crier_str data, int change)
{
    struct host_gateway *hg = arg;
    struct host_bot *bot = hg->bot;
    crier_invites_event(hg->invites, name, data);
    tell_guilds(hg, name, data, change);
    crier_event_queue_push(bot->host, bot->name, name, data, change, crier_gateway_me(hg->gateway));
}

static void on_state(void *arg, unsigned shard, enum crier_gateway_state state, const char *text)
{
    struct host_gateway *hg = arg;
    struct crier_host *host = hg->bot->host;
    char number[16], where[40] = "";
    if (state != CRIER_GW_READY && state != CRIER_GW_BACKOFF)
        return;
    snprintf(number, sizeof number, "%u", shard);
    if (hg->gateway && crier_gateway_shards(hg->gateway) > 1)
        snprintf(where, sizeof where, ", shard %u", shard);
    const char *texts[] = {"bot", hg->bot->name, "shard", number, "text", text, NULL};
    if (state == CRIER_GW_READY) {
        crier_host_system(host, CRIER_INFO, "gateway.ready", "bot '%s'%s: the gateway is ready",
                          hg->bot->name, where);
        crier_event_tell(host, "gateway.ready", texts);
        crier_invites_ready(hg->invites);
    } else {
        hg->lost++;
        crier_host_system(host, CRIER_INFO, "gateway.lost",
                          "bot '%s'%s: the gateway was lost (%s); it is tried again",
                          hg->bot->name, where, text);
        crier_event_tell(host, "gateway.lost", texts);
    }
}

static void on_note(void *arg, const char *what, const char *text)
{
    struct host_gateway *hg = arg;
    crier_host_system(hg->bot->host, CRIER_LEVEL_WARNING, what, "bot '%s': %s", hg->bot->name,
                      text);
}

static void on_save(void *arg, const char *json)
{
    struct host_gateway *hg = arg;
    struct crier_host *host = hg->bot->host;
    if (host->state)
        crier_state_put(host->state, "gateway", hg->bot->name, json, NULL, NULL);
}

static void on_refused(void *arg, const struct crier_err *err)
{
    struct host_gateway *hg = arg;
    char why[400];
    if (err->sys == 4004) {
        snprintf(why, sizeof why, "Discord does not accept its token: %s", err->text);
        crier_bot_refused(hg->bot, why);
        return;
    }
    crier_host_system(hg->bot->host, CRIER_CRITICAL, "gateway.refused",
                      "bot '%s': %s; its hooks and replies are not called until the script is "
                      "reloaded with other settings, or the bot started anew; sends go on",
                      hg->bot->name, err->text);
}

static const struct crier_gateway_events events = {on_event, on_state, on_note, on_save,
                                                   on_refused};

/* --- life ----------------------------------------------------------------------------------- */

static void open_gateway(struct host_bot *bot, uint32_t intents, const char *presence)
{
    struct crier_host *host = bot->host;
    struct host_gateway *hg = crier_calloc(1, sizeof *hg);
    char *stored = crier_strdup(crier_state_get(host->state, "gateway", bot->name));
    struct crier_gateway_config config = {.token = bot->token,
                                          .intents = intents,
                                          .presence = presence,
                                          .stored = stored,
                                          .rng_seed = crier_rng_next(&host->rng),
                                          .compress = !host->inline_transport};
    hg->bot = bot;
    hg->invites = crier_invites_new(bot);
    bot->gateway = hg;
    hg->gateway =
        crier_gateway_new(host->loop, bot->client, sockets_of(host), &config, &events, hg);
    free(stored);
}

void crier_host_gateway_close(struct host_bot *bot, bool end)
{
    struct host_gateway *hg = bot->gateway;
    if (!hg)
        return;
    bot->gateway = NULL;
    crier_gateway_free(hg->gateway, end);
    crier_invites_free(hg->invites);
    free(hg);
}

static struct host_bot *bot_named(struct crier_host *host, const char *name)
{
    for (guint i = 0; i < host->bots->len; i++) {
        struct host_bot *bot = host->bots->pdata[i];
        if (strcmp(bot->name, name) == 0)
            return bot;
    }
    return NULL;
}

static const struct crier_bot *declared(const struct crier_generation *gen, const char *name)
{
    for (guint i = 0; i < gen->bots->len; i++) {
        const struct crier_bot *bot = gen->bots->pdata[i];
        if (strcmp(bot->name, name) == 0)
            return bot;
    }
    return NULL;
}

void crier_host_gateways_adopt(struct crier_host *host, const struct crier_generation *gen)
{
    for (guint i = 0; i < host->bots->len; i++) {
        struct host_bot *bot = host->bots->pdata[i];
        const struct crier_bot *decl = declared(gen, bot->name);
        uint32_t intents = 0;
        if (!decl || !crier_gateway_needed(gen, decl, &intents)) {
            crier_host_gateway_close(bot, true);
            continue;
        }
        if (bot->gateway) {
            crier_gateway_set_intents(bot->gateway->gateway, intents);
            crier_gateway_set_presence(bot->gateway->gateway, decl->presence);
        } else if (!bot->refused) {
            open_gateway(bot, intents, decl->presence);
        }
        if (bot->gateway)
            crier_gateway_cache_watch(crier_gateway_cache(bot->gateway->gateway), gen->last_author);
        if (bot->gateway)
            crier_invites_adopt(bot->gateway->invites, gen);
    }
}

void crier_host_gateways_end(struct crier_host *host)
{
    if (host->sockets)
        host->sockets->ops->free(host->sockets);
    host->sockets = NULL;
    crier_event_queue_free(host);
}

struct crier_gateway_cache *crier_host_cache(struct crier_host *host, const char *name)
{
    struct host_bot *bot = bot_named(host, name);
    return bot && bot->gateway ? crier_gateway_cache(bot->gateway->gateway) : NULL;
}

struct crier_gateway *crier_host_gateway_of(void *arg)
{
    struct host_bot *bot = arg;
    return bot->gateway ? bot->gateway->gateway : NULL;
}

const char *crier_host_known_name(struct crier_host *host, const char *name, uint64_t id)
{
    struct host_bot *bot = bot_named(host, name);
    struct crier_gateway *g = bot ? crier_host_gateway_of(bot) : NULL;
    struct crier_cached_guild guild;
    struct crier_cached_channel channel;
    if (g && crier_gateway_cache_guild(crier_gateway_cache(g), id, &guild))
        return crier_gateway_knows(g, id) ? guild.name : NULL;
    if (g && crier_gateway_cache_channel(crier_gateway_cache(g), id, &channel))
        return crier_gateway_knows(g, channel.guild) ? channel.name : NULL;
    return NULL;
}

int crier_host_last_own(struct crier_host *host, const char *name, uint64_t id)
{
    struct host_bot *bot = bot_named(host, name);
    struct crier_gateway *g = bot ? crier_host_gateway_of(bot) : NULL;
    struct crier_cached_channel channel;
    if (!g || !crier_gateway_cache_channel(crier_gateway_cache(g), id, &channel) ||
        !crier_gateway_knows(g, channel.guild))
        return -1;
    return crier_gateway_cache_last_own(crier_gateway_cache(g), id);
}

void crier_host_sent(struct crier_host *host, const char *name, uint64_t channel, uint64_t message)
{
    struct crier_gateway_cache *cache = crier_host_cache(host, name);
    if (cache)
        crier_gateway_cache_sent(cache, channel, message);
}

/* --- status --------------------------------------------------------------------------------- */

static json_t *shard_status(struct crier_gateway *g, unsigned i)
{
    struct crier_gateway_shard_stats st;
    crier_gateway_shard_stats(g, i, &st);
    json_t *o = json_pack(
        "{s:i, s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:s}", "shard", (int)i, "state",
        crier_gateway_state_name(st.state), "in_state", (double)st.in_state / 1e6, "events",
        (json_int_t)st.events, "resumes", (json_int_t)st.resumes, "identifies",
        (json_int_t)st.identifies, "zombies", (json_int_t)st.zombies, "reconnects",
        (json_int_t)st.reconnects, "events_per_second", st.per_second, "why", st.why);
    if (st.latency >= 0)
        json_object_set_new(o, "latency", json_real((double)st.latency / 1e6));
    if (st.session_age >= 0)
        json_object_set_new(o, "session_age", json_real((double)st.session_age / 1e6));
    return o;
}

json_t *crier_host_gateway_status(struct host_bot *bot)
{
    struct crier_gateway_stats st;
    struct crier_gateway_cache_stats cache;
    char intents[200];
    uint64_t dropped;
    size_t waiting;
    if (!bot->gateway)
        return NULL;
    struct crier_gateway *g = bot->gateway->gateway;
    crier_gateway_stats(g, &st);
    crier_gateway_cache_stats(crier_gateway_cache(g), &cache);
    crier_intents_text(st.intents, intents, sizeof intents);
    crier_event_queue_stats(bot->host, &dropped, &waiting);
    json_t *shards = json_array();
    for (unsigned i = 0; i < crier_gateway_shards(g); i++)
        json_array_append_new(shards, shard_status(g, i));
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "intents",
                     intents, "identifies_left", (int)st.remaining, "identifies_total",
                     (int)st.total, "identifies_today", (int)st.day_used, "identifies_hour",
                     (int)st.hour_used, "held", st.held, "guilds", (json_int_t)cache.guilds,
                     "channels", (json_int_t)cache.channels, "cache_bytes",
                     (json_int_t)cache.bytes, "events_dropped", (json_int_t)dropped,
                     "events_waiting", (json_int_t)waiting, "shards", shards);
}
