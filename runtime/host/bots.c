/* SPDX-License-Identifier: MIT */
#include "host/gateway.h"
#include "script/alert.h"

#include <stdlib.h>
#include <string.h>

#define ASK_FOR (5 * CRIER_S) /* one try to reach Discord, before it is said that it fails */

static struct host_bot *find_bot(struct crier_host *host, const char *name)
{
    for (guint i = 0; i < host->bots->len; i++) {
        struct host_bot *bot = host->bots->pdata[i];
        if (strcmp(bot->name, name) == 0)
            return bot;
    }
    return NULL;
}

struct crier_discord *crier_host_client(struct crier_host *host, const char *name)
{
    struct host_bot *bot = find_bot(host, name);
    return bot ? bot->client : NULL;
}

struct crier_view *crier_host_view(struct crier_host *host, const char *name)
{
    struct host_bot *bot = find_bot(host, name);
    return bot ? bot->view : NULL;
}

bool crier_host_bot_ready(struct crier_host *host, const char *name)
{
    struct host_bot *bot = find_bot(host, name);
    return !bot || bot->ready;
}

bool crier_host_bot_unreachable(struct crier_host *host, const char *name)
{
    struct host_bot *bot = find_bot(host, name);
    return bot && !bot->ready && bot->trouble;
}

void crier_bot_free(void *p)
{
    struct host_bot *bot = p;
    crier_host_gateway_close(bot, false);
    if (bot->client)
        crier_discord_free(bot->client);
    crier_timer_stop(bot->host->loop, &bot->ask);
    if (bot->view)
        bot->view->ops->free(bot->view);
    if (bot->token)
        explicit_bzero(bot->token, strlen(bot->token));
    free(bot->token);
    free(bot->name);
    free(bot->api);
    free(bot->me);
    free(bot->trouble);
    free(bot);
}

/* A bot that a reload removed may still have something under way. */
bool crier_bot_is_declared(const struct crier_host *host, const struct host_bot *bot)
{
    for (guint i = 0; i < host->current->bots->len; i++) {
        if (strcmp(((struct crier_bot *)host->current->bots->pdata[i])->name, bot->name) == 0)
            return true;
    }
    return false;
}

void crier_bot_refused(struct host_bot *bot, const char *why)
{
    struct crier_host *host = bot->host;
    struct crier_err err = {0};
    if (bot->refused)
        return; /* by the gateway and by REST */
    bot->refused = bot->ready = true;
    crier_err_set(&err, CRIER_EDENIED, "%s", why);
    crier_discord_stop(bot->client, &err);
    crier_host_system(host, CRIER_CRITICAL, "bot.refused", "bot '%s': %s", bot->name, why);
    crier_poster_bot_ready(host->poster, bot->name);
    if (bot->by_reload)
        return; /* a host that runs is not ended by a reload: the next one may bring a good token */
    for (guint i = 0; i < host->bots->len; i++) {
        const struct host_bot *other = host->bots->pdata[i];
        if (!other->refused && crier_bot_is_declared(host, other))
            return;
    }
    fprintf(stderr, "crier: bot '%s': %s\n", bot->name, why);
    crier_host_stop(host, EXIT_REFUSED);
}

/* Discord has refused the token of a bot that was at work. */
static void stopped_at_work(void *arg)
{
    struct crier_host *host = arg;
    for (guint i = 0; i < host->bots->len; i++) {
        struct host_bot *bot = host->bots->pdata[i];
        struct crier_err why = {0};
        if (bot->refused || !bot->ready || !crier_discord_stopped(bot->client, &why))
            continue;
        bot->by_reload = false; /* it was at work: the reload is not at fault */
        crier_bot_refused(bot, why.text);
    }
}

static void on_event(void *arg, enum crier_discord_event event, const struct crier_err *why)
{
    struct host_bot *bot = arg;
    static const char *const names[] = {
        [CRIER_DISCORD_STOPPED] = "bot.stopped",
        [CRIER_DISCORD_RESTING] = "bot.resting",
        [CRIER_DISCORD_SLOWED] = "bot.slowed",
        [CRIER_DISCORD_QUARANTINED] = "bot.quarantined",
    };
    if (event == CRIER_DISCORD_STOPPED) {
        /* The first request of all tells it, too; then on_me has the better words. */
        if (bot->ready)
            crier_loop_post(bot->host->loop, stopped_at_work, bot->host);
        return;
    }
    crier_host_system(bot->host,
                      event == CRIER_DISCORD_SLOWED ? CRIER_LEVEL_WARNING : CRIER_CRITICAL,
                      names[event], "%s", why->text);
}

static void ask_me(struct host_bot *bot);

/* Discord cannot be reached: said at once, then each time that it has taken four times as long. */
static void not_reached(struct host_bot *bot, const char *why)
{
    struct crier_host *host = bot->host;
    int64_t now = crier_loop_now(host->loop);
    if (now >= bot->complain_at) {
        crier_host_system(host, CRIER_LEVEL_WARNING, "bot.unreachable",
                          "bot '%s' does not reach %s: %s; it is tried on, sends wait", bot->name,
                          bot->api, why);
        bot->complaint = bot->complaint ? bot->complaint * 4 : 15 * CRIER_S;
        bot->complain_at = now + bot->complaint;
    }
    free(bot->trouble);
    bot->trouble = crier_strdup(why);
    /* A try can end at once: Discord may have told us to wait for longer than one lasts. */
    crier_timer_at(host->loop, &bot->ask, bot->asked_at + ASK_FOR > now ? bot->asked_at + ASK_FOR
                                                                         : now);
}

static void on_me(void *arg, const struct crier_discord_result *r)
{
    struct host_bot *bot = arg;
    if (r->outcome == CRIER_CANCELED)
        return;
    /* Only Discord's own word against the token counts: a page of whoever stands in between may be
     * a 403 too. */
    if (r->outcome != CRIER_SENT && r->outcome != CRIER_STOP) {
        not_reached(bot, r->err.text);
        return;
    }
    if (r->outcome != CRIER_SENT) {
        char why[400];
        snprintf(why, sizeof why, "Discord does not accept its token: %s", r->err.text);
        crier_bot_refused(bot, why);
        return;
    }
    if (crier_discord_is_user(r->body)) {
        crier_bot_refused(bot,
                    "the token is that of a user account; automating those is against Discord's "
                    "terms: make a bot at https://discord.com/developers/applications");
        return;
    }
    bot->me = crier_strdup(json_string_value(json_object_get(r->body, "username")));
    bot->ready = true;
    if (bot->trouble)
        crier_host_system(bot->host, CRIER_INFO, "bot.reached", "bot '%s' reaches Discord now",
                          bot->name);
    free(bot->trouble);
    bot->trouble = NULL;
    crier_poster_bot_ready(bot->host->poster, bot->name);
}

static void ask_me(struct host_bot *bot)
{
    bot->asked_at = crier_loop_now(bot->host->loop);
    crier_discord_get(bot->client, "/users/@me", crier_loop_now(bot->host->loop) + ASK_FOR, on_me,
                      bot);
}

static void on_ask(struct crier_timer *timer)
{
    ask_me(CRIER_CONTAINER(timer, struct host_bot, ask));
}

/* The token: the secret; in the simulator a made-up one will do. NULL with err. */
static char *bot_token(struct crier_host *host, const struct crier_bot *decl,
                       const struct crier_generation *gen, struct crier_err *err)
{
    char *token = crier_secret_read(decl->token, gen->folder, err);
    if (!token && (host->config->sim || host->config->sim_url))
        token = crier_asprintf("sim.%s.token", decl->name);
    return token;
}

void crier_bot_adopt(struct crier_host *host, const struct crier_bot *decl,
                     const struct crier_generation *gen)
{
    struct crier_err err = {0};
    char *token = bot_token(host, decl, gen, &err);
    const char *api = host->sim_api ? host->sim_api : decl->api;
    struct host_bot *bot = find_bot(host, decl->name);
    if (bot && token && strcmp(bot->token, token) == 0 && strcmp(bot->api, api) == 0 &&
        bot->per_second == decl->per_second) {
        explicit_bzero(token, strlen(token));
        free(token);
        return;
    }
    if (bot) {
        guint at;
        crier_host_gateway_close(bot, true);
        if (g_ptr_array_find(host->bots, bot, &at))
            g_ptr_array_add(host->old_bots, g_ptr_array_steal_index(host->bots, at));
    }
    bot = crier_calloc(1, sizeof *bot);
    bot->host = host;
    bot->name = crier_strdup(decl->name);
    bot->api = crier_strdup(api);
    bot->token = token ? token : crier_strdup("");
    bot->per_second = decl->per_second;
    bot->by_reload = host->generations > 1;
    bot->ask.fire = on_ask;
    if (host->sim)
        crier_sim_add_bot(host->sim, bot->token, bot->name);
    struct crier_discord_config config = {.name = bot->name,
                                          .api = bot->api,
                                          .token = bot->token,
                                          .global_per_second = bot->per_second,
                                          .rng_seed = crier_rng_next(&host->rng),
                                          .breaker = &host->breaker,
                                          .on_event = on_event,
                                          .event_arg = bot};
    bot->client = crier_discord_new(
        host->loop, host->inline_transport ? host->inline_transport : host->http, &config);
    bot->view = crier_view_gateway(crier_view_rest(bot->client, host->loop), host->loop,
                                   crier_host_gateway_of, bot);
    g_ptr_array_add(host->bots, bot);
    ask_me(bot);
}

/* Where alerts go: a channel that no GUILD has stands in the first one, or in one of its own. */
static void furnish_alerts(struct crier_host *host, const struct crier_generation *gen)
{
    uint64_t guild = 0;
    for (guint i = 0; i < gen->targets->len && !guild; i++) {
        const struct crier_target *t = gen->targets->pdata[i];
        guild = t->type == CRIER_GUILD ? t->id : 0;
    }
    for (guint i = 0; i < gen->alerts->len; i++) {
        const struct crier_alert *a = gen->alerts->pdata[i];
        for (guint k = 0; k < a->targets->len; k++) {
            const struct crier_alert_target *t = a->targets->pdata[k];
            bool dm = t->type == CRIER_TO_DM;
            if (!dm && t->type != CRIER_TO_CHANNEL)
                continue;
            uint64_t id = (uint64_t)crier_options_get(&t->options, dm ? "dm" : "channel")->i;
            if (crier_sim_knows(host->sim, id))
                continue;
            if (!dm && !guild)
                crier_sim_add_guild(host->sim, guild = id + 1, "alerts");
            if (dm)
                crier_sim_add_user(host->sim, id, NULL);
            else
                crier_sim_add_channel(host->sim, id, guild, NULL, 0);
        }
    }
}

/* The simulator's world: what the script names and no world file has. */
void crier_host_furnish_sim(struct crier_host *host, const struct crier_generation *gen)
{
    for (guint i = 0; host->sim && i < crier_target_count(gen); i++) {
        const struct crier_target *t = crier_target_at(gen, i);
        if (t->match || t->of)
            continue;
        if (!crier_sim_knows(host->sim, t->id) && t->type == CRIER_USER)
            crier_sim_add_user(host->sim, t->id, t->name);
        else if (!crier_sim_knows(host->sim, t->id))
            crier_sim_add_guild(host->sim, t->id, t->name);
        for (guint j = 0; j < t->messages->len; j++) {
            const struct crier_message *m = t->messages->pdata[j];
            for (size_t k = 0; k < m->channel_count; k++) {
                if (!crier_sim_knows(host->sim, m->channels[k]))
                    crier_sim_add_channel(host->sim, m->channels[k], t->id, NULL, 0);
            }
        }
    }
    if (host->sim)
        furnish_alerts(host, gen);
}
