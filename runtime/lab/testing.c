/* SPDX-License-Identifier: MIT */
#include "lab/testing.h"

#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lab/lab.h"
#include "script/luajson.h"
#include "script/message.h"
#include "script/sugar.h"

#define LAB "crier.lab"

struct box {
    struct crier_lab *lab; /* NULL: closed */
    GPtrArray *records;    /* since the beginning */
    struct crier_zone *zone;
};

static void on_record(void *arg, const struct crier_record *record)
{
    struct box *b = arg;
    g_ptr_array_add(b->records, crier_record_ref((struct crier_record *)record));
}

static void record_free(void *record)
{
    crier_record_unref(record);
}

static struct box *check(lua_State *L)
{
    struct box *b = luaL_checkudata(L, 1, LAB);
    if (!b->lab)
        luaL_error(L, "this bot is closed");
    return b;
}

static int failure(lua_State *L, const struct crier_err *err)
{
    luaL_pushfail(L);
    lua_pushstring(L, err->text);
    return 2;
}

/* "1h", or seconds. */
static int64_t duration_arg(lua_State *L, int idx)
{
    struct crier_err err = {0};
    int64_t us = 0;
    int rc = lua_type(L, idx) == LUA_TNUMBER
                 ? crier_duration_from_seconds(lua_tonumber(L, idx), &us, &err)
                 : crier_duration_parse(luaL_checkstring(L, idx), &us, &err);
    if (rc != 0)
        luaL_argerror(L, idx, lua_pushstring(L, err.text));
    return us;
}

/* A date-time, or seconds since the epoch. */
static int64_t time_arg(lua_State *L, int idx, const struct crier_zone *zone)
{
    struct crier_err err = {0};
    int64_t us = 0;
    if (lua_type(L, idx) == LUA_TNUMBER)
        return (int64_t)(lua_tonumber(L, idx) * 1e6);
    if (crier_datetime_parse(luaL_checkstring(L, idx), zone, &us, &err) != 0)
        luaL_argerror(L, idx, lua_pushstring(L, err.text));
    return us;
}

static const char *field_text(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name); /* stays on the stack, and so stays */
    return lua_tostring(L, -1);
}

static bool field_bool(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    return lua_toboolean(L, -1);
}

/* new { file =, at =, zone =, seed =, state =, world =, sinks =, no_limits = } */
static int l_new(lua_State *L)
{
    struct crier_err err = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct box *b = lua_newuserdatauv(L, sizeof *b, 0);
    memset(b, 0, sizeof *b);
    luaL_setmetatable(L, LAB);
    b->records = g_ptr_array_new_with_free_func(record_free);
    const char *zone = field_text(L, "zone");
    if (crier_zone_open(zone ? zone : "UTC", &b->zone, &err) != 0)
        return failure(L, &err);
    struct crier_lab_config config = {.file = field_text(L, "file"),
                                      .state_folder = field_text(L, "state"),
                                      .world = field_text(L, "world"),
                                      .sinks = field_bool(L, "sinks"),
                                      .no_limits = field_bool(L, "no_limits"),
                                      .on_record = on_record,
                                      .arg = b};
    lua_getfield(L, 1, "seed");
    config.seed = (uint64_t)luaL_optinteger(L, -1, 1);
    lua_getfield(L, 1, "at");
    config.from = time_arg(L, lua_gettop(L), b->zone);
    if (crier_lab_new(&config, &b->lab, &err) != 0)
        return failure(L, &err);
    lua_pushvalue(L, 2);
    return 1;
}

static int l_close(lua_State *L)
{
    struct box *b = luaL_checkudata(L, 1, LAB);
    crier_lab_free(b->lab);
    b->lab = NULL;
    if (b->records)
        g_ptr_array_free(b->records, TRUE);
    b->records = NULL;
    crier_zone_unref(b->zone);
    b->zone = NULL;
    return 0;
}

/* true, or nil, what is wrong, and the exit code */
static int l_start(lua_State *L)
{
    struct box *b = check(L);
    int code = crier_lab_start(b->lab);
    if (code == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    luaL_pushfail(L);
    lua_pushstring(L, crier_lab_error(b->lab));
    lua_pushinteger(L, code);
    return 3;
}

static int l_advance(lua_State *L)
{
    struct box *b = check(L);
    lua_pushboolean(L, crier_lab_advance(b->lab, duration_arg(L, 2)));
    return 1;
}

static int l_stop(lua_State *L)
{
    struct box *b = check(L);
    crier_lab_stop(b->lab, lua_toboolean(L, 2));
    return 0;
}

/* code, text */
static int l_reload(lua_State *L)
{
    struct box *b = check(L);
    struct crier_buf text = {0};
    int code = crier_lab_reload(b->lab, &text);
    lua_pushinteger(L, code);
    lua_pushlstring(L, text.data ? text.data : "", text.len);
    crier_buf_fini(&text);
    return 2;
}

static int l_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)crier_lab_now(check(L)->lab) / 1e6);
    return 1;
}

static int l_set_clock(lua_State *L)
{
    struct box *b = check(L);
    crier_lab_set_clock(b->lab, time_arg(L, 2, b->zone));
    return 0;
}

static int add(lua_State *L, int (*what)(struct crier_lab *, const char *, struct crier_err *))
{
    struct crier_err err = {0};
    if (what(check(L)->lab, luaL_checkstring(L, 2), &err) != 0)
        return failure(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

static int l_faults(lua_State *L)
{
    return add(L, crier_lab_faults);
}

static int l_clear_faults(lua_State *L)
{
    crier_lab_faults_clear(check(L)->lab);
    return 0;
}

static int l_fixtures(lua_State *L)
{
    return add(L, crier_lab_fixtures);
}

static int l_http_log(lua_State *L)
{
    lua_pushstring(L, crier_lab_http_log(check(L)->lab));
    return 1;
}

static void push_json(lua_State *L, const char *text, size_t len)
{
    struct crier_err err = {0};
    if (crier_lua_from_json(L, text, len, &err) != 0)
        luaL_error(L, "crier.testing: %s", err.text);
}

/* The simulator's channels and messages. */
static int l_discord(lua_State *L)
{
    json_t *dump = crier_sim_dump(crier_lab_sim(check(L)->lab));
    char *text = json_dumps(dump, JSON_COMPACT);
    json_decref(dump);
    lua_pushstring(L, text);
    free(text);
    push_json(L, lua_tostring(L, -1), lua_rawlen(L, -1));
    return 1;
}

/* records(from): a list of those from the from-th on, oldest first */
static int l_records(lua_State *L)
{
    struct box *b = check(L);
    guint from = (guint)luaL_optinteger(L, 2, 1);
    lua_Integer n = 0;
    lua_newtable(L);
    for (guint i = from ? from - 1 : 0; i < b->records->len; i++) {
        struct crier_str json = crier_record_json(b->records->pdata[i]);
        push_json(L, json.data, json.len);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t n)
{
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, name);
}

static void set_time(lua_State *L, const char *name, int64_t us)
{
    lua_pushnumber(L, (lua_Number)us / 1e6);
    lua_setfield(L, -2, name);
}

/* What the messages with a name count, by name. due, last: seconds since the epoch. */
static void push_messages(lua_State *L, const struct crier_generation *gen)
{
    lua_newtable(L);
    for (guint i = 0; i < gen->messages->len; i++) {
        const struct crier_message *m = gen->messages->pdata[i];
        const struct crier_msgstate *st = m->state;
        if (!m->name || !st)
            continue;
        lua_newtable(L);
        set_time(L, "due", st->due);
        set_time(L, "last", st->last);
        set_count(L, "sent", st->sent);
        set_count(L, "failed", st->failed);
        set_count(L, "skipped", st->skipped);
        lua_pushboolean(L, st->send || st->intent_due);
        lua_setfield(L, -2, "under_way");
        lua_pushboolean(L, st->held);
        lua_setfield(L, -2, "held");
        lua_pushboolean(L, st->ended);
        lua_setfield(L, -2, "ended");
        lua_setfield(L, -2, m->name);
    }
}

/* What can be counted: for invariants. */
static int l_stats(lua_State *L)
{
    struct box *b = check(L);
    struct crier_host *host = crier_lab_host(b->lab);
    struct crier_sim_stats sim;
    crier_sim_stats(crier_lab_sim(b->lab), &sim);
    lua_newtable(L);
    set_count(L, "requests", sim.requests);
    set_count(L, "creates", sim.creates);
    set_count(L, "edits", sim.edits);
    set_count(L, "deletes", sim.deletes);
    set_count(L, "answers_429", sim.answers_429);
    set_count(L, "answers_4xx", sim.answers_4xx);
    set_count(L, "answers_5xx", sim.answers_5xx);
    if (!host)
        return 1;
    const struct crier_generation *gen = crier_host_current(host);
    struct crier_poster_stats poster;
    crier_poster_stats(crier_host_poster(host), &poster);
    set_count(L, "sent", poster.sent);
    set_count(L, "failed", poster.failed);
    set_count(L, "skipped", poster.skipped);
    set_count(L, "pending", crier_poster_pending(crier_host_poster(host)));
    push_messages(L, gen);
    lua_setfield(L, -2, "messages");
    set_count(L, "calls", gen->vm->calls);
    set_count(L, "memory", gen->vm->memory_used);
    lua_newtable(L);
    for (guint i = 0; i < gen->sinks->len; i++) {
        const struct crier_declared_sink *s = gen->sinks->pdata[i];
        struct crier_sink_stats st;
        crier_sink_stats(s->sink, &st);
        lua_newtable(L);
        set_count(L, "accepted", st.accepted);
        set_count(L, "written", st.written);
        set_count(L, "queued", st.queued);
        set_count(L, "spilled", st.spilled);
        set_count(L, "rejected", st.rejected);
        set_count(L, "dropped", st.dropped);
        set_count(L, "copied", st.copied);
        lua_pushboolean(L, st.down);
        lua_setfield(L, -2, "down");
        lua_setfield(L, -2, s->name);
    }
    lua_setfield(L, -2, "sinks");
    return 1;
}

/* disk_full(bool): whether files can be written. Those that are there keep what they have. */
static int l_disk_full(lua_State *L)
{
    struct rlimit limit;
    check(L);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = lua_toboolean(L, 2) ? 0 : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    return 0;
}

static int l_state_folder(lua_State *L)
{
    lua_pushstring(L, crier_lab_state_folder(check(L)->lab));
    return 1;
}

/* json(value): a Lua value as JSON */
static int l_json(lua_State *L)
{
    struct crier_err err = {0};
    struct crier_buf text = {0};
    luaL_checkany(L, 1);
    if (crier_lua_to_json(L, 1, &text, &err) != 0) {
        crier_buf_fini(&text);
        return luaL_error(L, "%s", err.text);
    }
    lua_pushlstring(L, text.data, text.len);
    crier_buf_fini(&text);
    return 1;
}

static int l_core(lua_State *L)
{
    static const luaL_Reg methods[] = {{"close", l_close},
                                       {"start", l_start},
                                       {"advance", l_advance},
                                       {"stop", l_stop},
                                       {"reload", l_reload},
                                       {"now", l_now},
                                       {"set_clock", l_set_clock},
                                       {"faults", l_faults},
                                       {"clear_faults", l_clear_faults},
                                       {"fixtures", l_fixtures},
                                       {"http_log", l_http_log},
                                       {"discord", l_discord},
                                       {"records", l_records},
                                       {"stats", l_stats},
                                       {"disk_full", l_disk_full},
                                       {"state_folder", l_state_folder},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"new", l_new}, {"json", l_json}, {NULL, NULL}};
    luaL_newmetatable(L, LAB);
    lua_pushcfunction(L, l_close);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}

static int l_testing(lua_State *L)
{
    if (luaL_loadbufferx(L, crier_sugar_testing, crier_sugar_testing_len, "=crier.testing", "t") !=
        LUA_OK)
        return lua_error(L);
    lua_pushcfunction(L, l_core);
    lua_call(L, 0, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int traceback(lua_State *L)
{
    const char *text = lua_tostring(L, 1);
    luaL_traceback(L, L, text ? text : "error", 1);
    return 1;
}

static int l_run(lua_State *L)
{
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    luaL_openlibs(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, l_testing);
    lua_setfield(L, -2, "crier.testing");
    lua_newtable(L);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setglobal(L, "arg");
    lua_getglobal(L, "require");
    lua_pushliteral(L, "busted.runner");
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        fprintf(stderr, "crier spec: busted for Lua 5.4 is not installed (apt install lua-busted, or "
                        "luarocks --lua-version 5.4 install busted)\n");
        lua_pushinteger(L, 69);
        return 1;
    }
    lua_newtable(L);
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "standalone");
    lua_call(L, 1, 0); /* it ends by os.exit where specs fail */
    lua_pushinteger(L, 0);
    return 1;
}

int crier_testing_run(int argc, char **argv)
{
    lua_State *L = luaL_newstate();
    int code = 70;
    lua_pushcfunction(L, traceback);
    lua_pushcfunction(L, l_run);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    if (lua_pcall(L, 2, 1, 1) == LUA_OK)
        code = (int)lua_tointeger(L, -1);
    else
        fprintf(stderr, "crier spec: %s\n", lua_tostring(L, -1));
    lua_close(L);
    return code;
}
