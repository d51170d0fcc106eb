/* SPDX-License-Identifier: MIT */
#include "discord/outcome.h"

#include <ctype.h>
#include <string.h>

#define C CRIER_REQ_CREATE
#define E CRIER_REQ_EDIT
#define D CRIER_REQ_DELETE
#define O CRIER_REQ_OTHER
#define ANY CRIER_REQ_ANY

static const char token_help[] = "check the bot's token in the Developer Portal";
static const char user_help[] = "the user cannot be written to by this bot";
static const char trouble_help[] = "trouble at Discord's side";
static const char automod_help[] = "change the text, the server's filter refuses it";

/* The first row that fits counts: codes before statuses. */
static const struct crier_outcome_row rows[] = {
    {200, 299, 0, 0, ANY, CRIER_CLASS_OK, 0, NULL},
    {0, 0, CRIER_CODE_NOT_SENT, 0, ANY, CRIER_CLASS_RETRY, 0, NULL},
    {0, 0, CRIER_CODE_LOST, 0, ANY, CRIER_CLASS_LOST, 0, NULL},
    {0, 0, CRIER_CODE_BANNED, 0, ANY, CRIER_CLASS_BREAK, 600,
     "Discord blocks this network address for a while; nothing is sent meanwhile"},
    {0, 0, CRIER_CODE_QUARANTINED, 0, ANY, CRIER_CLASS_PAUSE, 3600,
     "Discord has quarantined the bot for new direct messages: see the Developer Portal"},

    {0, 0, 40001, 0, ANY, CRIER_CLASS_STOP, 0, token_help},
    {0, 0, 50014, 0, ANY, CRIER_CLASS_STOP, 0, token_help},
    {0, 0, 40333, 0, ANY, CRIER_CLASS_STOP, 0, "Discord refuses the User-Agent"},
    {401, 0, 0, 0, ANY, CRIER_CLASS_STOP, 0, token_help},

    {0, 0, 20016, 0, ANY, CRIER_CLASS_WAIT, 60, NULL},
    {0, 0, 20022, 0, ANY, CRIER_CLASS_WAIT, 60, NULL},
    {0, 0, 20028, 20029, ANY, CRIER_CLASS_WAIT, 60, NULL},
    /* Edits of a message older than an hour: a new one is not held up by that. */
    {0, 0, 30046, 0, E, CRIER_CLASS_REBUILD, 0, NULL},
    {0, 0, 30046, 0, ANY, CRIER_CLASS_WAIT, 60, NULL},
    {0, 0, 40062, 0, ANY, CRIER_CLASS_WAIT, 60, NULL},
    {0, 0, 40003, 0, ANY, CRIER_CLASS_WAIT, 300, "direct messages are opened too fast"},
    {0, 0, 160006, 160007, ANY, CRIER_CLASS_WAIT, 600, "archive threads that are not in use"},

    {0, 0, 40004, 0, ANY, CRIER_CLASS_RETRY, 5, NULL},
    {0, 0, 40006, 0, ANY, CRIER_CLASS_RETRY, 5, NULL},
    {0, 0, 110000, 0, ANY, CRIER_CLASS_RETRY, 5, NULL},
    {0, 0, 130000, 0, ANY, CRIER_CLASS_RETRY, 5, NULL},

    {0, 0, 10008, 0, C | D, CRIER_CLASS_OK, 0, NULL},
    {0, 0, 10008, 0, E | O, CRIER_CLASS_REBUILD, 0, NULL},
    {0, 0, 10008, 0, ANY, CRIER_CLASS_BAD, 0, NULL},
    {0, 0, 40033, 0, ANY, CRIER_CLASS_OK, 0, NULL},
    {0, 0, 160004, 0, ANY, CRIER_CLASS_OK, 0, NULL},
    {0, 0, 50083, 0, E, CRIER_CLASS_REBUILD, 0, NULL},
    {0, 0, 50083, 0, ANY, CRIER_CLASS_BAD, 0, "the thread is archived: open it again"},

    {0, 0, 10003, 10004, ANY, CRIER_CLASS_DROP, 0, "check the id; it may have been deleted"},
    {0, 0, 10013, 0, ANY, CRIER_CLASS_DROP, 0, "check the user's id"},
    {0, 0, 20009, 0, ANY, CRIER_CLASS_DROP, 0, user_help},
    {0, 0, 50007, 0, ANY, CRIER_CLASS_DROP, 0, user_help},
    {0, 0, 50033, 0, ANY, CRIER_CLASS_DROP, 0, user_help},
    {0, 0, 50278, 0, ANY, CRIER_CLASS_DROP, 0, user_help},
    {0, 0, 160005, 0, ANY, CRIER_CLASS_DROP, 0, "the thread is locked"},

    {0, 0, 50001, 0, ANY, CRIER_CLASS_PAUSE, 300,
     "the bot cannot see it: invite the bot, or give it View Channel"},
    {0, 0, 50009, 0, ANY, CRIER_CLASS_PAUSE, 600,
     "the bot must pass the server's membership screening first"},
    {0, 0, 50013, 0, ANY, CRIER_CLASS_PAUSE, 60, "see the bot's role and the channel's overwrites"},

    {0, 0, 10014, 0, ANY, CRIER_CLASS_BAD, 0, "unknown emoji"},
    {0, 0, 30000, 30999, ANY, CRIER_CLASS_BAD, 0, NULL},
    {0, 0, 40005, 0, ANY, CRIER_CLASS_BAD, 0, "send smaller files"},
    {0, 0, 40058, 0, ANY, CRIER_CLASS_BAD, 0, "the channel takes threads only"},
    {0, 0, 40067, 0, ANY, CRIER_CLASS_BAD, 0, "the forum wants a tag"},
    {0, 0, 50005, 50006, ANY, CRIER_CLASS_BAD, 0, NULL},
    {0, 0, 50008, 0, ANY, CRIER_CLASS_BAD, 0, "not a text channel"},
    {0, 0, 50021, 0, ANY, CRIER_CLASS_BAD, 0, NULL},
    {0, 0, 50024, 0, ANY, CRIER_CLASS_BAD, 0, "wrong type of channel"},
    {0, 0, 50035, 0, ANY, CRIER_CLASS_BAD, 0, NULL},
    {0, 0, 50045, 0, ANY, CRIER_CLASS_BAD, 0, "send smaller files"},
    {0, 0, 50068, 0, ANY, CRIER_CLASS_BAD, 0, NULL},
    {0, 0, 50109, 0, ANY, CRIER_CLASS_BAD, 0, NULL},
    {0, 0, 160002, 0, ANY, CRIER_CLASS_BAD, 0, "give the bot Read Message History"},
    {0, 0, 200000, 200001, ANY, CRIER_CLASS_BAD, 0, automod_help},
    {0, 0, 240000, 0, ANY, CRIER_CLASS_BAD, 0, automod_help},
    {0, 0, 400001, 0, ANY, CRIER_CLASS_BAD, 0, "uploads are limited in this server"},

    {304, 0, 0, 0, ANY, CRIER_CLASS_OK, 0, NULL},
    {403, 404, 0, 0, ANY, CRIER_CLASS_DOUBT, 0, NULL},
    {413, 0, 0, 0, ANY, CRIER_CLASS_BAD, 0, "send smaller files"},
    {429, 0, 0, 0, ANY, CRIER_CLASS_WAIT, 0, NULL},
    {502, 503, 0, 0, ANY, CRIER_CLASS_RETRY, 0, trouble_help},
    {500, 599, 0, 0, ANY, CRIER_CLASS_LOST, 0, trouble_help},
    {0, 0, 0, 0, ANY, CRIER_CLASS_BAD, 0, NULL},
};

const struct crier_outcome_row *crier_outcome_rows(size_t *count)
{
    *count = CRIER_COUNT(rows);
    return rows;
}

const char *crier_class_name(enum crier_class class_)
{
    static const char *const names[] = {
        [CRIER_CLASS_OK] = "OK",       [CRIER_CLASS_RETRY] = "RETRY",
        [CRIER_CLASS_LOST] = "LOST",   [CRIER_CLASS_WAIT] = "WAIT",
        [CRIER_CLASS_DROP] = "DROP",   [CRIER_CLASS_PAUSE] = "PAUSE",
        [CRIER_CLASS_DOUBT] = "DOUBT", [CRIER_CLASS_REBUILD] = "REBUILD",
        [CRIER_CLASS_BAD] = "BAD",     [CRIER_CLASS_STOP] = "STOP",
        [CRIER_CLASS_BREAK] = "BREAK",
    };
    return names[class_];
}

static bool within(int value, int first, int last)
{
    return !first || value == first || (last && value > first && value <= last);
}

const struct crier_outcome_row *crier_outcome_row(int status, int code,
                                                  enum crier_request_kind kind)
{
    /* A body of a success is not an error, whatever members it has. */
    if (status >= 200 && status < 300)
        code = 0;
    size_t i = 0;
    while (i < CRIER_COUNT(rows) - 1 &&
           !(within(status, rows[i].status, rows[i].status_last) &&
             within(code, rows[i].code, rows[i].code_last) && (rows[i].kinds & kind)))
        i++;
    return &rows[i];
}

bool crier_outcome_foreign(const struct crier_http_response *res)
{
    size_t i = 0;
    while (i < res->body.len && isspace((unsigned char)res->body.data[i]))
        i++;
    return i < res->body.len && res->body.data[i] != '{' && res->body.data[i] != '[';
}

int crier_outcome_code(const struct crier_http_response *res, const json_t *body)
{
    if (!res->status)
        return res->sent == CRIER_HTTP_NOT_SENT ? CRIER_CODE_NOT_SENT : CRIER_CODE_LOST;
    if (res->status < 300)
        return 0;
    int code = (int)json_integer_value(json_object_get(body, "code"));
    const char *text = json_string_value(json_object_get(body, "message"));
    char header[8];
    /* Cloudflare in front of Discord answers without any header of Discord's own. */
    if (res->status == 429 && !code && !crier_http_header(res, "via", header, sizeof header) &&
        !crier_http_header(res, "x-ratelimit-limit", header, sizeof header) &&
        !crier_http_header(res, "x-ratelimit-scope", header, sizeof header) &&
        !crier_http_header(res, "x-ratelimit-global", header, sizeof header) &&
        (!json_is_object(body) || (text && strstr(text, "being blocked"))))
        return CRIER_CODE_BANNED;
    if (res->status == 403 && crier_outcome_foreign(res))
        return CRIER_CODE_BANNED;
    if (res->status == 403 && text && strcasestr(text, "anti-spam"))
        return CRIER_CODE_QUARANTINED;
    return code;
}

static void flatten(const json_t *node, const char *path, struct crier_buf *out)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)node, key, value)
    {
        if (strcmp(key, "_errors") == 0) {
            size_t i;
            json_t *item;
            json_array_foreach(value, i, item)
            {
                const char *text = json_string_value(json_object_get(item, "message"));
                if (out->len)
                    crier_buf_puts(out, "; ");
                crier_buf_printf(out, "%s%s%s", path, *path ? ": " : "", text ? text : "invalid");
            }
            continue;
        }
        struct crier_buf deeper = {0};
        if (isdigit((unsigned char)*key))
            crier_buf_printf(&deeper, "%s[%s]", path, key);
        else
            crier_buf_printf(&deeper, "%s%s%s", path, *path ? "." : "", key);
        flatten(value, deeper.data, out);
        crier_buf_fini(&deeper);
    }
}

void crier_outcome_flatten(const json_t *errors, struct crier_buf *out)
{
    flatten(errors, "", out);
}
