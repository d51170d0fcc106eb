/* SPDX-License-Identifier: MIT */
#include "script/srcmap.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define MAX_FILE (64u << 20)

enum kind {
    END, /* after the last one */
    NAME,
    STRING,
    OTHER,    /* numbers, operators of more than one byte, words without a part in structure */
    FUNCTION, /* and do, if, repeat: closed by CLOSER */
    CLOSER,   /* end, until */
    /* All others are the byte itself: { } ( ) [ ] , ; = . : */
};

struct token {
    uint32_t at, len; /* of a string: what is between the quotes or brackets */
    int line, column;
    uint32_t match; /* of an opening token: its closing one, or NONE */
    unsigned char kind;
};

struct crier_srcmap {
    char *text;
    struct token *tokens; /* the last one is END */
    uint32_t count;       /* without END */
};

/* --- tokens ------------------------------------------------------------------------------- */

struct lexer {
    const char *begin, *at, *end, *line_begin;
    int line;
    struct token *tokens;
    uint32_t count, cap;
    uint32_t *open; /* the opening tokens that are not closed yet */
    uint32_t open_count, open_cap;
};

static char peek(const struct lexer *lx, size_t ahead)
{
    return (size_t)(lx->end - lx->at) > ahead ? lx->at[ahead] : '\0';
}

/* Past a line's end, which is \n, \r, \r\n or \n\r. */
static void newline(struct lexer *lx)
{
    char c = *lx->at++;
    if (lx->at < lx->end && (*lx->at == '\n' || *lx->at == '\r') && *lx->at != c)
        lx->at++;
    lx->line++;
    lx->line_begin = lx->at;
}

static void step(struct lexer *lx)
{
    if (*lx->at == '\n' || *lx->at == '\r')
        newline(lx);
    else
        lx->at++;
}

/* At '[': the number of '=' when a long bracket opens here, or -1. */
static int long_level(const struct lexer *lx)
{
    size_t n = 1;
    while (peek(lx, n) == '=')
        n++;
    return peek(lx, n) == '[' ? (int)n - 1 : -1;
}

/* Past a long bracket of this level; the length of what is in it. */
static size_t skip_long(struct lexer *lx, int level)
{
    lx->at += level + 2;
    const char *from = lx->at;
    while (lx->at < lx->end) {
        if (*lx->at == ']') {
            int n = 1;
            while (peek(lx, (size_t)n) == '=')
                n++;
            if (n - 1 == level && peek(lx, (size_t)n) == ']') {
                size_t len = (size_t)(lx->at - from);
                lx->at += n + 1;
                return len;
            }
            lx->at += n; /* the next ']' may open the match */
        } else {
            step(lx);
        }
    }
    return (size_t)(lx->at - from);
}

static size_t skip_string(struct lexer *lx)
{
    char quote = *lx->at++;
    const char *from = lx->at;
    while (lx->at < lx->end && *lx->at != quote && *lx->at != '\n' && *lx->at != '\r') {
        if (*lx->at == '\\' && lx->at + 1 < lx->end) {
            lx->at++;
            if (*lx->at == 'z') {
                lx->at++;
                while (lx->at < lx->end && isspace((unsigned char)*lx->at))
                    step(lx);
                continue;
            }
        }
        step(lx);
    }
    size_t len = (size_t)(lx->at - from);
    if (lx->at < lx->end && *lx->at == quote)
        lx->at++;
    return len;
}

static void skip_comment(struct lexer *lx)
{
    lx->at += 2;
    int level = peek(lx, 0) == '[' ? long_level(lx) : -1;
    if (level >= 0) {
        skip_long(lx, level);
        return;
    }
    while (lx->at < lx->end && *lx->at != '\n' && *lx->at != '\r')
        lx->at++;
}

static enum kind word_kind(const char *word, size_t len)
{
    static const struct {
        const char *word;
        enum kind kind;
    } words[] = {
        {"function", FUNCTION}, {"do", FUNCTION},  {"if", FUNCTION}, {"repeat", FUNCTION},
        {"end", CLOSER},        {"until", CLOSER}, {"and", OTHER},   {"or", OTHER},
        {"not", OTHER},         {"return", OTHER}, {"local", OTHER}, {"then", OTHER},
        {"else", OTHER},        {"elseif", OTHER}, {"while", OTHER}, {"for", OTHER},
        {"in", OTHER},          {"nil", OTHER},    {"true", OTHER},  {"false", OTHER},
        {"break", OTHER},       {"goto", OTHER},
    };
    for (size_t i = 0; i < CRIER_COUNT(words); i++)
        if (strlen(words[i].word) == len && memcmp(words[i].word, word, len) == 0)
            return words[i].kind;
    return NAME;
}

static bool is_word(char c)
{
    return c == '_' || isalnum((unsigned char)c);
}

/* 0x1p-4, 1e+5, 3..2: more than Lua takes does no harm. */
static void skip_number(struct lexer *lx)
{
    while (lx->at < lx->end) {
        char c = *lx->at;
        if (strchr("eEpP", c) && c && (peek(lx, 1) == '+' || peek(lx, 1) == '-'))
            lx->at += 2;
        else if (is_word(c) || (c == '.' && peek(lx, 1) != '.'))
            lx->at++;
        else
            return;
    }
}

static void match_brackets(struct lexer *lx, uint32_t index)
{
    struct token *t = &lx->tokens[index];
    unsigned char want;
    switch (t->kind) {
    case '{':
    case '(':
    case '[':
    case FUNCTION:
        if (lx->open_count == lx->open_cap) {
            lx->open_cap = lx->open_cap ? lx->open_cap * 2 : 64;
            lx->open = crier_realloc(lx->open, lx->open_cap * sizeof *lx->open);
        }
        lx->open[lx->open_count++] = index;
        return;
    case '}':
        want = '{';
        break;
    case ')':
        want = '(';
        break;
    case ']':
        want = '[';
        break;
    case CLOSER:
        want = FUNCTION;
        break;
    default:
        return;
    }
    if (lx->open_count && lx->tokens[lx->open[lx->open_count - 1]].kind == want)
        lx->tokens[lx->open[--lx->open_count]].match = index;
}

static void add(struct lexer *lx, unsigned char kind, const char *from, size_t len, int line,
                int column)
{
    if (lx->count == lx->cap) {
        lx->cap = lx->cap ? lx->cap * 2 : 256;
        lx->tokens = crier_realloc(lx->tokens, lx->cap * sizeof *lx->tokens);
    }
    lx->tokens[lx->count] = (struct token){.at = (uint32_t)(from - lx->begin),
                                           .len = (uint32_t)len,
                                           .line = line,
                                           .column = column,
                                           .match = NONE,
                                           .kind = kind};
    match_brackets(lx, lx->count++);
}

static void read_token(struct lexer *lx)
{
    const char *from = lx->at;
    int line = lx->line, column = (int)(lx->at - lx->line_begin) + 1;
    char c = *from;
    int level;
    if (isspace((unsigned char)c)) {
        step(lx);
    } else if (c == '-' && peek(lx, 1) == '-') {
        skip_comment(lx);
    } else if (c == '[' && (level = long_level(lx)) >= 0) {
        size_t len = skip_long(lx, level);
        add(lx, STRING, from + level + 2, len, line, column);
    } else if (c == '"' || c == '\'') {
        size_t len = skip_string(lx);
        add(lx, STRING, from + 1, len, line, column);
    } else if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)peek(lx, 1)))) {
        skip_number(lx);
        add(lx, OTHER, from, (size_t)(lx->at - from), line, column);
    } else if (is_word(c)) {
        while (lx->at < lx->end && is_word(*lx->at))
            lx->at++;
        size_t len = (size_t)(lx->at - from);
        add(lx, (unsigned char)word_kind(from, len), from, len, line, column);
    } else if (c == '.' && peek(lx, 1) == '.') {
        lx->at += peek(lx, 2) == '.' ? 3 : 2;
        add(lx, OTHER, from, (size_t)(lx->at - from), line, column);
    } else if (c && strchr("=<>~:", c) && peek(lx, 1) == (c == ':' ? ':' : '=')) {
        lx->at += 2;
        add(lx, OTHER, from, 2, line, column);
    } else {
        lx->at++;
        add(lx, c && strchr("{}()[],;=.:", c) ? (unsigned char)c : OTHER, from, 1, line, column);
    }
}

static void map_text(struct crier_srcmap *map, size_t len)
{
    struct lexer lx = {.begin = map->text,
                       .at = map->text,
                       .end = map->text + len,
                       .line_begin = map->text,
                       .line = 1};
    if (len && lx.at[0] == '#')
        while (lx.at < lx.end && *lx.at != '\n')
            lx.at++;
    while (lx.at < lx.end)
        read_token(&lx);
    map->count = lx.count;
    add(&lx, END, lx.at, 0, lx.line + 1, 1);
    map->tokens = lx.tokens;
    free(lx.open);
}

struct crier_srcmap *crier_srcmap_new(const char *text, size_t len)
{
    if (len > MAX_FILE)
        return NULL;
    struct crier_srcmap *map = crier_calloc(1, sizeof *map);
    map->text = crier_malloc(len + 1);
    memcpy(map->text, text, len);
    map->text[len] = '\0';
    map_text(map, len);
    return map;
}

struct crier_srcmap *crier_srcmap_load(const char *path)
{
    struct crier_buf b = {0};
    struct crier_srcmap *map = NULL;
    if (crier_file_read(path, MAX_FILE, &b, NULL) == 0)
        map = crier_srcmap_new(b.data ? b.data : "", b.len);
    crier_buf_fini(&b);
    return map;
}

void crier_srcmap_free(struct crier_srcmap *map)
{
    if (!map)
        return;
    free(map->tokens);
    free(map->text);
    free(map);
}

/* --- finding ------------------------------------------------------------------------------ */

static bool token_is(const struct crier_srcmap *map, uint32_t i, const char *word, size_t len)
{
    const struct token *t = &map->tokens[i];
    return t->len == len && memcmp(map->text + t->at, word, len) == 0;
}

static unsigned kind_at(const struct crier_srcmap *map, uint32_t i)
{
    return i < map->count ? map->tokens[i].kind : END;
}

/* The first token on this line or behind it. */
static uint32_t first_on(const struct crier_srcmap *map, int line)
{
    uint32_t low = 0, high = map->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (map->tokens[middle].line < line)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool opens_arguments(unsigned kind)
{
    return kind == '{' || kind == '(' || kind == STRING;
}

/* Whether the names that end at `last` are `callee`; *first gets where they begin. */
static bool ends_in(const struct crier_srcmap *map, uint32_t last, const char *callee,
                    uint32_t *first)
{
    size_t left = strlen(callee);
    for (uint32_t i = last;; i -= 2) {
        const char *dot = memrchr(callee, '.', left);
        const char *word = dot ? dot + 1 : callee;
        size_t len = left - (size_t)(word - callee);
        if (kind_at(map, i) != NAME || !token_is(map, i, word, len))
            return false;
        *first = i;
        if (!dot)
            return true;
        left = (size_t)(dot - callee);
        if (i < 2 || kind_at(map, i - 1) != '.')
            return false;
    }
}

/* The line at which a dotted name begins. */
static int chain_line(const struct crier_srcmap *map, uint32_t name)
{
    while (name >= 2 && (kind_at(map, name - 1) == '.' || kind_at(map, name - 1) == ':') &&
           kind_at(map, name - 2) == NAME)
        name -= 2;
    return map->tokens[name].line;
}

struct found {
    uint32_t name; /* the callee's first token */
    uint32_t open; /* what follows its last one: { ( or a string */
};

/* The next call of `callee` at or after token *at whose line is `line`: Lua 5.4.6 and older give a
 * call the line where the whole name begins, newer ones that of the bracket. */
static bool next_call(const struct crier_srcmap *map, int line, const char *callee, uint32_t *at,
                      struct found *found)
{
    for (; *at < map->count; ++*at) {
        const struct token *open = &map->tokens[*at];
        if (!opens_arguments(open->kind) || *at == 0 || kind_at(map, *at - 1) != NAME)
            continue;
        int began = chain_line(map, *at - 1);
        if (began > line)
            return false;
        if ((began == line || open->line == line) && ends_in(map, *at - 1, callee, &found->name)) {
            found->open = (*at)++;
            return true;
        }
    }
    return false;
}

bool crier_srcmap_call(const struct crier_srcmap *map, int line, const char *callee, int *out_line,
                       int *out_column)
{
    uint32_t at = first_on(map, line);
    struct found found;
    if (!next_call(map, line, callee, &at, &found))
        return false;
    *out_line = map->tokens[found.name].line;
    *out_column = map->tokens[found.name].column;
    return true;
}

/* Behind the token, or behind what it opens. NONE when that has no end. */
static uint32_t behind(const struct crier_srcmap *map, uint32_t i)
{
    switch (kind_at(map, i)) {
    case '{':
    case '(':
    case '[':
    case FUNCTION:
        return map->tokens[i].match == NONE ? NONE : map->tokens[i].match + 1;
    case END:
        return NONE;
    default:
        return i + 1;
    }
}

/* The table constructor that an expression is, or that the call which it is gets as an argument. */
static uint32_t table_of(const struct crier_srcmap *map, uint32_t i)
{
    while (kind_at(map, i) == NAME && (kind_at(map, i + 1) == '.' || kind_at(map, i + 1) == ':'))
        i += 2;
    if (kind_at(map, i) == NAME)
        i++;
    if (kind_at(map, i) == '{')
        return i;
    if (kind_at(map, i) != '(' || map->tokens[i].match == NONE)
        return NONE;
    uint32_t close = map->tokens[i].match;
    for (i++; i != NONE && i < close; i = behind(map, i))
        if (kind_at(map, i) == '{')
            return i;
    return NONE;
}

/* A field of a constructor: where it begins, its name (len 0: none), its value's first token. */
struct field {
    uint32_t at, value;
    const char *name;
    size_t len;
    unsigned long position;
};

/* Read the field at `i`, which is not the constructor's end; where the next one begins. */
static uint32_t read_field(const struct crier_srcmap *map, uint32_t i, unsigned long *positions,
                           struct field *f)
{
    *f = (struct field){.at = i, .value = i};
    const struct token *t = &map->tokens[i];
    if (t->kind == NAME && kind_at(map, i + 1) == '=') {
        f->name = map->text + t->at;
        f->len = t->len;
        f->value = i + 2;
    } else if (t->kind == '[' && t->match != NONE && kind_at(map, t->match + 1) == '=') {
        if (t->match == i + 2) {
            const struct token *key = &map->tokens[i + 1];
            f->name = map->text + key->at;
            f->len = key->len;
            if (key->kind == OTHER)
                f->position = strtoul(f->name, NULL, 10);
        }
        f->value = t->match + 2;
    } else {
        f->position = ++*positions;
    }
    for (i = f->value; i != NONE && i < map->count; i = behind(map, i)) {
        unsigned kind = kind_at(map, i);
        if (kind == ',' || kind == ';')
            return i + 1;
        if (kind == '}')
            return i;
    }
    return NONE;
}

static bool field_is(const struct field *f, const char *part, size_t len)
{
    if (len && isdigit((unsigned char)part[0]))
        return f->position && f->position == strtoul(part, NULL, 10);
    return f->len == len && memcmp(f->name, part, len) == 0;
}

/* The first part of a path "a.b[2].c"; *path moves behind it. */
static const char *next_part(const char **path, size_t *len)
{
    const char *part = *path + strspn(*path, ".[]");
    *len = strcspn(part, ".[]");
    *path = part + *len;
    return *len ? part : NULL;
}

/* How many parts of the path are in the constructor at `open`, and the last one's token. */
static int follow(const struct crier_srcmap *map, uint32_t open, const char *path, uint32_t *place)
{
    int depth = 0;
    size_t len;
    const char *part;
    while (open != NONE && (part = next_part(&path, &len))) {
        struct field f;
        unsigned long positions = 0;
        uint32_t i = open + 1;
        bool here = false;
        while (!here && i != NONE && i < map->count && kind_at(map, i) != '}') {
            i = read_field(map, i, &positions, &f);
            here = field_is(&f, part, len);
        }
        if (!here)
            break;
        depth++;
        *place = f.at;
        open = table_of(map, f.value);
    }
    return depth;
}

bool crier_srcmap_key(const struct crier_srcmap *map, int line, const char *callee, const char *key,
                      int *out_line, int *out_column)
{
    uint32_t at = first_on(map, line), best_place = 0;
    struct found found;
    int best = 0;
    while (next_call(map, line, callee, &at, &found)) {
        uint32_t place = 0;
        int depth = follow(map, table_of(map, found.open), key, &place);
        if (depth > best) {
            best = depth;
            best_place = place;
        }
    }
    if (!best)
        return false;
    *out_line = map->tokens[best_place].line;
    *out_column = map->tokens[best_place].column;
    return true;
}

/* The key in the constructor at `open`; NONE: it is not there, or says no. */
static uint32_t set_in(const struct crier_srcmap *map, uint32_t open, const char *key)
{
    struct field f;
    unsigned long positions = 0;
    uint32_t i = open + 1;
    while (i != NONE && i < map->count && kind_at(map, i) != '}') {
        i = read_field(map, i, &positions, &f);
        if (field_is(&f, key, strlen(key)) && !token_is(map, f.value, "false", 5) &&
            !token_is(map, f.value, "nil", 3))
            return f.at;
    }
    return NONE;
}

bool crier_srcmap_given(const struct crier_srcmap *map, const char *const *callees, const char *key,
                        int *out_line, int *out_column)
{
    for (uint32_t at = 1; at < map->count; at++) {
        uint32_t first, table, place = NONE;
        if (!opens_arguments(kind_at(map, at)) || kind_at(map, at - 1) != NAME)
            continue;
        for (const char *const *c = callees; *c && place == NONE; c++) {
            if (ends_in(map, at - 1, *c, &first) && (table = table_of(map, at - 1)) != NONE)
                place = set_in(map, table, key);
        }
        if (place != NONE) {
            *out_line = map->tokens[place].line;
            *out_column = map->tokens[place].column;
            return true;
        }
    }
    return false;
}

/* --- and, or, not between conditions ------------------------------------------------------ */

/* Names that stand for the module, and locals that hold conditions. */
struct names {
    uint32_t *tokens;
    size_t count;
};

static void add_name(struct names *n, uint32_t token)
{
    if (n->count == 256)
        return; /* each name of the file is looked up among these */
    n->tokens = crier_realloc(n->tokens, (n->count + 1) * sizeof *n->tokens);
    n->tokens[n->count++] = token;
}

static bool has_name(const struct crier_srcmap *map, const struct names *n, uint32_t i)
{
    const struct token *t = &map->tokens[i];
    for (size_t k = 0; k < n->count; k++) {
        const struct token *known = &map->tokens[n->tokens[k]];
        if (token_is(map, i, map->text + known->at, t->len) && known->len == t->len)
            return true;
    }
    return false;
}

static bool word_at(const struct crier_srcmap *map, uint32_t i, const char *word)
{
    return i < map->count && token_is(map, i, word, strlen(word)) && map->tokens[i].kind != STRING;
}

static bool makes_condition(const struct crier_srcmap *map, uint32_t i)
{
    static const char *const makers[] = {
        "every",    "cron",      "crontime", "after",      "succeeded", "failed",
        "finished", "started",   "inacted",  "terminated", "crashed",   "running",
        "retry",    "condition", "always",   "never",      "secondly",  "minutely",
        "hourly",   "daily",     "weekly",   "monthly",    "yearly",
    };
    const struct token *t = &map->tokens[i];
    for (size_t k = 0; k < CRIER_COUNT(makers); k++) {
        if (word_at(map, i, makers[k]))
            return true;
    }
    return t->len > 8 && memcmp(map->text + t->at, "time_of_", 8) == 0;
}

struct conditions {
    const struct crier_srcmap *map;
    struct names modules, locals;
};

static bool begins_condition(const struct conditions *c, uint32_t i)
{
    unsigned before = i ? kind_at(c->map, i - 1) : END;
    if (kind_at(c->map, i) != NAME || before == '.' || before == ':')
        return false;
    if (has_name(c->map, &c->locals, i))
        return kind_at(c->map, i + 1) != '=';
    return has_name(c->map, &c->modules, i) && kind_at(c->map, i + 1) == '.' &&
           kind_at(c->map, i + 2) == NAME && makes_condition(c->map, i + 2);
}

/* Behind a name with its members, methods and arguments. */
static uint32_t chain_end(const struct crier_srcmap *map, uint32_t i)
{
    for (i++; i < map->count;) {
        unsigned kind = kind_at(map, i);
        if ((kind == '.' || kind == ':') && kind_at(map, i + 1) == NAME)
            i += 2;
        else if (opens_arguments(kind) && behind(map, i) != NONE)
            i = behind(map, i);
        else
            break;
    }
    return i;
}

/* Whether the '(' at i only groups. */
static bool groups(const struct crier_srcmap *map, uint32_t i)
{
    unsigned before = i ? kind_at(map, i - 1) : END;
    return kind_at(map, i) == '(' && before != NAME && before != STRING && before != ')' &&
           before != ']' && before != '}';
}

/* The '(' that only groups and that the ')' at `close` ends; NONE: that one ends a call. */
static uint32_t group_of(const struct crier_srcmap *map, uint32_t from, uint32_t close)
{
    enum { FAR = 2000 };
    for (uint32_t i = from, n = 0; i-- > 0 && n < FAR; n++) {
        if (map->tokens[i].kind == '(' && map->tokens[i].match == close)
            return groups(map, i) ? i : NONE;
    }
    return NONE;
}

static bool compares(const struct crier_srcmap *map, uint32_t i)
{
    static const char *const signs[] = {"==", "~=", "<", ">", "<=", ">="};
    for (size_t k = 0; k < CRIER_COUNT(signs); k++) {
        if (word_at(map, i, signs[k]))
            return true;
    }
    return false;
}

/* Names of the module, and locals that are set to a condition. A local stays one to the file's
 * end: a false alarm would need one name for two things. */
static void collect(struct conditions *c)
{
    const struct crier_srcmap *map = c->map;
    for (uint32_t i = 0; i + 2 < map->count; i++) {
        if (kind_at(map, i) != NAME || kind_at(map, i + 1) != '=')
            continue;
        uint32_t value = i + 2;
        if (word_at(map, value, "require")) {
            value += kind_at(map, value + 1) == '(' ? 2 : 1;
            if (kind_at(map, value) == STRING && token_is(map, value, "crier", 5))
                add_name(&c->modules, i);
            continue;
        }
        while (groups(map, value) || word_at(map, value, "~"))
            value++;
        if (i && word_at(map, i - 1, "local") && begins_condition(c, value))
            add_name(&c->locals, i);
    }
}

void crier_srcmap_conditions(const struct crier_srcmap *map,
                             void (*found)(void *arg, int line, int column, const char *word),
                             void *arg)
{
    struct conditions c = {.map = map};
    collect(&c);
    for (uint32_t i = 0; i < map->count; i++) {
        if (!begins_condition(&c, i))
            continue;
        uint32_t first = i, end = chain_end(map, i);
        /* Out of the brackets around it. */
        while (first && (groups(map, first - 1) || word_at(map, first - 1, "~")))
            first--;
        if (first && compares(map, first - 1))
            continue;
        for (uint32_t open = first; kind_at(map, end) == ')'; end++) {
            open = group_of(map, open, end);
            if (open == NONE)
                break;
        }
        const struct token *op = &map->tokens[end];
        if (first && word_at(map, first - 1, "not"))
            found(arg, map->tokens[first - 1].line, map->tokens[first - 1].column, "not");
        if (word_at(map, end, "and"))
            found(arg, op->line, op->column, "and");
        uint32_t right = end + 1;
        while (groups(map, right) || word_at(map, right, "~") || word_at(map, right, "not"))
            right++;
        bool chosen = first && word_at(map, first - 1, "and"); /* test and this or that */
        if (word_at(map, end, "or") && right < map->count && begins_condition(&c, right) && !chosen)
            found(arg, op->line, op->column, "or");
    }
    free(c.modules.tokens);
    free(c.locals.tokens);
}
