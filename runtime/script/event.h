/* SPDX-License-Identifier: MIT
 *
 * crier.event: the log of work that changes something. An event is written before the work, and
 * completed after it; one that was begun and never completed shows what went wrong.
 *
 * Each phase is a record of its own with the same `event_id` (start, finish, note, close); readers
 * fold them into one (record/query.h). What has been begun and not finished is kept in the state
 * store, section "event", so that the next host can tell of events whose host died.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_EVENT_H
#define CRIER_SCRIPT_EVENT_H

#include <lua.h>

#include "base/option.h"
#include "crier/record.h"

struct crier_host;

/** The fields of crier.event and crier.event.note, and those of event:finish. */
extern const struct crier_option crier_event_options[], crier_finish_options[];
extern const size_t crier_event_count, crier_finish_count;

void crier_open_event(lua_State *L); /**< event, for the `crier` table on top of the stack */

/** SQL that the present callback runs: it goes into the `what_sql` of the innermost event that the
 *  callback has open, its quoted texts and numbers as ?. Harmless without an event. */
void crier_event_add_sql(lua_State *L, const char *sql);

/** Build and emit one phase of an event that is known by its id: for people who add a note or close
 *  one by hand, and for events of a dead host. who and notes may be NULL. */
void crier_event_amend(struct crier_host *host, const char *event_id, const char *phase,
                       const char *who, const char *notes, bool is_error);

/** At the host's start: tell of the events that an earlier host has left unfinished. */
void crier_events_flag_unfinished(struct crier_host *host);

#endif
