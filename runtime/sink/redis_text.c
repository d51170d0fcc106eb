/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "record/read.h"
#include "sink/redis.h"

/* ---- lines ---- */

enum { ASCTIME = 24, RFC3339 = 27 };

static const char days[] = "MonTueWedThuFriSatSun";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

void crier_redis_line(enum crier_redis_format format, const struct crier_zone *zone,
                      struct crier_record *record, struct crier_buf *b)
{
    struct crier_str text = crier_record_text(record);
    char time[32];
    if (format == CRIER_REDIS_JSON) {
        struct crier_str json = crier_record_json(record);
        crier_buf_append(b, json.data, json.len);
        return;
    }
    if (format == CRIER_REDIS_ASCTIME) {
        struct crier_civil c;
        crier_civil_at(zone, crier_record_time(record), &c);
        crier_buf_printf(b, "%.3s %.3s %2d %02d:%02d:%02d %04d", days + 3 * (c.weekday - 1),
                         months + 3 * (c.month - 1), c.day, c.hour, c.minute, c.second, c.year);
    } else {
        crier_buf_puts(b, crier_time_rfc3339(crier_record_time(record), time));
    }
    crier_buf_putc(b, ' ');
    crier_buf_append(b, text.data, text.len);
}

static bool asctime_read(const struct crier_zone *zone, const char *s, int64_t *time)
{
    char copy[ASCTIME + 1], month[4] = "";
    struct crier_civil c = {0};
    memcpy(copy, s, ASCTIME);
    copy[ASCTIME] = '\0';
    if (sscanf(copy, "%*3s %3s %2d %2d:%2d:%2d %4d", month, &c.day, &c.hour, &c.minute, &c.second,
               &c.year) != 6)
        return false;
    const char *at = strlen(month) == 3 ? strstr(months, month) : NULL;
    if (!at || (at - months) % 3)
        return false;
    c.month = (int)(at - months) / 3 + 1;
    return crier_civil_to_wall(zone, &c, time, NULL) == CRIER_OK;
}

bool crier_redis_line_read(enum crier_redis_format format, const struct crier_zone *zone,
                           struct crier_str line, int64_t *time, struct crier_str *text)
{
    size_t width = format == CRIER_REDIS_ASCTIME ? ASCTIME : RFC3339;
    if (line.len <= width || line.data[width] != ' ')
        return false;
    *text = (struct crier_str){line.data + width + 1, line.len - width - 1};
    return format == CRIER_REDIS_ASCTIME ? asctime_read(zone, line.data, time)
                                         : crier_time_read(line.data, width, time);
}

/* A brace in the name of a logger would end the part that is hashed. */
void crier_redis_put_name(const struct crier_redis_store *store, struct crier_str logger,
                          enum crier_level level, struct crier_buf *b)
{
    if (!store->cluster) {
        crier_buf_append(b, logger.data, logger.len);
        crier_buf_printf(b, ":%s", crier_level_name(level));
        return;
    }
    crier_buf_putc(b, '{');
    for (size_t i = 0; i < logger.len; i++) {
        char c = logger.data[i];
        if (c == '{' || c == '}')
            crier_buf_printf(b, "%%%02X", (unsigned char)c);
        else
            crier_buf_putc(b, c);
    }
    crier_buf_printf(b, ":%s}", crier_level_name(level));
}
