/* SPDX-License-Identifier: MIT */
#include "script/schema.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "host/host.h"
#include "script/declare.h"
#include "script/pattern.h"
#include "script/text_function.h"

struct crier_generation *crier_generation_of(lua_State *L)
{
    return crier_vm_of(L)->owner;
}

const char *crier_lua_describe(lua_State *L, int idx, char *out, size_t cap)
{
    switch (lua_type(L, idx)) {
    case LUA_TSTRING: {
        const char *s = lua_tostring(L, idx);
        snprintf(out, cap, "the string \"%.40s%s\"", s, strlen(s) > 40 ? "..." : "");
        break;
    }
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx))
            snprintf(out, cap, "the number %lld", (long long)lua_tointeger(L, idx));
        else
            snprintf(out, cap, "the number %.14g", lua_tonumber(L, idx));
        break;
    case LUA_TBOOLEAN:
        snprintf(out, cap, "%s", lua_toboolean(L, idx) ? "true" : "false");
        break;
    case LUA_TNIL:
    case LUA_TNONE:
        snprintf(out, cap, "nil");
        break;
    case LUA_TUSERDATA:
        if (luaL_getmetafield(L, idx, "__name") == LUA_TSTRING) {
            snprintf(out, cap, "a %s", lua_tostring(L, -1));
            lua_pop(L, 1);
            break;
        }
        snprintf(out, cap, "a userdata");
        break;
    default:
        snprintf(out, cap, "a %s", luaL_typename(L, idx));
    }
    return out;
}

static const char *intern(struct crier_generation *gen, const char *s)
{
    const char *have = g_hash_table_lookup(gen->strings, s);
    if (have)
        return have;
    char *copy = crier_strdup(s);
    g_hash_table_add(gen->strings, copy);
    return copy;
}

/* The innermost frame that runs the user's source: sugar that is built in has chunk names that
 * start with '='. */
void crier_lua_place(lua_State *L, const char **file, int *line)
{
    lua_Debug ar;
    *file = NULL;
    *line = 0;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        if (lua_getinfo(L, "Sl", &ar) && ar.currentline > 0 &&
            (ar.source[0] == '@' || strcmp(ar.source, "=eval") == 0)) {
            *file = intern(crier_generation_of(L), ar.source + 1);
            *line = ar.currentline;
            return;
        }
    }
}

static struct crier_srcmap *srcmap_for(struct crier_generation *gen, const char *file)
{
    if (!file)
        return NULL;
    struct crier_srcmap *map = g_hash_table_lookup(gen->srcmaps, file);
    if (!map) {
        char *path = strcmp(file, gen->file) == 0 ? crier_strdup(gen->path)
                                                  : crier_path_join(gen->folder, file);
        map = crier_srcmap_load(path);
        free(path);
        if (map)
            g_hash_table_insert(gen->srcmaps, crier_strdup(file), map);
    }
    return map;
}

/* What Lua's operators do to a condition, which is neither nil nor false. */
static void operator_problem(void *arg, int line, int column, const char *word)
{
    static const struct {
        const char *word;
        enum crier_severity severity;
        const char *text, *help;
    } kinds[] = {
        {"and", CRIER_ERROR, "Lua's 'and' drops the condition before it",
         "write & between conditions"},
        {"or", CRIER_WARNING, "Lua's 'or' drops the condition behind it",
         "write | between conditions"},
        {"not", CRIER_ERROR, "Lua's 'not' makes false of a condition",
         "write ~ before a condition"},
    };
    struct crier_diags *diags = ((void **)arg)[0];
    const char *file = ((void **)arg)[1];
    for (size_t i = 0; i < CRIER_COUNT(kinds); i++) {
        if (strcmp(kinds[i].word, word) == 0)
            crier_diags_add(diags, kinds[i].severity, file, line, column, NULL, kinds[i].text,
                            kinds[i].help);
    }
}

/* A file that was loaded, as messages name it. */
static const char *loaded_name(const struct crier_generation *gen, size_t i)
{
    size_t folder = strlen(gen->folder);
    const char *file = gen->vm->files[i];
    if (strcmp(file, gen->path) == 0)
        return gen->file;
    return strncmp(file, gen->folder, folder) == 0 && file[folder] == '/' ? file + folder + 1
                                                                          : file;
}

void crier_judge_operators(struct crier_generation *gen)
{
    for (size_t i = 0; i < gen->vm->file_count; i++) {
        const char *file = loaded_name(gen, i);
        struct crier_srcmap *map = srcmap_for(gen, file);
        void *arg[] = {&gen->diags, (void *)file};
        if (map)
            crier_srcmap_conditions(map, operator_problem, arg);
    }
}

void crier_judge_severe(struct crier_generation *gen)
{
    static const char *const makers[] = {"event", "event.note", "finish", NULL};
    int line, column;
    for (size_t i = 0; i < gen->vm->file_count && !crier_generation_has_alerts(gen); i++) {
        const char *file = loaded_name(gen, i);
        struct crier_srcmap *map = srcmap_for(gen, file);
        if (!map || !crier_srcmap_given(map, makers, "is_severe", &line, &column))
            continue;
        crier_diags_add(&gen->diags, CRIER_WARNING, file, line, column, NULL,
                        "an event can be severe, and there is no alert: nobody is told",
                        "crier.alert { ... }");
        return;
    }
}

static void label(struct crier_decl *d, const char *noun)
{
    lua_State *L = d->L;
    const char *name = NULL;
    if (lua_getfield(L, d->table, "name") == LUA_TSTRING)
        name = lua_tostring(L, -1);
    else if (lua_pop(L, 1),
             lua_getfield(L, d->table, "snowflake") == LUA_TSTRING || lua_isinteger(L, -1))
        name = lua_tostring(L, -1);
    if (name)
        snprintf(d->object, sizeof d->object, "%s '%.120s'", noun, name);
    else
        snprintf(d->object, sizeof d->object, "%s", noun);
    lua_pop(L, 1);
}

void crier_decl_begin(struct crier_decl *d, lua_State *L, int arg, const char *callee,
                      const char *noun, const char *usage)
{
    if (!crier_vm_of(L)->loading)
        luaL_error(L, "crier.%s declares: it is only available while the script loads", callee);
    crier_decl_begin_late(d, L, arg, callee, noun, usage);
}

void crier_decl_begin_late(struct crier_decl *d, lua_State *L, int arg, const char *callee,
                           const char *noun, const char *usage)
{
    struct crier_vm *vm = crier_vm_of(L);
    if (lua_type(L, arg) != LUA_TTABLE) {
        char got[80];
        /* A string may be a token. */
        luaL_error(L, "crier.%s expects a table, got %s: %s", callee,
                   lua_type(L, arg) == LUA_TSTRING ? "a string"
                                                   : crier_lua_describe(L, arg, got, sizeof got),
                   usage);
    }
    *d = (struct crier_decl){.gen = vm->owner, .L = L, .table = arg, .callee = callee};
    crier_lua_place(L, &d->file, &d->line);
    label(d, noun);
    if (vm->loading)
        return;
    crier_diags_fini(&d->gen->late_diags);
    d->gen->late_diags = (struct crier_diags){0};
    d->gen->late = true;
}

void crier_decl_end(struct crier_decl *d)
{
    struct crier_diags *diags = &d->gen->late_diags;
    struct crier_buf text = {0}, one = {0};
    if (!d->gen->late)
        return;
    d->gen->late = false;
    crier_diags_sort(diags);
    for (size_t i = 0; i < diags->count; i++) {
        enum crier_severity severity = diags->items[i].severity;
        crier_buf_clear(&one);
        crier_diag_text(&diags->items[i], &one);
        if (severity == CRIER_ERROR)
            crier_buf_printf(&text, "%s%s", text.len ? "\n" : "", one.data);
        else if (severity == CRIER_WARNING && d->gen->host)
            crier_host_system(d->gen->host, CRIER_LEVEL_WARNING, "declare", "%s", one.data);
    }
    if (text.len)
        lua_pushlstring(d->L, text.data, text.len);
    bool bad = text.len > 0;
    crier_buf_fini(&text);
    crier_buf_fini(&one);
    if (bad)
        lua_error(d->L);
}

void crier_place_problem(struct crier_generation *gen, enum crier_severity severity,
                         const char *file, int line, const char *callee, const char *key,
                         const char *object, const char *text, const char *help)
{
    int at = line, column = 0;
    struct crier_srcmap *map = callee ? srcmap_for(gen, file) : NULL;
    if (map && !(key && crier_srcmap_key(map, line, callee, key, &at, &column))) {
        at = line;
        crier_srcmap_call(map, line, callee, &at, &column);
    }
    crier_diags_add(gen->late ? &gen->late_diags : &gen->diags, severity, file, at, column, object,
                    text, help);
}

void crier_decl_problem(struct crier_decl *d, enum crier_severity severity, const char *key,
                        const char *help, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char path[160];
    if (key && d->within) {
        snprintf(path, sizeof path, "%.40s%.100s", d->within, key);
        key = path;
    }
    crier_place_problem(d->gen, severity, d->file, d->line, d->callee, key, d->object, text, help);
}

static bool wrong_type(struct crier_decl *d, int idx, const char *key, const char *wanted)
{
    char got[80];
    crier_decl_problem(d, CRIER_ERROR, key, NULL, "option '%s' must be %s, got %s", key, wanted,
                       crier_lua_describe(d->L, idx, got, sizeof got));
    return false;
}

bool crier_read_snowflake(struct crier_decl *d, int idx, const char *key, uint64_t *out)
{
    lua_State *L = d->L;
    if (lua_type(L, idx) == LUA_TNUMBER && !lua_isinteger(L, idx)) {
        char text[80];
        snprintf(text, sizeof text, "write it as a string, \"%.0f\", and check its digits",
                 lua_tonumber(L, idx));
        crier_decl_problem(d, CRIER_ERROR, key, text,
                           "option '%s': the snowflake %.14g is a float, and floats lose digits "
                           "from 2^53 on",
                           key, lua_tonumber(L, idx));
        return false;
    }
    if (lua_isinteger(L, idx)) {
        lua_Integer v = lua_tointeger(L, idx);
        if (v <= 0) {
            crier_decl_problem(d, CRIER_ERROR, key, NULL,
                               "option '%s': a snowflake is a positive number, got %lld", key,
                               (long long)v);
            return false;
        }
        *out = (uint64_t)v;
        return true;
    }
    if (lua_type(L, idx) != LUA_TSTRING)
        return wrong_type(d, idx, key, "a snowflake such as \"863071397207212052\"");
    const char *s = lua_tostring(L, idx);
    size_t len = strlen(s);
    errno = 0;
    char *end;
    unsigned long long v =
        len && len <= 20 && s[0] >= '0' && s[0] <= '9' ? strtoull(s, &end, 10) : 0;
    if (!v || *end || errno || v > INT64_MAX) {
        crier_decl_problem(d, CRIER_ERROR, key,
                           "in Discord: Settings, Advanced, Developer Mode on; then right-click, "
                           "Copy ID",
                           "option '%s': \"%.40s\" is not a snowflake, which has 1 to 19 digits",
                           key, s);
        return false;
    }
    *out = v;
    return true;
}

bool crier_read_duration(struct crier_decl *d, int idx, const char *key, int64_t *out_us)
{
    struct crier_err err = {0};
    int rc;
    if (lua_type(d->L, idx) == LUA_TNUMBER)
        rc = crier_duration_from_seconds(lua_tonumber(d->L, idx), out_us, &err);
    else if (lua_type(d->L, idx) == LUA_TSTRING)
        rc = crier_duration_parse(lua_tostring(d->L, idx), out_us, &err);
    else
        return wrong_type(d, idx, key, "a duration such as \"10s\" or \"1m30s\"");
    if (rc != 0)
        crier_decl_problem(d, CRIER_ERROR, key, NULL, "option '%s': %s", key, err.text);
    return rc == 0;
}

static const char *bound_text(const struct crier_option *opt, int64_t v, char out[48])
{
    if (opt->type == CRIER_OPT_DURATION)
        return crier_duration_text(v, out);
    if (opt->type == CRIER_OPT_SIZE && v && v % (1 << 20) == 0)
        snprintf(out, 48, "%lldMiB", (long long)v >> 20);
    else if (opt->type == CRIER_OPT_SIZE && v && v % 1024 == 0)
        snprintf(out, 48, "%lldKiB", (long long)v >> 10);
    else
        snprintf(out, 48, "%lld", (long long)v);
    return out;
}

static bool in_bounds(struct crier_decl *d, const struct crier_option *opt, int64_t v)
{
    if ((opt->min || opt->max) && (v < opt->min || (opt->max && v > opt->max))) {
        char lo[48], hi[48], got[48];
        crier_decl_problem(d, CRIER_ERROR, opt->name, NULL,
                           "option '%s' must be at least %s%s%s, got %s", opt->name,
                           bound_text(opt, opt->min, lo), opt->max ? " and at most " : "",
                           opt->max ? bound_text(opt, opt->max, hi) : "", bound_text(opt, v, got));
        return false;
    }
    return true;
}

static bool read_enum(struct crier_decl *d, int idx, const struct crier_option *opt,
                      struct crier_option_value *v)
{
    char wanted[200];
    crier_option_type_text(opt, wanted, sizeof wanted);
    if (lua_type(d->L, idx) != LUA_TSTRING)
        return wrong_type(d, idx, opt->name, wanted);
    const char *s = lua_tostring(d->L, idx);
    char *words = crier_strdup(opt->choices), *save = NULL;
    const char *names[32];
    size_t n = 0;
    for (char *w = strtok_r(words, " ", &save); w && n < CRIER_COUNT(names);
         w = strtok_r(NULL, " ", &save))
        names[n++] = w;
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        if (strcmp(names[i], s) == 0) {
            v->i = (int64_t)i;
            free(v->s);
            v->s = crier_strdup(s);
            found = true;
        }
    }
    if (!found) {
        const char *near = crier_nearest(s, names, n);
        char help[80];
        snprintf(help, sizeof help, "did you mean \"%s\"?", near ? near : "");
        crier_decl_problem(d, CRIER_ERROR, opt->name, near ? help : NULL,
                           "option '%s' must be %s, got \"%.40s\"", opt->name, wanted, s);
    }
    free(words);
    return found;
}

static bool read_strings(struct crier_decl *d, int idx, const struct crier_option *opt,
                         struct crier_option_value *v)
{
    lua_State *L = d->L;
    if (lua_type(L, idx) == LUA_TSTRING) {
        v->list = crier_malloc(sizeof *v->list);
        v->list[0] = crier_strdup(lua_tostring(L, idx));
        v->count = 1;
        return true;
    }
    if (lua_type(L, idx) != LUA_TTABLE)
        return wrong_type(d, idx, opt->name, "a string or a list of strings");
    size_t n = lua_rawlen(L, idx);
    v->list = crier_calloc(n ? n : 1, sizeof *v->list);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING) {
            wrong_type(d, -1, opt->name, "a list of strings");
            lua_pop(L, 1);
            return false;
        }
        v->list[v->count++] = crier_strdup(lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    return true;
}

static bool read_snowflakes(struct crier_decl *d, int idx, const struct crier_option *opt,
                            struct crier_option_value *v)
{
    lua_State *L = d->L;
    if (crier_to_pattern(L, idx, opt->name))
        return true; /* which is read by whoever knows what it is for */
    if (lua_type(L, idx) != LUA_TTABLE) {
        v->ids = crier_malloc(sizeof *v->ids);
        if (!crier_read_snowflake(d, idx, opt->name, v->ids))
            return false;
        v->count = 1;
        return true;
    }
    size_t n = lua_rawlen(L, idx);
    v->ids = crier_calloc(n ? n : 1, sizeof *v->ids);
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        char key[56];
        snprintf(key, sizeof key, "%.30s[%zu]", opt->name, i + 1);
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        if (crier_read_snowflake(d, lua_gettop(L), key, &v->ids[v->count])) {
            for (size_t j = 0; j < v->count; j++) {
                if (v->ids[j] == v->ids[v->count]) {
                    crier_decl_problem(d, CRIER_ERROR, key, NULL, "option '%s' names %llu twice",
                                       opt->name, (unsigned long long)v->ids[j]);
                    ok = false;
                    break;
                }
            }
            v->count++;
        } else {
            ok = false;
        }
        lua_pop(L, 1);
    }
    return ok;
}

/* The password of an URL (scheme://user:password@) or of an ODBC string (PWD=...;). */
static const char *find_password(const char *s, size_t *len)
{
    const char *user = strstr(s, "://"), *at = user ? strrchr(user, '@') : NULL;
    const char *colon = at ? memchr(user + 3, ':', (size_t)(at - user - 3)) : NULL;
    if (colon) {
        *len = (size_t)(at - colon - 1);
        return *len ? colon + 1 : NULL;
    }
    for (const char *part = s; *part; part += strcspn(part, ";"), part += *part == ';') {
        const char *key = part + strspn(part, " \t");
        size_t name = strcspn(key, " \t=;");
        const char *value = key + name + strspn(key + name, " \t");
        if (*value != '=' || !((name == 3 && strncasecmp(key, "pwd", 3) == 0) ||
                               (name == 8 && strncasecmp(key, "password", 8) == 0)))
            continue;
        value++;
        *len = strcspn(value, ";");
        return *len ? value : NULL;
    }
    return NULL;
}

static bool read_address(struct crier_decl *d, int idx, const struct crier_option *opt)
{
    size_t len;
    const char *password = find_password(lua_tostring(d->L, idx), &len);
    if (password) {
        char *copy = crier_strndup(password, len);
        crier_diags_hide(&d->gen->diags, copy);
        explicit_bzero(copy, len);
        free(copy);
        crier_decl_problem(d, CRIER_WARNING, opt->name,
                           "keep the whole of it out of the script: crier.secret.env \"SINK_URL\"",
                           "option '%s' has a password in it", opt->name);
    }
    return true;
}

static bool read_secret(struct crier_decl *d, int idx, const struct crier_option *opt,
                        struct crier_option_value *v)
{
    (void)v;
    if (opt->flags & CRIER_OPT_ADDRESS) {
        if (lua_type(d->L, idx) == LUA_TSTRING)
            return read_address(d, idx, opt);
        return luaL_testudata(d->L, idx, CRIER_MT_SECRET) ||
               wrong_type(d, idx, opt->name,
                          "an address, or a secret such as crier.secret.env \"SINK_URL\"");
    }
    if (lua_type(d->L, idx) == LUA_TSTRING) {
        crier_diags_hide(&d->gen->diags, lua_tostring(d->L, idx));
        crier_decl_problem(d, CRIER_WARNING, opt->name,
                           "keep it out of the script: crier.secret.env \"DISCORD_TOKEN\"",
                           "option '%s' is written in the script itself", opt->name);
        return true;
    }
    if (!luaL_testudata(d->L, idx, CRIER_MT_SECRET))
        return wrong_type(d, idx, opt->name, "a secret such as crier.secret.env \"DISCORD_TOKEN\"");
    return true;
}

/* What is in JSON and in C strings alike. */
static bool is_text(lua_State *L, int idx)
{
    size_t len;
    const char *s = lua_tolstring(L, idx, &len);
    return g_utf8_validate(s, (gssize)len, NULL); /* which takes no NUL */
}

static bool read_value(struct crier_decl *d, int idx, const struct crier_option *opt,
                       struct crier_option_value *v)
{
    lua_State *L = d->L;
    struct crier_err err = {0};
    switch (opt->type) {
    case CRIER_OPT_STRING:
        if (lua_type(L, idx) != LUA_TSTRING)
            return wrong_type(d, idx, opt->name, "a string");
        if (strcmp(opt->name, "name") == 0 && !is_text(L, idx)) {
            crier_decl_problem(d, CRIER_ERROR, opt->name, "save the script as UTF-8",
                               "option 'name' must be text in UTF-8, without NUL bytes");
            return false;
        }
        free(v->s);
        v->s = crier_strdup(lua_tostring(L, idx));
        return true;
    case CRIER_OPT_PATH:
        if (lua_type(L, idx) != LUA_TSTRING || !*lua_tostring(L, idx))
            return wrong_type(d, idx, opt->name, "a path");
        if (strlen(lua_tostring(L, idx)) != lua_rawlen(L, idx)) {
            crier_decl_problem(d, CRIER_ERROR, opt->name, "take it out",
                               "option '%s' holds a NUL byte", opt->name);
            return false;
        }
        free(v->s);
        v->s = crier_path_join(d->gen->folder, lua_tostring(L, idx));
        return true;
    case CRIER_OPT_BOOL:
        if (lua_type(L, idx) != LUA_TBOOLEAN)
            return wrong_type(d, idx, opt->name, "true or false");
        v->i = lua_toboolean(L, idx);
        return true;
    case CRIER_OPT_INT:
        if (!lua_isinteger(L, idx))
            return wrong_type(d, idx, opt->name, "an integer");
        v->i = lua_tointeger(L, idx);
        return in_bounds(d, opt, v->i);
    case CRIER_OPT_NUMBER:
        if (lua_type(L, idx) != LUA_TNUMBER)
            return wrong_type(d, idx, opt->name, "a number");
        v->n = lua_tonumber(L, idx);
        return true;
    case CRIER_OPT_DURATION:
        return crier_read_duration(d, idx, opt->name, &v->i) && in_bounds(d, opt, v->i);
    case CRIER_OPT_SIZE:
        if (lua_isinteger(L, idx)) {
            v->i = lua_tointeger(L, idx);
        } else if (lua_type(L, idx) != LUA_TSTRING) {
            return wrong_type(d, idx, opt->name, "a size such as \"64MiB\"");
        } else if (crier_size_parse(lua_tostring(L, idx), &v->i, &err) != 0) {
            crier_decl_problem(d, CRIER_ERROR, opt->name, NULL, "option '%s': %s", opt->name,
                               err.text);
            return false;
        }
        return in_bounds(d, opt, v->i);
    case CRIER_OPT_ENUM:
        return read_enum(d, idx, opt, v);
    case CRIER_OPT_STRINGS:
        return read_strings(d, idx, opt, v);
    case CRIER_OPT_SNOWFLAKE: {
        uint64_t id = 0;
        if ((opt->flags & CRIER_OPT_PATTERN) && crier_to_pattern(L, idx, "guilds"))
            return true;
        bool ok = crier_read_snowflake(d, idx, opt->name, &id);
        v->i = (int64_t)id;
        return ok;
    }
    case CRIER_OPT_SNOWFLAKES:
        return read_snowflakes(d, idx, opt, v);
    case CRIER_OPT_SECRET:
        return read_secret(d, idx, opt, v);
    case CRIER_OPT_FUNCTION:
        if (opt->flags & CRIER_OPT_CARRIED) {
            if (crier_text_function_read(L, idx, v, &err) == 0)
                return true;
            crier_decl_problem(d, CRIER_ERROR, opt->name, NULL, "option '%s' %s", opt->name,
                               err.text);
            return false;
        }
        if (lua_type(L, idx) != LUA_TFUNCTION)
            return wrong_type(d, idx, opt->name, "a function");
        return true;
    case CRIER_OPT_OBJECT:
        return true;
    }
    return false;
}

static const struct crier_option *find(const struct crier_option *table, size_t count,
                                       const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

/* Returns the option that was most likely meant; NULL: none. */
static const struct crier_option *
unknown_key(struct crier_decl *d, const struct crier_option *table, size_t count, const char *key)
{
    const char *names[64] = {NULL};
    size_t n = count < CRIER_COUNT(names) ? count : CRIER_COUNT(names);
    for (size_t i = 0; i < n; i++)
        names[i] = table[i].name;
    const char *near = crier_nearest(key, names, n);
    char help[512];
    if (near) {
        snprintf(help, sizeof help, "did you mean '%s'?", near);
    } else {
        size_t at = (size_t)snprintf(help, sizeof help, "known: ");
        for (size_t i = 0; i < n && at < sizeof help; i++)
            at += (size_t)snprintf(help + at, sizeof help - at, "%s%s", i ? ", " : "", names[i]);
    }
    crier_decl_problem(d, CRIER_ERROR, key, help, "unknown option '%.60s'", key);
    return near ? find(table, count, near) : NULL;
}

void crier_decl_read(struct crier_decl *d, const struct crier_option *table, size_t count,
                     bool allow_list, struct crier_options *out)
{
    lua_State *L = d->L;
    crier_options_init(out, table, count);
    bool told_list = false;
    uint64_t meant = 0; /* options that are there under a misspelt name: not missing, too */
    lua_pushnil(L);
    while (lua_next(L, d->table)) {
        int value = lua_gettop(L);
        if (lua_type(L, -2) != LUA_TSTRING) {
            if (!allow_list && !told_list) {
                told_list = true;
                crier_decl_problem(d, CRIER_ERROR, NULL, NULL,
                                   "crier.%s takes named options only, got an item without a name",
                                   d->callee);
            }
        } else {
            const char *key = lua_tostring(L, -2);
            const struct crier_option *opt = find(table, count, key);
            if (!opt) {
                const struct crier_option *near = unknown_key(d, table, count, key);
                if (near && near - table < 64)
                    meant |= UINT64_C(1) << (near - table);
            } else {
                struct crier_option_value *v = &out->values[opt - table];
                if ((opt->flags & CRIER_OPT_OR_FALSE) && lua_type(L, value) == LUA_TBOOLEAN &&
                    !lua_toboolean(L, value))
                    v->off = v->set = true;
                else
                    v->set = read_value(d, value, opt, v);
            }
        }
        lua_settop(L, value - 1);
    }
    for (size_t i = 0; i < count; i++) {
        if (!(table[i].flags & CRIER_OPT_REQUIRED) || out->values[i].set ||
            (i < 64 && meant >> i & 1))
            continue;
        if (crier_decl_field(d, table[i].name) == LUA_TNIL)
            crier_decl_problem(d, CRIER_ERROR, NULL, table[i].help, "option '%s' is missing",
                               table[i].name);
        lua_pop(L, 1);
    }
}

int crier_decl_field(struct crier_decl *d, const char *key)
{
    /* Raw: options are what is written in the table, and a metamethod could raise over what the
     * declaration holds. */
    lua_pushstring(d->L, key);
    return lua_rawget(d->L, d->table);
}
