/* SPDX-License-Identifier: MIT */
#include "sink/dayscan.h"

#include <stdlib.h>
#include <string.h>

#include "base/ulid.h"

enum state {
    VALUE,
    VALUE_OR_END, /* behind '[' */
    KEY_OR_END,   /* behind '{' */
    KEY,          /* behind ',' in an object */
    COLON,
    AFTER, /* behind a value */
    STRING,
    ESCAPE,
    HEX,
    FOLLOW, /* inside a UTF-8 sequence */
    LITERAL,
    MINUS,
    ZERO,
    DIGITS,
    POINT,
    DECIMALS,
    EXP,
    EXP_SIGN,
    EXP_DIGITS,
    BAD,
};

enum key { OTHER, K_ID, K_NAME, K_TYPE, K_LIST, K_INDEX, K_RECORD };

/* Depth of what is open: the document, the list, an entry, its `record`. */
enum { TOP = 1, LIST = 2, ENTRY = 3, RECORD = 4 };

void crier_dayscan_init(struct crier_dayscan *scan)
{
    *scan = (struct crier_dayscan){
        .list_at = -1, .list_end = -1, .first_at = -1, .newest_index = -1, .state = VALUE};
}

void crier_dayscan_fini(struct crier_dayscan *scan)
{
    crier_buf_fini(&scan->ids);
}

static bool token_is(const struct crier_dayscan *s, const char *word)
{
    return s->token_len == strlen(word) && memcmp(s->token, word, s->token_len) == 0;
}

static enum key key_at_top(const struct crier_dayscan *s)
{
    if (token_is(s, "id"))
        return K_ID;
    if (token_is(s, "name"))
        return K_NAME;
    if (token_is(s, "type"))
        return K_TYPE;
    return token_is(s, "message_history") ? K_LIST : OTHER;
}

static void key_done(struct crier_dayscan *s)
{
    s->state = COLON;
    if (s->depth == TOP)
        s->key[TOP] = key_at_top(s);
    else if (s->in_list && s->depth == ENTRY)
        s->key[ENTRY] = token_is(s, "index") ? K_INDEX : token_is(s, "record") ? K_RECORD : OTHER;
    else if (s->in_record && s->depth == RECORD)
        s->key[RECORD] = token_is(s, "id") ? K_ID : OTHER;
}

/* The text of a number or string that is short enough to matter. */
static const char *token_text(struct crier_dayscan *s)
{
    if (s->token_len == sizeof s->token)
        return "";
    s->token[s->token_len] = '\0';
    return s->token;
}

static void string_done(struct crier_dayscan *s)
{
    if (s->is_key) {
        key_done(s);
        return;
    }
    s->state = AFTER;
    if (s->depth == TOP) {
        if (s->key[TOP] == K_NAME) {
            s->has_name = true;
            s->name_end = s->at + 1;
        }
        s->has_type |= s->key[TOP] == K_TYPE;
    } else if (s->in_record && s->depth == RECORD && s->key[RECORD] == K_ID) {
        unsigned char id[16];
        if (s->ids.len / 16 < s->want_ids && !s->entry_has_id &&
            crier_ulid_parse(token_text(s), id)) {
            crier_buf_append(&s->ids, id, 16);
            s->entry_has_id = true;
        }
    }
}

static void number_done(struct crier_dayscan *s)
{
    bool integer = s->state == ZERO || s->state == DIGITS;
    s->state = AFTER;
    if (!integer)
        return;
    if (s->depth == TOP && s->key[TOP] == K_ID && s->token[0] != '-') {
        s->id = strtoull(token_text(s), NULL, 10);
        s->has_id = true;
    } else if (s->in_list && s->depth == ENTRY && s->key[ENTRY] == K_INDEX) {
        s->entry_index = strtoll(token_text(s), NULL, 10);
    }
}

static void open_container(struct crier_dayscan *s, char c)
{
    if (s->depth == CRIER_DAYSCAN_DEPTH) {
        s->state = BAD;
        return;
    }
    if (s->depth == 0 && c == '[') {
        s->foreign = true;
    } else if (s->depth == TOP && s->key[TOP] == K_LIST && c == '[') {
        s->foreign |= s->list_at >= 0;
        s->in_list = true;
        s->list_at = s->at + 1;
    } else if (s->in_list && s->depth == LIST) {
        s->foreign |= c == '[';
        s->entry_at = s->at;
        s->entry_index = -1;
        s->entry_has_id = false;
        if (s->first_at < 0)
            s->first_at = s->at;
    } else if (s->in_list && s->depth == ENTRY && s->key[ENTRY] == K_RECORD && c == '{') {
        s->in_record = true;
    }
    s->object[s->depth++] = c == '{';
    s->state = c == '{' ? KEY_OR_END : VALUE_OR_END;
}

static void close_container(struct crier_dayscan *s, char c)
{
    if (s->depth == 0 || s->object[s->depth - 1] != (c == '}')) {
        s->state = BAD;
        return;
    }
    s->depth--;
    s->state = AFTER;
    if (!s->in_list)
        return;
    if (s->depth == TOP) {
        s->in_list = false;
        s->list_end = s->at;
    } else if (s->depth == LIST) {
        if (s->entries++ == 0)
            s->newest_index = s->entry_index;
        if (s->entry)
            s->entry(s->arg, s->entry_at, s->at + 1);
    } else if (s->depth == ENTRY) {
        s->in_record = false;
    }
}

static void begin_string(struct crier_dayscan *s, bool is_key)
{
    s->is_key = is_key;
    s->token_len = 0;
    s->state = STRING;
}

static void begin_value(struct crier_dayscan *s, char c)
{
    if (c == '{' || c == '[') {
        open_container(s, c);
        return;
    }
    s->foreign |= s->depth == 0 || (s->in_list && s->depth == LIST);
    s->token_len = 0;
    if (c == '"') {
        if (s->depth == TOP && s->key[TOP] == K_NAME)
            s->name_at = s->at;
        begin_string(s, false);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        s->token[s->token_len++] = c;
        s->state = c == '-' ? MINUS : c == '0' ? ZERO : DIGITS;
    } else {
        s->rest = c == 't' ? "rue" : c == 'f' ? "alse" : c == 'n' ? "ull" : NULL;
        s->state = s->rest ? LITERAL : BAD;
    }
}

static void keep(struct crier_dayscan *s, char c)
{
    if (s->token_len < sizeof s->token)
        s->token[s->token_len++] = c;
}

/* The allowed second byte of a UTF-8 sequence depends on the first (RFC 3629). */
static void begin_sequence(struct crier_dayscan *s, unsigned char c)
{
    s->lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    s->hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    s->follow = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    s->state = c >= 0xc2 && c <= 0xf4 ? FOLLOW : BAD;
}

static void in_string(struct crier_dayscan *s, unsigned char c)
{
    switch (s->state) {
    case ESCAPE:
        s->state = c == 'u' ? HEX : c && strchr("\"\\/bfnrt", c) ? STRING : BAD;
        s->hex = 4;
        break;
    case HEX:
        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f')))
            s->state = BAD;
        else if (--s->hex == 0)
            s->state = STRING;
        break;
    case FOLLOW:
        if (c < s->lo || c > s->hi)
            s->state = BAD;
        else if (--s->follow == 0)
            s->state = STRING;
        s->lo = 0x80;
        s->hi = 0xbf;
        break;
    default:
        if (c == '"') {
            string_done(s);
            break;
        }
        keep(s, (char)c);
        if (c == '\\')
            s->state = ESCAPE;
        else if (c < 0x20)
            s->state = BAD;
        else if (c >= 0x80)
            begin_sequence(s, c);
    }
}

/* True when c belongs to the number. */
static bool in_number(struct crier_dayscan *s, char c)
{
    bool digit = c >= '0' && c <= '9';
    bool exponent = c == 'e' || c == 'E';
    switch (s->state) {
    case MINUS:
        s->state = c == '0' ? ZERO : digit ? DIGITS : BAD;
        break;
    case POINT:
        s->state = digit ? DECIMALS : BAD;
        break;
    case EXP:
        s->state = digit ? EXP_DIGITS : c == '+' || c == '-' ? EXP_SIGN : BAD;
        break;
    case EXP_SIGN:
        s->state = digit ? EXP_DIGITS : BAD;
        break;
    default:
        if (s->state != EXP_DIGITS && exponent) {
            s->state = EXP;
        } else if ((s->state == ZERO || s->state == DIGITS) && c == '.') {
            s->state = POINT;
        } else if (s->state == ZERO || !digit) {
            number_done(s);
            return false;
        }
    }
    keep(s, c);
    return true;
}

static void outside(struct crier_dayscan *s, char c)
{
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
        return;
    switch (s->state) {
    case VALUE_OR_END:
        if (c == ']') {
            close_container(s, c);
            break;
        }
        begin_value(s, c);
        break;
    case VALUE:
        begin_value(s, c);
        break;
    case KEY_OR_END:
        if (c == '}') {
            close_container(s, c);
            break;
        }
        /* fall through */
    case KEY:
        if (c == '"')
            begin_string(s, true);
        else
            s->state = BAD;
        break;
    case COLON:
        s->state = c == ':' ? VALUE : BAD;
        break;
    default: /* AFTER */
        if (c == ',' && s->depth)
            s->state = s->object[s->depth - 1] ? KEY : VALUE;
        else if (c == '}' || c == ']')
            close_container(s, c);
        else
            s->state = BAD;
    }
}

bool crier_dayscan_feed(struct crier_dayscan *s, const char *data, size_t len)
{
    for (const char *end = data + len; data < end && s->state != BAD; data++, s->at++) {
        if (s->state == STRING) {
            /* Most bytes are plain ones in strings whose text does not matter. */
            const char *from = data;
            while (data < end && s->token_len == sizeof s->token && *data >= 0x20 && *data != '"' &&
                   *data != '\\')
                data++;
            s->at += data - from;
            if (data == end)
                break;
            in_string(s, (unsigned char)*data);
        } else if (s->state >= ESCAPE && s->state <= FOLLOW) {
            in_string(s, (unsigned char)*data);
        } else if (s->state == LITERAL) {
            s->state = *data == *s->rest ? LITERAL : BAD;
            if (s->state == LITERAL && !*++s->rest)
                s->state = AFTER;
        } else if (s->state < MINUS || !in_number(s, *data)) {
            outside(s, *data);
        }
    }
    return s->state != BAD;
}

bool crier_dayscan_end(const struct crier_dayscan *s)
{
    return s->state == AFTER && s->depth == 0 && !s->foreign && s->has_id && s->has_name &&
           s->has_type && s->list_end >= 0;
}
