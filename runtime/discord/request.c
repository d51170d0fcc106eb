/* SPDX-License-Identifier: MIT */
#include "discord/request.h"

#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

static void id_list(struct crier_buf *b, const char *key, const uint64_t *ids, size_t count)
{
    if (!count)
        return;
    crier_json_key(b, key);
    crier_json_open(b, '[');
    for (size_t i = 0; i < count; i++)
        crier_json_snowflake(b, ids[i]);
    crier_json_close(b, ']');
}

static void allowed_mentions(struct crier_buf *b, const struct crier_mentions *m, bool replied)
{
    static const struct crier_mentions nobody;
    if (!m)
        m = &nobody;
    crier_json_key(b, "allowed_mentions");
    crier_json_open(b, '{');
    crier_json_key(b, "parse");
    crier_json_open(b, '[');
    if (m->everyone)
        crier_json_str(b, "everyone");
    if (m->roles)
        crier_json_str(b, "roles");
    if (m->users)
        crier_json_str(b, "users");
    crier_json_close(b, ']');
    /* A list beside the same word in `parse` is an error for Discord. */
    if (!m->roles)
        id_list(b, "roles", m->role_ids, m->role_count);
    if (!m->users)
        id_list(b, "users", m->user_ids, m->user_count);
    if (replied) {
        crier_json_key(b, "replied_user");
        crier_json_bool(b, true);
    }
    crier_json_close(b, '}');
}

static void attachments(struct crier_buf *b, const struct crier_content *content)
{
    crier_json_key(b, "attachments");
    crier_json_open(b, '[');
    for (size_t i = 0; i < content->file_count; i++) {
        char id[24];
        snprintf(id, sizeof id, "%zu", i);
        crier_json_open(b, '{');
        crier_json_key(b, "id"); /* the number in files[N], as text, since ids are */
        crier_json_str(b, id);
        crier_json_key(b, "filename");
        crier_json_str(b, content->files[i].name);
        crier_json_close(b, '}');
    }
    crier_json_close(b, ']');
}

static void put_text(struct crier_buf *b, const char *key, const char *text)
{
    crier_json_key(b, key);
    crier_json_str(b, text);
}

static void put_raw(struct crier_buf *b, const char *key, const char *json)
{
    crier_json_key(b, key);
    crier_json_raw(b, json, strlen(json));
}

static void reference(struct crier_buf *b, uint64_t message)
{
    crier_json_key(b, "message_reference");
    crier_json_open(b, '{');
    crier_json_key(b, "message_id");
    crier_json_snowflake(b, message);
    crier_json_close(b, '}');
}

/* What messages, edits and the first message of a post have. */
static void body(struct crier_buf *b, const struct crier_content *content,
                 const struct crier_mentions *mentions, bool edit)
{
    if (edit || content->text)
        put_text(b, "content", content->text ? content->text : "");
    if (edit || content->embeds)
        put_raw(b, "embeds", content->embeds ? content->embeds : "[]");
    if (edit || content->file_count)
        attachments(b, content);
    if (edit || content->components)
        put_raw(b, "components", content->components ? content->components : "[]");
    if (!edit)
        id_list(b, "sticker_ids", content->stickers, content->sticker_count);
    allowed_mentions(b, mentions, content->reply_to && content->reply_ping);
}

static void post(struct crier_buf *b, const struct crier_content *content,
                 const struct crier_mentions *mentions)
{
    crier_json_open(b, '{');
    put_text(b, "name", content->thread);
    if (content->archive) {
        crier_json_key(b, "auto_archive_duration");
        crier_json_int(b, content->archive);
    }
    id_list(b, "applied_tags", content->tags, content->tag_count);
    crier_json_key(b, "message");
    crier_json_open(b, '{');
    body(b, content, mentions, false);
    crier_json_close(b, '}');
    crier_json_close(b, '}');
}

void crier_request_payload(const struct crier_content *content,
                           const struct crier_mentions *mentions, const char *nonce,
                           struct crier_buf *out)
{
    if (nonce && content->thread) {
        post(out, content, mentions);
        return;
    }
    crier_json_open(out, '{');
    body(out, content, mentions, !nonce);
    if (nonce) {
        if (content->poll)
            put_raw(out, "poll", content->poll);
        if (content->reply_to)
            reference(out, content->reply_to);
        put_text(out, "nonce", nonce);
        crier_json_key(out, "enforce_nonce");
        crier_json_bool(out, true);
    }
    crier_json_close(out, '}');
}

static char *copy(const char *data, size_t len)
{
    char *out = crier_malloc(len + 1);
    memcpy(out, data, len);
    out[len] = '\0';
    return out;
}

void crier_request_body(struct crier_http_request *req, const struct crier_content *content,
                        const char *payload, size_t len)
{
    if (!content || !content->file_count) {
        req->body = copy(payload, len);
        req->body_len = len;
        crier_http_request_header(req, "Content-Type", "application/json");
        return;
    }
    req->part_count = content->file_count + 1;
    req->parts = crier_calloc(req->part_count, sizeof *req->parts);
    req->parts[0].name = crier_strdup("payload_json");
    req->parts[0].content_type = crier_strdup("application/json");
    req->parts[0].data = copy(payload, len);
    req->parts[0].len = len;
    for (size_t i = 0; i < content->file_count; i++) {
        const struct crier_file *file = &content->files[i];
        struct crier_http_part *part = &req->parts[i + 1];
        part->name = crier_asprintf("files[%zu]", i);
        part->filename = crier_strdup(file->name);
        if (file->path) {
            part->path = crier_strdup(file->path);
        } else {
            part->data = copy(file->data, file->len);
            part->len = file->len;
        }
    }
}

void crier_discord_nonce(const char *message_key, uint64_t channel, int64_t due_us, char out[26])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char digest[32];
    gsize size = sizeof digest;
    struct crier_buf tail = {0};
    crier_buf_uint(&tail, channel);
    crier_buf_putc(&tail, ':');
    if (due_us < 0)
        crier_buf_putc(&tail, '-');
    crier_buf_uint(&tail, due_us < 0 ? 0 - (uint64_t)due_us : (uint64_t)due_us);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    /* With its NUL, so that no key runs into the channel. */
    g_checksum_update(sum, (const guchar *)message_key, (gssize)strlen(message_key) + 1);
    g_checksum_update(sum, (const guchar *)tail.data, (gssize)tail.len);
    g_checksum_get_digest(sum, digest, &size);
    g_checksum_free(sum);
    crier_buf_fini(&tail);
    for (unsigned i = 0; i < 25; i++) {
        unsigned bit = i * 5;
        unsigned word = (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];
        out[i] = letters[word >> (11 - bit % 8) & 31];
    }
    out[25] = '\0';
}
