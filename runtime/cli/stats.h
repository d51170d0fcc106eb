/* SPDX-License-Identifier: MIT
 *
 * What records of sends and of task runs add up to: rows of counts, by what the user wants to tell
 * apart. For crier stats.
 *
 * A send is ok when every channel got it: a row's success rate is that of ok sends among those that
 * were tried, and 1 where there were none, which is what fn_guilduser_success_rate says in a database
 * of the sql sink. Where rows are by channel, each channel of a send counts alone.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_STATS_H
#define CRIER_CLI_STATS_H

#include <glib.h>

#include "base/duration.h"
#include "crier/record.h"

enum crier_stats_subject { CRIER_STATS_MESSAGES, CRIER_STATS_TASKS };
enum crier_stats_span { CRIER_STATS_ALL, CRIER_STATS_YEAR, CRIER_STATS_MONTH, CRIER_STATS_DAY };
/** Of messages; the guild is shown with any of them. */
enum { CRIER_STATS_MESSAGE = 1, CRIER_STATS_GUILD = 2, CRIER_STATS_CHANNEL = 4 };

struct crier_stats {
    enum crier_stats_subject subject;
    enum crier_stats_span span;
    unsigned parts;   /**< of messages: what rows are by */
    const char *sort; /**< a column; NULL: the order that is usual */
    long limit;       /**< rows; negative: all */
    bool json;
    struct crier_zone *zone; /**< owned; of days; needed where there is a span */
    GHashTable *rows;
};

void crier_stats_init(struct crier_stats *s, enum crier_stats_subject subject);
void crier_stats_fini(struct crier_stats *s);
/** Names that `sort` may have; returns how many, at most CRIER_STATS_COLUMNS. */
enum { CRIER_STATS_COLUMNS = 9 };
size_t crier_stats_columns(enum crier_stats_subject subject, const char **names);
void crier_stats_add(struct crier_stats *s, const struct crier_record *record);
/** To standard output. */
void crier_stats_print(const struct crier_stats *s);

#endif
