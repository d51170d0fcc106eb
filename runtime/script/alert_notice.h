/* SPDX-License-Identifier: MIT
 *
 * What an alert tells, and the forms that it takes: a mail, a text of a chat, JSON.
 *
 * Thread: [loop]; pure.
 */
#ifndef CRIER_SCRIPT_ALERT_NOTICE_H
#define CRIER_SCRIPT_ALERT_NOTICE_H

#include "base/buf.h"
#include "crier/record.h"

/** A record's JSON that is larger is left out of what is told. */
#define CRIER_NOTICE_RECORD_MAX (64u << 10)

struct crier_notice {
    int refs;
    char id[27];
    char *alert, *key; /**< the alert's name; which of its instances, may be empty */
    const char *state; /**< "firing", "again", "resolved" or "left out"; static */
    char *text;        /**< one or more lines of valid UTF-8 */
    char *node;
    enum crier_level level;
    uint64_t count;     /**< occurrences that it stands for */
    int64_t since, time; /**< wall */
    char *record;       /**< JSON of the record that it is about; NULL: none */
};

struct crier_notice *crier_notice_new(void);
struct crier_notice *crier_notice_ref(struct crier_notice *notice);
void crier_notice_unref(struct crier_notice *notice); /**< NULL is allowed */

/** As JSON: what webhooks get, and what is stored. The caller frees. */
char *crier_notice_json(const struct crier_notice *notice);
/** Back from that. NULL: it is none. */
struct crier_notice *crier_notice_from_json(const char *json);

/** "[web-1] stuck event firing: text (37 times since ...)", of at most so many UTF-16 units. The
 *  caller frees. */
char *crier_notice_line(const struct crier_notice *notice, size_t units);
/** The body for Discord's or Slack's webhooks: nobody is pinged. The caller frees. */
char *crier_notice_discord(const struct crier_notice *notice);
char *crier_notice_slack(const struct crier_notice *notice);
/** A whole mail, lines ended by CR LF: RFC 5322, MIME, UTF-8. subject: with {name} and so on. */
void crier_notice_mail(const struct crier_notice *notice, const char *from, char *const *to,
                       size_t to_count, const char *subject, struct crier_buf *out);

/** "ops@example.com", "Crier <crier@example.com>". */
bool crier_mail_address_ok(const char *text);
/** The address alone; the caller frees. */
char *crier_mail_address(const char *text);

/** So many UTF-16 units of a valid text at most, "..." standing for the rest. The caller frees. */
char *crier_text_cut(const char *text, size_t units);

#endif
