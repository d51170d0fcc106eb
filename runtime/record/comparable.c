/* SPDX-License-Identifier: MIT */
#include "record/comparable.h"

#include <string.h>

enum { DIGIT = 1, HEX = 2, LETTER = 4 };

static unsigned class_of(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return DIGIT | HEX;
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
        return (c | 0x20) <= 'f' ? LETTER | HEX : LETTER;
    return 0;
}

enum { ID_DIGITS = 15, ID_HEX = 8, ID_WORD = 20, UUID = 36, QUOTED = 4096 };

static bool is_uuid(const char *s, const char *end)
{
    if (end - s < UUID || (end - s > UUID && class_of((unsigned char)s[UUID])))
        return false;
    for (int i = 0; i < UUID; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s[i] != '-' : !(class_of((unsigned char)s[i]) & HEX))
            return false;
    }
    return true;
}

/* The closing quote; NULL: this is none that opens (an apostrophe), or nothing closes it. */
static const char *quote_end(const char *begin, const char *s, const char *end)
{
    if (*s == '\'' && s > begin && class_of((unsigned char)s[-1]))
        return NULL;
    end = end - s > QUOTED ? s + QUOTED : end;
    for (const char *p = s + 1; p < end && *p != '\n'; p++) {
        if (*p == '\\' && p + 1 < end)
            p++;
        else if (*p == *s && (*s != '\'' || p + 1 == end || !class_of((unsigned char)p[1])))
            return p;
    }
    return NULL;
}

/* Digits, with single separators between them: 1,000.5 10:30:00 127.0.0.1 */
static const char *number_end(const char *s, const char *end)
{
    while (s < end) {
        if (class_of((unsigned char)*s) & DIGIT)
            s++;
        else if ((*s == '.' || *s == ',' || *s == ':') && s + 1 < end &&
                 class_of((unsigned char)s[1]) & DIGIT)
            s += 2;
        else
            break;
    }
    return s;
}

/* A word that begins with a letter or digit; returns what comes behind what was taken. */
static const char *put_word(const char *s, const char *end, struct crier_buf *b)
{
    const char *word = s;
    size_t digits = 0, hexes = 0;
    if (is_uuid(s, end)) {
        crier_buf_append(b, "<id>", 4);
        return s + UUID;
    }
    for (unsigned c; s < end && (c = class_of((unsigned char)*s)); s++) {
        digits += c & DIGIT;
        hexes += (c & HEX) != 0;
    }
    size_t len = (size_t)(s - word);
    if (digits == 0) {
        crier_buf_append(b, word, len);
        return s;
    }
    bool hexadecimal = (hexes == len && len >= ID_HEX && digits < len) ||
                       (len > 2 && word[0] == '0' && word[1] == 'x' && hexes == len - 1);
    if (hexadecimal || (digits == len && len >= ID_DIGITS) || (digits < len && len >= ID_WORD)) {
        crier_buf_append(b, "<id>", 4);
        return s;
    }
    while (word < s) {
        if (class_of((unsigned char)*word) & DIGIT) {
            crier_buf_append(b, "<n>", 3);
            word = number_end(word, end);
        } else {
            crier_buf_putc(b, *word++);
        }
    }
    return word;
}

static bool opens_number(const char *begin, const char *s, const char *end)
{
    return (*s == '-' || *s == '+') && s + 1 < end && class_of((unsigned char)s[1]) & DIGIT &&
           (s == begin || strchr(" \t\n(=:[,", s[-1]));
}

void crier_text_comparable(const char *text, size_t len, struct crier_buf *b)
{
    const char *s = text, *end = text + len, *close;
    size_t most = b->len + CRIER_COMPARABLE_MAX - 3;
    while (s < end && b->len <= most) {
        if (class_of((unsigned char)*s)) {
            s = put_word(s, end, b);
        } else if ((*s == '"' || *s == '\'' || *s == '`') && (close = quote_end(text, s, end))) {
            crier_buf_append(b, "<text>", 6);
            s = close + 1;
        } else {
            if (!opens_number(text, s, end))
                crier_buf_putc(b, *s);
            s++;
        }
    }
    if (s == end && b->len <= most + 3)
        return;
    b->len = most;
    while (b->len && ((unsigned char)b->data[b->len] & 0xC0) == 0x80)
        b->len--;
    crier_buf_append(b, "...", 3);
}
