/* SPDX-License-Identifier: MIT */
#include "script/event.h"

#include <lauxlib.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "host/host.h"
#include "script/declare.h"
#include "sink/console.h"

#define MT_EVENT "crier.event"
#define SQL_MAX (64 * 1024) /* bytes of what_sql */

#define FLAGS                                                                                      \
    {"is_error", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL, "something that should be fixed"},  \
        {"is_severe", CRIER_OPT_BOOL, 0,                                                           \
         "false",     NULL,           0,                                                           \
         0,           NULL,           "important enough to alert somebody at once"},               \
    {                                                                                              \
        "is_debug", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL, "hidden unless asked for"        \
    }

const struct crier_option crier_event_options[] = {
    {"ev_where", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "where in the code, such as \"report.build\"; default: file and line"},
    {"mod_type", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "the sort of thing that the event is about"},
    {"mod_index", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, "string|number",
     "which one of them: an id, a row"},
    {"params", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "any", "what the work was called with"},
    {"descr", CRIER_OPT_STRING, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL,
     "what is about to be done"},
    {"code", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, "string|number",
     "a mnemonic for the sort of event, unique within mod_type"},
    {"who_admin", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "the person who caused it"},
    {"who_system", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "the system's user; default: the one that crier runs as"},
    {"who_network", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "the machine; default: this one's name"},
    FLAGS,
    {"notes", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "remarks"},
};
const size_t crier_event_count = CRIER_COUNT(crier_event_options);

const struct crier_option crier_finish_options[] = {
    {"descr_fin", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "what came of it"},
    {"params", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "any", "what the work was called with"},
    {"code", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, "string|number",
     "a mnemonic for the sort of event, unique within mod_type"},
    {"what_sql", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "the SQL that was run; default: what sql:exec ran since the event began"},
    FLAGS,
    {"notes", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "remarks"},
};
const size_t crier_finish_count = CRIER_COUNT(crier_finish_options);

/* An event that has begun. The handle in Lua is this; nothing is done when it is collected: an
 * event that nobody finished is unfinished. */
struct event {
    char id[27];
    bool finished;
    bool is_error, is_severe, is_debug, told;
    struct crier_call *call; /* where it began, while that runs */
    uint64_t call_number;
    struct crier_buf sql;
    char *descr;
    struct event *outer; /* the list of those that are open */
};

struct events {
    struct event *open;
};

static const char list_key;

static struct events *events_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &list_key);
    struct events *events = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return events;
}

static void leave_list(lua_State *L, struct event *ev)
{
    for (struct event **at = &events_of(L)->open; *at; at = &(*at)->outer) {
        if (*at == ev) {
            *at = ev->outer;
            return;
        }
    }
}

static bool is_of(const struct event *ev, const struct crier_call *call)
{
    return call && ev->call == call && ev->call_number == call->number;
}

static bool is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c & 0x80);
}

/* Behind the quoted text or name that begins at p; a quote within it is doubled. */
static const char *behind_quotes(const char *p)
{
    char quote = *p++;
    while (*p && (*p != quote || p[1] == quote))
        p += *p == quote ? 2 : 1;
    return *p ? p + 1 : p;
}

static void mask_values(const char *p, struct crier_buf *out)
{
    char before = ' ';
    while (*p) {
        const char *from = p;
        if (*p == '\'' || (*p >= '0' && *p <= '9' && !is_word(before))) {
            p = *p == '\'' ? behind_quotes(p) : p + strspn(p, "0123456789.eE");
            crier_buf_putc(out, '?');
        } else {
            p = *p == '"' || *p == '`' ? behind_quotes(p) : p + 1;
            crier_buf_append(out, from, (size_t)(p - from));
        }
        before = p[-1];
    }
}

void crier_event_add_sql(lua_State *L, const char *sql)
{
    const struct crier_call *call = crier_call_of(L);
    struct event *ev = events_of(L)->open;
    while (ev && !is_of(ev, call))
        ev = ev->outer;
    if (!ev || ev->sql.len >= SQL_MAX)
        return;
    if (ev->sql.len)
        crier_buf_puts(&ev->sql, ";\n");
    mask_values(sql, &ev->sql);
    if (ev->sql.len > SQL_MAX) {
        ev->sql.len = SQL_MAX;
        crier_buf_puts(&ev->sql, " ...");
    }
}

/* --- reading the argument ------------------------------------------------------------------ */

static const struct crier_option *find_option(const struct crier_option *table, size_t count,
                                              const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static void check_value(lua_State *L, const char *function, const struct crier_option *opt)
{
    int type = lua_type(L, -1);
    bool good = opt->type == CRIER_OPT_OBJECT ||
                (opt->type == CRIER_OPT_BOOL && type == LUA_TBOOLEAN) ||
                (opt->type == CRIER_OPT_STRING && (type == LUA_TSTRING || type == LUA_TNUMBER));
    if (!good)
        luaL_error(L, "%s: '%s' must be a %s, got %s", function, opt->name,
                   opt->type == CRIER_OPT_BOOL ? "boolean" : "string", luaL_typename(L, -1));
}

/* Every key is known, and has a value of its type; required ones are there. */
static void check_table(lua_State *L, const char *function, const char *usage, int idx,
                        const struct crier_option *table, size_t count)
{
    if (lua_type(L, idx) != LUA_TTABLE)
        luaL_error(L, "%s expects a table, got %s: %s", function, luaL_typename(L, idx), usage);
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        const char *names[32];
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "%s: fields have names: %s", function, usage);
        const char *name = lua_tostring(L, -2);
        const struct crier_option *opt = find_option(table, count, name);
        if (!opt) {
            for (size_t i = 0; i < count; i++)
                names[i] = table[i].name;
            const char *near = crier_nearest(name, names, count);
            if (near)
                luaL_error(L, "%s: unknown field '%s' (did you mean '%s'?)", function, name, near);
            luaL_error(L, "%s: unknown field '%s' (`params` takes a table of your own)", function,
                       name);
        }
        check_value(L, function, opt);
        lua_pop(L, 1);
    }
    for (size_t i = 0; i < count; i++) {
        if (!(table[i].flags & CRIER_OPT_REQUIRED))
            continue;
        if (lua_getfield(L, idx, table[i].name) == LUA_TNIL)
            luaL_error(L, "%s: '%s' is missing: %s", function, table[i].name, usage);
        lua_pop(L, 1);
    }
}

static bool flag(lua_State *L, int idx, const char *name, bool otherwise)
{
    bool value = lua_getfield(L, idx, name) == LUA_TBOOLEAN ? lua_toboolean(L, -1) : otherwise;
    lua_pop(L, 1);
    return value;
}

/* --- records ------------------------------------------------------------------------------- */

static enum crier_level level_of(const struct event *ev)
{
    return ev->is_severe  ? CRIER_CRITICAL
           : ev->is_error ? CRIER_LEVEL_ERROR
           : ev->is_debug ? CRIER_DEBUG
                          : CRIER_INFO;
}

/* ev_where for people who gave none, and `where` of the record. */
static void place(lua_State *L, char *out, size_t cap)
{
    const char *file;
    int line;
    crier_lua_place(L, &file, &line);
    snprintf(out, cap, "%.100s:%d", file ? file : "?", line);
}

/* The table's fields in the order of the options. */
static void build_fields(struct crier_builder *b, lua_State *L, int idx,
                         const struct crier_option *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = table[i].name;
        if (lua_getfield(L, idx, name) == LUA_TNIL || table[i].type == CRIER_OPT_BOOL ||
            strcmp(name, "ev_where") == 0) {
            lua_pop(L, 1);
            continue;
        }
        if (table[i].type == CRIER_OPT_STRING) {
            size_t len;
            const char *s = luaL_tolstring(L, -1, &len);
            crier_build_str(b, name, strlen(name), s, len);
            lua_pop(L, 1);
        } else {
            crier_build_lua_value(b, L, -1, name, strlen(name));
        }
        lua_pop(L, 1);
    }
}

/* What the user left out of who did it, and where. */
static void build_who(struct crier_builder *b, lua_State *L, int idx, const char *where)
{
    char text[256] = "";
    if (lua_getfield(L, idx, "ev_where") != LUA_TNIL)
        CRIER_B_STR(b, "ev_where", luaL_tolstring(L, -1, NULL));
    else
        CRIER_B_STR(b, "ev_where", where);
    lua_settop(L, idx);
    if (lua_getfield(L, idx, "who_system") == LUA_TNIL) {
        struct passwd pw, *found = NULL;
        char room[1024];
        if (getpwuid_r(getuid(), &pw, room, sizeof room, &found) == 0 && found)
            CRIER_B_STR(b, "who_system", pw.pw_name);
    }
    if (lua_getfield(L, idx, "who_network") == LUA_TNIL && gethostname(text, sizeof text - 1) == 0)
        CRIER_B_STR(b, "who_network", text);
    lua_settop(L, idx);
}

static void build_flags(struct crier_builder *b, const struct event *ev)
{
    CRIER_B_BOOL(b, "is_error", ev->is_error);
    CRIER_B_BOOL(b, "is_severe", ev->is_severe);
    CRIER_B_BOOL(b, "is_debug", ev->is_debug);
}

/* A severe event that no alert passes on is at least seen by whoever looks at the terminal. */
static void tell_severe(lua_State *L, struct event *ev)
{
    struct crier_buf text = {0};
    char where[128];
    if (!ev->is_severe || ev->told || crier_generation_has_alerts(crier_generation_of(L)))
        return;
    ev->told = true;
    place(L, where, sizeof where);
    crier_console_text((struct crier_str){ev->descr, strlen(ev->descr)}, &text);
    fprintf(stderr, "crier: severe event at %s: %s (no crier.alert is declared)\n", where,
            text.data ? text.data : "");
    crier_buf_fini(&text);
}

static struct crier_builder *begin(struct crier_host *host, const struct event *ev, int64_t now,
                                   bool *nested)
{
    *nested = crier_host_log_begin(host);
    struct crier_builder *b = *nested ? crier_host_spare_builder(host) : crier_host_builder(host);
    crier_build_begin(b, CRIER_KIND_EVENT, level_of(ev), now);
    crier_build_logger(b, "event", 5);
    crier_build_text(b, ev->descr, strlen(ev->descr));
    CRIER_B_STR(b, "event_id", ev->id);
    return b;
}

static void end(struct crier_host *host, struct crier_builder *b, bool nested)
{
    if (!nested)
        crier_host_log_end(host);
    crier_host_emit(host, crier_build_end(b));
}

static struct crier_host *running_host(lua_State *L, const char *function)
{
    struct crier_generation *gen = crier_generation_of(L);
    if (!gen->host)
        luaL_error(L,
                   "%s is not available while loading: call it in a task, a data function or a "
                   "hook",
                   function);
    return gen->host;
}

/* The handle, on the stack. */
static struct event *new_event(lua_State *L, int idx)
{
    struct event *ev = lua_newuserdatauv(L, sizeof *ev, 0);
    *ev = (struct event){.finished = true};
    luaL_setmetatable(L, MT_EVENT);
    ev->is_error = flag(L, idx, "is_error", false);
    ev->is_severe = flag(L, idx, "is_severe", false);
    ev->is_debug = flag(L, idx, "is_debug", false);
    lua_getfield(L, idx, "descr");
    ev->descr = crier_strdup(luaL_tolstring(L, -1, NULL));
    lua_pop(L, 2);
    return ev;
}

static void new_id(struct crier_host *host, int64_t now, char out[27])
{
    unsigned char id[16];
    crier_host_new_id(host, now, id);
    crier_ulid_text(id, out);
}

/* --- start --------------------------------------------------------------------------------- */

static const char *const event_usage =
    "local ev <close> = crier.event { descr = \"build the report\" }";

/* A start that waits until the state store has it. */
struct starting {
    struct crier_call *call; /* NULL: given up */
    struct crier_vm *vm;
    int handle;
};

static void on_stored(void *arg, int rc)
{
    struct starting *s = arg;
    struct crier_call *call = s->call;
    (void)rc; /* what could not be written is told by the store, and the record is on its way */
    if (call) {
        lua_State *L = crier_call_stack(call);
        lua_rawgeti(L, LUA_REGISTRYINDEX, s->handle);
        luaL_unref(L, LUA_REGISTRYINDEX, s->handle);
    }
    free(s);
    if (call)
        crier_call_resume(call, 1);
}

static void give_up(struct crier_call *call, void *arg)
{
    struct starting *s = arg;
    luaL_unref(call->vm->L, LUA_REGISTRYINDEX, s->handle);
    s->call = NULL;
}

/* What the next host needs to tell of it, should this one die. */
static char *to_store(const struct event *ev, const char *where)
{
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    crier_json_key(&b, "descr");
    crier_json_str(&b, ev->descr);
    crier_json_key(&b, "where");
    crier_json_str(&b, where);
    if (ev->is_debug) {
        crier_json_key(&b, "debug");
        crier_json_bool(&b, true);
    }
    crier_json_close(&b, '}');
    return crier_buf_take(&b);
}

static int l_event(lua_State *L)
{
    lua_remove(L, 1); /* the table `event` itself */
    check_table(L, "crier.event", event_usage, 1, crier_event_options, crier_event_count);
    lua_settop(L, 1);
    struct crier_host *host = running_host(L, "crier.event");
    struct crier_generation *gen = crier_generation_of(L);
    int64_t now = crier_clock_wall(gen->vm->config.clock);
    char where[128];
    bool nested;
    place(L, where, sizeof where);
    struct event *ev = new_event(L, 1);
    new_id(host, now, ev->id);
    lua_insert(L, 1);
    lua_settop(L, 2);

    struct crier_builder *b = begin(host, ev, now, &nested);
    crier_build_where(b, where, strlen(where));
    CRIER_B_STR(b, "phase", "start");
    CRIER_B_TIME(b, "when_started", now);
    build_who(b, L, 2, where);
    build_fields(b, L, 2, crier_event_options, crier_event_count);
    build_flags(b, ev);
    end(host, b, nested);
    tell_severe(L, ev);

    ev->finished = false;
    ev->call = crier_call_of(L);
    ev->call_number = ev->call ? ev->call->number : 0;
    ev->outer = events_of(L)->open;
    events_of(L)->open = ev;
    char *json = to_store(ev, where);
    lua_settop(L, 1);
    if (!crier_call_may_wait(L)) {
        crier_state_put(crier_host_state(host), "event", ev->id, json, NULL, NULL);
        free(json);
        return 1;
    }
    struct starting *s = crier_calloc(1, sizeof *s);
    s->call = crier_call_of(L);
    s->handle = luaL_ref(L, LUA_REGISTRYINDEX);
    crier_state_put(crier_host_state(host), "event", ev->id, json, on_stored, s);
    free(json);
    return crier_call_wait(L, give_up, s);
}

/* --- the other phases ---------------------------------------------------------------------- */

static void finish(lua_State *L, struct event *ev, int idx, const char *error)
{
    struct crier_generation *gen = crier_generation_of(L);
    struct crier_host *host = gen->host;
    bool nested;
    if (idx) {
        ev->is_error = flag(L, idx, "is_error", ev->is_error);
        ev->is_severe = flag(L, idx, "is_severe", ev->is_severe);
        ev->is_debug = flag(L, idx, "is_debug", ev->is_debug);
    }
    ev->is_error = ev->is_error || error;
    ev->finished = true;
    leave_list(L, ev);
    int64_t now = crier_clock_wall(gen->vm->config.clock);
    struct crier_builder *b = begin(host, ev, now, &nested);
    crier_build_ok(b, !ev->is_error);
    CRIER_B_STR(b, "phase", "finish");
    CRIER_B_TIME(b, "when_finished", now);
    bool sql = idx && lua_getfield(L, idx, "what_sql") != LUA_TNIL;
    if (!sql && ev->sql.len)
        crier_build_str(b, "what_sql", 8, ev->sql.data, ev->sql.len);
    if (idx)
        build_fields(b, L, idx, crier_finish_options, crier_finish_count);
    if (error)
        CRIER_B_STR(b, "descr_fin", error);
    build_flags(b, ev);
    end(host, b, nested);
    tell_severe(L, ev);
    crier_state_put(crier_host_state(host), "event", ev->id, NULL, NULL, NULL);
}

static struct event *check_event(lua_State *L)
{
    struct event *ev = luaL_testudata(L, 1, MT_EVENT);
    if (!ev)
        luaL_error(L, "event:finish expects an event: write ev:finish { ... } with a colon");
    return ev;
}

static int l_finish(lua_State *L)
{
    struct event *ev = check_event(L);
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_newtable(L);
    }
    check_table(L, "event:finish", "ev:finish { descr_fin = \"3 rows\" }", 2, crier_finish_options,
                crier_finish_count);
    lua_settop(L, 2);
    running_host(L, "event:finish");
    if (ev->finished)
        return luaL_error(L, "event:finish: this event has been finished already");
    finish(L, ev, 2, NULL);
    return 0;
}

/* The scope is left: by an error, or without finish, which is no error but says nothing either. */
static int l_close(lua_State *L)
{
    struct event *ev = check_event(L);
    if (ev->finished)
        return 0;
    const char *error = lua_isnoneornil(L, 2) ? NULL : luaL_tolstring(L, 2, NULL);
    finish(L, ev, 0, error);
    return 0;
}

static int l_gc(lua_State *L)
{
    struct event *ev = luaL_checkudata(L, 1, MT_EVENT);
    if (!ev->finished)
        leave_list(L, ev);
    ev->finished = true;
    crier_buf_fini(&ev->sql);
    free(ev->descr);
    ev->descr = NULL;
    return 0;
}

static int l_index(lua_State *L)
{
    const struct event *ev = luaL_checkudata(L, 1, MT_EVENT);
    const char *name = luaL_checkstring(L, 2);
    if (strcmp(name, "finish") == 0)
        lua_pushcfunction(L, l_finish);
    else if (strcmp(name, "id") == 0)
        lua_pushstring(L, ev->id);
    else if (strcmp(name, "finished") == 0)
        lua_pushboolean(L, ev->finished);
    else
        return luaL_error(L, "an event has no '%s' (it has id, finished and finish)", name);
    return 1;
}

static int l_tostring(lua_State *L)
{
    const struct event *ev = luaL_checkudata(L, 1, MT_EVENT);
    lua_pushfstring(L, "event %s (%s)", ev->id, ev->finished ? "finished" : "open");
    return 1;
}

/* crier.event.note: an event that changed nothing, told in one record. */
static int l_note(lua_State *L)
{
    check_table(L, "crier.event.note", "crier.event.note { descr = \"nothing new\" }", 1,
                crier_event_options, crier_event_count);
    lua_settop(L, 1);
    struct crier_host *host = running_host(L, "crier.event.note");
    struct crier_generation *gen = crier_generation_of(L);
    int64_t now = crier_clock_wall(gen->vm->config.clock);
    char where[128];
    bool nested;
    place(L, where, sizeof where);
    struct event *ev = new_event(L, 1);
    new_id(host, now, ev->id);
    struct crier_builder *b = begin(host, ev, now, &nested);
    crier_build_where(b, where, strlen(where));
    crier_build_ok(b, !ev->is_error);
    CRIER_B_STR(b, "phase", "note");
    CRIER_B_TIME(b, "when_finished", now);
    lua_insert(L, 1);
    build_who(b, L, 2, where);
    build_fields(b, L, 2, crier_event_options, crier_event_count);
    build_flags(b, ev);
    end(host, b, nested);
    tell_severe(L, ev);
    lua_pushstring(L, ev->id);
    return 1;
}

/* --- by hand, and after a death -------------------------------------------------------------- */

void crier_event_amend(struct crier_host *host, const char *event_id, const char *phase,
                       const char *who, const char *notes, bool is_error)
{
    struct crier_builder *b = crier_host_builder(host);
    int64_t now = crier_clock_wall(crier_loop_clock(crier_host_loop(host)));
    bool closes = strcmp(phase, "close") == 0;
    crier_build_begin(b, CRIER_KIND_EVENT, is_error ? CRIER_LEVEL_ERROR : CRIER_INFO, now);
    crier_build_logger(b, "event", 5);
    if (closes)
        crier_build_ok(b, !is_error);
    CRIER_B_STR(b, "event_id", event_id);
    CRIER_B_STR(b, "phase", phase);
    if (closes)
        CRIER_B_TIME(b, "when_finished", now);
    if (is_error)
        CRIER_B_BOOL(b, "is_error", true);
    if (who)
        CRIER_B_STR(b, closes ? "closed_by" : "noted_by", who);
    if (notes)
        CRIER_B_STR(b, "notes", notes);
    crier_host_emit(host, crier_build_end(b));
    if (closes)
        crier_state_put(crier_host_state(host), "event", event_id, NULL, NULL, NULL);
}

static void flag_one(void *arg, const char *key, const char *json)
{
    struct crier_host *host = arg;
    json_t *event = json_loads(json, 0, NULL);
    const char *descr = json_string_value(json_object_get(event, "descr"));
    const char *where = json_string_value(json_object_get(event, "where"));
    crier_event_amend(host, key, "note", NULL, "left unfinished: the host that began it has ended",
                      true);
    crier_host_system(host, CRIER_LEVEL_ERROR, "event.unfinished",
                      "event %s was left unfinished by a host that has ended: %s (%s); see "
                      "crier events --open, end it by crier events close %.10s",
                      key, descr ? descr : "?", where ? where : "?", key);
    json_decref(event);
    crier_state_put(crier_host_state(host), "event", key, NULL, NULL, NULL);
}

void crier_events_flag_unfinished(struct crier_host *host)
{
    crier_state_each(crier_host_state(host), "event", flag_one, host);
}

/* --- */

void crier_open_event(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__index", l_index},
                                    {"__gc", l_gc},
                                    {"__close", l_close},
                                    {"__tostring", l_tostring},
                                    {NULL, NULL}};
    struct events *events = lua_newuserdatauv(L, sizeof *events, 0);
    events->open = NULL;
    lua_rawsetp(L, LUA_REGISTRYINDEX, &list_key);
    luaL_newmetatable(L, MT_EVENT);
    luaL_setfuncs(L, meta, 0);
    lua_pushliteral(L, "crier.event");
    lua_setfield(L, -2, "__name");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);

    lua_newtable(L); /* crier.event: called, or with its member `note` */
    lua_pushcfunction(L, l_note);
    lua_setfield(L, -2, "note");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_event);
    lua_setfield(L, -2, "__call");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "event");
}
