/* SPDX-License-Identifier: MIT
 *
 * crier.add, crier.remove, crier.update: what a callback does to the messages, GUILDs and USERs of its
 * generation. A message that comes, goes or changes does so as at a reload (crier_poster_begin,
 * crier_poster_end): its state follows its name. It all ends with the generation.
 */
#include <inttypes.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/message_private.h"
#include "script/pattern.h"

#define ADD_USAGE                                                                                  \
    "crier.add(crier.TextMESSAGE {...}, \"863071397207212052\"), or crier.add(crier.GUILD {...})"

/* One call. */
struct change {
    lua_State *L;
    const char *what; /* "crier.add" */
    struct crier_host *host;
    struct crier_generation *gen;
    struct crier_poster *poster;
};

/* False: nothing can be changed, nil and the reason are pushed. */
static bool begin(struct change *c, lua_State *L, const char *what)
{
    struct crier_vm *vm = crier_vm_of(L);
    const char *why = NULL;
    if (vm->loading)
        luaL_error(L, "%s is not available while loading: what stands in the script is there "
                      "anyway; call it in a hook, a task or a data function",
                   what);
    *c = (struct change){.L = L, .what = what, .gen = vm->owner};
    c->host = c->gen->host;
    if (!c->host || crier_host_stopping(c->host))
        why = "the bot is stopping";
    else if (crier_host_current(c->host) != c->gen)
        why = "a newer script has taken over from this one";
    else
        c->poster = crier_host_poster(c->host);
    if (!why)
        return true;
    lua_pushnil(L);
    lua_pushstring(L, why);
    return false;
}

/* Raises at the caller's line: object, fault, remedy. */
static int fail(struct change *c, const char *object, const char *help, const char *fmt, ...)
    CRIER_PRINTF(4, 5);

static int fail(struct change *c, const char *object, const char *help, const char *fmt, ...)
{
    char text[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return luaL_error(c->L, "%s: %s%s%s%s%s%s", c->what, object ? object : "",
                      object ? ": " : "", text, help ? " (" : "", help ? help : "", help ? ")" : "");
}

static const char *object_of(const struct crier_message *m, char out[160])
{
    char label[120];
    snprintf(out, 160, "message '%s'", crier_message_label(m, label, sizeof label));
    return out;
}

/* The record of it, with its place. */
static void tell(struct change *c, const char *what, const char *object, const char *in,
                 const char *verb)
{
    const char *file;
    int line;
    crier_lua_place(c->L, &file, &line);
    crier_host_system(c->host, CRIER_INFO, what, "%s%s%s was %s by %s:%d", object, in ? " in " : "",
                      in ? in : "", verb, file ? file : "?", line);
}

/* --- what is meant -------------------------------------------------------------------------- */

/* The one that stands for it now: it may have been updated since. NULL: it has been removed. */
static struct crier_message *present(const struct change *c, struct crier_message *m)
{
    if (!m->gone || !m->key)
        return m;
    if (m->state)
        return m->state->message && m->state->message->gen == m->gen ? m->state->message : NULL;
    for (guint i = 0; i < c->gen->late_messages->len; i++) {
        struct crier_message *o = c->gen->late_messages->pdata[i];
        if (strcmp(o->key, m->key) == 0)
            return o;
    }
    return NULL;
}

static struct crier_message *pattern_message(const struct change *c, const char *word)
{
    for (guint i = 0; i < crier_message_count(c->gen); i++) {
        struct crier_message *m = crier_message_at(c->gen, i);
        if (!m->gone && m->target && m->target->match && m->name && strcmp(m->name, word) == 0)
            return m;
    }
    return NULL;
}

/* How many GUILDs or USERs are this one; the last of them, one of the script or added before those
 * of patterns. */
static unsigned find_target(const struct change *c, uint64_t id, int type,
                            struct crier_target **out)
{
    unsigned own = 0, of = 0;
    for (guint i = 0; i < crier_target_count(c->gen); i++) {
        struct crier_target *t = crier_target_at(c->gen, i);
        if (t->gone || t->id != id || (type >= 0 && (int)t->type != type))
            continue;
        if (!t->of || !own)
            *out = t;
        own += !t->of;
        of += t->of != NULL;
    }
    return own ? own : of;
}

static uint64_t snowflake_at(lua_State *L, int idx)
{
    if (lua_isinteger(L, idx))
        return lua_tointeger(L, idx) > 0 ? (uint64_t)lua_tointeger(L, idx) : 0;
    const char *s = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : "";
    size_t n = strspn(s, "0123456789");
    return n && n <= 19 && !s[n] ? strtoull(s, NULL, 10) : 0;
}

/* The message or target at 1. Neither: nil and the reason are pushed. */
static bool find(struct change *c, struct crier_message **m, struct crier_target **t)
{
    lua_State *L = c->L;
    struct crier_err err = {0};
    char got[80];
    *m = crier_to_message(L, 1);
    *t = crier_to_target(L, 1);
    if (*m && !(*m = present(c, *m)))
        crier_err_set(&err, CRIER_EINVAL, "the message has been removed");
    else if (*m && !(*m)->target)
        fail(c, object_of(*m, (char[160]){0}), "crier.add(message, guild)",
             "it has not been added to a GUILD or USER");
    else if (*t && ((*t)->gone || (*t)->pending))
        crier_err_set(&err, CRIER_EINVAL, (*t)->gone ? "it has been removed"
                                                     : "it has not been added");
    if (*m || *t || err.code)
        goto out;
    uint64_t id = snowflake_at(L, 1);
    if (id && find_target(c, id, -1, t))
        return true;
    if (id && lua_isinteger(L, 1)) {
        crier_err_set(&err, CRIER_EINVAL, "there is no GUILD or USER '%" PRIu64 "'", id);
        goto out;
    }
    if (lua_type(L, 1) != LUA_TSTRING)
        fail(c, NULL, NULL, "expected a message, GUILD or USER or its name, got %s",
             crier_lua_describe(L, 1, got, sizeof got));
    *m = pattern_message(c, lua_tostring(L, 1));
    if (!*m && crier_message_find(c->poster, c->gen, lua_tostring(L, 1), m, &err) != 0)
        *m = NULL;
out:
    if (*m && (*m)->of) {
        char label[120];
        crier_err_set(&err, CRIER_EINVAL,
                      "message '%s' is one of the GUILD of a pattern (%s): remove or update that "
                      "one, or change the pattern",
                      crier_message_label(*m, label, sizeof label), (*m)->target->where);
    }
    if (!err.code)
        return true;
    lua_pushnil(L);
    lua_pushstring(L, err.text);
    return false;
}

/* --- add ------------------------------------------------------------------------------------ */

/* What callbacks have added and what has ended since makes room; the rest is refused. */
static void check_limit(struct change *c, guint more, const char *object)
{
    int64_t most = c->gen->config.limits.added;
    GPtrArray *late = c->gen->late_messages;
    for (guint i = 0; most && c->gen->added + more > most && i < late->len;) {
        struct crier_message *m = late->pdata[i];
        bool ended = !m->of && m->state && m->state->ended && !m->state->send;
        i += !ended;
        if (ended) {
            crier_poster_end(c->poster, m, true);
            crier_message_leave(m);
        }
    }
    if (most && c->gen->added + more > most)
        fail(c, object, "crier.remove what is not needed any more, or set limits.added in "
                        "crier.config",
             "limits.added is reached: %u messages, GUILDs and USERs have been added", c->gen->added);
}

static bool has_key(const struct change *c, const char *key)
{
    for (guint i = 0; i < crier_message_count(c->gen); i++) {
        const struct crier_message *m = crier_message_at(c->gen, i);
        if (!m->gone && m->key && strcmp(m->key, key) == 0)
            return true;
    }
    return false;
}

static bool is_taken(const struct change *c, const char *key)
{
    const struct crier_message *live = crier_poster_live(c->poster, key);
    return (live && live->gen == c->gen) || (strncmp(key, "GUILDS ", 7) == 0 && has_key(c, key));
}

/* Its key in that target, of those without a name the first that is free. */
static char *new_key(const struct change *c, struct crier_message *m, struct crier_target *t)
{
    struct crier_target *had = m->target;
    char *key = NULL;
    m->target = t;
    for (int n = 1; !key; n++) {
        key = crier_message_key(m, n);
        if (m->name || !is_taken(c, key))
            break;
        free(key);
        key = NULL;
    }
    m->target = had;
    return key;
}

static void judge(struct change *c, const struct crier_message *m, const struct crier_target *t)
{
    char object[160], label[200];
    object_of(m, object);
    bool text = m->type == CRIER_TEXT_MESSAGE;
    if (text != (t->type == CRIER_GUILD))
        fail(c, object, NULL, "a %s does not go to a %s", crier_message_type_name(m->type),
             text ? "USER" : "GUILD");
    if (t->match && m->channel_count)
        fail(c, object, "channels = crier.channels { crier.contains \"news\" }",
             "a channel is in one guild, and %s is any that matches",
             crier_target_label(t, label, sizeof label));
}

static void judge_name(struct change *c, const struct crier_message *m, const char *key,
                       const struct crier_target *t)
{
    char object[160];
    const struct crier_message *other = crier_poster_live(c->poster, key);
    if (!is_taken(c, key))
        return;
    fail(c, object_of(m, object), "crier.update changes it, crier.remove removes it",
         "there is a message of this name in the same %s already, at %s:%d",
         t->type == CRIER_GUILD ? "GUILD" : "USER", other && other->file ? other->file : "?",
         other ? other->line : 0);
}

static void start(struct change *c, struct crier_message *m)
{
    crier_message_join(m);
    if (m->target->match)
        crier_guilds_begin_message(c->poster->guilds, m);
    else
        crier_poster_begin(c->poster, m);
    crier_host_targets_changed(c->host);
}

static struct crier_target *target_at(struct change *c, int idx, const struct crier_message *m)
{
    char object[160], got[80];
    struct crier_target *t = crier_to_target(c->L, idx);
    object_of(m, object);
    if (t && t->pending)
        fail(c, object, "crier.add it first, or make it with this message in it",
             "the %s has not been added", t->type == CRIER_GUILD ? "GUILD" : "USER");
    if (t && t->gone)
        fail(c, object, NULL, "the %s has been removed", t->type == CRIER_GUILD ? "GUILD" : "USER");
    if (t)
        return t;
    bool text = m->type == CRIER_TEXT_MESSAGE;
    uint64_t id = snowflake_at(c->L, idx);
    if (!id)
        fail(c, object, ADD_USAGE, "to which %s? Expected it or its snowflake, got %s",
             text ? "GUILD" : "USER", crier_lua_describe(c->L, idx, got, sizeof got));
    unsigned n = find_target(c, id, text ? CRIER_GUILD : CRIER_USER, &t);
    if (!n)
        fail(c, object, text ? "crier.add(crier.GUILD { snowflake = \"...\", messages = {...} })"
                             : "crier.add(crier.USER { snowflake = \"...\", messages = {...} })",
             "there is no %s '%" PRIu64 "'", text ? "GUILD" : "USER", id);
    if (n > 1)
        fail(c, object, "local g = crier.GUILD {...}, then g instead of the snowflake",
             "several bots have a %s '%" PRIu64 "'", text ? "GUILD" : "USER", id);
    return t;
}

static void add_message(struct change *c, struct crier_message *m)
{
    char object[160], name[24];
    object_of(m, object);
    if (!m->late)
        fail(c, object, "make it in the callback that adds it", "it was declared by the script");
    if (m->target || m->gone || m->key)
        fail(c, object, "make another one", "it has been added already");
    struct crier_target *t = target_at(c, 2, m);
    judge(c, m, t);
    char *key = new_key(c, m, t);
    /* Strings that a raised error would leak are the state's. */
    lua_pushstring(c->L, key);
    free(key);
    key = (char *)lua_tostring(c->L, -1);
    judge_name(c, m, key, t);
    check_limit(c, 1, object);
    m->key = crier_strdup(key);
    m->target = crier_target_ref(t);
    start(c, crier_message_ref(m));
    tell(c, "message.added", object,
         t->match ? crier_pattern_text(t->match) : crier_target_name(c->poster, t, name), "added");
}

static void judge_target(struct change *c, const struct crier_target *t, const char *object)
{
    for (guint i = 0; i < crier_target_count(c->gen); i++) {
        const struct crier_target *o = crier_target_at(c->gen, i);
        if (o->gone || o->of || o->type != t->type || o->bot != t->bot || o->id != t->id)
            continue;
        if (t->match && strcmp(crier_pattern_text(o->match), crier_pattern_text(t->match)) != 0)
            continue;
        fail(c, object, "add its messages to that one: crier.add(message, snowflake)",
             "it is there already, from %s", o->where);
    }
    for (guint i = 0; i < t->messages->len; i++)
        judge(c, t->messages->pdata[i], t);
}

/* Names that come twice within it. */
static void judge_names(struct change *c, const struct crier_target *t)
{
    for (guint i = 0; i < t->messages->len; i++) {
        const struct crier_message *m = t->messages->pdata[i];
        char object[160];
        for (guint j = 0; m->name && j < i; j++) {
            const struct crier_message *o = t->messages->pdata[j];
            if (o->name && strcmp(o->name, m->name) == 0)
                fail(c, object_of(m, object), "give each a name of its own",
                     "there is a message of this name in the same %s already, at %s:%d",
                     t->type == CRIER_GUILD ? "GUILD" : "USER", o->file ? o->file : "?", o->line);
        }
    }
}

static void add_target(struct change *c, struct crier_target *t)
{
    char object[200];
    crier_target_label(t, object, sizeof object);
    if (!t->pending)
        fail(c, object, t->gone ? "make another one" : NULL, "it %s",
             t->gone ? "has been removed" : "is there already");
    if (!t->bot && c->gen->bots->len != 1)
        fail(c, object, c->gen->bots->len ? "bot = b" : "crier.bot {...}, and a reload",
             c->gen->bots->len ? "there are several bots: option 'bot' must say which one sends"
                               : "there is no bot that could send");
    if (!t->bot)
        t->bot = c->gen->bots->pdata[0];
    judge_target(c, t, object);
    judge_names(c, t);
    check_limit(c, t->messages->len + 1, object);
    GPtrArray *messages = t->messages;
    t->messages = g_ptr_array_new();
    t->pending = false;
    g_ptr_array_add(c->gen->late_targets, crier_target_ref(t));
    c->gen->added++;
    for (guint i = 0; i < messages->len; i++) { /* their references go over to the list */
        struct crier_message *m = messages->pdata[i];
        m->target = crier_target_ref(t);
        m->key = new_key(c, m, t);
        start(c, m);
    }
    g_ptr_array_free(messages, TRUE);
    if (t->match)
        crier_guilds_begin(c->poster->guilds, t);
    tell(c, "target.added", object, NULL, "added");
    crier_host_targets_changed(c->host);
}

static int l_add(lua_State *L)
{
    struct change c;
    char got[80];
    if (!begin(&c, L, "crier.add"))
        return 2;
    struct crier_message *m = crier_to_message(L, 1);
    struct crier_target *t = crier_to_target(L, 1);
    if (m)
        add_message(&c, m);
    else if (t && lua_isnoneornil(L, 2))
        add_target(&c, t);
    else if (t)
        return fail(&c, NULL, ADD_USAGE, "a GUILD or USER stands alone");
    else
        return fail(&c, NULL, ADD_USAGE, "expected a message, GUILD or USER, got %s",
                    crier_lua_describe(L, 1, got, sizeof got));
    lua_settop(L, 1);
    return 1;
}

/* --- remove --------------------------------------------------------------------------------- */

/* Of what the script declares the state stays: a reload brings it back. */
static bool is_declared(const struct crier_generation *gen, const char *key)
{
    for (guint i = 0; i < gen->messages->len; i++) {
        const struct crier_message *m = gen->messages->pdata[i];
        if (m->key && strcmp(m->key, key) == 0)
            return true;
    }
    return false;
}

static void remove_message(struct change *c, struct crier_message *m)
{
    if (m->target->match)
        crier_guilds_end_messages(c->poster->guilds, m);
    crier_poster_end(c->poster, m, !is_declared(c->gen, m->key));
    crier_message_leave(m);
}

static void remove_target(struct change *c, struct crier_target *t)
{
    if (t->match)
        crier_guilds_end(c->poster->guilds, t);
    while (t->messages->len)
        remove_message(c, t->messages->pdata[t->messages->len - 1]);
    t->gone = true;
    c->gen->added -= g_ptr_array_remove(c->gen->late_targets, t);
    crier_host_targets_changed(c->host);
}

static int l_remove(lua_State *L)
{
    struct change c;
    struct crier_message *m;
    struct crier_target *t;
    char object[200], name[24];
    lua_settop(L, 1);
    if (!begin(&c, L, "crier.remove") || !find(&c, &m, &t))
        return 2;
    if (t && t->of) {
        lua_pushnil(L);
        lua_pushfstring(L, "guild '%s' is there because of a pattern (%s): change that",
                        crier_target_name(c.poster, t, name), t->where);
        return 2;
    }
    if (m) {
        object_of(m, object);
        tell(&c, "message.removed", object,
             m->target->match ? crier_pattern_text(m->target->match)
                              : crier_target_name(c.poster, m->target, name),
             "removed");
        remove_message(&c, m);
    } else {
        tell(&c, "target.removed", crier_target_label(t, object, sizeof object), NULL, "removed");
        remove_target(&c, t);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* --- update --------------------------------------------------------------------------------- */

/* The table that declared it with the changes in it, on top of the stack; crier.null takes an option
 * away. A new name: the state goes with it. */
static int merged(struct change *c, const struct crier_message *m)
{
    lua_State *L = c->L;
    lua_newtable(L);
    int to = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->options);
    const int from[] = {lua_gettop(L), 2};
    for (int i = 0; i < 2; i++) {
        lua_pushnil(L);
        while (lua_next(L, from[i])) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            if (crier_is_null(L, -1)) {
                lua_pop(L, 1);
                lua_pushnil(L);
            }
            lua_rawset(L, to);
        }
        if (i == 0) {
            lua_pushnil(L);
            lua_setfield(L, to, "was");
        }
    }
    lua_settop(L, to);
    lua_getfield(L, to, "name");
    if (m->name && lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), m->name) != 0) {
        lua_pushstring(L, m->name);
        lua_setfield(L, to, "was");
    }
    lua_settop(L, to);
    return to;
}

static void update_message(struct change *c, struct crier_message *m)
{
    char object[160], name[24];
    struct crier_target *t = m->target;
    object_of(m, object);
    struct crier_message *n = crier_declare_again(c->L, merged(c, m), m->type);
    judge(c, n, t);
    if (g_strcmp0(n->name, m->name) != 0 && is_declared(c->gen, m->key))
        fail(c, object, "change it in the script, with was = \"...\"",
             "what the script declares keeps its name");
    char *key = n->name || m->name ? new_key(c, n, t) : crier_strdup(m->key);
    lua_pushstring(c->L, key);
    free(key);
    key = (char *)lua_tostring(c->L, -1);
    if (strcmp(key, m->key) != 0)
        judge_name(c, n, key, t);
    n->key = crier_strdup(key);
    n->target = crier_target_ref(t);
    lua_pop(c->L, 1); /* the new one is on top */
    if (t->match)
        crier_guilds_end_messages(c->poster->guilds, m);
    crier_poster_end(c->poster, m, false);
    crier_message_leave(m);
    start(c, crier_message_ref(n));
    tell(c, "message.changed", object,
         t->match ? crier_pattern_text(t->match) : crier_target_name(c->poster, t, name),
         "changed");
}

static const struct crier_option target_options[] = {
    {"logging", CRIER_OPT_BOOL, 0, NULL, NULL, 0, 0, NULL, "make a record of every send"},
    {"name", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "instead of the name that Discord has for it"},
};

static void update_target(struct change *c, struct crier_target *t)
{
    struct crier_decl d;
    struct crier_options o;
    char label[200];
    crier_decl_begin_late(&d, c->L, 2, "update", "", "crier.update(guild, { logging = true })");
    snprintf(d.object, sizeof d.object, "%.150s", crier_target_label(t, label, sizeof label));
    crier_decl_read(&d, target_options, CRIER_COUNT(target_options), false, &o);
    bool set[] = {o.values[0].set, o.values[1].set};
    bool logs = o.values[0].i;
    if (set[1] && t->match)
        crier_decl_problem(&d, CRIER_ERROR, "name", "leave it out: each has its own",
                           "option 'name' would be that of all guilds that match");
    else if (set[1]) {
        free(t->name);
        t->name = crier_strdup(o.values[1].s);
    }
    crier_options_fini(&o);
    crier_decl_end(&d);
    if (set[0])
        t->logs = logs;
    for (guint i = 0; set[0] && i < c->gen->late_targets->len; i++) {
        struct crier_target *of = c->gen->late_targets->pdata[i];
        if (of->of == t)
            of->logs = logs;
    }
    tell(c, "target.changed", crier_target_label(t, label, sizeof label), NULL, "changed");
}

static int l_update(lua_State *L)
{
    struct change c;
    struct crier_message *m;
    struct crier_target *t;
    lua_settop(L, 2);
    if (!begin(&c, L, "crier.update"))
        return 2;
    if (!lua_istable(L, 2))
        return fail(&c, NULL, "crier.update(\"gallery\", { period = \"5m\" })",
                    "expected a table with what changes, got a %s", luaL_typename(L, 2));
    if (!find(&c, &m, &t))
        return 2;
    if (m) {
        update_message(&c, m);
        return 1; /* what the script has of the old one means the new one, too: present() */
    }
    update_target(&c, t);
    lua_pushvalue(L, 1);
    return 1;
}

void crier_open_add(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"add", l_add}, {"remove", l_remove}, {"update", l_update}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
