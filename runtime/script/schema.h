/* SPDX-License-Identifier: MIT
 *
 * Reading a declaration's table by its option table, with diagnostics that name place, object,
 * fault and remedy. Every problem of a table is reported; a value that is wrong is left unset.
 *
 * Thread: the generation's.
 */
#ifndef CRIER_SCRIPT_SCHEMA_H
#define CRIER_SCRIPT_SCHEMA_H

#include "script/generation.h"

/** One declaration being read. */
struct crier_decl {
    struct crier_generation *gen;
    lua_State *L;
    int table;          /**< stack index of the argument table, or of the one within it */
    const char *within; /**< where that one stands: "limits."; NULL: it is the argument */
    const char *callee; /**< "TextMESSAGE", "sink.json": as the source has it */
    const char *file;   /**< interned */
    int line;
    char object[160];   /**< "message 'gallery'" */
};

/** The generation of a state. */
struct crier_generation *crier_generation_of(lua_State *L);
/** Start reading: the argument at index 1 (arg) must be a table, else a Lua error that shows
 *  `usage`. noun: "message"; the label is completed by the table's name or snowflake. Raises when
 *  the script is not loading. */
void crier_decl_begin(struct crier_decl *d, lua_State *L, int arg, const char *callee,
                      const char *noun, const char *usage);
/** The same for what callbacks may make, too. What is wrong is raised by crier_decl_end then. */
void crier_decl_begin_late(struct crier_decl *d, lua_State *L, int arg, const char *callee,
                           const char *noun, const char *usage);
/** The end of that: while the script loads nothing; else all errors are raised as one, and warnings
 *  become system records. */
void crier_decl_end(struct crier_decl *d);
/** Report at the place of `key` in the table (NULL: the call itself). */
void crier_decl_problem(struct crier_decl *d, enum crier_severity severity, const char *key,
                        const char *help, const char *fmt, ...) CRIER_PRINTF(5, 6);
/** Report what is found only when the whole script is known: at the place of `key` (NULL: the call
 *  itself) of the call of `callee` on that line. object and help may be NULL. */
void crier_place_problem(struct crier_generation *gen, enum crier_severity severity,
                         const char *file, int line, const char *callee, const char *key,
                         const char *object, const char *text, const char *help);
/** Report Lua's and, or and not between conditions in the files that were loaded. */
void crier_judge_operators(struct crier_generation *gen);
/** A warning where events are given is_severe, and no alert is declared. */
void crier_judge_severe(struct crier_generation *gen);
/** Read all options; unknown keys, wrong types, missing ones are reported. `out` is initialised
 *  here. Positional items (1..n) are reported unless allow_list. */
void crier_decl_read(struct crier_decl *d, const struct crier_option *table, size_t count,
                     bool allow_list, struct crier_options *out);
/** Push the field `key` of the table; returns its type (LUA_TNIL: absent). */
int crier_decl_field(struct crier_decl *d, const char *key);

/** Value readers, also for what is nested. They report under `key` and return false. */
bool crier_read_snowflake(struct crier_decl *d, int idx, const char *key, uint64_t *out);
bool crier_read_duration(struct crier_decl *d, int idx, const char *key, int64_t *out_us);

/** What a value is, for messages: `the string "yes"`, `the number 3`, `a table`. */
const char *crier_lua_describe(lua_State *L, int idx, char *out, size_t cap);

#endif
