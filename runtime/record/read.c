/* SPDX-License-Identifier: MIT */
#include "record/read.h"

#include <string.h>

#include "base/clock.h"
#include "record/tape.h"

enum { TEXT, LOGGER, WHERE, NODE };
enum { TIME_LEN = 27, SNOWFLAKE_MIN = 15, SNOWFLAKE_MAX = 20 };

#define SNOWFLAKE_LEAST 100000000000000 /* of SNOWFLAKE_MIN digits */
#define NEEDED                                                                                     \
    (1u << CRIER_FIELD_ID | 1u << CRIER_FIELD_TIME | 1u << CRIER_FIELD_KIND |                      \
     1u << CRIER_FIELD_LEVEL)

void crier_reader_fini(struct crier_reader *r)
{
    crier_builder_fini(&r->b);
    for (size_t i = 0; i < CRIER_COUNT(r->kept); i++)
        crier_buf_fini(&r->kept[i]);
}

/* --- strings that are more ----------------------------------------------------------------- */

static bool digits(const char *s, size_t len, unsigned *out)
{
    unsigned n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned)(unsigned char)s[i] - '0';
        if (digit > 9)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant's days_from_civil). */
static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
    int64_t y = (int64_t)year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool valid_day(unsigned y, unsigned m, unsigned d)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m >= 1 && m <= 12 && d >= 1 && d <= (unsigned)days[m - 1] + (m == 2 && leap);
}

bool crier_time_read(const char *s, size_t len, int64_t *out_us)
{
    unsigned y, mo, d, h, mi, sec, us;
    if (len != TIME_LEN || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' ||
        s[16] != ':' || s[19] != '.' || s[26] != 'Z')
        return false;
    if (!digits(s, 4, &y) || !digits(s + 5, 2, &mo) || !digits(s + 8, 2, &d) ||
        !digits(s + 11, 2, &h) || !digits(s + 14, 2, &mi) || !digits(s + 17, 2, &sec) ||
        !digits(s + 20, 6, &us))
        return false;
    if (!valid_day(y, mo, d) || h > 23 || mi > 59 || sec > 59)
        return false;
    *out_us = ((days_of(y, mo, d) * 24 + h) * 60 + mi) * 60 * CRIER_S + sec * CRIER_S + us;
    return true;
}

static bool snowflake_key(struct crier_str key)
{
    const char *end = key.data + key.len;
    if (key.len == 2 || (key.len > 2 && end[-3] == '_'))
        return key.len >= 2 && end[-2] == 'i' && end[-1] == 'd';
    return key.len == 9 && memcmp(key.data, "snowflake", 9) == 0;
}

static bool snowflake(struct crier_str s, uint64_t *out)
{
    uint64_t n = 0;
    if (s.len < SNOWFLAKE_MIN || s.len > SNOWFLAKE_MAX || s.data[0] == '0')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, digit, &n))
            return false;
    }
    *out = n;
    return true;
}

void crier_reader_text(struct crier_reader *r, struct crier_str key, struct crier_str s)
{
    uint64_t u;
    int64_t time;
    if (r->who.kind != CRIER_KIND_LOG && s.len <= TIME_LEN) {
        if (snowflake_key(key) && snowflake(s, &u)) {
            crier_build_snowflake(&r->b, key.data, key.len, u);
            return;
        }
        if (crier_time_read(s.data, s.len, &time)) {
            crier_build_time(&r->b, key.data, key.len, time);
            return;
        }
    }
    crier_build_str(&r->b, key.data, key.len, s.data, s.len);
}

/* --- values -------------------------------------------------------------------------------- */

static void leaf(struct crier_reader *r, struct crier_str key, const struct crier_scan *scan,
                 enum crier_scan_event event)
{
    struct crier_builder *b = &r->b;
    switch (event) {
    case CRIER_SCAN_STR:
        crier_reader_text(r, key, scan->s);
        break;
    case CRIER_SCAN_INT:
        if (r->who.kind != CRIER_KIND_LOG && scan->i >= SNOWFLAKE_LEAST && snowflake_key(key))
            crier_build_snowflake(b, key.data, key.len, (uint64_t)scan->i);
        else
            crier_build_int(b, key.data, key.len, scan->i);
        break;
    case CRIER_SCAN_NUM:
        crier_build_num(b, key.data, key.len, scan->n);
        break;
    case CRIER_SCAN_TRUE:
    case CRIER_SCAN_FALSE:
        crier_build_bool(b, key.data, key.len, event == CRIER_SCAN_TRUE);
        break;
    default:
        crier_build_null(b, key.data, key.len);
    }
}

bool crier_reader_value(struct crier_reader *r, struct crier_str key, struct crier_scan *scan,
                        enum crier_scan_event event)
{
    unsigned inside = 0;
    for (;;) {
        if (event <= CRIER_SCAN_END)
            return false;
        if (event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY) {
            crier_build_open(&r->b, key.data, key.len,
                             event == CRIER_SCAN_OBJECT ? CRIER_OBJECT : CRIER_ARRAY);
            inside++;
        } else if (event == CRIER_SCAN_CLOSE) {
            crier_build_close(&r->b);
            inside--;
        } else {
            leaf(r, key, scan, event);
        }
        if (!inside)
            return true;
        event = crier_scan_next(scan);
        key = scan->key;
    }
}

/* --- common members ------------------------------------------------------------------------ */

static void keep(struct crier_reader *r, int which, struct crier_str *member, struct crier_str s)
{
    struct crier_buf *b = &r->kept[which];
    crier_buf_clear(b);
    crier_buf_append(b, s.data, s.len);
    *member = (struct crier_str){b->data, b->len};
}

static bool read_id(struct crier_reader *r, struct crier_str s)
{
    char text[CRIER_ULID_LEN + 1];
    if (s.len != CRIER_ULID_LEN)
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return crier_ulid_parse(text, r->who.id);
}

/* The kind decides what texts and numbers are. */
static bool read_kind(struct crier_reader *r, struct crier_str s)
{
    enum crier_kind kind;
    if (!crier_kind_parse(s.data, s.len, &kind))
        return false;
    if (r->kind_given)
        return true;
    if (r->fields && (kind == CRIER_KIND_LOG) != (r->who.kind == CRIER_KIND_LOG))
        r->again = true;
    r->who.kind = kind;
    return true;
}

static bool common_string(struct crier_reader *r, enum crier_field field, struct crier_str s)
{
    struct crier_stored *who = &r->who;
    r->seen |= 1u << field;
    switch (field) {
    case CRIER_FIELD_ID:
        return read_id(r, s);
    case CRIER_FIELD_TIME:
        return crier_time_read(s.data, s.len, &who->time);
    case CRIER_FIELD_KIND:
        return read_kind(r, s);
    case CRIER_FIELD_LEVEL:
        return crier_level_parse(s.data, s.len, &who->level);
    case CRIER_FIELD_TEXT:
        keep(r, TEXT, &who->text, s);
        return true;
    case CRIER_FIELD_LOGGER:
        keep(r, LOGGER, &who->logger, s);
        return true;
    case CRIER_FIELD_WHERE:
        keep(r, WHERE, &who->where, s);
        return true;
    case CRIER_FIELD_NODE:
        keep(r, NODE, &who->node, s);
        return true;
    default:
        return false;
    }
}

static bool common_member(struct crier_reader *r, enum crier_field field,
                          const struct crier_scan *scan, enum crier_scan_event event)
{
    bool truth = event == CRIER_SCAN_TRUE, boolean = truth || event == CRIER_SCAN_FALSE;
    if (event == CRIER_SCAN_STR)
        return common_string(r, field, scan->s);
    if (field == CRIER_FIELD_SEQ && event == CRIER_SCAN_INT && scan->i >= 0)
        r->who.seq = (uint64_t)scan->i;
    else if (field == CRIER_FIELD_OK && boolean)
        r->who.ok = truth;
    else if (field == CRIER_FIELD_SIM && boolean)
        r->who.sim = truth;
    else
        return false;
    return true;
}

bool crier_reader_string(struct crier_reader *r, struct crier_str key, struct crier_str s)
{
    enum crier_field field = crier_field_of(key.data, key.len);
    if (field != CRIER_FIELD_OTHER)
        return common_string(r, field, s);
    r->fields = true;
    crier_reader_text(r, key, s);
    return true;
}

bool crier_reader_member(struct crier_reader *r, struct crier_scan *scan,
                         enum crier_scan_event event)
{
    enum crier_field field = crier_field_of(scan->key.data, scan->key.len);
    if (field != CRIER_FIELD_OTHER)
        return common_member(r, field, scan, event);
    r->fields = true;
    return crier_reader_value(r, scan->key, scan, event);
}

void crier_reader_begin(struct crier_reader *r)
{
    crier_build_restore_begin(&r->b);
    r->seen = 0;
    r->fields = r->again = r->kind_given = false;
    r->who = (struct crier_stored){.ok = -1, .level = CRIER_INFO};
    r->who.text = r->who.logger = r->who.where = r->who.node = (struct crier_str){"", 0};
}

struct crier_record *crier_reader_end(struct crier_reader *r)
{
    if ((r->seen & NEEDED) == NEEDED)
        return crier_build_restore(&r->b, &r->who);
    crier_build_cancel(&r->b);
    return NULL;
}

/* All members; false: it is no JSON, or a common member is wrong. */
static bool read_object(struct crier_reader *r, struct crier_scan *scan)
{
    enum crier_scan_event event = crier_scan_next(scan);
    bool good = event == CRIER_SCAN_OBJECT;
    while (good && (event = crier_scan_next(scan)) != CRIER_SCAN_CLOSE)
        good = event > CRIER_SCAN_END && crier_reader_member(r, scan, event);
    return good && crier_scan_next(scan) == CRIER_SCAN_END;
}

int crier_reader_read(struct crier_reader *r, const char *json, size_t len,
                      struct crier_record **out, struct crier_err *err)
{
    struct crier_scan scan;
    int rc = 0;
    crier_scan_init(&scan, json, len);
    crier_reader_begin(r);
    bool good = read_object(r, &scan);
    if (good && r->again) {
        enum crier_kind kind = r->who.kind;
        crier_build_cancel(&r->b);
        crier_reader_begin(r);
        r->who.kind = kind;
        r->kind_given = true;
        crier_scan_fini(&scan);
        crier_scan_init(&scan, json, len);
        good = read_object(r, &scan);
    }
    *out = good ? crier_reader_end(r) : NULL;
    if (!*out) {
        crier_build_cancel(&r->b);
        rc = scan.fault ? crier_scan_error(&scan, err)
                        : crier_err_set(err, CRIER_EINVAL,
                                        "not a record: expected an object with id, time, kind and "
                                        "level as crier writes them");
    }
    crier_scan_fini(&scan);
    return rc;
}
