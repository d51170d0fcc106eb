/* SPDX-License-Identifier: MIT */
#include "host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/control.h"
#include "script/declare.h"
#include "script/message.h"
#include "watch.h"

#define SEQ_RESERVE 1000000
#define CUT_OFF (1 * CRIER_S)
#define HAND_OVER (50 * CRIER_MS)
#define ASK_FOR (5 * CRIER_S) /* one try to reach Discord, before it is said that it fails */

enum { EXIT_REFUSED = 77, EXIT_CONFIG = 78, EXIT_IN_USE = 75, EXIT_NO_FILE = 66, EXIT_INTERNAL = 70 };

/* A bot's client; outlives generations that declare the bot alike. */
struct bot {
    struct crier_host *host;
    char *name, *api, *token;
    int per_second;
    struct crier_discord *client;
    char *me;      /* its name on Discord, once known */
    bool ready;    /* accepted, or given up */
    char *trouble; /* why it is not reached; NULL: it is, or has not been tried for long */
    int64_t complain_at, complaint; /* when to say so next, and after how long again */
    bool refused;
};

struct crier_host {
    const struct crier_host_config *config;
    struct crier_clock *clock;
    struct crier_loop *loop;
    struct crier_transport *http; /* crier.http, and bots that talk to a server */
    struct crier_transport *inline_transport;
    struct crier_sim *sim;
    struct crier_sim_server *sim_server;
    char *sim_api;
    char *state_folder;
    int lock;
    struct crier_state *state;
    struct crier_source source;
    struct crier_builder builder, spare;
    bool logging; /* a log call reads its fields */
    uint64_t seq_reserved;
    struct crier_rng rng;
    struct crier_poster *poster;
    GPtrArray *bots, *old_bots;
    struct crier_generation *current;
    GPtrArray *draining; /* retired generations that have not ended, oldest first */
    unsigned generations, reloads;
    char *last_error;    /* of the last reload that was refused */
    struct crier_control *control;
    struct crier_watch *watch;
    uv_signal_t signals[4];
    int signal_count;
    struct crier_timer for_timer, stop_timer;
    bool stopping, cut_off, over, stopped;
    int code;
    int64_t started_wall;
    struct build_job *job; /* a reload under way */
    bool again;            /* another was asked for meanwhile */
    GPtrArray *waiting;    /* connections that wait for the reload */
    GPtrArray *waiting_next;
};

struct crier_loop *crier_host_loop(struct crier_host *host)
{
    return host->loop;
}

struct crier_state *crier_host_state(struct crier_host *host)
{
    return host->state;
}

struct crier_builder *crier_host_builder(struct crier_host *host)
{
    return &host->builder;
}

bool crier_host_log_begin(struct crier_host *host)
{
    bool nested = host->logging;
    host->logging = true;
    return nested;
}

void crier_host_log_end(struct crier_host *host)
{
    host->logging = false;
}

struct crier_builder *crier_host_spare_builder(struct crier_host *host)
{
    return &host->spare;
}

struct crier_poster *crier_host_poster(struct crier_host *host)
{
    return host->poster;
}

struct crier_rng *crier_host_rng(struct crier_host *host)
{
    return &host->rng;
}

bool crier_host_stopping(const struct crier_host *host)
{
    return host->stopping;
}

/* --- records ----------------------------------------------------------------------------- */

/* Sequence numbers go on after a restart: a range is reserved ahead, so that a crash only leaves
 * a gap. */
static void reserve_seq(struct crier_host *host)
{
    char text[32];
    if (host->source.seq + SEQ_RESERVE / 10 < host->seq_reserved)
        return;
    host->seq_reserved = host->source.seq + SEQ_RESERVE;
    snprintf(text, sizeof text, "%llu", (unsigned long long)host->seq_reserved);
    crier_state_put(host->state, "host", "seq", text, NULL, NULL);
}

void crier_host_emit(struct crier_host *host, struct crier_record *record)
{
    if (host->current)
        crier_router_send(host->current->router, record);
    crier_record_unref(record);
    if (host->state)
        reserve_seq(host);
}

static void system_record(struct crier_host *host, enum crier_level level, const char *what,
                          const char *text, const char *trace)
{
    struct crier_builder *b = &host->builder;
    crier_build_begin(b, CRIER_KIND_SYSTEM, level, crier_clock_wall(host->clock));
    crier_build_logger(b, "system", 6);
    crier_build_text(b, text, strlen(text));
    CRIER_B_STR(b, "what", what);
    if (trace && *trace)
        CRIER_B_STR(b, "exc_text", trace);
    crier_host_emit(host, crier_build_end(b));
}

void crier_host_system(struct crier_host *host, enum crier_level level, const char *what,
                       const char *fmt, ...)
{
    struct crier_buf b = {0};
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    system_record(host, level, what, text, NULL);
    crier_buf_fini(&b);
}

void crier_host_callback_error(struct crier_host *host, const char *what,
                               const struct crier_lua_error *error)
{
    const char *message = error->message ? error->message : "?";
    char *text = strstr(message, what) ? crier_strdup(message) /* it names the callback itself */
                                       : crier_asprintf("%s failed: %s", what, message);
    system_record(host, CRIER_LEVEL_ERROR, "callback.error", text, error->traceback);
    free(text);
}

static void on_rule_fault(void *arg, const struct crier_rule *rule, const struct crier_err *err)
{
    struct crier_host *host = arg;
    crier_host_system(host, CRIER_LEVEL_ERROR, "route.error",
                      "the route at %s failed, its records take the default route: %s", rule->where,
                      err->text);
}

static void on_stall(struct crier_vm *vm, const char *what, int64_t us)
{
    struct crier_generation *gen = vm->owner;
    char text[48];
    if (gen->host)
        crier_host_system(gen->host, CRIER_LEVEL_WARNING, "stall",
                          "%s held up the loop for %s", what, crier_duration_text(us, text));
}

/* --- hooks ------------------------------------------------------------------------------- */

struct hook_call {
    struct crier_generation *gen;
    char *what;
};

struct hook_args {
    int fn;
    void (*push)(lua_State *L, void *arg);
    void *arg;
};

static int hook_returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

/* Runs inside the call's coroutine, so that whatever raises here is the call's error. */
static int l_hook(lua_State *L)
{
    struct hook_args *a = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->fn);
    if (a->push)
        a->push(L, a->arg);
    else
        lua_newtable(L);
    lua_callk(L, 1, 0, 0, hook_returned);
    return 0;
}

static void check_idle(void *arg);

static void hook_done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    (void)L;
    struct hook_call *call = arg;
    struct crier_host *host = call->gen->host;
    crier_host_touched(call->gen);
    if (end->rc != 0 && end->rc != CRIER_ECANCELED)
        crier_host_callback_error(host, call->what, &end->error);
    crier_generation_unref(call->gen);
    free(call->what);
    free(call);
    if (host->stopping)
        crier_loop_post(host->loop, check_idle, host);
}

void crier_host_hook(struct crier_host *host, const char *event,
                     void (*push)(lua_State *L, void *arg), void *arg)
{
    struct crier_generation *gen = host->current;
    if (!gen)
        return;
    for (guint i = 0; i < gen->hooks->len; i++) {
        const struct crier_hook *hook = gen->hooks->pdata[i];
        if (strcmp(hook->event, event) != 0)
            continue;
        struct hook_args args = {.fn = hook->fn, .push = push, .arg = arg};
        struct hook_call *call = crier_calloc(1, sizeof *call);
        call->gen = crier_generation_ref(gen);
        call->what = crier_asprintf("crier.on(\"%s\") at %s", event, hook->where);
        lua_pushcfunction(gen->vm->L, l_hook);
        lua_pushlightuserdata(gen->vm->L, &args);
        crier_call_start(gen->vm, 1, call->what, gen->config.limits.callback, NULL, hook_done,
                         call);
    }
}

/* --- crier.state ------------------------------------------------------------------------- */

static void on_state_timer(struct crier_timer *timer)
{
    struct crier_generation *gen = CRIER_CONTAINER(timer, struct crier_generation, state_timer);
    int64_t began = crier_loop_now(gen->host->loop);
    crier_state_tables_save(gen);
    gen->state_cost = crier_loop_now(gen->host->loop) - began;
}

/* At the end of the loop's turn, once for all callbacks of it; tables that take long to compare are
 * compared less often, at most a twentieth of the time. */
void crier_host_touched(struct crier_generation *gen)
{
    if (gen->host)
        gen->host->logging = false; /* a log call may have ended by an error */
    if (!gen->states->len || !gen->host || crier_timer_armed(&gen->state_timer))
        return;
    int64_t wait = gen->state_cost > CRIER_MS ? gen->state_cost * 20 : 0;
    crier_timer_in(gen->host->loop, &gen->state_timer, wait);
}

/* --- bots -------------------------------------------------------------------------------- */

static struct bot *find_bot(struct crier_host *host, const char *name)
{
    for (guint i = 0; i < host->bots->len; i++) {
        struct bot *bot = host->bots->pdata[i];
        if (strcmp(bot->name, name) == 0)
            return bot;
    }
    return NULL;
}

struct crier_discord *crier_host_client(struct crier_host *host, const char *name)
{
    struct bot *bot = find_bot(host, name);
    return bot ? bot->client : NULL;
}

bool crier_host_bot_ready(struct crier_host *host, const char *name)
{
    struct bot *bot = find_bot(host, name);
    return !bot || bot->ready;
}

bool crier_host_bot_unreachable(struct crier_host *host, const char *name)
{
    struct bot *bot = find_bot(host, name);
    return bot && !bot->ready && bot->trouble;
}

static void free_bot(void *p)
{
    struct bot *bot = p;
    if (bot->client)
        crier_discord_free(bot->client);
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
static bool is_declared(const struct crier_host *host, const struct bot *bot)
{
    for (guint i = 0; i < host->current->bots->len; i++) {
        if (strcmp(((struct crier_bot *)host->current->bots->pdata[i])->name, bot->name) == 0)
            return true;
    }
    return false;
}

static void host_stop(struct crier_host *host, int code);

static void bot_refused(struct bot *bot, const char *why)
{
    struct crier_host *host = bot->host;
    struct crier_err err = {0};
    bot->refused = bot->ready = true;
    crier_err_set(&err, CRIER_EDENIED, "%s", why);
    crier_discord_stop(bot->client, &err);
    crier_host_system(host, CRIER_CRITICAL, "bot.refused", "bot '%s': %s", bot->name, why);
    crier_poster_bot_ready(host->poster, bot->name);
    for (guint i = 0; i < host->bots->len; i++) {
        const struct bot *other = host->bots->pdata[i];
        if (!other->refused && is_declared(host, other))
            return;
    }
    fprintf(stderr, "crier: bot '%s': %s\n", bot->name, why);
    host_stop(host, EXIT_REFUSED);
}

static void ask_me(struct bot *bot);

/* Discord cannot be reached: said at once, then each time that it has taken four times as long. */
static void not_reached(struct bot *bot, const char *why)
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
    ask_me(bot);
}

static void on_me(void *arg, const struct crier_discord_result *r)
{
    struct bot *bot = arg;
    if (r->outcome == CRIER_CANCELED)
        return;
    if (r->outcome == CRIER_RETRY) {
        not_reached(bot, r->err.text);
        return;
    }
    if (r->outcome != CRIER_SENT) {
        char why[400];
        snprintf(why, sizeof why, "Discord does not accept its token: %s", r->err.text);
        bot_refused(bot, why);
        return;
    }
    if (crier_discord_is_user(r->body)) {
        bot_refused(bot, "the token is that of a user account; automating those is against Discord's "
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

static void ask_me(struct bot *bot)
{
    crier_discord_get(bot->client, "/users/@me", crier_loop_now(bot->host->loop) + ASK_FOR, on_me,
                      bot);
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

static void adopt_bot(struct crier_host *host, const struct crier_bot *decl,
                      const struct crier_generation *gen)
{
    struct crier_err err = {0};
    char *token = bot_token(host, decl, gen, &err);
    const char *api = host->sim_api ? host->sim_api : decl->api;
    struct bot *bot = find_bot(host, decl->name);
    if (bot && token && strcmp(bot->token, token) == 0 && strcmp(bot->api, api) == 0 &&
        bot->per_second == decl->per_second) {
        explicit_bzero(token, strlen(token));
        free(token);
        return;
    }
    if (bot) {
        guint at;
        if (g_ptr_array_find(host->bots, bot, &at))
            g_ptr_array_add(host->old_bots, g_ptr_array_steal_index(host->bots, at));
    }
    bot = crier_calloc(1, sizeof *bot);
    bot->host = host;
    bot->name = crier_strdup(decl->name);
    bot->api = crier_strdup(api);
    bot->token = token ? token : crier_strdup("");
    bot->per_second = decl->per_second;
    if (host->sim)
        crier_sim_add_bot(host->sim, bot->token, bot->name);
    struct crier_discord_config config = {.name = bot->name,
                                          .api = bot->api,
                                          .token = bot->token,
                                          .global_per_second = bot->per_second,
                                          .rng_seed = crier_rng_next(&host->rng)};
    bot->client = crier_discord_new(
        host->loop, host->inline_transport ? host->inline_transport : host->http, &config);
    g_ptr_array_add(host->bots, bot);
    ask_me(bot);
}

/* The simulator's world: what the script names and no world file has. */
static void furnish_sim(struct crier_host *host, const struct crier_generation *gen)
{
    for (guint i = 0; host->sim && i < gen->targets->len; i++) {
        const struct crier_target *t = gen->targets->pdata[i];
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
}

/* --- generations ------------------------------------------------------------------------- */

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "[::1]") == 0;
}

static bool allow_host(void *owner, const char *name, char *why, size_t cap)
{
    struct crier_generation *gen = owner;
    const char *const *allowed = gen->host->config->sim_allow;
    if (is_loopback(name))
        return true;
    for (size_t i = 0; allowed && allowed[i]; i++) {
        if (strcmp(allowed[i], name) == 0)
            return true;
    }
    snprintf(why, cap, "refused in --sim: %s is not this machine (--sim-allow %s lets it through)",
             name, name);
    crier_host_system(gen->host, CRIER_LEVEL_WARNING, "sim.refused", "crier.http to %s was %s", name,
                      why);
    return false;
}

static void on_generation_free(struct crier_generation *gen)
{
    struct crier_host *host = gen->host;
    crier_timer_stop(host->loop, &gen->drain_timer);
    if (crier_timer_armed(&gen->state_timer)) {
        crier_timer_stop(host->loop, &gen->state_timer);
        if (host->state)
            crier_state_tables_save(gen);
    }
    g_ptr_array_remove(host->draining, gen);
}

static void terminate(struct crier_host *host, struct crier_generation *gen)
{
    crier_generation_ref(gen);
    crier_poster_cancel(host->poster, gen);
    crier_vm_cancel_all(gen->vm);
    crier_generation_unref(gen);
}

static void on_drain_over(struct crier_timer *timer)
{
    struct crier_generation *gen = CRIER_CONTAINER(timer, struct crier_generation, drain_timer);
    crier_host_system(gen->host, CRIER_LEVEL_WARNING, "reload.drain",
                      "what generation %u had under way was terminated: limits.drain is over",
                      gen->number);
    terminate(gen->host, gen);
}

static void retire(struct crier_host *host, struct crier_generation *gen)
{
    gen->retired = true;
    crier_poster_retire(host->poster, gen);
    gen->drain_timer.fire = on_drain_over;
    if (gen->config.limits.drain)
        crier_timer_in(host->loop, &gen->drain_timer, gen->config.limits.drain);
    g_ptr_array_add(host->draining, gen);
    crier_generation_unref(gen); /* what is under way in it holds the rest */
    for (guint i = 0; i + 2 < host->draining->len; i++)
        terminate(host, host->draining->pdata[i]);
}

/* A hook's event as a table of texts: name, value, name, value, NULL. */
static void push_texts(lua_State *L, void *arg)
{
    const char *const *texts = arg;
    lua_newtable(L);
    for (size_t i = 0; texts[i]; i += 2) {
        lua_pushstring(L, texts[i + 1]);
        lua_setfield(L, -2, texts[i]);
    }
}

static void on_sink_event(void *arg, struct crier_sink *sink, const char *what, const char *text)
{
    struct crier_host *host = arg;
    const char *name = crier_sink_name(sink);
    bool bad = strcmp(what, "ok") != 0;
    crier_host_system(host, bad ? CRIER_LEVEL_ERROR : CRIER_INFO, "sink", "sink '%s': %s%s%s", name,
                      what, text && *text ? ": " : "", text ? text : "");
    const char *texts[] = {"sink", name, "text", text ? text : "", NULL};
    if (strcmp(what, "failing") == 0)
        crier_host_hook(host, "sink.down", push_texts, texts);
    else if (!bad)
        crier_host_hook(host, "sink.up", push_texts, texts);
}

static void emit_load_logs(struct crier_host *host, struct crier_generation *gen)
{
    for (guint i = 0; i < gen->logs->len; i++) {
        const struct crier_load_log *log = gen->logs->pdata[i];
        struct crier_builder *b = &host->builder;
        crier_build_begin(b, CRIER_KIND_LOG, log->level, log->wall);
        crier_build_logger(b, log->logger, strlen(log->logger));
        crier_build_text(b, log->text, strlen(log->text));
        crier_build_where(b, log->where, strlen(log->where));
        json_t *fields = log->fields ? json_loads(log->fields, 0, NULL) : NULL, *v;
        const char *key;
        json_object_foreach(fields, key, v) {
            char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
            crier_build_json(b, key, strlen(key), text, strlen(text));
            free(text);
        }
        json_decref(fields);
        crier_host_emit(host, crier_build_end(b));
    }
    g_ptr_array_set_size(gen->logs, 0);
}

static bool has_sink(const struct crier_generation *gen, const struct crier_sink *sink)
{
    for (guint i = 0; i < gen->sinks->len; i++) {
        if (((struct crier_declared_sink *)gen->sinks->pdata[i])->sink == sink)
            return true;
    }
    return false;
}

/* No record goes to a sink any more that the new generation has changed or removed, though the old
 * one may take minutes to end. It stops before its successor starts, which may write to the same
 * files; what it cannot write by then goes to the successor by way of the spool. */
static void stop_replaced_sinks(const struct crier_generation *old,
                                const struct crier_generation *gen)
{
    for (guint i = 0; i < old->sinks->len; i++) {
        struct crier_sink *sink = ((struct crier_declared_sink *)old->sinks->pdata[i])->sink;
        if (!has_sink(gen, sink))
            crier_sink_stop(sink, HAND_OVER);
    }
}

/* The point of no return: everything before it was judged good. */
static void swap(struct crier_host *host, struct crier_generation *gen)
{
    struct crier_generation *old = host->current;
    gen->number = ++host->generations;
    gen->host = host;
    gen->on_free = on_generation_free;
    gen->vm->loop = host->loop;
    gen->vm->http = host->http;
    gen->vm->on_stall = on_stall;
    gen->vm->allow_host = host->config->sim || host->config->sim_url ? allow_host : NULL;
    gen->state_timer.fire = on_state_timer;
    crier_router_on_fault(gen->router, on_rule_fault, host);
    if (old)
        stop_replaced_sinks(old, gen);
    for (guint i = 0; i < gen->sinks->len; i++) {
        struct crier_declared_sink *s = gen->sinks->pdata[i];
        crier_sink_on_event(s->sink, on_sink_event, host);
        crier_sink_start(s->sink, host->loop);
    }
    host->current = gen;
    furnish_sim(host, gen);
    for (guint i = 0; i < gen->bots->len; i++)
        adopt_bot(host, gen->bots->pdata[i], gen);
    if (old) {
        crier_state_tables_move(old, gen);
        retire(host, old);
    }
    crier_poster_adopt(host->poster, gen, old == NULL);
    crier_state_tables_save(gen);
    if (host->watch)
        crier_watch_files(host->watch, gen->vm->files, gen->vm->file_count);
    emit_load_logs(host, gen);
}

/* --- reload ------------------------------------------------------------------------------ */

static struct crier_build build_config(const struct crier_host *host)
{
    return (struct crier_build){
        .file = host->config->file,
        .state_folder = host->config->state_folder,
        .clock = host->clock,
        .sim = host->config->sim || host->config->sim_url,
        .need_secrets = !host->config->sim && !host->config->sim_url,
    };
}

struct build_job {
    uv_work_t work;
    struct crier_host *host;
    struct crier_build build;
    GHashTable *stored; /* crier.state as it was when the build began */
    struct crier_generation *gen;
    struct crier_buf diff;
    struct crier_diff_counts counts;
    int64_t began;
    char *file, *state_folder;
};

static char *stored_state(void *arg, const char *folder, const char *key)
{
    struct build_job *job = arg;
    (void)folder;
    return crier_strdup(g_hash_table_lookup(job->stored, key));
}

static void remember_state(void *arg, const char *key, const char *json)
{
    g_hash_table_insert(arg, crier_strdup(key), crier_strdup(json));
}

static void build_work(uv_work_t *work)
{
    struct build_job *job = work->data;
    struct crier_err err = {0};
    bool budget = crier_budget_thread(true, &err) == 0;
    job->gen = crier_generation_build(&job->build);
    /* Here, not on the loop: what both generations declare does not change any more. */
    crier_buf_puts(&job->diff, "");
    if (!job->gen->diags.errors)
        crier_generation_diff(job->build.previous, job->gen, &job->diff, &job->counts);
    if (budget && crier_budget_thread(false, &err) != 0)
        fprintf(stderr, "crier: %s\n", err.text);
}

static json_t *diags_json(struct crier_diags *diags)
{
    json_t *list = json_array();
    for (size_t i = 0; i < diags->count; i++) {
        struct crier_buf b = {0};
        crier_diag_json(&diags->items[i], &b);
        json_array_append_new(list, json_loads(b.data, 0, NULL));
        crier_buf_fini(&b);
    }
    return list;
}

static void answer(struct crier_host *host, int code, json_t *extra)
{
    for (guint i = 0; i < host->waiting->len; i++) {
        struct crier_control_conn *conn = host->waiting->pdata[i];
        crier_control_finish(conn, code, json_deep_copy(extra));
        crier_control_unref(conn);
    }
    g_ptr_array_set_size(host->waiting, 0);
    json_decref(extra);
}

static void reload_refused(struct crier_host *host, struct crier_generation *gen)
{
    bool color;
    enum crier_diag_format format = crier_diag_format_for(stderr, &color);
    crier_diags_print(&gen->diags, stderr, format, color);
    for (guint i = 0; i < gen->logs->len; i++) {
        const struct crier_load_log *log = gen->logs->pdata[i];
        fprintf(stderr, "%s: %s: %s\n", log->where, crier_level_name(log->level), log->text);
    }
    fprintf(stderr, "reload refused: config %s keeps running\n", host->current->hash);
    struct crier_buf first = {0};
    for (size_t i = 0; i < gen->diags.count && !first.len; i++) {
        if (gen->diags.items[i].severity == CRIER_ERROR)
            crier_diag_text(&gen->diags.items[i], &first);
    }
    free(host->last_error);
    host->last_error = crier_strdup(first.data);
    crier_host_system(host, CRIER_LEVEL_ERROR, "reload.failed",
                      "reload refused, generation %u keeps running: %s", host->current->number,
                      first.data);
    const char *texts[] = {"error", first.data ? first.data : "", NULL};
    crier_host_hook(host, "reload.failed", push_texts, texts);
    answer(host, EXIT_CONFIG,
           json_pack("{s:o, s:s, s:i}", "problems", diags_json(&gen->diags), "running",
                     host->current->hash, "generation", (int)host->current->number));
    crier_buf_fini(&first);
}

static void reload_done(struct build_job *job)
{
    struct crier_host *host = job->host;
    struct crier_generation *gen = job->gen, *old = host->current;
    if (gen->diags.errors) {
        reload_refused(host, gen);
        crier_generation_unref(gen);
        return;
    }
    const struct crier_diff_counts *counts = &job->counts;
    char from[8];
    snprintf(from, sizeof from, "%s", old->hash);
    int64_t began = crier_loop_now(host->loop);
    swap(host, gen);
    host->reloads++;
    free(host->last_error);
    host->last_error = NULL;
    int64_t now = crier_loop_now(host->loop);
    crier_host_system(host, CRIER_INFO, "reload",
                      "reloaded %s -> %s: %d added, %d changed, %d removed, %d kept", from,
                      gen->hash, counts->added, counts->changed, counts->removed, counts->kept);
    const char *texts[] = {"from", from, "to", gen->hash, "diff", job->diff.data, NULL};
    crier_host_hook(host, "reload", push_texts, texts);
    answer(host, 0,
           json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:i, s:o}", "diff",
                     job->diff.data, "from", from, "to", gen->hash, "added", counts->added,
                     "changed", counts->changed, "removed", counts->removed, "kept", counts->kept,
                     "took", (double)(now - job->began) / 1e6, "blocked", (double)(now - began) / 1e6,
                     "generation", (int)gen->number, "problems", diags_json(&gen->diags)));
}

static void reload(struct crier_host *host);

static void build_after(uv_work_t *work, int status)
{
    struct build_job *job = work->data;
    struct crier_host *host = job->host;
    (void)status;
    if (host->stopping) {
        crier_generation_unref(job->gen);
        answer(host, 75, json_pack("{s:s}", "error", "the host is stopping"));
    } else {
        reload_done(job);
    }
    crier_generation_unref((struct crier_generation *)job->build.previous);
    g_hash_table_destroy(job->stored);
    crier_buf_fini(&job->diff);
    free(job->file);
    free(job);
    host->job = NULL;
    GPtrArray *next = host->waiting_next;
    host->waiting_next = host->waiting;
    host->waiting = next;
    if (host->again && !host->stopping) {
        host->again = false;
        reload(host);
    } else if (host->stopping) {
        answer(host, 75, json_pack("{s:s}", "error", "the host is stopping"));
        check_idle(host);
    }
}

static void reload(struct crier_host *host)
{
    if (host->job || host->stopping) {
        host->again = true;
        return;
    }
    struct build_job *job = crier_calloc(1, sizeof *job);
    host->job = job;
    job->work.data = job;
    job->host = host;
    job->began = crier_loop_now(host->loop);
    if (host->watch)
        crier_watch_mark(host->watch);
    crier_state_tables_save(host->current);
    job->stored = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
    crier_state_each(host->state, "state", remember_state, job->stored);
    job->build = build_config(host);
    job->build.open_sinks = true;
    job->build.previous = crier_generation_ref(host->current);
    job->build.state_get = stored_state;
    job->build.arg = job;
    if (crier_loop_uv(host->loop)) {
        uv_queue_work(crier_loop_uv(host->loop), &job->work, build_work, build_after);
    } else {
        build_work(&job->work);
        build_after(&job->work, 0);
    }
}

static void on_changed(void *arg)
{
    reload(arg);
}

/* --- control ----------------------------------------------------------------------------- */

static json_t *sink_status(struct crier_host *host)
{
    json_t *list = json_array();
    for (guint i = 0; i < host->current->sinks->len; i++) {
        struct crier_declared_sink *s = host->current->sinks->pdata[i];
        struct crier_sink_stats st;
        crier_sink_stats(s->sink, &st);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s}", "name",
                            s->name, "kind", s->driver->kind, "accepted", (json_int_t)st.accepted,
                            "written", (json_int_t)st.written, "rejected", (json_int_t)st.rejected,
                            "dropped", (json_int_t)st.dropped, "retries", (json_int_t)st.retries,
                            "queued", (json_int_t)st.queued, "spilled", (json_int_t)st.spilled,
                            "failing", st.failing, "error", st.last_error));
    }
    return list;
}

static json_t *bot_status(struct crier_host *host)
{
    json_t *list = json_array();
    for (guint i = 0; i < host->bots->len; i++) {
        struct bot *bot = host->bots->pdata[i];
        struct crier_discord_stats st;
        if (!is_declared(host, bot))
            continue;
        crier_discord_stats(bot->client, &st);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:i}", "name", bot->name,
                            "account", bot->me ? bot->me : bot->trouble ? bot->trouble : "", "state",
                            bot->refused ? "refused" : bot->ready ? "ready" : "connecting",
                            "requests", (json_int_t)st.requests, "sent", (json_int_t)st.sent,
                            "retries", (json_int_t)st.retries, "hits_429", (json_int_t)st.hits_429,
                            "invalid_10min", (int)st.invalid_10min, "pending", (int)st.pending));
    }
    return list;
}

static json_t *message_status(struct crier_host *host, bool all)
{
    json_t *list = json_array();
    struct crier_generation *gen = host->current;
    guint n = all || gen->messages->len < 100 ? gen->messages->len : 100;
    for (guint i = 0; i < n; i++) {
        const struct crier_message *m = gen->messages->pdata[i];
        char label[120], period[128];
        if (!m->state)
            continue;
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:b}", "name",
                              crier_message_label(m, label, sizeof label), "key", m->key, "mode",
                              crier_mode_name(m->mode), "period",
                              crier_period_text(&m->period, period), "sent",
                              (json_int_t)m->state->sent, "failed", (json_int_t)m->state->failed,
                              "skipped", (json_int_t)m->state->skipped, "ended", m->state->ended,
                              "sending", m->state->send != NULL);
        if (!m->state->ended)
            json_object_set_new(o, "due", json_real((double)m->state->due / 1e6));
        json_array_append_new(list, o);
    }
    return list;
}

static void cmd_status(struct crier_host *host, struct crier_control_conn *conn, json_t *request)
{
    struct crier_generation *gen = host->current;
    struct crier_poster_stats st;
    crier_poster_stats(host->poster, &st);
    double up = (double)(crier_clock_wall(host->clock) - host->started_wall) / 1e6;
    json_t *extra = json_pack(
        "{s:s, s:i, s:f, s:s, s:s, s:i, s:i, s:i, s:b, s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:o, s:o, "
        "s:o}",
        "version", CRIER_VERSION, "pid", (int)getpid(), "up", up, "file", gen->path, "config",
        gen->hash, "generation", (int)gen->number, "reloads", (int)host->reloads, "draining",
        (int)host->draining->len, "sim", host->config->sim || host->config->sim_url, "messages_total",
        (int)gen->messages->len, "sent", (json_int_t)st.sent, "failed", (json_int_t)st.failed,
        "skipped", (json_int_t)st.skipped, "late_max", (double)st.late_max / 1e6, "late_p50",
        (double)st.late_p50 / 1e6, "late_p99", (double)st.late_p99 / 1e6, "lua_memory",
        (json_int_t)gen->vm->memory_used, "bots", bot_status(host), "sinks", sink_status(host),
        "messages", message_status(host, json_is_true(json_object_get(request, "all"))));
    if (host->last_error)
        json_object_set_new(extra, "last_error", json_string(host->last_error));
    if (host->sim_api)
        json_object_set_new(extra, "sim_api", json_string(host->sim_api));
    crier_control_finish(conn, 0, extra);
}

static void cmd_reload(struct crier_host *host, struct crier_control_conn *conn)
{
    crier_control_ref(conn);
    g_ptr_array_add(host->job ? host->waiting_next : host->waiting, conn);
    reload(host);
}

static void on_request(void *arg, struct crier_control_conn *conn, json_t *request)
{
    struct crier_host *host = arg;
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    if (host->stopping)
        crier_control_finish(conn, 75, json_pack("{s:s}", "error", "the host is stopping"));
    else if (cmd && strcmp(cmd, "status") == 0)
        cmd_status(host, conn, request);
    else if (cmd && strcmp(cmd, "reload") == 0)
        cmd_reload(host, conn);
    else
        crier_control_finish(conn, 64, json_pack("{s:s}", "error", "unknown command"));
}

/* --- stopping ---------------------------------------------------------------------------- */

static void finish_stop(struct crier_host *host)
{
    /* A build cannot be interrupted, only waited for: the load limit bounds it. */
    if (host->stopped || host->job)
        return;
    host->stopped = true;
    crier_loop_stop(host->loop);
}

static bool calls_alive(struct crier_host *host)
{
    if (host->current && host->current->vm->calls)
        return true;
    for (guint i = 0; i < host->draining->len; i++) {
        if (((struct crier_generation *)host->draining->pdata[i])->vm->calls)
            return true;
    }
    return false;
}

static void check_idle(void *arg)
{
    struct crier_host *host = arg;
    if (host->stopping && (host->over || (crier_poster_pending(host->poster) == 0 &&
                                          !calls_alive(host))))
        finish_stop(host);
}

static void on_poster_idle(void *arg)
{
    struct crier_host *host = arg;
    if (host->stopping)
        crier_loop_post(host->loop, check_idle, host);
}

static void on_stop_over(struct crier_timer *timer)
{
    struct crier_host *host = CRIER_CONTAINER(timer, struct crier_host, stop_timer);
    if (host->cut_off) {
        host->over = true;
        finish_stop(host);
        return;
    }
    /* Cut off what is under way; that ends within moments, and is waited for. */
    host->cut_off = true;
    crier_poster_cancel(host->poster, NULL);
    crier_vm_cancel_all(host->current->vm);
    for (guint i = 0; i < host->draining->len; i++)
        crier_vm_cancel_all(((struct crier_generation *)host->draining->pdata[i])->vm);
    crier_timer_in(host->loop, &host->stop_timer, CUT_OFF);
    crier_loop_post(host->loop, check_idle, host);
}

static void host_stop(struct crier_host *host, int code)
{
    if (host->stopping)
        return;
    host->code = code;
    crier_timer_stop(host->loop, &host->for_timer);
    crier_host_system(host, CRIER_INFO, "stop", "stopping");
    crier_host_hook(host, "stop", NULL, NULL);
    host->stopping = true;
    crier_poster_drop_waiting(host->poster);
    host->stop_timer.fire = on_stop_over;
    crier_timer_in(host->loop, &host->stop_timer,
                   host->current ? host->current->config.limits.stop : 0);
    crier_loop_post(host->loop, check_idle, host);
}

static void on_for_over(struct crier_timer *timer)
{
    host_stop(CRIER_CONTAINER(timer, struct crier_host, for_timer), 0);
}

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

static void on_signal(uv_signal_t *handle, int number)
{
    struct crier_host *host = handle->data;
    if ((number == SIGTERM || number == SIGINT) && host->stopping) {
        on_stop_over(&host->stop_timer); /* asked twice: at once */
    } else if (number == SIGTERM || number == SIGINT) {
        host_stop(host, 0);
    } else if (number == SIGHUP) {
        reload(host);
    } else if (number == SIGUSR1) {
        for (guint i = 0; i < host->current->sinks->len; i++)
            crier_sink_reopen(((struct crier_declared_sink *)host->current->sinks->pdata[i])->sink);
    }
}

static void watch_signals(struct crier_host *host)
{
    if (!crier_loop_uv(host->loop))
        return;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is a full disk, not the end */
    for (int i = 0; i < (int)CRIER_COUNT(signal_numbers); i++) {
        uv_signal_init(crier_loop_uv(host->loop), &host->signals[i]);
        host->signals[i].data = host;
        uv_signal_start(&host->signals[i], on_signal, signal_numbers[i]);
        host->signal_count++;
    }
}

/* --- starting ---------------------------------------------------------------------------- */

static int say(const char *where, const struct crier_err *err, int code)
{
    fprintf(stderr, "crier: %s%s\n", where, err->text);
    return code;
}

struct first_state {
    struct crier_state *state;
    char *folder;
};

/* crier.state while the first generation loads: the store is opened to read, if it is there. */
static char *first_state_get(void *arg, const char *folder, const char *key)
{
    struct first_state *first = arg;
    if (!first->folder) {
        struct crier_err err = {0};
        first->folder = crier_strdup(folder);
        if (crier_state_open(folder, true, &first->state, &err) != 0)
            first->state = NULL; /* absent, or the host's own open will say what is wrong */
    }
    return first->state ? crier_strdup(crier_state_get(first->state, "state", key)) : NULL;
}

static struct crier_generation *first_generation(struct crier_host *host)
{
    struct first_state first = {0};
    struct crier_build build = build_config(host);
    build.state_get = first_state_get;
    build.arg = &first;
    struct crier_generation *gen = crier_generation_build(&build);
    if (first.state)
        crier_state_close(first.state);
    free(first.folder);
    return gen;
}

static int start_sim(struct crier_host *host)
{
    const struct crier_host_config *c = host->config;
    struct crier_err err = {0};
    if (c->sim_url) {
        host->sim_api = crier_asprintf("%s%s", c->sim_url, strstr(c->sim_url, "/api/") ? "" : "/api/v10");
        return 0;
    }
    if (!c->sim)
        return 0;
    struct crier_sim_config sim = {.seed = crier_rng_next(&host->rng), .limits = !c->sim_no_limits,
                                   .latency = CRIER_MS};
    host->sim = crier_sim_new(host->loop, &sim);
    if (c->world && crier_sim_load_world(host->sim, c->world, &err) != 0) {
        crier_err_prefix(&err, "world file '%s': ", c->world);
        return say("", &err, EXIT_CONFIG);
    }
    if (c->sim_inline) {
        host->inline_transport = crier_sim_transport(host->sim, host->loop);
        host->sim_api = crier_strdup("http://127.0.0.1/api/v10");
        return 0;
    }
    int port = 0;
    if (crier_sim_server_start(host->sim, host->loop, &port, &host->sim_server, &err) != 0)
        return say("the simulator cannot start: ", &err, EXIT_INTERNAL);
    host->sim_api = crier_asprintf("http://127.0.0.1:%d/api/v10", port);
    return 0;
}

static int open_state(struct crier_host *host, struct crier_generation *gen)
{
    struct crier_err err = {0};
    host->state_folder = crier_generation_state_folder(
        gen, host->config->state_folder, host->config->sim || host->config->sim_url);
    int rc = crier_state_lock(host->state_folder, &host->lock, &err);
    if (rc != 0)
        return say("", &err, rc == CRIER_EBUSY ? EXIT_IN_USE : EXIT_CONFIG);
    rc = crier_state_open(host->state_folder, false, &host->state, &err);
    if (rc != 0)
        return say("", &err, EXIT_CONFIG);
    crier_state_start(host->state, host->loop);
    const char *seq = crier_state_get(host->state, "host", "seq");
    host->source.seq = seq ? strtoull(seq, NULL, 10) : 0;
    return 0;
}

static void start_source(struct crier_host *host, const struct crier_generation *gen)
{
    char name[256] = "localhost";
    gethostname(name, sizeof name - 1);
    uint64_t seed = crier_rng_next(&host->rng), seq = host->source.seq;
    crier_source_init(&host->source, gen->config.node ? gen->config.node : name,
                      host->config->sim || host->config->sim_url,
                      crier_clock_is_virtual(host->clock) ? &seed : NULL);
    host->source.seq = seq;
    crier_builder_init(&host->builder, &host->source);
    crier_builder_init(&host->spare, &host->source);
}

static void on_clock_set(void *arg, int64_t jump_us)
{
    struct crier_host *host = arg;
    char text[48];
    crier_host_system(host, CRIER_LEVEL_WARNING, "clock", "the clock was set %s by %s",
                      jump_us < 0 ? "back" : "forward",
                      crier_duration_text(jump_us < 0 ? -jump_us : jump_us, text));
    if (host->current)
        crier_poster_clock_set(host->poster, host->current, jump_us);
}

static int host_start(struct crier_host *host)
{
    const struct crier_host_config *c = host->config;
    struct crier_err err = {0};
    bool color;
    int code;
    if (access(c->file, R_OK) != 0) {
        crier_err_sys(&err, CRIER_ENOTFOUND, errno, "cannot read '%s'", c->file);
        return say("", &err, EXIT_NO_FILE);
    }
    struct crier_generation *gen = first_generation(host);
    enum crier_diag_format format =
        c->json ? CRIER_DIAG_JSON : crier_diag_format_for(stderr, &color);
    if (c->json)
        color = false;
    if (gen->diags.errors || gen->diags.warnings)
        crier_diags_print(&gen->diags, stderr, format, color);
    code = gen->diags.errors ? EXIT_CONFIG : 0;
    if (code == 0)
        code = open_state(host, gen);
    if (code == 0)
        code = start_sim(host);
    if (code != 0)
        goto fail;
    start_source(host, gen);
    host->http = crier_transport_curl(host->loop);
    host->poster = crier_poster_new(host);
    crier_poster_on_idle(host->poster, on_poster_idle, host);
    crier_poster_load(host->poster);

    int errors = gen->diags.errors;
    struct crier_build build = build_config(host);
    crier_generation_open(gen, &build);
    if (gen->diags.errors != errors) {
        crier_diags_print(&gen->diags, stderr, format, color);
        code = EXIT_CONFIG;
        goto fail;
    }
    if (crier_loop_uv(host->loop)) {
        if (crier_control_serve(host->loop, host->state_folder, on_request, host, &host->control,
                                &err) != 0) {
            code = say("", &err, EXIT_CONFIG);
            goto fail;
        }
        if (c->watch)
            host->watch = crier_watch_new(host->loop, on_changed, host);
    }
    watch_signals(host);
    crier_loop_on_clock_set(host->loop, on_clock_set, host);
    swap(host, gen);
    crier_host_system(host, CRIER_INFO, "start", "started %s (%s), %u message%s%s", gen->file,
                      gen->hash, gen->messages->len, gen->messages->len == 1 ? "" : "s",
                      host->sim_api ? ", against the simulator" : "");
    crier_host_hook(host, "start", NULL, NULL);
    if (c->run_for) {
        host->for_timer.fire = on_for_over;
        crier_timer_in(host->loop, &host->for_timer, c->run_for);
    }
    return 0;
fail:
    crier_generation_unref(gen);
    return code;
}

/* Everything that is left to say and to write, in order, then everything is freed. */
static void host_end(struct crier_host *host)
{
    int64_t within = host->current ? host->current->config.limits.stop : 0;
    crier_watch_free(host->watch);
    crier_control_stop(host->control);
    for (int i = 0; i < host->signal_count; i++) {
        uv_close((uv_handle_t *)&host->signals[i], NULL);
        /* What is left takes limits.stop at most; a signal must not cut it off half way. */
        signal(signal_numbers[i], SIG_IGN);
    }
    crier_timer_stop(host->loop, &host->stop_timer);
    crier_timer_stop(host->loop, &host->for_timer);
    if (host->current) {
        /* Requests that were cut off end now, and are recorded. */
        crier_poster_stop_names(host->poster);
        for (guint i = 0; i < host->bots->len; i++) {
            struct bot *bot = host->bots->pdata[i];
            crier_discord_free(bot->client);
            bot->client = NULL;
        }
        crier_vm_cancel_all(host->current->vm);
        crier_poster_retire(host->poster, host->current);
        crier_state_tables_save(host->current);
        crier_timer_stop(host->loop, &host->current->state_timer);
        for (guint i = 0; i < host->current->sinks->len; i++) {
            /* One that is failing gets a last try; what it is owed stays in its spill file. */
            struct crier_sink *sink =
                ((struct crier_declared_sink *)host->current->sinks->pdata[i])->sink;
            struct crier_sink_stats st;
            crier_sink_stats(sink, &st);
            crier_sink_stop(sink, st.failing && within > CUT_OFF ? CUT_OFF : within);
        }
    }
    for (guint i = 0; i < host->old_bots->len; i++) {
        struct bot *bot = host->old_bots->pdata[i];
        crier_discord_free(bot->client);
        bot->client = NULL;
    }
    struct crier_generation *gen = host->current;
    host->current = NULL;
    crier_generation_unref(gen);
    /* Generations are freed by posted work. */
    crier_loop_run(host->loop, crier_loop_now(host->loop));
}

int crier_host_run(const struct crier_host_config *config)
{
    struct crier_host host = {.config = config, .lock = -1};
    struct crier_err err = {0};
    host.clock = config->clock ? config->clock : crier_clock_real();
    host.loop = crier_loop_new(host.clock);
    host.started_wall = crier_clock_wall(host.clock);
    host.bots = g_ptr_array_new_with_free_func(free_bot);
    host.old_bots = g_ptr_array_new_with_free_func(free_bot);
    host.draining = g_ptr_array_new();
    host.waiting = g_ptr_array_new();
    host.waiting_next = g_ptr_array_new();
    crier_rng_seed_system(&host.rng);
    if (crier_budget_thread(true, &err) != 0) {
        say("", &err, EXIT_INTERNAL);
        return EXIT_INTERNAL;
    }
    int code = host_start(&host);
    if (code == 0) {
        crier_loop_run(host.loop, CRIER_NEVER);
        code = host.code;
    }
    host_end(&host);
    if (host.sim && config->transcript && code == 0) {
        struct crier_buf text = {0};
        putchar('\n');
        crier_sim_transcript(host.sim, 8, isatty(1) && !getenv("NO_COLOR"), &text);
        fwrite(text.data ? text.data : "", 1, text.len, stdout);
        fflush(stdout);
        crier_buf_fini(&text);
    }
    g_ptr_array_free(host.bots, TRUE);
    g_ptr_array_free(host.old_bots, TRUE);
    if (host.inline_transport)
        host.inline_transport->ops->free(host.inline_transport);
    if (host.http)
        host.http->ops->free(host.http);
    if (host.sim_server)
        crier_sim_server_stop(host.sim_server);
    if (host.sim)
        crier_sim_free(host.sim);
    if (host.state) {
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)host.source.seq);
        crier_state_put(host.state, "host", "seq", text, NULL, NULL);
        struct crier_state *state = host.state;
        host.state = NULL;
        crier_state_close(state);
    }
    crier_loop_free(host.loop);
    crier_poster_free(host.poster);
    if (host.source.node) {
        crier_builder_fini(&host.builder);
        crier_builder_fini(&host.spare);
        crier_source_fini(&host.source);
    }
    crier_state_unlock(host.lock);
    if (crier_budget_thread(false, &err) != 0)
        fprintf(stderr, "crier: %s\n", err.text);
    g_ptr_array_free(host.draining, TRUE);
    g_ptr_array_free(host.waiting, TRUE);
    g_ptr_array_free(host.waiting_next, TRUE);
    free(host.state_folder);
    free(host.sim_api);
    free(host.last_error);
    return code;
}
