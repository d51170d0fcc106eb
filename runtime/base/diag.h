/* SPDX-License-Identifier: MIT
 *
 * Diagnostics: everything that is wrong with a user's file, found in one pass.
 *
 * A line reads `bot.lua:14:20: message 'gallery': unknown option 'perod' (did you mean
 * 'period'?)`: place, object, fault, remedy; on a terminal the source line and a caret follow.
 * With --json, one object a line:
 * {"severity","file","line","column","object","text","help"}, what is unknown null.
 *
 * Thread: one owner at a time.
 */
#ifndef CRIER_BASE_DIAG_H
#define CRIER_BASE_DIAG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"

enum crier_severity { CRIER_NOTE, CRIER_WARNING, CRIER_ERROR };

struct crier_diag {
    enum crier_severity severity;
    char *file;       /**< as the user named it; NULL when there is no place */
    int line, column; /**< from 1; 0 = unknown. Columns count bytes */
    char *object;     /**< "message 'gallery'"; may be NULL */
    char *text;       /**< the fault */
    char *help;       /**< the remedy, printed in brackets behind the text; may be NULL */
};

/** Zero-initialised is empty and valid. */
struct crier_diags {
    struct crier_diag *items;
    size_t count;
    int errors, warnings;
    void *seen; /**< internal: finds equal ones */
    void *hidden; /**< internal: secrets */
};

/** Takes copies. A diagnostic that is equal to one already there is not added again. */
void crier_diags_add(struct crier_diags *d, enum crier_severity severity, const char *file,
                     int line, int column, const char *object, const char *text, const char *help);
/** Show this text as stars in source lines: a script may hold a token. Takes a copy. */
void crier_diags_hide(struct crier_diags *d, const char *secret);
void crier_diags_fini(struct crier_diags *d);
/** By file, line and column, stable. */
void crier_diags_sort(struct crier_diags *d);

/** One line, no newline. Warnings and notes say so behind the place. Control characters in the
 *  parts are shown as \n, \x1b. */
void crier_diag_text(const struct crier_diag *diag, struct crier_buf *out);
void crier_diag_json(const struct crier_diag *diag, struct crier_buf *out);

enum crier_diag_format { CRIER_DIAG_PLAIN, CRIER_DIAG_TERMINAL, CRIER_DIAG_JSON };
/** All of them, sorted. TERMINAL: in colour (unless no_color) with the source line and a caret,
 *  read from the file where it can be. */
void crier_diags_print(struct crier_diags *d, FILE *to, enum crier_diag_format format,
                       bool color);
/** PLAIN or TERMINAL for this stream; color set from isatty and NO_COLOR. */
enum crier_diag_format crier_diag_format_for(FILE *to, bool *color);

#endif
