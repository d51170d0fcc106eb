/* SPDX-License-Identifier: MIT */
#include "record/scan_tree.h"
#include "sim/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

size_t sim_utf16(const char *utf8, size_t len)
{
    size_t units = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)utf8[i];
        units += (c & 0xc0) != 0x80; /* each sequence once */
        units += c >= 0xf0;          /* above the BMP: a pair */
    }
    return units;
}

void sim_form_error(struct sim_call *call, const char *path, const char *code, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!call->errors)
        call->errors = json_object();
    json_t *at = call->errors;
    for (const char *p = path; *p;) {
        char key[64];
        size_t n = strcspn(p, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, p);
        json_t *next = json_object_get(at, key);
        if (!next) {
            next = json_object();
            json_object_set_new(at, key, next);
        }
        at = next;
        p += n + (p[n] == '.');
    }
    json_t *list = json_object_get(at, "_errors");
    if (!list) {
        list = json_array();
        json_object_set_new(at, "_errors", list);
    }
    json_array_append_new(list, json_pack("{s:s, s:s%}", "code", code, "message", text,
                                          strlen(text)));
}

bool sim_form_failed(struct sim_call *call)
{
    if (!call->errors)
        return false;
    struct crier_buf *b = &call->ans->body;
    char *tree = json_dumps(call->errors, JSON_COMPACT);
    crier_buf_clear(b);
    call->ans->status = 400;
    crier_json_open(b, '{');
    crier_json_key(b, "message");
    crier_json_str(b, "Invalid Form Body");
    crier_json_key(b, "code");
    crier_json_int(b, 50035);
    crier_json_key(b, "errors");
    crier_json_raw(b, tree, strlen(tree));
    crier_json_close(b, '}');
    free(tree);
    return true;
}

/* An error of a member: its place is "embeds.0" + "title". */
static void member_error(struct sim_call *call, const char *base, const char *key, const char *code,
                         const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s%s%s", base, *base ? "." : "", key);
    sim_form_error(call, path, code, "%s", text);
}

static void too_long(struct sim_call *call, const char *base, const char *key, size_t max)
{
    char text[64];
    snprintf(text, sizeof text, "Must be %zu or fewer in length.", max);
    member_error(call, base, key, "BASE_TYPE_MAX_LENGTH", text);
}

bool sim_form_bool(struct sim_call *call, const json_t *obj, const char *base, const char *key,
                   bool def)
{
    const json_t *v = json_object_get(obj, key);
    if (!v || json_is_null(v))
        return def;
    if (json_is_boolean(v))
        return json_is_true(v);
    member_error(call, base, key, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.");
    return def;
}

json_t *sim_form_list(struct sim_call *call, const json_t *obj, const char *base, const char *key,
                      size_t max)
{
    json_t *v = json_object_get(obj, key);
    if (!v || json_is_null(v))
        return NULL;
    if (!json_is_array(v)) {
        member_error(call, base, key, "LIST_TYPE_CONVERT",
                     "Only iterables may be used in a ListType");
        return NULL;
    }
    if (json_array_size(v) > max)
        too_long(call, base, key, max);
    return v;
}

const char *sim_form_text(struct sim_call *call, const json_t *obj, const char *base,
                          const char *key, size_t max, size_t *len)
{
    const json_t *v = json_object_get(obj, key);
    if (!v || json_is_null(v))
        return NULL;
    if (!json_is_string(v)) {
        member_error(call, base, key, "STRING_TYPE_CONVERT",
                     "Could not interpret the value as string.");
        return NULL;
    }
    size_t n = json_string_length(v);
    if (n > max && sim_utf16(json_string_value(v), n) > max)
        too_long(call, base, key, max);
    if (len)
        *len = n;
    return json_string_value(v);
}

bool sim_json_read_id(const json_t *v, uint64_t *out)
{
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *out = (uint64_t)json_integer_value(v);
        return true;
    }
    return json_is_string(v) && sim_snowflake(json_string_value(v), out);
}

bool sim_form_id(struct sim_call *call, const json_t *obj, const char *base, const char *key,
                 uint64_t *out)
{
    char text[96];
    const json_t *v = json_object_get(obj, key);
    if (!v || json_is_null(v))
        return false;
    if (sim_json_read_id(v, out))
        return true;
    snprintf(text, sizeof text, "Value \"%.60s\" is not snowflake.",
             json_is_string(v) ? json_string_value(v) : "?");
    member_error(call, base, key, "NUMBER_TYPE_COERCE", text);
    return false;
}

/* The JSON text of the body: the body itself, or the part payload_json. */
static bool find_payload(struct sim_call *call, const char **text, size_t *len)
{
    const struct crier_sim_request *req = call->req;
    *text = req->body;
    *len = req->body_len;
    if (req->part_count) {
        *text = NULL;
        *len = 0;
        for (size_t i = 0; i < req->part_count; i++) {
            if (strcmp(req->parts[i].name, "payload_json") == 0) {
                *text = req->parts[i].data;
                *len = req->parts[i].len;
            }
        }
        return true;
    }
    if (!*len)
        return true;
    return req->content_type && strncasecmp(req->content_type, "application/json", 16) == 0;
}

bool sim_form_read(struct sim_call *call)
{
    const char *text;
    size_t len;
    if (!find_payload(call, &text, &len)) {
        sim_form_error(call, "", "CONTENT_TYPE_INVALID",
                       "Expected \"Content-Type\" header to be one of {'application/json', "
                       "'multipart/form-data'}.");
        return !sim_form_failed(call);
    }
    if (!len) {
        call->form = json_object();
        return true;
    }
    call->form = crier_scan_tree(text, len);
    if (!call->form) {
        sim_error(call, 400, 50109, "The request body contains invalid JSON.");
        return false;
    }
    if (!json_is_object(call->form))
        sim_form_error(call, "", "DICT_TYPE_CONVERT",
                       "Only dictionaries may be used in a DictType");
    return !sim_form_failed(call);
}
