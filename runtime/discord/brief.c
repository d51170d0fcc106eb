/* SPDX-License-Identifier: MIT */
#include "discord/brief.h"

#include <stdbool.h>
#include <string.h>

#include "record/scan.h"

/* Each of these reads what stands at p and returns what is behind it; NULL: it is not as expected. */

/* From behind the opening quote to the closing one. */
static const char *string(const char *p, const char *end, bool *escaped)
{
    while ((p = crier_scan_plain(p, end)) < end) {
        if (*p == '"')
            return p;
        if (*p != '\\' || end - p < 2)
            return NULL;
        *escaped = true;
        p += 2;
    }
    return NULL;
}

static const char *skip_string(const char *p, const char *end)
{
    bool escaped;
    p = string(p + 1, end, &escaped);
    return p ? p + 1 : NULL;
}

/* Any value, up to the comma or bracket behind it. */
static const char *skip(const char *p, const char *end)
{
    int depth = 0;
    while (p && p < end) {
        switch (*p) {
        case '"':
            p = skip_string(p, end);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (!depth--)
                return p;
            break;
        case ',':
            if (!depth)
                return p;
            break;
        }
        p++;
    }
    return NULL;
}

static bool is_wanted(const char *name, size_t len)
{
    return (len == 2 && memcmp(name, "id", 2) == 0) ||
           (len == 4 && memcmp(name, "name", 4) == 0) ||
           (len == 8 && memcmp(name, "username", 8) == 0);
}

static const char *member(const char *p, const char *end, json_t *to)
{
    bool escaped = false;
    if (p == end || *p != '"')
        return NULL;
    const char *name = p + 1;
    p = string(name, end, &escaped);
    if (!p || escaped || end - p < 3 || p[1] != ':')
        return NULL;
    size_t len = (size_t)(p - name);
    p += 2;
    if (*p != '"' || !is_wanted(name, len))
        return skip(p, end);
    const char *value = p + 1;
    p = string(value, end, &escaped);
    if (!p)
        return NULL;
    size_t n = (size_t)(p - value);
    json_t *v = escaped ? json_loadb(value - 1, n + 2, JSON_DECODE_ANY, NULL)
                        : json_stringn(value, n);
    return v && json_object_setn_new(to, name, len, v) == 0 ? p + 1 : NULL;
}

static const char *object(const char *p, const char *end, json_t *to)
{
    if (p == end || *p != '{')
        return NULL;
    if (end - p > 1 && p[1] == '}')
        return p + 2;
    do
        p = member(p + 1, end, to);
    while (p && p < end && *p == ',');
    return p && p < end && *p == '}' ? p + 1 : NULL;
}

static const char *array(const char *p, const char *end, json_t *to)
{
    if (end - p > 1 && p[1] == ']')
        return p + 2;
    do {
        json_t *o = json_object();
        p = object(p + 1, end, o);
        json_array_append_new(to, o);
    } while (p && p < end && *p == ',');
    return p && p < end && *p == ']' ? p + 1 : NULL;
}

json_t *crier_discord_brief_body(const char *text, size_t len)
{
    const char *end = text + len;
    bool list = len && *text == '[';
    json_t *body = list ? json_array() : json_object();
    if ((list ? array : object)(text, end, body) == end)
        return body;
    json_decref(body);
    return NULL;
}
