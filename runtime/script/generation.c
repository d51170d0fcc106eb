/* SPDX-License-Identifier: MIT */
#include "script/pattern.h"
#include "script/reply.h"
#include "script/generation.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#include "host/host.h"
#include "script/alert.h"
#include "script/declare.h"
#include "script/event.h"
#include "script/message.h"
#include "script/sugar.h"
#include "script/task.h"
#include "script/text_function.h"

/* --- small things ------------------------------------------------------------------------ */

struct crier_secret *crier_secret_new(int kind, const char *name)
{
    struct crier_secret *secret = crier_calloc(1, sizeof *secret);
    secret->kind = kind;
    secret->name = crier_strdup(name);
    return secret;
}

static void wipe_free(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void crier_secret_free(struct crier_secret *secret)
{
    if (!secret)
        return;
    wipe_free(secret->name);
    free(secret);
}

char *crier_secret_read(const struct crier_secret *secret, const char *folder,
                        struct crier_err *err)
{
    if (secret->kind == CRIER_SECRET_TEXT)
        return crier_strdup(secret->name);
    if (secret->kind == CRIER_SECRET_ENV) {
        const char *value = getenv(secret->name);
        if (!value || !*value) {
            crier_err_set(err, CRIER_ENOTFOUND, "the environment variable %s is not set",
                          secret->name);
            return NULL;
        }
        return crier_strdup(value);
    }
    if (secret->kind == CRIER_SECRET_CREDENTIAL) {
        folder = getenv("CREDENTIALS_DIRECTORY");
        if (!folder) {
            crier_err_set(err, CRIER_ENOTFOUND,
                          "there is no credential '%s': $CREDENTIALS_DIRECTORY is not set "
                          "(LoadCredential= in the systemd unit)",
                          secret->name);
            return NULL;
        }
    }
    char *path = crier_path_join(folder, secret->name);
    struct crier_buf b = {0};
    char *value = NULL;
    if (crier_file_read(path, 64 * 1024, &b, err) == 0) {
        while (b.len && strchr(" \t\r\n", b.data[b.len - 1]))
            b.data[--b.len] = '\0';
        if (b.len)
            value = crier_strdup(b.data);
        else
            crier_err_set(err, CRIER_ENOTFOUND, "the secret file '%s' is empty", path);
    }
    if (b.data)
        explicit_bzero(b.data, b.cap);
    crier_buf_fini(&b);
    free(path);
    return value;
}

/* No address begins with this byte. */
#define REFERENCE '\001'

char *crier_secret_reference(const struct crier_secret *secret)
{
    return crier_asprintf("%c%d%s", REFERENCE, (int)secret->kind, secret->name);
}

bool crier_is_secret_reference(const char *text)
{
    return text && text[0] == REFERENCE;
}

char *crier_secret_resolve(const char *reference, const char *folder, struct crier_err *err)
{
    struct crier_secret secret = {.kind = reference[1] - '0', .name = (char *)reference + 2};
    return crier_secret_read(&secret, folder, err);
}

const char *crier_message_type_name(enum crier_message_type type)
{
    return type == CRIER_TEXT_MESSAGE ? "TextMESSAGE" : "DirectMESSAGE";
}

const char *crier_mode_name(enum crier_mode mode)
{
    static const char *const names[] = {"send", "edit", "clear-send"};
    return names[mode];
}

const char *crier_message_label(const struct crier_message *m, char *out, size_t cap)
{
    if (m->name)
        snprintf(out, cap, "%s", m->name);
    else
        snprintf(out, cap, "%s at %s:%d", crier_message_type_name(m->type), m->file ? m->file : "?",
                 m->line);
    return out;
}

/* Where a declaration stands: the call of `callee` on a line of a file. */
struct place {
    const char *file;
    int line;
    const char *callee;
};

static void problem(struct crier_generation *gen, enum crier_severity severity,
                    const struct place *at, const char *object, const char *help, const char *fmt,
                    ...) CRIER_PRINTF(6, 7);

static void problem(struct crier_generation *gen, enum crier_severity severity,
                    const struct place *at, const char *object, const char *help, const char *fmt,
                    ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    crier_place_problem(gen, severity, at->file, at->line, at->callee, NULL, object, text, help);
}

static void message_problem(struct crier_message *m, enum crier_severity severity, const char *key,
                            const char *help, const char *text)
{
    char label[120], object[160];
    snprintf(object, sizeof object, "message '%s'", crier_message_label(m, label, sizeof label));
    crier_place_problem(m->gen, severity, m->file, m->line, crier_message_type_name(m->type), key,
                        object, text, help);
}

static void sink_problem(struct crier_generation *gen, enum crier_severity severity,
                         const struct crier_declared_sink *s, const char *help, const char *text)
{
    char object[120], callee[64];
    snprintf(object, sizeof object, "sink '%.80s'", s->name);
    snprintf(callee, sizeof callee, "sink.%s", s->driver->kind);
    crier_place_problem(gen, severity, s->file ? s->file : gen->file, s->line, callee, NULL, object,
                        text, help);
}

/* "bot.lua:14" -> its parts; file is cut out of where in place. */
static int split_place(const char *where, char *file, size_t cap)
{
    snprintf(file, cap, "%s", where);
    char *colon = strrchr(file, ':');
    if (!colon)
        return 0;
    *colon = '\0';
    return atoi(colon + 1);
}

/* --- freeing ----------------------------------------------------------------------------- */

static void free_bot(void *p)
{
    struct crier_bot *bot = p;
    free(bot->name);
    crier_secret_free(bot->token);
    free(bot->api);
    free(bot->presence);
    free(bot->where);
    free(bot);
}

static void free_target(void *p)
{
    crier_target_unref(p);
}

static void free_message(void *p)
{
    crier_message_unref(p);
}

static void free_declared_sink(void *p)
{
    struct crier_declared_sink *s = p;
    free(s->name);
    crier_options_fini(&s->common);
    crier_options_fini(&s->options);
    crier_sink_unref(s->sink);
    free(s);
}

static void free_rule(void *p)
{
    struct crier_rule *rule = p;
    if (rule->free_arg)
        rule->free_arg(rule->arg);
    crier_query_free(rule->query);
    crier_query_free(rule->unless);
    free(rule->to);
    free(rule->where);
    free(rule);
}

static void free_transform(void *p)
{
    struct crier_transform *transform = p;
    if (transform->free_arg)
        transform->free_arg(transform->arg);
    free(transform->where);
    free(transform);
}

static void free_hook(void *p)
{
    struct crier_hook *hook = p;
    free(hook->event);
    free(hook->where);
    free(hook);
}

bool crier_generation_has_alerts(const struct crier_generation *gen)
{
    return gen->alerts->len > 0;
}

static void free_state_table(void *p)
{
    struct crier_state_table *t = p;
    free(t->key);
    free(t->loaded);
    free(t->saved);
    free(t);
}

static void free_load_log(void *p)
{
    crier_record_unref(p);
}

static void free_srcmap(void *map)
{
    crier_srcmap_free(map);
}

struct crier_generation *crier_generation_ref(struct crier_generation *gen)
{
    gen->refs++;
    return gen;
}

static void destroy(void *arg)
{
    struct crier_generation *gen = arg;
    gen->dying = false;
    if (gen->refs > 0)
        return; /* taken up again meanwhile */
    if (gen->on_free)
        gen->on_free(gen);
    crier_vm_free(gen->vm);
    gen->vm = NULL;
    g_ptr_array_free(gen->late_messages, TRUE);
    g_ptr_array_free(gen->late_targets, TRUE);
    crier_diags_fini(&gen->late_diags);
    crier_router_free(gen->router);
    g_ptr_array_free(gen->rules, TRUE);
    g_ptr_array_free(gen->transforms, TRUE);
    g_ptr_array_free(gen->targets, TRUE);
    g_ptr_array_free(gen->messages, TRUE);
    g_ptr_array_free(gen->tasks, TRUE);
    g_ptr_array_free(gen->sinks, TRUE);
    g_ptr_array_free(gen->bots, TRUE);
    g_ptr_array_free(gen->hooks, TRUE);
    g_ptr_array_free(gen->states, TRUE);
    g_ptr_array_free(gen->alerts, TRUE);
    g_ptr_array_free(gen->responders, TRUE);
    g_ptr_array_free(gen->logs, TRUE);
    g_hash_table_destroy(gen->log_levels);
    if (gen->secret_env)
        g_hash_table_destroy(gen->secret_env);
    for (size_t i = 0; i < CRIER_COUNT(gen->builders); i++)
        crier_builder_fini(&gen->builders[i]);
    g_hash_table_destroy(gen->srcmaps);
    g_hash_table_destroy(gen->strings);
    crier_zone_unref(gen->zone);
    crier_diags_fini(&gen->diags);
    free(gen->config.timezone);
    free(gen->config.node);
    free(gen->config.state);
    free(gen->file);
    free(gen->path);
    free(gen->folder);
    free(gen);
}

void crier_generation_unref(struct crier_generation *gen)
{
    if (!gen || --gen->refs > 0 || gen->dying)
        return;
    gen->dying = gen->host != NULL;
    if (gen->host)
        crier_loop_post(crier_host_loop(gen->host), destroy, gen);
    else
        destroy(gen);
}

/* --- identity ---------------------------------------------------------------------------- */

static char *base_key(const struct crier_message *m, const char *name)
{
    const struct crier_target *t = m->target;
    struct crier_buf b = {0};
    if (t->bot && strcmp(t->bot->name, "bot") != 0)
        crier_buf_printf(&b, "%s:", t->bot->name);
    if (t->match)
        crier_buf_printf(&b, "GUILDS %s/", crier_pattern_text(t->match));
    else
        crier_buf_printf(&b, "%s %llu/", t->type == CRIER_GUILD ? "GUILD" : "USER",
                         (unsigned long long)t->id);
    if (name) {
        crier_buf_puts(&b, name);
    } else {
        crier_buf_printf(&b, "%s:%s:", crier_message_type_name(m->type), crier_mode_name(m->mode));
        for (size_t i = 0; i < m->channel_count; i++)
            crier_buf_printf(&b, "%s%llu", i ? "," : "", (unsigned long long)m->channels[i]);
        if (m->match)
            crier_buf_puts(&b, crier_pattern_text(m->match));
    }
    return crier_buf_take(&b);
}

char *crier_message_key(const struct crier_message *m, int ordinal)
{
    char *base = base_key(m, m->name);
    if (m->name)
        return base;
    char *key = crier_asprintf("%s:%d", base, ordinal);
    free(base);
    return key;
}

/* Of all messages. */
static void give_keys(struct crier_generation *gen)
{
    GHashTable *seen = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTable *ordinals = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    for (guint i = 0; i < gen->messages->len; i++) {
        struct crier_message *m = gen->messages->pdata[i];
        if (!m->target)
            continue;
        int n = 0;
        if (!m->name) {
            char *base = base_key(m, NULL);
            n = GPOINTER_TO_INT(g_hash_table_lookup(ordinals, base)) + 1;
            g_hash_table_insert(ordinals, base, GINT_TO_POINTER(n));
        }
        m->key = crier_message_key(m, n);
        struct crier_message *other = g_hash_table_lookup(seen, m->key);
        if (other) {
            char text[160];
            snprintf(text, sizeof text,
                     "there is a message of this name in the same %s already, at %s:%d",
                     m->target->type == CRIER_GUILD ? "GUILD" : "USER",
                     other->file ? other->file : "?", other->line);
            message_problem(m, CRIER_ERROR, "name", "give each a name of its own", text);
        } else {
            g_hash_table_insert(seen, m->key, m);
        }
    }
    for (guint i = 0; i < gen->messages->len; i++) {
        struct crier_message *m = gen->messages->pdata[i];
        if (!m->was || !m->target)
            continue;
        char *old = base_key(m, m->was);
        if (g_hash_table_contains(seen, old))
            message_problem(m, CRIER_ERROR, "was", "remove 'was', or rename the other one",
                            "option 'was' names a message that is declared too");
        free(old);
    }
    g_hash_table_destroy(seen);
    g_hash_table_destroy(ordinals);
}

/* --- judging ----------------------------------------------------------------------------- */

/* The only bot sends for whoever names none, wherever in the script it is declared. */
static void choose_bots(struct crier_generation *gen)
{
    for (guint i = 0; i < gen->targets->len; i++) {
        struct crier_target *t = gen->targets->pdata[i];
        if (!t->bot && gen->bots->len == 1)
            t->bot = gen->bots->pdata[0];
    }
}

static void judge_targets(struct crier_generation *gen, bool sim)
{
    GHashTable *seen = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    for (guint i = 0; i < gen->targets->len; i++) {
        struct crier_target *t = gen->targets->pdata[i];
        char file[256], object[200];
        struct place at = {file, split_place(t->where, file, sizeof file),
                           t->type == CRIER_GUILD ? "GUILD" : "USER"};
        crier_target_label(t, object, sizeof object);
        char *key = crier_asprintf("%s/%s", t->bot ? t->bot->name : "", object);
        struct crier_target *other = g_hash_table_lookup(seen, key);
        if (other && (t->id || t->match))
            problem(gen, CRIER_ERROR, &at, object, "put all its messages into one",
                    "it is declared already, at %s", other->where);
        g_hash_table_insert(seen, key, t);
        if (t->messages->len && !t->bot && gen->bots->len == 0)
            problem(gen, CRIER_ERROR, &at, object,
                    "crier.bot { token = crier.secret.env \"DISCORD_TOKEN\" }",
                    "there are messages to send but no bot");
        if (!t->bot && !t->bot_wrong && gen->bots->len > 1)
            problem(gen, CRIER_ERROR, &at, object, "local b = crier.bot {...}, then bot = b here",
                    "there are %u bots: option 'bot' must say which one sends", gen->bots->len);
        if (!t->logging && t->messages->len && (t->id || t->match))
            problem(gen, CRIER_NOTE, &at, object, "logging = true",
                    "logging is off: its sends make no records");
    }
    g_hash_table_destroy(seen);
    (void)sim;
}

static void judge_messages(struct crier_generation *gen)
{
    for (guint i = 0; i < gen->messages->len; i++) {
        struct crier_message *m = gen->messages->pdata[i];
        if (!m->target) {
            message_problem(m, CRIER_WARNING, NULL, "put it into `messages` of a GUILD or USER",
                            "it belongs to no GUILD or USER and is never sent");
            continue;
        }
        if (m->target->match && m->channel_count)
            message_problem(m, CRIER_ERROR, "channels",
                            "channels = crier.channels { crier.contains \"news\" }",
                            "option 'channels': a channel is in one guild, and this message goes to "
                            "each that matches");
        if (!m->name && (m->target->match || m->mode != CRIER_MODE_SEND || m->removal.kind != CRIER_REMOVAL_NONE))
            message_problem(m, CRIER_NOTE, NULL, "name = \"...\"",
                            "it has no name: its state is lost when its channels or mode change");
    }
}

/* A file that is not there now may be when it is sent; still, most likely it is a typing error. */
static void judge_files(struct crier_generation *gen)
{
    for (guint i = 0; i < gen->messages->len; i++) {
        struct crier_message *m = gen->messages->pdata[i];
        for (size_t j = 0; m->content && j < m->content->file_count; j++) {
            const char *path = m->content->files[j].path;
            if (!path || access(path, R_OK) == 0)
                continue;
            char *text = crier_asprintf("the FILE '%s' cannot be read at the moment", path);
            message_problem(m, CRIER_WARNING, "data", NULL, text);
            free(text);
        }
    }
}

static void judge_bots(struct crier_generation *gen)
{
    for (guint i = 0; i < gen->bots->len; i++) {
        struct crier_bot *bot = gen->bots->pdata[i];
        struct crier_err err = {0};
        char file[256], object[120];
        struct place at = {file, split_place(bot->where, file, sizeof file), "bot"};
        snprintf(object, sizeof object, "bot '%.80s'", bot->name);
        if (!bot->token)
            continue;
        char *token = crier_secret_read(bot->token, gen->folder, &err);
        if (!token)
            problem(gen,
                    gen->build->need_secrets ? CRIER_ERROR
                    : gen->build->sim        ? CRIER_NOTE
                                             : CRIER_WARNING,
                    &at, object,
                    gen->build->sim ? "the simulator takes a made-up one"
                                    : "set it, or try the bot with --sim",
                    "%s", err.text);
        wipe_free(token);
    }
}

static void default_sinks(struct crier_generation *gen)
{
    static const char *const kinds[] = {"console", "json", "memory"};
    if (gen->sinks->len)
        return;
    for (size_t i = 0; i < CRIER_COUNT(kinds); i++) {
        const struct crier_sink_driver *driver = crier_sink_driver_find(kinds[i]);
        struct crier_declared_sink *s = crier_calloc(1, sizeof *s);
        s->driver = driver;
        s->name = crier_strdup(driver->kind);
        crier_options_init(&s->options, driver->options, driver->option_count);
        crier_options_init(&s->common, crier_sink_common_options, crier_sink_common_count);
        for (size_t j = 0; j < s->options.count; j++) {
            struct crier_option_value *v = &s->options.values[j];
            if (s->options.table[j].type == CRIER_OPT_PATH && v->s && v->s[0] != '/') {
                char *path = crier_path_join(gen->folder, v->s);
                free(v->s);
                v->s = path;
            }
        }
        g_ptr_array_add(gen->sinks, s);
    }
    problem(gen, CRIER_NOTE, &(struct place){gen->file, 0, NULL}, NULL, NULL,
            "no sink is declared: records go to console, json (History) and memory");
}

static void judge_fallback(struct crier_generation *gen, struct crier_declared_sink *s)
{
    const char *name = NULL;
    for (size_t i = 0; i < s->common.count; i++) {
        if (strcmp(s->common.table[i].name, "fallback") == 0)
            name = s->common.values[i].s;
    }
    s->fallback = name ? crier_sink_named(gen, name) : NULL;
    if (s->fallback)
        s->fallback->routed = true;
    if (!name || s->fallback)
        return;
    const char *names[64];
    char text[160], help[100];
    size_t n = 0;
    for (; n < gen->sinks->len && n < CRIER_COUNT(names); n++)
        names[n] = ((struct crier_declared_sink *)gen->sinks->pdata[n])->name;
    const char *near = crier_nearest(name, names, n);
    snprintf(text, sizeof text, "option 'fallback': there is no sink '%.80s'", name);
    snprintf(help, sizeof help, "did you mean '%.60s'?", near ? near : "");
    sink_problem(gen, CRIER_ERROR, s, near ? help : NULL, text);
}

/* Each circle is told once, at its first sink. */
static void judge_circles(struct crier_generation *gen)
{
    for (guint i = 0; i < gen->sinks->len; i++) {
        struct crier_declared_sink *s = gen->sinks->pdata[i], *at = s->fallback;
        for (guint steps = 0; at && at != s && steps < gen->sinks->len; steps++)
            at = at->fallback;
        if (at != s)
            continue;
        char text[200];
        snprintf(text, sizeof text, "the fallback of '%.60s' leads back to '%.60s'", s->name,
                 s->name);
        sink_problem(gen, CRIER_ERROR, s, "let the last one have no fallback", text);
        return;
    }
}

static void judge_sink_secrets(struct crier_generation *gen, struct crier_declared_sink *s)
{
    for (size_t i = 0; i < s->options.count; i++) {
        struct crier_err err = {0};
        const char *text = s->options.values[i].s;
        if (s->options.table[i].type != CRIER_OPT_SECRET || !crier_is_secret_reference(text))
            continue;
        char *value = crier_secret_resolve(text, gen->folder, &err);
        wipe_free(value);
        if (value)
            continue;
        crier_err_prefix(&err, "option '%s': ", s->options.table[i].name);
        sink_problem(gen, gen->build->need_secrets ? CRIER_ERROR : CRIER_WARNING, s,
                     gen->build->sim ? "in --sim its records are kept in memory" : "set it",
                     err.text);
    }
}

static void judge_sinks(struct crier_generation *gen)
{
    for (guint i = 0; i < gen->sinks->len; i++) {
        judge_fallback(gen, gen->sinks->pdata[i]);
        crier_sink_judge_module(gen, gen->sinks->pdata[i]);
        judge_sink_secrets(gen, gen->sinks->pdata[i]);
    }
    judge_circles(gen);
    crier_judge_routes(gen);
    if (!gen->rules->len)
        return;
    for (guint i = 0; i < gen->sinks->len; i++) {
        struct crier_declared_sink *s = gen->sinks->pdata[i];
        if (!s->routed)
            sink_problem(gen, CRIER_WARNING, s, "crier.route { to = ... }",
                         "there are routes, but none leads to it");
    }
}

/* --- sinks and router -------------------------------------------------------------------- */

static void hash_files(struct crier_generation *gen)
{
    uLong crc = crc32(0, NULL, 0);
    for (size_t i = 0; i < gen->vm->file_count; i++) {
        struct crier_buf b = {0};
        if (crier_file_read(gen->vm->files[i], 64 << 20, &b, NULL) == 0)
            crc = crc32(crc, (const Bytef *)b.data, (uInt)b.len);
        crier_buf_fini(&b);
    }
    snprintf(gen->hash, sizeof gen->hash, "%04lx", (unsigned long)((crc ^ (crc >> 16)) & 0xffff));
}

/* Sinks outlive generations, so what they borrow lives as long as the process and never changes:
 * their threads read it. There is one for each zone and folder that was ever used: a handful. */
static const struct crier_sink_env *sink_env(struct crier_generation *gen,
                                             const struct crier_build *build)
{
    static GMutex lock;
    static GHashTable *envs;
    char *state = crier_generation_state_folder(gen, build->state_folder, build->sim);
    bool sim = build->sim && (build->dry || !crier_clock_is_virtual(build->clock));
    char *key = crier_asprintf("%s\n%s\n%s\n%d%d\n%p %p %p", crier_zone_name(gen->zone),
                               gen->folder, state, sim, build->dry, (void *)build->clock,
                               (const void *)build->sim_allow, build->sink_fault_arg);
    g_mutex_lock(&lock);
    if (!envs)
        envs = g_hash_table_new(g_str_hash, g_str_equal);
    struct crier_sink_env *env = g_hash_table_lookup(envs, key);
    if (env) {
        free(key);
        free(state);
    } else {
        env = crier_calloc(1, sizeof *env);
        env->clock = build->clock;
        env->zone = crier_zone_ref(gen->zone);
        env->folder = crier_strdup(gen->folder);
        env->state_folder = state;
        env->sim = sim;
        env->dry = build->dry;
        env->seed = build->seed;
        env->texts = &crier_lua_text_functions;
        env->sim_allow = build->sim_allow;
        env->fault = build->sink_fault;
        env->fault_arg = build->sink_fault_arg;
        g_hash_table_insert(envs, key, env);
    }
    g_mutex_unlock(&lock);
    return env;
}

/* Of the files that a sink's code came from; 0: it has none. */
static unsigned long checksum(const struct crier_declared_sink *s)
{
    uLong crc = 0;
    if (!s->driver->files)
        return 0;
    for (const char *const *f = s->driver->files(crier_sink_self(s->sink)); *f; f++) {
        struct crier_buf b = {0};
        if (crier_file_read(*f, SIZE_MAX, &b, NULL) == 0)
            crc = crc32(crc, (const Bytef *)b.data, (uInt)b.len);
        crier_buf_fini(&b);
    }
    return crc;
}

/* Of what its secrets say now; 0: it has none. */
static unsigned long secrets_checksum(const struct crier_generation *gen,
                                      const struct crier_declared_sink *s)
{
    uLong crc = 0;
    for (size_t i = 0; i < s->options.count; i++) {
        const char *text = s->options.values[i].s;
        if (s->options.table[i].type != CRIER_OPT_SECRET || !crier_is_secret_reference(text))
            continue;
        char *value = crier_secret_resolve(text, gen->folder, NULL);
        if (value)
            crc = crc32(crc, (const Bytef *)value, (uInt)strlen(value));
        wipe_free(value);
    }
    return crc;
}

/* The running sink that goes on as s. */
static const struct crier_declared_sink *previous_sink(const struct crier_generation *gen,
                                                       const struct crier_generation *previous,
                                                       struct crier_declared_sink *s)
{
    const struct crier_declared_sink *p = previous ? crier_sink_named(previous, s->name) : NULL;
    if (!p || p->driver != s->driver || p->env != s->env ||
        !crier_options_equal(&p->common, &s->common) ||
        !crier_options_equal(&p->options, &s->options))
        return NULL;
    if (s->fallback && !s->fallback->kept)
        s->reopened = "so is its fallback";
    else if (checksum(p) != p->code)
        s->reopened = "its code has changed";
    else if (secrets_checksum(gen, s) != p->secrets)
        s->reopened = "its secret has changed";
    return s->reopened ? NULL : p;
}

/* The sink takes its options over; the declaration keeps a reading of its own, for the next
 * reload's comparison. */
static void copy_options(const struct crier_options *from, struct crier_options *to)
{
    crier_options_init(to, from->table, from->count);
    for (size_t i = 0; i < from->count; i++) {
        const struct crier_option_value *v = &from->values[i];
        struct crier_option_value *w = &to->values[i];
        free(w->s);
        *w = *v;
        w->s = crier_strdup(v->s);
        w->list = NULL;
        w->ids = NULL;
        if (v->list) {
            w->list = crier_calloc(v->count ? v->count : 1, sizeof *w->list);
            for (size_t j = 0; j < v->count; j++)
                w->list[j] = crier_strdup(v->list[j]);
        }
        if (v->ids) {
            w->ids = crier_calloc(v->count ? v->count : 1, sizeof *w->ids);
            memcpy(w->ids, v->ids, v->count * sizeof *w->ids);
        }
    }
}

int crier_generation_resolve(const struct crier_generation *gen, struct crier_options *o,
                             struct crier_err *err)
{
    for (size_t i = 0; i < o->count; i++) {
        struct crier_option_value *v = &o->values[i];
        if (o->table[i].type != CRIER_OPT_SECRET || !crier_is_secret_reference(v->s))
            continue;
        char *value = crier_secret_resolve(v->s, gen->folder, err);
        if (!value)
            return crier_err_prefix(err, "option '%s': ", o->table[i].name);
        free(v->s);
        v->s = value;
    }
    return 0;
}

/* In --sim a sink whose secret is not set: everything else of the script can be tried. */
static void make_memory(struct crier_declared_sink *s)
{
    s->driver = crier_sink_driver_find("memory");
    crier_options_fini(&s->options);
    crier_options_init(&s->options, s->driver->options, s->driver->option_count);
}

static int open_new(struct crier_generation *gen, const struct crier_build *build,
                    struct crier_declared_sink *s, struct crier_err *err)
{
    struct crier_options common, options;
    copy_options(&s->options, &options);
    int rc = crier_generation_resolve(gen, &options, err);
    if (rc != 0) {
        crier_options_fini(&options);
        if (!build->sim)
            return rc;
        make_memory(s);
        copy_options(&s->options, &options);
    }
    copy_options(&s->common, &common);
    rc = crier_sink_open(s->driver, s->name, &common, &options, s->env, &s->sink, err);
    if (rc != 0)
        return rc;
    if (s->fallback)
        crier_sink_set_fallback(s->sink, s->fallback->sink);
    s->code = checksum(s);
    s->secrets = secrets_checksum(gen, s);
    return 0;
}

static void open_sink(struct crier_generation *gen, const struct crier_build *build,
                      struct crier_declared_sink *s)
{
    if (s->opening)
        return;
    s->opening = true;
    s->env = sink_env(gen, build);
    if (build->dry)
        s->driver = crier_sink_dry(s->driver);
    if (s->fallback)
        open_sink(gen, build, s->fallback);
    if (s->fallback && !s->fallback->sink)
        return;
    const struct crier_declared_sink *p = previous_sink(gen, build->previous, s);
    struct crier_err err = {0};
    if (p) {
        s->sink = crier_sink_ref(p->sink);
        s->code = p->code;
        s->secrets = p->secrets;
        s->kept = true;
    } else if (open_new(gen, build, s, &err) != 0) {
        char text[300];
        /* Named already, here and by those that passed it on. */
        const char *why = err.text;
        int len = snprintf(text, sizeof text, "sink '%s': ", s->name);
        while (len > 0 && strncmp(why, text, (size_t)len) == 0)
            why += len;
        snprintf(text, sizeof text, "cannot open: %s", why);
        sink_problem(gen, CRIER_ERROR, s, NULL, text);
        return;
    }
    if (!s->driver->files)
        return;
    for (const char *const *f = s->driver->files(crier_sink_self(s->sink)); *f; f++)
        crier_vm_add_file(gen->vm, *f);
}

static void open_sinks(struct crier_generation *gen, const struct crier_build *build)
{
    for (guint i = 0; i < gen->sinks->len; i++)
        open_sink(gen, build, gen->sinks->pdata[i]);
    hash_files(gen);
}

static void build_router(struct crier_generation *gen)
{
    gen->router = crier_router_new();
    for (guint i = 0; i < gen->sinks->len; i++) {
        struct crier_declared_sink *s = gen->sinks->pdata[i];
        crier_router_add_sink(gen->router, s->sink);
    }
    for (guint i = 0; i < gen->rules->len; i++) {
        struct crier_rule *rule = gen->rules->pdata[i];
        for (size_t j = 0; j < rule->to_count; j++) {
            struct crier_declared_sink *s = (void *)rule->to[j];
            rule->to[j] = crier_sink_ref(s->sink);
        }
        struct crier_rule moved = *rule;
        *rule = (struct crier_rule){0};
        crier_router_add_rule(gen->router, &moved);
    }
    for (guint i = 0; i < gen->transforms->len; i++)
        crier_router_add_transform(gen->router, gen->transforms->pdata[i]);
}

/* --- building ---------------------------------------------------------------------------- */

char *crier_generation_state_folder(const struct crier_generation *gen, const char *given, bool sim)
{
    char *base = given               ? crier_strdup(given)
                 : gen->config.state ? crier_strdup(gen->config.state)
                                     : crier_path_join(gen->folder, ".crier");
    if (!sim)
        return base;
    char *path = crier_path_join(base, "sim");
    free(base);
    return path;
}

char *crier_generation_stored_state(struct crier_generation *gen, const char *key)
{
    const struct crier_build *build = gen->build;
    if (!build || !build->state_get)
        return NULL;
    char *folder = crier_generation_state_folder(gen, build->state_folder, build->sim);
    char *json = build->state_get(build->arg, folder, key);
    free(folder);
    return json;
}

#define FEW_NAMES 16 /* that a message can list */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A name that is not there, in `crier` or a table of it: upvalue 1 is the table's name. */
static int l_no_such(lua_State *L)
{
    const char *names[256];
    size_t n = 0;
    const char *table = lua_tostring(L, lua_upvalueindex(1));
    if (lua_type(L, 2) != LUA_TSTRING)
        return luaL_error(L, "%s has names only, got a %s", table, luaL_typename(L, 2));
    const char *name = lua_tostring(L, 2);
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        lua_pop(L, 1);
        if (n < CRIER_COUNT(names) && lua_type(L, -1) == LUA_TSTRING)
            names[n++] = lua_tostring(L, -1);
    }
    const char *near = crier_nearest(name, names, n);
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(names[i], name) == 0)
            near = names[i];
    }
    if (near)
        return luaL_error(L, "there is no %s.%s (did you mean %s.%s?)", table, name, table, near);
    qsort(names, n, sizeof *names, by_text);
    struct crier_buf all = {0};
    for (size_t i = 0; i < n && n <= FEW_NAMES; i++)
        crier_buf_printf(&all, "%s%s", i ? ", " : " (there is: ", names[i]);
    lua_pushfstring(L, "%s%s", all.data ? all.data : "", all.data ? ")" : "");
    crier_buf_fini(&all);
    return luaL_error(L, "there is no %s.%s%s", table, name, lua_tostring(L, -1));
}

/* A table with a metatable is a value of its own, such as crier.null. */
static void tell_no_such(lua_State *L, const char *name)
{
    if (lua_getmetatable(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_getmetatable(L, -1))
        lua_createtable(L, 0, 1);
    lua_pushstring(L, name);
    lua_pushcclosure(L, l_no_such, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

static int l_open_all(lua_State *L)
{
    lua_newtable(L);
    crier_open_record(L);
    crier_open_declare(L);
    crier_open_add(L);
    crier_open_content(L);
    crier_open_match(L);
    crier_open_discord(L);
    crier_open_log(L);
    crier_open_sink(L);
    crier_open_route(L);
    crier_open_event(L);
    crier_open_alert(L);
    crier_open_state(L);
    crier_open_condition(L);
    crier_open_task(L);
    crier_open_wait(L);
    crier_open_app(L);
    crier_open_reply(L);
    if (luaL_loadbufferx(L, crier_sugar_init, crier_sugar_init_len, "=crier", "t") != LUA_OK)
        return lua_error(L);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_istable(L, -1)) {
            char name[64];
            snprintf(name, sizeof name, "crier.%.50s", lua_tostring(L, -2));
            tell_no_such(L, name);
        }
        lua_pop(L, 1);
    }
    tell_no_such(L, "crier");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "crier");
    return 0;
}

/* "bot.lua:14: text" -> a diagnostic at its place. */
static void lua_problem(struct crier_generation *gen, const struct crier_lua_error *error)
{
    const char *text = error->message ? error->message : "failed";
    char file[256] = "";
    int line = 0;
    const char *at = text;
    while ((at = strchr(at, ':'))) {
        char *end;
        long n = strtol(at + 1, &end, 10);
        if (n > 0 && *end == ':' && (size_t)(at - text) < sizeof file) {
            snprintf(file, sizeof file, "%.*s", (int)(at - text), text);
            line = (int)n;
            text = end + 1;
            while (*text == ' ')
                text++;
            break;
        }
        at++;
    }
    /* One line: what require tried, and the like, stands on several. */
    struct crier_buf flat = {0};
    while (*text) {
        size_t blanks = strspn(text, "\n\t"), rest = strcspn(text + blanks, "\n\t");
        if (blanks && flat.len && rest)
            crier_buf_puts(&flat, flat.data[flat.len - 1] == ':' ? " " : "; ");
        crier_buf_append(&flat, text + blanks, rest);
        text += blanks + rest;
    }
    crier_diags_add(&gen->diags, CRIER_ERROR, *file ? file : gen->file, line, 0, NULL,
                    flat.len ? flat.data : "failed", NULL);
    crier_buf_fini(&flat);
}

static struct crier_generation *new_generation(const struct crier_build *build)
{
    struct crier_generation *gen = crier_calloc(1, sizeof *gen);
    gen->refs = 1;
    gen->build = build;
    gen->file = crier_strdup(build->file);
    char resolved[PATH_MAX];
    gen->path = crier_strdup(realpath(build->file, resolved) ? resolved : build->file);
    const char *slash = strrchr(gen->path, '/');
    gen->folder = slash && slash != gen->path
                      ? crier_strndup(gen->path, (size_t)(slash - gen->path))
                      : crier_strdup(slash ? "/" : ".");
    gen->virtual_time = crier_clock_is_virtual(build->clock);
    gen->config.limits = (struct crier_limits){.callback = 250 * CRIER_MS,
                                               .memory = 256LL << 20,
                                               .load = 5 * CRIER_S,
                                               .drain = 300 * CRIER_S,
                                               .stop = 10 * CRIER_S,
                                               .added = 10000};
    gen->bots = g_ptr_array_new_with_free_func(free_bot);
    gen->targets = g_ptr_array_new_with_free_func(free_target);
    gen->messages = g_ptr_array_new_with_free_func(free_message);
    gen->late_targets = g_ptr_array_new_with_free_func(free_target);
    gen->late_messages = g_ptr_array_new_with_free_func(free_message);
    gen->tasks = g_ptr_array_new_with_free_func(crier_task_free);
    gen->sinks = g_ptr_array_new_with_free_func(free_declared_sink);
    gen->rules = g_ptr_array_new_with_free_func(free_rule);
    gen->transforms = g_ptr_array_new_with_free_func(free_transform);
    gen->hooks = g_ptr_array_new_with_free_func(free_hook);
    gen->states = g_ptr_array_new_with_free_func(free_state_table);
    gen->alerts = g_ptr_array_new_with_free_func(crier_alert_free);
    gen->responders = g_ptr_array_new_with_free_func(crier_responder_free);
    gen->logs = g_ptr_array_new_with_free_func(free_load_log);
    gen->log_levels = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    for (size_t i = 0; i < CRIER_COUNT(gen->builders); i++)
        crier_builder_init(&gen->builders[i], NULL);
    gen->srcmaps = g_hash_table_new_full(g_str_hash, g_str_equal, free, free_srcmap);
    gen->strings = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    struct crier_err err = {0};
    if (crier_zone_open(NULL, &gen->zone, &err) != 0 &&
        crier_zone_open("UTC", &gen->zone, &err) != 0)
        problem(gen, CRIER_ERROR, &(struct place){gen->file, 0, NULL}, NULL, NULL,
                "no time zone: %s", err.text);
    struct crier_vm_config config = {.chunkname = gen->file,
                                     .folder = gen->folder,
                                     .memory = gen->config.limits.memory,
                                     .virtual_time = gen->virtual_time,
                                     .clock = build->clock,
                                     .overlay = build->overlay,
                                     .seed = build->seed};
    gen->vm = crier_vm_new(&config);
    gen->vm->owner = gen;
    gen->vm->loading = true;
    return gen;
}

void crier_generation_open(struct crier_generation *gen, const struct crier_build *build)
{
    open_sinks(gen, build);
    if (gen->diags.errors == 0)
        build_router(gen);
}

struct crier_generation *crier_generation_build(const struct crier_build *build)
{
    struct crier_generation *gen = new_generation(build);
    struct crier_lua_error error = {0};
    lua_State *L = gen->vm->L;
    lua_pushcfunction(L, l_open_all);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        problem(gen, CRIER_ERROR, &(struct place){gen->file, 0, NULL}, NULL, NULL,
                "crier's own Lua failed: %s", lua_tostring(L, -1));
        lua_pop(L, 1);
        goto out;
    }
    bool whole = crier_vm_run_file(gen->vm, gen->path, gen->config.limits.load, &error) == 0;
    if (!whole) {
        lua_problem(gen, &error);
        crier_lua_error_fini(&error);
    }
    hash_files(gen);
    crier_judge_operators(gen);
    choose_bots(gen);
    give_keys(gen);
    judge_targets(gen, build->sim);
    crier_judge_alerts(gen, whole);
    if (whole) { /* else what is missing may only not have been reached */
        judge_messages(gen);
        judge_files(gen);
        judge_bots(gen);
        judge_sinks(gen);
        default_sinks(gen);
        crier_judge_tasks(gen);
        crier_judge_severe(gen);
        crier_judge_gateway(gen);
    }
    if (gen->diags.errors == 0 && build->open_sinks)
        crier_generation_open(gen, build);
    /* What loading left behind is garbage by now; the declarations are C's. */
    lua_gc(L, LUA_GCCOLLECT);
out:
    gen->vm->loading = false;
    gen->build = NULL;
    return gen;
}

/* --- diff -------------------------------------------------------------------------------- */

static void line(struct crier_buf *out, char sign, const char *noun, const char *name,
                 const char *detail)
{
    crier_buf_printf(out, "%c %s %-20s %s\n", sign, noun, name, detail);
}

static void describe_changes(const struct crier_message *a, const struct crier_message *b,
                             struct crier_buf *out)
{
    char from[128], to[128];
    char *was = crier_period_identity(&a->period), *is = crier_period_identity(&b->period);
    if (strcmp(was, is) != 0)
        crier_buf_printf(out, "%s%s -> %s", out->len ? ", " : "",
                         crier_period_text(&a->period, from), crier_period_text(&b->period, to));
    free(was);
    free(is);
    if (a->misfire.catch_up != b->misfire.catch_up)
        crier_buf_printf(out, "%scatch_up %s -> %s", out->len ? ", " : "",
                         crier_catch_up_name(a->misfire.catch_up),
                         crier_catch_up_name(b->misfire.catch_up));
    if (a->misfire.grace != b->misfire.grace)
        crier_buf_printf(out, "%sgrace", out->len ? ", " : "");
    if (a->mode != b->mode)
        crier_buf_printf(out, "%smode %s -> %s", out->len ? ", " : "", crier_mode_name(a->mode),
                         crier_mode_name(b->mode));
    if (a->channel_count != b->channel_count ||
        (a->channel_count &&
         memcmp(a->channels, b->channels, a->channel_count * sizeof *a->channels) != 0) ||
        g_strcmp0(a->match ? crier_pattern_text(a->match) : NULL,
                  b->match ? crier_pattern_text(b->match) : NULL) != 0)
        crier_buf_printf(out, "%schannels", out->len ? ", " : "");
    if (memcmp(&a->removal, &b->removal, sizeof a->removal) != 0)
        crier_buf_printf(out, "%sremove_after", out->len ? ", " : "");
    if (memcmp(&a->start, &b->start, sizeof a->start) != 0)
        crier_buf_printf(out, "%sstart_in", out->len ? ", " : "");
    bool data = !a->content != !b->content;
    if (a->content && b->content)
        data = g_strcmp0(a->content->text, b->content->text) != 0 ||
               g_strcmp0(a->content->embeds, b->content->embeds) != 0 ||
               a->content->file_count != b->content->file_count;
    if (data)
        crier_buf_printf(out, "%sdata", out->len ? ", " : "");
    if (a->target->match && b->target->match &&
        strcmp(crier_pattern_text(a->target->match), crier_pattern_text(b->target->match)) != 0)
        crier_buf_printf(out, "%sguilds %s -> %s", out->len ? ", " : "",
                         crier_pattern_text(a->target->match),
                         crier_pattern_text(b->target->match));
    if (a->target->logging != b->target->logging)
        crier_buf_printf(out, "%slogging", out->len ? ", " : "");
}

static GHashTable *by_key(const struct crier_generation *gen)
{
    GHashTable *map = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < gen->messages->len; i++) {
        struct crier_message *m = gen->messages->pdata[i];
        if (m->key)
            g_hash_table_insert(map, m->key, m);
    }
    return map;
}

/* A message for guilds of a pattern that has become another one is the same still. */
static struct crier_message *of_other_pattern(const struct crier_generation *old, GHashTable *after,
                                              const struct crier_message *m)
{
    for (guint i = 0; m->name && i < old->messages->len; i++) {
        struct crier_message *o = old->messages->pdata[i];
        if (o->key && o->target->match && o->name && strcmp(o->name, m->name) == 0 &&
            !g_hash_table_contains(after, o->key))
            return o;
    }
    return NULL;
}

static void diff_messages(const struct crier_generation *old, const struct crier_generation *new_,
                          struct crier_buf *out, struct crier_diff_counts *counts)
{
    GHashTable *before = by_key(old), *after = by_key(new_);
    char label[120], where[520];
    for (guint i = 0; i < new_->messages->len; i++) {
        const struct crier_message *m = new_->messages->pdata[i];
        if (!m->key)
            continue;
        struct crier_message *was = g_hash_table_lookup(before, m->key);
        bool renamed = false;
        if (!was && m->target->match)
            was = of_other_pattern(old, after, m);
        if (!was && m->was) {
            char *old_key = base_key(m, m->was);
            was = g_hash_table_lookup(before, old_key);
            free(old_key);
            renamed = was != NULL;
            if (renamed)
                g_hash_table_insert(after, was->key, was); /* it was not removed */
        }
        if (was && strcmp(was->key, m->key) != 0 && !renamed)
            g_hash_table_insert(after, was->key, was);
        crier_message_label(m, label, sizeof label);
        if (m->target->match)
            snprintf(where, sizeof where, "(%s:%d, guilds %.200s)", m->file ? m->file : "?",
                     m->line, crier_pattern_text(m->target->match));
        else
            snprintf(where, sizeof where, "(%s:%d)", m->file ? m->file : "?", m->line);
        if (!was) {
            counts->added++;
            line(out, '+', "message", label, where);
            continue;
        }
        struct crier_buf changes = {0};
        if (renamed)
            crier_buf_printf(&changes, "was %s", was->name);
        describe_changes(was, m, &changes);
        if (changes.len) {
            counts->changed++;
            line(out, '~', "message", label, changes.data);
        } else {
            counts->kept++;
        }
        crier_buf_fini(&changes);
    }
    for (guint i = 0; i < old->messages->len; i++) {
        const struct crier_message *m = old->messages->pdata[i];
        if (m->key && !g_hash_table_contains(after, m->key)) {
            counts->removed++;
            line(out, '-', "message", crier_message_label(m, label, sizeof label), "");
        }
    }
    g_hash_table_destroy(before);
    g_hash_table_destroy(after);
}

void crier_generation_diff_late(const struct crier_generation *old,
                                const struct crier_generation *new_, struct crier_buf *out,
                                struct crier_diff_counts *counts)
{
    bool any = old->late_messages->len > 0;
    for (guint i = 0; i < old->messages->len && !any; i++)
        any = ((const struct crier_message *)old->messages->pdata[i])->gone;
    if (!any)
        return;
    GHashTable *before = by_key(old), *after = by_key(new_);
    char label[120], where[300];
    for (guint i = 0; i < old->late_messages->len; i++) {
        const struct crier_message *m = old->late_messages->pdata[i];
        if (m->of)
            continue;
        crier_message_label(m, label, sizeof label);
        snprintf(where, sizeof where, "(%s:%d, %s while the bot ran)", m->file ? m->file : "?",
                 m->line, g_hash_table_contains(before, m->key) ? "changed" : "added");
        if (!g_hash_table_contains(after, m->key)) {
            counts->removed++;
            line(out, '-', "message", label, where);
        } else if (g_hash_table_contains(before, m->key)) {
            line(out, '~', "message", label, "as in the script; it was changed while the bot ran");
        }
    }
    for (guint i = 0; i < old->messages->len; i++) {
        const struct crier_message *m = old->messages->pdata[i];
        if (m->key && m->gone && g_hash_table_contains(after, m->key) &&
            !(m->state && m->state->message && m->state->message->gen == old))
            line(out, '+', "message", crier_message_label(m, label, sizeof label),
                 "as in the script; it was removed while the bot ran");
    }
    g_hash_table_destroy(before);
    g_hash_table_destroy(after);
}

void crier_generation_diff(const struct crier_generation *old, const struct crier_generation *new_,
                           struct crier_buf *out, struct crier_diff_counts *counts)
{
    *counts = (struct crier_diff_counts){0};
    diff_messages(old, new_, out, counts);
    crier_task_diff(old, new_, out, counts);
    crier_alert_diff(old, new_, out, counts);
    for (guint i = 0; i < new_->sinks->len; i++) {
        const struct crier_declared_sink *s = new_->sinks->pdata[i];
        if (s->kept) {
            counts->kept++;
        } else if (crier_sink_named(old, s->name)) {
            counts->changed++;
            char *detail = s->reopened ? crier_asprintf("reopened: %s", s->reopened)
                                       : crier_strdup("reopened");
            line(out, '~', "sink", s->name, detail);
            free(detail);
        } else {
            counts->added++;
            line(out, '+', "sink", s->name, "");
        }
    }
    for (guint i = 0; i < old->sinks->len; i++) {
        const struct crier_declared_sink *s = old->sinks->pdata[i];
        if (!crier_sink_named(new_, s->name)) {
            counts->removed++;
            line(out, '-', "sink", s->name, "");
        }
    }
}
