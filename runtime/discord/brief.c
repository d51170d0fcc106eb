/* SPDX-License-Identifier: MIT */
#include "discord/brief.h"

#include <stdbool.h>
#include <string.h>

struct text {
    const char *at, *end;
};

static char peek(const struct text *t)
{
    return t->at < t->end ? *t->at : '\0';
}

/* The string at hand is skipped, quotes included; *from is behind its first one. */
static bool string(struct text *t, const char **from, size_t *len, bool *escaped)
{
    *escaped = false;
    if (peek(t) != '"')
        return false;
    *from = ++t->at;
    for (; t->at < t->end; t->at++) {
        if (*t->at == '"') {
            *len = (size_t)(t->at++ - *from);
            return true;
        }
        if (*t->at == '\\') {
            *escaped = true;
            t->at++;
        }
    }
    return false;
}

/* Any value is skipped, up to the comma or bracket behind it. */
static bool skip(struct text *t)
{
    const char *from;
    size_t len;
    bool escaped;
    int depth = 0;
    while (t->at < t->end) {
        char c = *t->at;
        if (c == '"') {
            if (!string(t, &from, &len, &escaped))
                return false;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return true;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        t->at++;
    }
    return false;
}

static bool is_wanted(const char *name, size_t len)
{
    return (len == 2 && memcmp(name, "id", 2) == 0) ||
           (len == 4 && memcmp(name, "name", 4) == 0) ||
           (len == 8 && memcmp(name, "username", 8) == 0);
}

/* One member. False: it is not as expected. */
static bool member(struct text *t, json_t *to)
{
    const char *name, *value;
    size_t len, value_len;
    bool escaped;
    if (!string(t, &name, &len, &escaped) || escaped || peek(t) != ':')
        return false;
    t->at++;
    if (!is_wanted(name, len) || peek(t) != '"')
        return skip(t);
    if (!string(t, &value, &value_len, &escaped))
        return false;
    json_t *v = escaped ? json_loadb(value - 1, value_len + 2, JSON_DECODE_ANY, NULL)
                        : json_stringn(value, value_len);
    return v && json_object_setn_new(to, name, len, v) == 0;
}

static json_t *object(struct text *t)
{
    json_t *o = json_object();
    if (peek(t) != '{')
        goto bad;
    t->at++;
    if (peek(t) == '}') {
        t->at++;
        return o;
    }
    while (member(t, o)) {
        char c = peek(t);
        t->at++;
        if (c == '}')
            return o;
        if (c != ',')
            break;
    }
bad:
    json_decref(o);
    return NULL;
}

static json_t *array(struct text *t)
{
    json_t *list = json_array();
    char c = ',';
    t->at++;
    if (peek(t) == ']') {
        t->at++;
        return list;
    }
    while (c == ',') {
        json_t *o = object(t);
        if (!o || json_array_append_new(list, o) != 0)
            break;
        c = peek(t);
        t->at++;
        if (c == ']')
            return list;
    }
    json_decref(list);
    return NULL;
}

json_t *crier_discord_brief_body(const char *text, size_t len)
{
    struct text t = {text, text + len};
    json_t *body = peek(&t) == '[' ? array(&t) : object(&t);
    if (body && t.at != t.end) {
        json_decref(body);
        return NULL;
    }
    return body;
}
