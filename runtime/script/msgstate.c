/* SPDX-License-Identifier: MIT */
#include "script/message_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

void crier_lost_free(struct crier_lost *lost)
{
    if (!lost)
        return;
    crier_content_unref(lost->content);
    free(lost);
}

static struct crier_lost *load_lost(const json_t *o)
{
    if (!json_is_object(o))
        return NULL;
    struct crier_lost *lost = crier_calloc(1, sizeof *lost);
    const char *nonce = json_string_value(json_object_get(o, "nonce"));
    lost->at = json_integer_value(json_object_get(o, "at"));
    snprintf(lost->nonce, sizeof lost->nonce, "%s", nonce ? nonce : "");
    lost->content = crier_content_new();
    lost->content->text = crier_strdup(json_string_value(json_object_get(o, "text")));
    lost->content->embeds = crier_strdup(json_string_value(json_object_get(o, "embeds")));
    lost->content->file_count = (size_t)json_integer_value(json_object_get(o, "files"));
    if (lost->content->file_count > 10)
        lost->content->file_count = 10;
    lost->content->files =
        crier_calloc(lost->content->file_count + 1, sizeof *lost->content->files);
    return lost;
}

struct crier_msgstate *crier_msgstate_new(char *key)
{
    struct crier_msgstate *st = crier_calloc(1, sizeof *st);
    st->refs = 1;
    st->key = key;
    return st;
}

void crier_msgstate_unref(void *p)
{
    struct crier_msgstate *st = p;
    if (!st || --st->refs > 0)
        return;
    free(st->key);
    free(st->period);
    free(st->removal);
    for (size_t i = 0; i < st->channel_count; i++) {
        free(st->channels[i].why);
        crier_lost_free(st->channels[i].lost);
    }
    free(st->channels);
    free(st);
}

uint64_t crier_json_id(const json_t *v)
{
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10) : 0;
}

static void load_state(void *arg, const char *key, const char *text)
{
    struct crier_poster *p = arg;
    json_t *o = json_loads(text, 0, NULL);
    if (!json_is_object(o)) {
        json_decref(o);
        return;
    }
    struct crier_msgstate *st = crier_msgstate_new(crier_strdup(key));
    st->loaded = true;
    st->first = json_integer_value(json_object_get(o, "first"));
    st->due = json_integer_value(json_object_get(o, "due"));
    st->last = json_integer_value(json_object_get(o, "last"));
    st->sent = (uint64_t)json_integer_value(json_object_get(o, "sent"));
    st->failed = (uint64_t)json_integer_value(json_object_get(o, "failed"));
    st->skipped = (uint64_t)json_integer_value(json_object_get(o, "skipped"));
    st->ended = json_is_true(json_object_get(o, "ended"));
    st->paused = json_is_true(json_object_get(o, "paused"));
    st->period = crier_strdup(json_string_value(json_object_get(o, "period")));
    st->removal = crier_strdup(json_string_value(json_object_get(o, "removal")));
    st->intent_due = json_integer_value(json_object_get(o, "intent_due"));
    st->intent_at = json_integer_value(json_object_get(o, "intent_at"));
    st->begun = json_integer_value(json_object_get(o, "begun"));
    json_t *channels = json_object_get(o, "channels"), *c;
    size_t i;
    st->channels = crier_calloc(json_array_size(channels) + 1, sizeof *st->channels);
    json_array_foreach(channels, i, c)
    {
        struct crier_channel_state *at = &st->channels[st->channel_count++];
        at->id = crier_json_id(json_object_get(c, "id"));
        at->lost = load_lost(json_object_get(c, "lost"));
        at->message = crier_json_id(json_object_get(c, "message"));
        at->sent = json_integer_value(json_object_get(c, "sent"));
    }
    g_hash_table_replace(p->states, st->key, st);
    json_decref(o);
}

void crier_poster_learn_dm(void *arg, const char *key, const char *text)
{
    struct crier_poster *p = arg;
    uint64_t *id = crier_malloc(sizeof *id);
    *id = strtoull(text[0] == '"' ? text + 1 : text, NULL, 10);
    g_hash_table_replace(p->dms, crier_strdup(key), id);
}

void crier_poster_load(struct crier_poster *p)
{
    crier_state_each(crier_host_state(p->host), "message", load_state, p);
    crier_state_each(crier_host_state(p->host), "dm", crier_poster_learn_dm, p);
    crier_guilds_load(p->guilds);
}

static void put_id(struct crier_buf *b, const char *key, uint64_t id)
{
    crier_json_key(b, key);
    crier_json_snowflake(b, id);
}

static void put_int(struct crier_buf *b, const char *key, int64_t v)
{
    if (!v)
        return;
    crier_json_key(b, key);
    crier_json_int(b, v);
}

static void put_lost(struct crier_buf *b, const struct crier_lost *lost)
{
    crier_json_key(b, "lost");
    crier_json_open(b, '{');
    put_int(b, "at", lost->at);
    crier_json_key(b, "nonce");
    crier_json_str(b, lost->nonce);
    if (lost->content->text) {
        crier_json_key(b, "text");
        crier_json_str(b, lost->content->text);
    }
    if (lost->content->embeds) {
        crier_json_key(b, "embeds");
        crier_json_str(b, lost->content->embeds);
    }
    put_int(b, "files", (int64_t)lost->content->file_count);
    crier_json_close(b, '}');
}

void crier_msgstate_save(struct crier_poster *p, struct crier_msgstate *st,
                         void (*done)(void *arg, int rc), void *arg)
{
    if (st->forgotten && done)
        done(arg, 0);
    if (st->forgotten || !crier_host_state(p->host))
        return; /* the host has closed it; what matters, an intent, is in the file */
    struct crier_buf b = {0};
    crier_buf_reserve(&b, 400); /* with one channel it is no longer */
    crier_json_open(&b, '{');
    put_int(&b, "first", st->first);
    put_int(&b, "due", st->due);
    put_int(&b, "last", st->last);
    put_int(&b, "sent", (int64_t)st->sent);
    put_int(&b, "failed", (int64_t)st->failed);
    put_int(&b, "skipped", (int64_t)st->skipped);
    if (st->ended) {
        crier_json_key(&b, "ended");
        crier_json_bool(&b, true);
    }
    if (st->paused) {
        crier_json_key(&b, "paused");
        crier_json_bool(&b, true);
    }
    crier_json_key(&b, "period");
    crier_json_str(&b, st->period);
    if (st->removal) {
        crier_json_key(&b, "removal");
        crier_json_str(&b, st->removal);
    }
    put_int(&b, "intent_due", st->intent_due);
    put_int(&b, "intent_at", st->intent_at);
    put_int(&b, "begun", st->begun);
    bool any = false;
    for (size_t i = 0; i < st->channel_count; i++) {
        const struct crier_channel_state *at = &st->channels[i];
        if (!at->message && !at->sent && !at->lost)
            continue;
        if (!any) {
            crier_json_key(&b, "channels");
            crier_json_open(&b, '[');
            any = true;
        }
        crier_json_open(&b, '{');
        put_id(&b, "id", at->id);
        if (at->message)
            put_id(&b, "message", at->message);
        put_int(&b, "sent", at->sent);
        if (at->lost)
            put_lost(&b, at->lost);
        crier_json_close(&b, '}');
    }
    if (any)
        crier_json_close(&b, ']');
    crier_json_close(&b, '}');
    crier_state_put(crier_host_state(p->host), "message", st->key, b.data, done, arg);
    crier_buf_fini(&b);
}

struct crier_channel_state *crier_msgstate_channel(struct crier_msgstate *st, uint64_t id)
{
    for (size_t i = 0; i < st->channel_count; i++) {
        if (st->channels[i].id == id)
            return &st->channels[i];
    }
    return NULL;
}

void crier_msgstate_ensure(struct crier_msgstate *st, uint64_t id)
{
    if (crier_msgstate_channel(st, id))
        return;
    st->channels = crier_realloc(st->channels, (st->channel_count + 1) * sizeof *st->channels);
    st->channels[st->channel_count++] = (struct crier_channel_state){.id = id};
}
