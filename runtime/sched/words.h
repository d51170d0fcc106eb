/* SPDX-License-Identifier: MIT
 *
 * Reading the text form of periods and conditions, word by word.
 *
 * The first thing that is wrong is told once, with its column (from 1, in bytes), what was expected
 * there, what stands there and, where one is near, the word that was meant.
 *
 * Thread: [any]; one owner.
 */
#ifndef CRIER_SCHED_WORDS_H
#define CRIER_SCHED_WORDS_H

#include "base/buf.h"

struct crier_words {
    const char *text, *at;
    struct crier_err *err;
    int column; /**< of the fault; 0: none yet */
    int depth;  /**< how many brackets and `~` deep */
    bool loose; /**< behind a period may stand "at least 2 times" and the like */
};

void crier_words_begin(struct crier_words *s, const char *text, struct crier_err *err);
/** Past blanks. */
void crier_words_blanks(struct crier_words *s);
/** Whether nothing but blanks is left. */
bool crier_words_end(struct crier_words *s);
/** Past this word, in any case; false and nothing is read when another stands there. */
bool crier_words_match(struct crier_words *s, const char *word);
/** Past one of these words; its index, or -1. */
int crier_words_one_of(struct crier_words *s, const char *const *words, size_t n);
bool crier_words_char(struct crier_words *s, char c);
/** Past a number of up to 9 digits; the count of its digits, 0: none. */
int crier_words_number(struct crier_words *s, int *out);
/** "10 min", "1h 30m", "1.5 hours": false and nothing is read when it is none. */
bool crier_words_duration(struct crier_words *s, int64_t *out_us);
/** 'fetch', "fetch": a name in quotes, a quote in it doubled. NULL when it is none; the caller
 *  frees. */
char *crier_words_quoted(struct crier_words *s);

/** What was expected at the present place, and the words that may stand there (n may be 0).
 *  Returns CRIER_EINVAL. */
int crier_words_expected(struct crier_words *s, const char *what, const char *const *words,
                         size_t n);
/** A fault of what stands at `at`. Returns CRIER_EINVAL. */
int crier_words_fault(struct crier_words *s, const char *at, const char *fmt, ...)
    CRIER_PRINTF(3, 4);

/** Put a name between quotes, so that crier_words_quoted reads it again. */
void crier_put_quoted(struct crier_buf *b, const char *name);

#endif
