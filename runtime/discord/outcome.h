/* SPDX-License-Identifier: MIT
 *
 * What an answer means: HTTP status and Discord's JSON error code -> class, as data in one place.
 *
 * Source: Discord's table of opcodes and status codes, and what is known from the field. What is
 * neither a status nor a code (no connection, a lost answer, a ban of the network, quarantine) has
 * a code of ours below zero, so that the one table holds everything.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_DISCORD_OUTCOME_H
#define CRIER_DISCORD_OUTCOME_H

#include <jansson.h>

#include "discord/transport.h"

/** What was asked; a bit set, since a code can mean different things for different requests. */
enum crier_request_kind {
    CRIER_REQ_CREATE = 1,
    CRIER_REQ_EDIT = 2,
    CRIER_REQ_DELETE = 4,
    CRIER_REQ_DM = 8,
    CRIER_REQ_GET = 16,
    CRIER_REQ_OTHER = 32, /**< crosspost, reaction, typing, thread */
    CRIER_REQ_ANY = 63,
};

enum crier_class {
    CRIER_CLASS_OK,
    CRIER_CLASS_RETRY, /**< certainly not executed: again with back-off */
    CRIER_CLASS_LOST,  /**< may have been executed: again under the same nonce, or idempotent */
    CRIER_CLASS_WAIT,  /**< a rate limit: as told, else row->wait */
    CRIER_CLASS_DROP,  /**< the target is gone, or never takes anything of ours */
    CRIER_CLASS_PAUSE, /**< closed to us at present: tried again after row->wait, ever more rarely */
    CRIER_CLASS_DOUBT, /**< an unknown 403 or 404: BAD, from the third in a row of a target DROP */
    CRIER_CLASS_REBUILD, /**< the message is gone or cannot be edited: create anew */
    CRIER_CLASS_BAD,     /**< our content or request is at fault */
    CRIER_CLASS_STOP,    /**< the whole client must stop */
    CRIER_CLASS_BREAK,   /**< nothing may be sent for row->wait, then one probe */
};

/* Codes of ours, with status 0 (the first two) or the answer's. */
enum {
    CRIER_CODE_NOT_SENT = -1,
    CRIER_CODE_LOST = -2,
    CRIER_CODE_BANNED = -3,
    CRIER_CODE_QUARANTINED = -4,
};

struct crier_outcome_row {
    int status;      /**< 0: any */
    int status_last; /**< end of a range; 0: only `status` */
    int code;        /**< 0: any */
    int code_last;   /**< end of a range; 0: only `code` */
    unsigned kinds;  /**< of enum crier_request_kind */
    enum crier_class class_;
    int wait; /**< seconds: WAIT when the answer tells none, RETRY at least, BREAK, PAUSE at first */
    const char *help; /**< the remedy in a few words; NULL: none */
};

/** The first row that fits; never NULL. */
const struct crier_outcome_row *crier_outcome_row(int status, int code,
                                                  enum crier_request_kind kind);
/** The table, its last row the one that takes all; for tests. */
const struct crier_outcome_row *crier_outcome_rows(size_t *count);
/** The name of a class: "OK", "RETRY", ... */
const char *crier_class_name(enum crier_class class_);
/** The code to look up for an answer: Discord's own, or one of ours. body may be NULL. */
int crier_outcome_code(const struct crier_http_response *res, const json_t *body);
/** Whether a body is no JSON, as all of Discord's errors are: a page of what stands in front of it. */
bool crier_outcome_foreign(const struct crier_http_response *res);
/** Discord's `errors` tree (code 50035) in one line:
 *  "embeds[0].title: Must be 256 or fewer in length.; content: ..." */
void crier_outcome_flatten(const json_t *errors, struct crier_buf *out);

#endif
