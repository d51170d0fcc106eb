/* SPDX-License-Identifier: MIT */
#include "discord/lookup.h"

#include <stdlib.h>
#include <string.h>

#define EPOCH_MS 1420070400000LL /* 2015-01-01, the first second of Discord's ids */

uint64_t crier_snowflake_at(int64_t wall_us)
{
    int64_t ms = wall_us / CRIER_MS - EPOCH_MS;
    return ms > 0 ? (uint64_t)ms << 22 : 0;
}

uint64_t crier_snowflake(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? strtoull(text, NULL, 10) : 0;
}

static bool same_trimmed(const char *a, const char *b)
{
    static const char blanks[] = " \t\r\n";
    a = a ? a + strspn(a, blanks) : "";
    b = b ? b + strspn(b, blanks) : "";
    size_t n = strlen(a), m = strlen(b);
    while (n && strchr(blanks, a[n - 1]))
        n--;
    while (m && strchr(blanks, b[m - 1]))
        m--;
    return n == m && memcmp(a, b, n) == 0;
}

static bool same_member(const json_t *a, const json_t *b, const char *key)
{
    return same_trimmed(json_string_value(json_object_get(a, key)),
                        json_string_value(json_object_get(b, key)));
}

static bool same_embeds(const struct crier_content *content, const json_t *theirs)
{
    if (!content->embeds)
        return true; /* links in the text make embeds of their own */
    json_t *ours = json_loads(content->embeds, 0, NULL);
    bool same = true;
    for (size_t i = 0; same && i < json_array_size(ours); i++)
        same = same_member(json_array_get(ours, i), json_array_get(theirs, i), "title") &&
               same_member(json_array_get(ours, i), json_array_get(theirs, i), "description");
    json_decref(ours);
    return same;
}

static bool same_poll(const struct crier_content *content, const json_t *theirs)
{
    json_t *ours = content->poll ? json_loads(content->poll, 0, NULL) : NULL;
    bool same =
        json_is_object(ours) == json_is_object(theirs) &&
        same_member(json_object_get(ours, "question"), json_object_get(theirs, "question"), "text");
    json_decref(ours);
    return same;
}

static bool same_content(const struct crier_content *content, const json_t *message)
{
    const json_t *reference = json_object_get(message, "message_reference");
    uint64_t reply_to = crier_snowflake(reference, "message_id");
    return same_trimmed(content->text, json_string_value(json_object_get(message, "content"))) &&
           json_array_size(json_object_get(message, "attachments")) == content->file_count &&
           json_array_size(json_object_get(message, "sticker_items")) == content->sticker_count &&
           (!reply_to || reply_to == content->reply_to) &&
           same_poll(content, json_object_get(message, "poll")) &&
           same_embeds(content, json_object_get(message, "embeds"));
}

json_t *crier_lookup_find(const struct crier_lookup *lookup, const json_t *messages)
{
    json_t *message, *found = NULL;
    size_t i;
    json_array_foreach((json_t *)messages, i, message)
    {
        const char *nonce = json_string_value(json_object_get(message, "nonce"));
        if (nonce && strcmp(nonce, lookup->nonce) == 0)
            return message;
        if (!nonce && !found &&
            crier_snowflake(json_object_get(message, "author"), "id") == lookup->self &&
            crier_snowflake(message, "id") > lookup->after &&
            same_content(lookup->content, message))
            found = message;
    }
    return found;
}

uint64_t crier_lookup_newest(const json_t *messages)
{
    json_t *message;
    size_t i;
    uint64_t newest = 0;
    json_array_foreach((json_t *)messages, i, message)
    {
        uint64_t id = crier_snowflake(message, "id");
        newest = id > newest ? id : newest;
    }
    return newest;
}
