/* SPDX-License-Identifier: MIT */
#include "sched/words.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/duration.h"

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

void crier_words_begin(struct crier_words *s, const char *text, struct crier_err *err)
{
    *s = (struct crier_words){.text = text, .at = text, .err = err};
}

void crier_words_blanks(struct crier_words *s)
{
    s->at += strspn(s->at, " \t\r\n");
}

bool crier_words_end(struct crier_words *s)
{
    crier_words_blanks(s);
    return !*s->at;
}

static size_t word_length(const char *at)
{
    size_t n = 0;
    while (letter(at[n]))
        n++;
    return n;
}

bool crier_words_match(struct crier_words *s, const char *word)
{
    crier_words_blanks(s);
    size_t n = word_length(s->at);
    if (!n || strlen(word) != n || strncasecmp(s->at, word, n) != 0)
        return false;
    s->at += n;
    return true;
}

int crier_words_one_of(struct crier_words *s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (crier_words_match(s, words[i]))
            return (int)i;
    }
    return -1;
}

bool crier_words_char(struct crier_words *s, char c)
{
    crier_words_blanks(s);
    if (!c || *s->at != c)
        return false;
    s->at++;
    return true;
}

int crier_words_number(struct crier_words *s, int *out)
{
    crier_words_blanks(s);
    int n = 0, value = 0;
    for (; digit(s->at[n]) && n < 9; n++)
        value = value * 10 + (s->at[n] - '0');
    if (digit(s->at[n]))
        return 0;
    s->at += n;
    *out = value;
    return n;
}

bool crier_words_duration(struct crier_words *s, int64_t *out_us)
{
    static const struct {
        const char *words, *unit; /* words are separated by blanks */
    } units[] = {
        {" ms millisecond milliseconds ", "ms"},
        {" s sec secs second seconds ", "s"},
        {" m min mins minute minutes ", "m"},
        {" h hour hours ", "h"},
        {" d day days ", "d"},
        {" w week weeks ", "w"},
    };
    char plain[96];
    size_t len = 0;
    const char *p = s->at + strspn(s->at, " \t\r\n"), *behind = NULL;
    while (digit(*p) || *p == '.') {
        size_t n = strspn(p, "0123456789."), i;
        const char *word = p + n + strspn(p + n, " \t\r\n");
        size_t letters = word_length(word);
        char padded[16];
        if (!letters || letters > 12)
            break;
        snprintf(padded, sizeof padded, " %.*s ", (int)letters, word);
        for (i = 0; i < CRIER_COUNT(units) && !strcasestr(units[i].words, padded); i++)
            ;
        if (i == CRIER_COUNT(units) || len + n + 3 >= sizeof plain)
            break;
        len +=
            (size_t)snprintf(plain + len, sizeof plain - len, "%.*s%s", (int)n, p, units[i].unit);
        behind = word + letters;
        p = behind + strspn(behind, " \t\r\n");
    }
    if (!behind || crier_duration_parse(plain, out_us, NULL) != 0)
        return false;
    s->at = behind;
    return true;
}

char *crier_words_quoted(struct crier_words *s)
{
    crier_words_blanks(s);
    char quote = *s->at;
    if (quote != '\'' && quote != '"')
        return NULL;
    struct crier_buf b = {0};
    const char *p = s->at + 1;
    for (; *p && (*p != quote || p[1] == quote); p++) {
        crier_buf_putc(&b, *p);
        p += *p == quote;
    }
    if (*p != quote || !b.len) {
        crier_buf_fini(&b);
        return NULL;
    }
    s->at = p + 1;
    return crier_buf_take(&b);
}

void crier_put_quoted(struct crier_buf *b, const char *name)
{
    crier_buf_putc(b, '\'');
    for (; *name; name++) {
        crier_buf_putc(b, *name);
        if (*name == '\'')
            crier_buf_putc(b, *name);
    }
    crier_buf_putc(b, '\'');
}

/* What stands at a place, for a message: a word, a number with what hangs on it, or one sign. */
static size_t token_length(const char *at)
{
    size_t n = at[0] == ':' && digit(at[1]);
    while (letter(at[n]) || digit(at[n]) || (n && (at[n] == ':' || at[n] == '.')) ||
           (unsigned char)at[n] >= 0x80)
        n++;
    return n ? n : *at != '\0';
}

int crier_words_fault(struct crier_words *s, const char *at, const char *fmt, ...)
{
    if (s->column)
        return CRIER_EINVAL;
    char text[224];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    s->column = (int)(at - s->text) + 1;
    return crier_err_set(s->err, CRIER_EINVAL, "%s", text);
}

int crier_words_expected(struct crier_words *s, const char *what, const char *const *words,
                         size_t n)
{
    char word[64], near_text[80] = "";
    crier_words_blanks(s);
    size_t len = token_length(s->at);
    if (!len)
        return crier_words_fault(s, s->at, "expected %s, but the text ends here", what);
    snprintf(word, sizeof word, "%.*s", (int)(len < 40 ? len : 40), s->at);
    char *lower = g_ascii_strdown(word, -1);
    const char *near = n ? crier_nearest(lower, words, n) : NULL;
    g_free(lower);
    if (near)
        snprintf(near_text, sizeof near_text, " (did you mean '%s'?)", near);
    return crier_words_fault(s, s->at, "expected %s, got '%s'%s", what, word, near_text);
}
