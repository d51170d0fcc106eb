/* SPDX-License-Identifier: MIT */
#include "sim/model.h"

#include <stdio.h>

#include "base/duration.h"

enum { MAX_TOTAL = 6000, MAX_FIELDS = 25, MAX_COLOR = 0xffffff };

struct check {
    struct sim_call *call;
    char base[64];
    size_t total; /* over all embeds */
    bool content; /* whether this embed shows anything */
};

static json_t *object_at(struct check *c, const json_t *obj, const char *key)
{
    char path[128];
    json_t *v = json_object_get(obj, key);
    if (!v || json_is_null(v))
        return NULL;
    if (json_is_object(v))
        return v;
    snprintf(path, sizeof path, "%s.%s", c->base, key);
    sim_form_error(c->call, path, "DICT_TYPE_CONVERT",
                   "Only dictionaries may be used in a DictType");
    return NULL;
}

/* A text that counts towards the sum. */
static void counted(struct check *c, const json_t *obj, const char *base, const char *key,
                    size_t max, bool required)
{
    char path[160];
    size_t len = 0;
    const json_t *v = json_object_get(obj, key);
    const char *text = sim_form_text(c->call, obj, base, key, max, &len);
    if (text && len) {
        c->total += sim_utf16(text, len);
        c->content = true;
    } else if (required && (!v || json_is_null(v) || json_is_string(v))) {
        snprintf(path, sizeof path, "%s.%s", base, key);
        sim_form_error(c->call, path, "BASE_TYPE_REQUIRED", "This field is required");
    }
}

static void url(struct check *c, const json_t *obj, const char *base, const char *key,
                bool attachment)
{
    char path[160];
    const char *text = sim_form_text(c->call, obj, base, key, 2048, NULL);
    if (!text || !*text || (attachment && strncmp(text, "attachment://", 13) == 0))
        return;
    const char *colon = strstr(text, "://");
    snprintf(path, sizeof path, "%s.%s", base, key);
    if (!colon || !colon[3] || strpbrk(text, " \t\n"))
        sim_form_error(c->call, path, "URL_TYPE_INVALID_URL", "Not a well formed URL.");
    else if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
        sim_form_error(c->call, path, "URL_TYPE_INVALID_SCHEME",
                       "Scheme \"%.*s\" must be one of ('http', 'https', 'attachment').",
                       (int)(colon - text) > 30 ? 30 : (int)(colon - text), text);
}

static void check_picture(struct check *c, const json_t *embed, const char *key)
{
    char base[128];
    const json_t *picture = object_at(c, embed, key);
    if (!picture)
        return;
    snprintf(base, sizeof base, "%s.%s", c->base, key);
    url(c, picture, base, "url", true);
    c->content = true;
}

static void check_person(struct check *c, const json_t *embed, const char *key, const char *text,
                         size_t max)
{
    char base[128];
    const json_t *person = object_at(c, embed, key);
    if (!person)
        return;
    snprintf(base, sizeof base, "%s.%s", c->base, key);
    counted(c, person, base, text, max, true);
    url(c, person, base, "icon_url", true);
    url(c, person, base, "url", false);
}

static void check_fields(struct check *c, const json_t *embed)
{
    char base[128];
    size_t i;
    const json_t *field;
    json_t *fields = sim_form_list(c->call, embed, c->base, "fields", MAX_FIELDS);
    json_array_foreach (fields, i, field) {
        snprintf(base, sizeof base, "%s.fields.%zu", c->base, i);
        if (!json_is_object(field)) {
            sim_form_error(c->call, base, "DICT_TYPE_CONVERT",
                           "Only dictionaries may be used in a DictType");
            continue;
        }
        counted(c, field, base, "name", 256, true);
        counted(c, field, base, "value", 1024, true);
        sim_form_bool(c->call, field, base, "inline", false);
    }
}

static void check_color(struct check *c, const json_t *embed)
{
    char path[128];
    const json_t *color = json_object_get(embed, "color");
    if (!color || json_is_null(color))
        return;
    snprintf(path, sizeof path, "%s.color", c->base);
    if (!json_is_integer(color))
        sim_form_error(c->call, path, "NUMBER_TYPE_COERCE", "Value is not int.");
    else if (json_integer_value(color) > MAX_COLOR)
        sim_form_error(c->call, path, "NUMBER_TYPE_MAX",
                       "int value should be less than or equal to 16777215.");
    else if (json_integer_value(color) < 0)
        sim_form_error(c->call, path, "NUMBER_TYPE_MIN",
                       "int value should be greater than or equal to 0.");
}

static void check_timestamp(struct check *c, const json_t *embed)
{
    char path[128];
    int64_t when;
    const char *text = sim_form_text(c->call, embed, c->base, "timestamp", 64, NULL);
    if (!text || crier_datetime_parse(text, NULL, &when, NULL) == 0)
        return;
    snprintf(path, sizeof path, "%s.timestamp", c->base);
    sim_form_error(c->call, path, "DATE_TYPE_PARSE", "Could not parse %s. Should be ISO8601.",
                   text);
}

void sim_embeds_check(struct sim_call *call, const json_t *embeds)
{
    struct check c = {.call = call};
    size_t i;
    const json_t *embed;
    json_array_foreach (embeds, i, embed) {
        snprintf(c.base, sizeof c.base, "embeds.%zu", i);
        c.content = false;
        if (!json_is_object(embed)) {
            sim_form_error(call, c.base, "DICT_TYPE_CONVERT",
                           "Only dictionaries may be used in a DictType");
            continue;
        }
        counted(&c, embed, c.base, "title", 256, false);
        counted(&c, embed, c.base, "description", 4096, false);
        url(&c, embed, c.base, "url", false);
        check_person(&c, embed, "author", "name", 256);
        check_person(&c, embed, "footer", "text", 2048);
        check_picture(&c, embed, "image");
        check_picture(&c, embed, "thumbnail");
        check_fields(&c, embed);
        check_color(&c, embed);
        check_timestamp(&c, embed);
        if (!c.content && !call->errors) {
            char path[128];
            snprintf(path, sizeof path, "%s.description", c.base);
            sim_form_error(call, path, "BASE_TYPE_REQUIRED", "This field is required");
        }
    }
    if (c.total > MAX_TOTAL)
        sim_form_error(call, "embeds", "MAX_EMBED_SIZE_EXCEEDED",
                       "Embed size exceeds maximum size of %d", MAX_TOTAL);
}

void sim_file_url(struct crier_buf *b, const struct sim_channel *channel,
                  const struct sim_file *file)
{
    struct crier_buf url_text = {0};
    crier_buf_printf(&url_text, "https://cdn.discordapp.com/attachments/%llu/%llu/",
                     (unsigned long long)channel->id, (unsigned long long)file->id);
    for (const unsigned char *p = (const unsigned char *)file->name; *p; p++) {
        if (g_ascii_isalnum((char)*p) || strchr("-._~", *p))
            crier_buf_putc(&url_text, (char)*p);
        else
            crier_buf_printf(&url_text, "%%%02X", *p);
    }
    crier_json_str(b, url_text.data);
    crier_buf_fini(&url_text);
}

struct out {
    struct crier_buf *b;
    const struct sim_channel *channel;
    const struct sim_file *files;
    size_t count;
};

static void put_text(struct out *o, const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    if (!json_is_string(v) || !json_string_length(v))
        return;
    crier_json_key(o->b, key);
    crier_json_strn(o->b, json_string_value(v), json_string_length(v));
}

static void put_url(struct out *o, const json_t *obj, const char *key)
{
    const char *text = json_string_value(json_object_get(obj, key));
    if (!text || strncmp(text, "attachment://", 13) != 0) {
        put_text(o, obj, key);
        return;
    }
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->files[i].name, text + 13) == 0) {
            crier_json_key(o->b, key);
            sim_file_url(o->b, o->channel, &o->files[i]);
            return;
        }
    }
    put_text(o, obj, key);
}

static void put_object(struct out *o, const json_t *embed, const char *key,
                       const char *const *texts, const char *const *urls)
{
    const json_t *obj = json_object_get(embed, key);
    if (!json_is_object(obj))
        return;
    crier_json_key(o->b, key);
    crier_json_open(o->b, '{');
    for (; *texts; texts++)
        put_text(o, obj, *texts);
    for (; *urls; urls++)
        put_url(o, obj, *urls);
    crier_json_close(o->b, '}');
}

static void put_fields(struct out *o, const json_t *embed)
{
    size_t i;
    const json_t *field;
    const json_t *fields = json_object_get(embed, "fields");
    if (!json_array_size(fields))
        return;
    crier_json_key(o->b, "fields");
    crier_json_open(o->b, '[');
    json_array_foreach (fields, i, field) {
        crier_json_open(o->b, '{');
        put_text(o, field, "name");
        put_text(o, field, "value");
        crier_json_key(o->b, "inline");
        crier_json_bool(o->b, json_is_true(json_object_get(field, "inline")));
        crier_json_close(o->b, '}');
    }
    crier_json_close(o->b, ']');
}

static void put_embed(struct out *o, const json_t *embed)
{
    static const char *const none[] = {NULL}, *const picture[] = {"url", NULL},
                             *const name[] = {"name", NULL}, *const text[] = {"text", NULL},
                             *const author[] = {"url", "icon_url", NULL},
                             *const icon[] = {"icon_url", NULL};
    crier_json_open(o->b, '{');
    crier_json_key(o->b, "type");
    crier_json_str(o->b, "rich");
    put_text(o, embed, "title");
    put_text(o, embed, "description");
    put_text(o, embed, "url");
    const char *stamp = json_string_value(json_object_get(embed, "timestamp"));
    int64_t when;
    if (stamp && crier_datetime_parse(stamp, NULL, &when, NULL) == 0) {
        crier_json_key(o->b, "timestamp");
        sim_json_time(o->b, when);
    }
    const json_t *color = json_object_get(embed, "color");
    if (json_is_integer(color)) {
        crier_json_key(o->b, "color");
        crier_json_int(o->b, json_integer_value(color));
    }
    put_object(o, embed, "author", name, author);
    put_object(o, embed, "footer", text, icon);
    put_object(o, embed, "image", none, picture);
    put_object(o, embed, "thumbnail", none, picture);
    put_fields(o, embed);
    crier_json_close(o->b, '}');
}

char *sim_embeds_text(const json_t *embeds, const struct sim_channel *channel,
                      const struct sim_file *files, size_t count)
{
    size_t i;
    const json_t *embed;
    if (!json_array_size(embeds))
        return NULL;
    struct crier_buf b = {0};
    struct out o = {&b, channel, files, count};
    crier_json_open(&b, '[');
    json_array_foreach (embeds, i, embed)
        put_embed(&o, embed);
    crier_json_close(&b, ']');
    return crier_buf_take(&b);
}
