/* SPDX-License-Identifier: MIT
 *
 * The text form of conditions: "daily after 18:00 & after task 'fetch'".
 *
 *   condition := and { "|" and }          and := not { "&" not }
 *   not       := "~" not | "(" condition ")" | leaf
 *   leaf      := "true" | "false" | "always" | "never"
 *              | "every" DURATION { "based on" ("run"|"success"|"fail"|"finish")
 *                                 | "jitter" DURATION | "first" ("now"|"wait") }
 *              | PERIOD | "time of" UNIT WINDOWS | "cron" FIELDS | "crontime" FIELDS
 *              | "after" [ "any" ["of"] | "all" ["of"] ] ["task"|"tasks"] NAME { "," NAME }
 *                        ["succeeded"|"failed"|"finished"]
 *              | SUBJECT ["has"] ("succeeded"|"failed"|"finished"|"started"|"terminated"|"inacted"
 *                                 |"crashed") { COUNT | SPAN }
 *              | SUBJECT ["is"] "running" { COUNT | "longer than" DURATION
 *                                                 | "shorter than" DURATION }
 *              | "retry" [N] { "delay" DURATION | "factor" NUMBER | "max" DURATION }
 *   SUBJECT   := [ ["task"] NAME ]        NAME := quoted
 *   COUNT     := ("at least"|"at most"|"exactly"|"more than"|"less than") N ["times"] | "never"
 *   SPAN      := ("in"|"within") ["the last"] DURATION | "today" WINDOWS | "this" UNIT WINDOWS
 *
 * PERIOD and WINDOWS are those of calendar.h. The object form of Lua is made of this text, so both
 * mean the same.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_SCHED_CONDITION_TEXT_H
#define CRIER_SCHED_CONDITION_TEXT_H

#include "sched/condition.h"

/** CRIER_EINVAL and err: what was expected; *column (from 1) is where. */
CRIER_CHECK int crier_cond_parse(const char *text, struct crier_cond **out, int *column,
                                 struct crier_err *err);
/** The shortest text that reads as the same condition; the caller frees. (One of a script's
 *  functions reads as none: it is shown as "condition NAME".) */
char *crier_cond_text(const struct crier_cond *c);
/** A duration as conditions have it: "10 min", "1h 30m". */
CRIER_CHECK int crier_cond_duration(const char *text, int64_t *out_us, struct crier_err *err);

#endif
