/* SPDX-License-Identifier: MIT
 *
 *     res, message, code = crier.http.get(url, options)
 *     res, message, code = crier.http.post(url, options)
 *     res, message, code = crier.http.request { method =, url =, ... }
 *
 * Options: headers = { name = value }, body = text, json = any value, timeout = duration (30s),
 * redirects = count (5), max_body = size ("8MiB"); request also takes method and url. An answer of
 * any status is a result: { status, headers (names in lower case), body }, and res:json().
 */
#include "script/http.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/duration.h"
#include "discord/transport.h"
#include "script/luajson.h"
#include "script/vm.h"

#define REQUEST "crier.http request"
#define RESPONSE "crier.http response"
#define TIMEOUT (30 * CRIER_S)
#define REDIRECTS 5
#define MAX_BODY (8u << 20)

/* A request being read from Lua; a userdata, so that an error on the way frees it. */
struct draft {
    struct crier_http_request req;
    bool json;     /* the body was encoded here */
    bool has_type; /* Content-Type was given */
};

/* A request under way. It outlives a call that gives it up. */
struct exchange {
    struct crier_call *call; /* NULL: given up */
    struct crier_transport *transport;
    struct crier_http_call *handle;
    char target[160]; /* "GET https://host", for messages: the rest of a URL may hold secrets */
};

static int l_draft_gc(lua_State *L)
{
    struct draft *d = luaL_checkudata(L, 1, REQUEST);
    crier_http_request_fini(&d->req);
    return 0;
}

/* --- the request -------------------------------------------------------------------------- */

static void read_headers(lua_State *L, int idx, struct draft *d)
{
    if (lua_type(L, idx) != LUA_TTABLE)
        luaL_error(L, "crier.http: headers: expected a table { name = value }, got %s",
                   luaL_typename(L, idx));
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1))
            luaL_error(L, "crier.http: headers: names are texts, values texts or numbers");
        const char *name = lua_tostring(L, -2);
        const char *value = luaL_tolstring(L, -1, NULL); /* not lua_tostring: it would convert it */
        if (!*name || name[strcspn(name, ":\r\n ")] || strpbrk(value, "\r\n"))
            luaL_error(L, "crier.http: headers: '%s' is not a header, or its value has a line "
                          "break", name);
        if (strcasecmp(name, "content-type") == 0)
            d->has_type = true;
        crier_http_request_header(&d->req, name, value);
        lua_pop(L, 2);
    }
}

static void read_body(lua_State *L, int idx, struct draft *d, bool json)
{
    if (d->req.body)
        luaL_error(L, "crier.http: give body or json, not both");
    if (json) {
        struct crier_err err = {0};
        struct crier_buf text = {0};
        if (crier_lua_to_json(L, idx, &text, &err) != 0) {
            crier_buf_fini(&text);
            luaL_error(L, "crier.http: json: %s", err.text);
        }
        d->json = true;
        d->req.body_len = text.len;
        d->req.body = crier_buf_take(&text);
        return;
    }
    if (lua_type(L, idx) != LUA_TSTRING)
        luaL_error(L, "crier.http: body: expected a text, got %s (json = ... encodes a table)",
                   luaL_typename(L, idx));
    size_t len;
    const char *body = lua_tolstring(L, idx, &len);
    d->req.body = crier_malloc(len + 1);
    memcpy(d->req.body, body, len + 1);
    d->req.body_len = len;
}

static void read_size(lua_State *L, int idx, struct draft *d)
{
    struct crier_err err = {0};
    int64_t size = lua_isinteger(L, idx) ? lua_tointeger(L, idx) : 0;
    if (lua_type(L, idx) == LUA_TSTRING &&
        crier_size_parse(lua_tostring(L, idx), &size, &err) != 0)
        luaL_error(L, "crier.http: max_body: %s", err.text);
    if (size <= 0)
        luaL_error(L, "crier.http: max_body: expected a size such as \"8MiB\"");
    d->req.max_body = (size_t)size;
}

static void read_method(lua_State *L, int idx, struct draft *d)
{
    const char *method = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : "";
    size_t len = strlen(method);
    for (size_t i = 0; i < len; i++)
        if (!isupper((unsigned char)method[i]))
            len = 0;
    if (len == 0 || len >= sizeof d->req.method)
        luaL_error(L, "crier.http: method: expected a name such as \"GET\" or \"PUT\"");
    memcpy(d->req.method, method, len + 1);
}

static void read_option(lua_State *L, int idx, struct draft *d, const char *name, bool full)
{
    static const char *const names[] = {"headers", "body", "json", "timeout", "redirects",
                                        "max_body", "method", "url"};
    if (strcmp(name, "headers") == 0) {
        read_headers(L, idx, d);
    } else if (strcmp(name, "body") == 0 || strcmp(name, "json") == 0) {
        read_body(L, idx, d, name[0] == 'j');
    } else if (strcmp(name, "timeout") == 0) {
        d->req.timeout = crier_lua_duration(L, idx, "crier.http: timeout");
        if (d->req.timeout == 0)
            luaL_error(L, "crier.http: timeout: expected more than 0");
    } else if (strcmp(name, "redirects") == 0) {
        if (!lua_isinteger(L, idx) || lua_tointeger(L, idx) < 0 || lua_tointeger(L, idx) > 50)
            luaL_error(L, "crier.http: redirects: expected a whole number from 0 to 50");
        d->req.redirects = (int)lua_tointeger(L, idx);
    } else if (strcmp(name, "max_body") == 0) {
        read_size(L, idx, d);
    } else if (full && strcmp(name, "method") == 0) {
        read_method(L, idx, d);
    } else if (!full || strcmp(name, "url") != 0) {
        const char *near = crier_nearest(name, names, CRIER_COUNT(names) - (full ? 0 : 2));
        luaL_error(L, "crier.http: unknown option '%s'%s%s%s", name, near ? " (did you mean '" : "",
                   near ? near : "", near ? "'?)" : "");
    }
}

static void read_options(lua_State *L, int idx, struct draft *d, bool full)
{
    if (lua_isnoneornil(L, idx))
        return;
    if (lua_type(L, idx) != LUA_TTABLE)
        luaL_error(L, "crier.http: options: expected a table, got %s", luaL_typename(L, idx));
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "crier.http: options: unknown option [%s]", luaL_tolstring(L, -2, NULL));
        read_option(L, lua_gettop(L), d, lua_tostring(L, -2), full);
        lua_pop(L, 1);
    }
}

/* --- the answer --------------------------------------------------------------------------- */

/* Header lines as a table; a name that comes again is joined with ", ". */
static void push_headers(lua_State *L, const struct crier_buf *headers)
{
    lua_newtable(L);
    const char *at = headers->data, *end = at ? at + headers->len : NULL;
    while (at && at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        eol = eol ? eol : end;
        const char *colon = memchr(at, ':', (size_t)(eol - at));
        if (colon) {
            const char *value = colon + 1;
            while (value < eol && *value == ' ')
                value++;
            lua_pushlstring(L, at, (size_t)(colon - at));
            lua_pushvalue(L, -1);
            lua_pushlstring(L, value, (size_t)(eol - value));
            if (lua_pushvalue(L, -2), lua_rawget(L, -5) == LUA_TSTRING) {
                lua_insert(L, -2);
                lua_pushliteral(L, ", ");
                lua_insert(L, -2);
                lua_concat(L, 3);
            } else {
                lua_pop(L, 1);
            }
            lua_rawset(L, -4);
            lua_pop(L, 1);
        }
        at = eol + 1;
    }
}

static int l_response_json(lua_State *L)
{
    struct crier_err err = {0};
    size_t len;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "body");
    const char *body = lua_tolstring(L, -1, &len);
    if (!body)
        return luaL_error(L, "res:json(): the response has no body");
    if (crier_lua_from_json(L, body, len, &err) == 0)
        return 1;
    luaL_pushfail(L);
    lua_pushstring(L, err.text);
    lua_pushstring(L, crier_code_name(err.code));
    return 3;
}

static int push_failure(lua_State *L, const char *target, const struct crier_err *err)
{
    luaL_pushfail(L);
    lua_pushfstring(L, "%s: %s", target, err->text);
    lua_pushstring(L, crier_code_name(err->code));
    return 3;
}

static int push_response(lua_State *L, const struct crier_http_response *res)
{
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, res->status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, res->body.data ? res->body.data : "", res->body.len);
    lua_setfield(L, -2, "body");
    push_headers(L, &res->headers);
    lua_setfield(L, -2, "headers");
    luaL_setmetatable(L, RESPONSE);
    return 1;
}

static void on_done(void *arg, struct crier_http_response *res)
{
    struct exchange *x = arg;
    struct crier_call *call = x->call;
    if (call) {
        lua_State *L = crier_call_stack(call);
        int n = 0;
        if (lua_checkstack(L, 12))
            n = res->status ? push_response(L, res) : push_failure(L, x->target, &res->err);
        free(x);
        crier_call_resume(call, n);
    } else {
        free(x);
    }
}

static void give_up(struct crier_call *call, void *arg)
{
    (void)call;
    struct exchange *x = arg;
    x->call = NULL;
    x->transport->ops->cancel(x->transport, x->handle);
}

/* --- the functions ------------------------------------------------------------------------ */

static int refuse(lua_State *L, const char *why)
{
    luaL_pushfail(L);
    lua_pushstring(L, why);
    lua_pushstring(L, crier_code_name(CRIER_EDENIED));
    return 3;
}

/* url and options (read already) are in the draft; L may wait. */
static int send(lua_State *L, struct draft *d, struct crier_call *call)
{
    struct crier_vm *vm = crier_vm_of(L);
    char host[128], why[256] = "";
    if (strncasecmp(d->req.url, "http", 4) != 0 || !crier_url_host(d->req.url, host, sizeof host))
        return luaL_error(L, "crier.http: url: expected http://... or https://...");
    if (!vm->http)
        return refuse(L, "crier.http is not available here: no transport");
    if (vm->allow_host) {
        if (!vm->allow_host(vm->owner, host, why, sizeof why))
            return refuse(L, why);
        d->req.redirects = 0; /* the next host has not been asked about */
    }
    if (d->json && !d->has_type)
        crier_http_request_header(&d->req, "Content-Type", "application/json");

    struct exchange *x = crier_calloc(1, sizeof *x);
    x->call = call;
    x->transport = vm->http;
    snprintf(x->target, sizeof x->target, "%s %.*s%s", d->req.method,
             (int)(strchr(d->req.url, '/') + 2 - d->req.url), d->req.url, host);
    struct crier_http_request req = d->req;
    memset(&d->req, 0, sizeof d->req);
    x->handle = vm->http->ops->start(vm->http, &req, on_done, x);
    return crier_call_wait(L, give_up, x);
}

static struct draft *new_draft(lua_State *L, const char *method, const char *url)
{
    struct draft *d = lua_newuserdatauv(L, sizeof *d, 0);
    memset(d, 0, sizeof *d);
    luaL_setmetatable(L, REQUEST);
    crier_http_request_init(&d->req, method, url);
    d->req.timeout = TIMEOUT;
    d->req.redirects = REDIRECTS;
    d->req.max_body = MAX_BODY;
    return d;
}

static int with_method(lua_State *L, const char *method, const char *signature)
{
    if (lua_type(L, 1) != LUA_TSTRING)
        return luaL_error(L, "%s: expected a URL as a text, got %s", signature, luaL_typename(L, 1));
    lua_settop(L, 2);
    struct crier_call *call = crier_call_check(L, "crier.http");
    struct draft *d = new_draft(L, method, lua_tostring(L, 1));
    read_options(L, 2, d, false);
    return send(L, d, call);
}

static int l_get(lua_State *L)
{
    return with_method(L, "GET", "crier.http.get(url, options)");
}

static int l_post(lua_State *L)
{
    return with_method(L, "POST", "crier.http.post(url, options)");
}

static int l_request(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TTABLE || lua_getfield(L, 1, "url") != LUA_TSTRING)
        return luaL_error(L, "crier.http.request { method =, url =, ... }: expected a table with a "
                             "url");
    struct crier_call *call = crier_call_check(L, "crier.http");
    struct draft *d = new_draft(L, "GET", lua_tostring(L, -1));
    read_options(L, 1, d, true);
    return send(L, d, call);
}

void crier_open_http(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"get", l_get}, {"post", l_post}, {"request", l_request}, {NULL, NULL}};
    luaL_newmetatable(L, REQUEST);
    lua_pushcfunction(L, l_draft_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_newmetatable(L, RESPONSE);
    lua_newtable(L);
    lua_pushcfunction(L, l_response_json);
    lua_setfield(L, -2, "json");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
}
