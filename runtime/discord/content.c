/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "discord/client.h"

#define REQUEST_MAX (25u << 20)

struct crier_content *crier_content_new(void)
{
    struct crier_content *content = crier_calloc(1, sizeof *content);
    content->refs = 1;
    return content;
}

struct crier_content *crier_content_ref(struct crier_content *content)
{
    content->refs++;
    return content;
}

void crier_content_unref(struct crier_content *content)
{
    if (!content || --content->refs)
        return;
    for (size_t i = 0; i < content->file_count; i++) {
        free(content->files[i].name);
        free(content->files[i].path);
        free(content->files[i].data);
    }
    free(content->files);
    free(content->text);
    free(content->embeds);
    free(content->components);
    free(content->poll);
    free(content->thread);
    free(content);
}

/* Discord does not say what a character is; UTF-16 units are the largest count of those that it
 * can mean. */
static size_t utf16_units(const char *s)
{
    size_t n = 0;
    for (; s && *s; s++) {
        unsigned char c = (unsigned char)*s;
        n += (c & 0xc0) != 0x80; /* every byte but continuations */
        n += c >= 0xf0;          /* outside the basic plane: a surrogate pair */
    }
    return n;
}

static bool blank(const char *s)
{
    return !s || s[strspn(s, " \t\r\n")] == '\0';
}

/* One string of an embed: its length is added to the sum. */
static int embed_string(const json_t *object, const char *key, const char *place, size_t max,
                        size_t *sum, struct crier_err *err)
{
    size_t n = utf16_units(json_string_value(json_object_get(object, key)));
    *sum += n;
    if (n > max)
        return crier_err_set(err, CRIER_EINVAL,
                             "%s.%s has %zu characters, Discord allows %zu (shorten it)", place,
                             key, n, max);
    return 0;
}

/* Places count from 1, as Lua does. */
static int embed_check(const json_t *embed, size_t index, size_t *sum, struct crier_err *err)
{
    char place[64];
    snprintf(place, sizeof place, "embeds[%zu]", index + 1);
    if (!json_is_object(embed))
        return crier_err_set(err, CRIER_EINVAL, "%s is not an object", place);
    int rc = embed_string(embed, "title", place, 256, sum, err);
    if (!rc)
        rc = embed_string(embed, "description", place, 4096, sum, err);
    if (rc)
        return rc;
    snprintf(place, sizeof place, "embeds[%zu].footer", index + 1);
    rc = embed_string(json_object_get(embed, "footer"), "text", place, 2048, sum, err);
    if (rc)
        return rc;
    snprintf(place, sizeof place, "embeds[%zu].author", index + 1);
    rc = embed_string(json_object_get(embed, "author"), "name", place, 256, sum, err);
    if (rc)
        return rc;
    const json_t *fields = json_object_get(embed, "fields");
    if (json_array_size(fields) > 25)
        return crier_err_set(err, CRIER_EINVAL, "embeds[%zu] has %zu fields, Discord allows 25",
                             index + 1, json_array_size(fields));
    for (size_t i = 0; !rc && i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        snprintf(place, sizeof place, "embeds[%zu].fields[%zu]", index + 1, i + 1);
        rc = embed_string(field, "name", place, 256, sum, err);
        if (!rc)
            rc = embed_string(field, "value", place, 1024, sum, err);
    }
    return rc;
}

static int embeds_check(const char *text, size_t *count, struct crier_err *err)
{
    int rc = 0;
    json_error_t why;
    json_t *embeds = json_loads(text, 0, &why);
    size_t sum = 0;
    if (!json_is_array(embeds)) {
        rc = crier_err_set(err, CRIER_EINVAL, "embeds are not a JSON array: %s",
                           embeds ? "another type" : why.text);
        goto out;
    }
    *count = json_array_size(embeds);
    if (*count > 10) {
        rc = crier_err_set(err, CRIER_EINVAL,
                           "%zu embeds, Discord allows 10 a message (send several messages)",
                           *count);
        goto out;
    }
    for (size_t i = 0; !rc && i < *count; i++)
        rc = embed_check(json_array_get(embeds, i), i, &sum, err);
    if (!rc && sum > 6000)
        rc = crier_err_set(err, CRIER_EINVAL,
                           "the embeds have %zu characters in all, Discord allows 6000", sum);
out:
    json_decref(embeds);
    return rc;
}

int crier_content_check(const struct crier_content *content, struct crier_err *err)
{
    size_t units = utf16_units(content->text), embeds = 0, bytes = 0;
    if (units > 2000)
        return crier_err_set(err, CRIER_EINVAL,
                             "the text has %zu characters, Discord allows 2000 (shorten it, or put "
                             "it into an embed)",
                             units);
    int rc = content->embeds ? embeds_check(content->embeds, &embeds, err) : 0;
    if (rc)
        return rc;
    if (content->file_count > 10)
        return crier_err_set(err, CRIER_EINVAL, "%zu files, Discord allows 10 a message",
                             content->file_count);
    for (size_t i = 0; i < content->file_count; i++)
        bytes += content->files[i].len;
    if (bytes > REQUEST_MAX)
        return crier_err_set(err, CRIER_EINVAL,
                             "the files have %zu bytes in all, Discord allows 25 MiB", bytes);
    if (content->thread) {
        size_t n = utf16_units(content->thread);
        if (n < 1 || n > 100)
            return crier_err_set(err, CRIER_EINVAL,
                                 "the name of the THREAD has %zu characters, Discord allows 1 to "
                                 "100",
                                 n);
        if (content->poll || content->reply_to)
            return crier_err_set(err, CRIER_EINVAL, "a THREAD takes no %s",
                                 content->poll ? "POLL" : "REPLY");
    }
    if (blank(content->text) && !embeds && !content->file_count && !content->poll &&
        !content->sticker_count)
        return crier_err_set(err, CRIER_EINVAL,
                             "nothing to send: no text, EMBED, FILE, POLL or STICKER");
    return 0;
}
