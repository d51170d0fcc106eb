/* SPDX-License-Identifier: MIT
 *
 * The Lua tables of the module `crier`: who opens them, and the names of their metatables.
 *
 * Each crier_open_* adds its functions to the table on top of the stack. The
 * manual is lua/README.md, the editor stubs are lua/meta/crier.lua.
 *
 * Thread: the generation's.
 */
#ifndef CRIER_SCRIPT_DECLARE_H
#define CRIER_SCRIPT_DECLARE_H

#include "script/generation.h"
#include "script/schema.h"

#define CRIER_MT_SECRET "crier.secret"
#define CRIER_MT_BOT "crier.bot"
#define CRIER_MT_TARGET "crier.target"
#define CRIER_MT_MESSAGE "crier.message"
#define CRIER_MT_EMBED "crier.EMBED"
#define CRIER_MT_FILE "crier.FILE"
#define CRIER_MT_DATA "crier.data"
#define CRIER_MT_SINK "crier.sink"
#define CRIER_MT_RECORD "crier.record"
#define CRIER_MT_OP "crier.operator"
#define CRIER_MT_CONDITION "crier.condition"
#define CRIER_MT_TASK "crier.task"
#define CRIER_MT_INACTION "crier.inaction"

void crier_open_declare(lua_State *L); /**< config bot secret GUILD USER TextMESSAGE ... on */
void crier_open_content(lua_State *L); /**< EMBED FILE data_function */
void crier_open_log(lua_State *L);     /**< log */
void crier_open_sink(lua_State *L);    /**< sink sinks */
/** _query and _change, for the sinks' functions on top of the stack. */
void crier_open_query(lua_State *L);
/** Takes the table of sinks' functions off the stack and pushes the __index of sinks: those, then what
 *  the sink's kind has. */
void crier_push_sink_index(lua_State *L);
void crier_open_route(lua_State *L);   /**< route otherwise transform */
void crier_open_state(lua_State *L);   /**< state */
void crier_open_app(lua_State *L);     /**< app */
void crier_open_discord(lua_State *L); /**< _discord: what crier.discord (lua/crier/init.lua) is made of */
void crier_open_condition(lua_State *L); /**< every daily cron after succeeded retry ... */

/** A declaration's option table, for `crier help` and the stubs. */
struct crier_topic {
    const char *name; /**< "TextMESSAGE", "sink.json", "config.limits" */
    const char *help;
    const struct crier_option *options;
    size_t count;
};
/** All of them; the count is returned through *count. Static. */
const struct crier_topic *crier_topics(size_t *count);

/** The innermost place in the user's files; file is interned in the generation, NULL when none. */
void crier_lua_place(lua_State *L, const char **file, int *line);

/** A data value (text, EMBED, FILE, list of those) at idx -> content. What is wrong with it comes
 *  back in err (code CRIER_EINVAL). nil and functions are not for this function. */
CRIER_CHECK int crier_content_from_lua(lua_State *L, int idx, const char *folder,
                                       struct crier_content **out, struct crier_err *err);

/** Whether idx is what crier.data_function returns, not yet called with its arguments. */
bool crier_is_data_maker(lua_State *L, int idx);

/** The condition at idx (what crier.every and its like return), or NULL. Borrowed. */
struct crier_cond *crier_to_cond(lua_State *L, int idx);

/** The bot at idx (what crier.bot returned), or NULL. */
struct crier_bot *crier_to_bot(lua_State *L, int idx);
/** The message or the GUILD or USER at idx, or NULL. Borrowed from the value. */
struct crier_message *crier_to_message(lua_State *L, int idx);
struct crier_target *crier_to_target(lua_State *L, int idx);
/** crier.update: the table at idx read as the declaration of such a message, in a callback; pushes
 *  the new one. Raises. */
struct crier_message *crier_declare_again(lua_State *L, int idx, enum crier_message_type type);
void crier_open_add(lua_State *L); /**< add remove update */
/** The declared sink at idx, or NULL. */
struct crier_declared_sink *crier_to_sink(lua_State *L, int idx);
/** By name, among those declared so far; NULL: none. */
struct crier_declared_sink *crier_sink_named(const struct crier_generation *gen, const char *name);

/** Levels of loggers: a name covers what begins with it and a dot; "*" all. level 0: as what
 *  covers it. */
void crier_log_set_level(struct crier_generation *gen, const char *logger, int level);
enum crier_level crier_log_level(const struct crier_generation *gen, const char *logger);

/** The kinds that run Lua: crier.sink.custom with functions, and with a module. */
extern const struct crier_sink_driver crier_sink_custom, crier_sink_module;
/** Add those kinds to crier_sink_drivers, once. */
void crier_sink_add_kinds(void);
/** crier.sink.custom has been read: which of the two it is, its functions, and what is wrong. */
void crier_sink_read_custom(struct crier_decl *d, struct crier_declared_sink *s);
/** When all is declared: the module's file, compiled but not run. */
void crier_sink_judge_module(struct crier_generation *gen, struct crier_declared_sink *s);
/** [loop] A generation is swapped in: its functions are called from now on. */
void crier_sink_bind(struct crier_declared_sink *s, struct crier_generation *gen);

/** Push a value of a record: objects and arrays as new tables. */
void crier_push_value(lua_State *L, const struct crier_value *value);
/** Push a record as a read-only value. */
void crier_push_record(lua_State *L, struct crier_record *record);
/** Push a list of them. */
void crier_push_records(lua_State *L, struct crier_record *const *records, size_t count);
/** The record at idx, or NULL. */
struct crier_record *crier_to_record(lua_State *L, int idx);
void crier_open_record(lua_State *L); /**< registers the metatable; pushes nothing */

/** Around the call of a transform and the reading of what it returned: the records that it gets and
 *  makes are its own until then. */
void crier_transform_begin(struct crier_vm *vm);
void crier_transform_end(struct crier_vm *vm);
/** record:with: a copy with the changes that the table at idx asks for, a reference for the caller.
 *  CRIER_EINVAL: it asks for what cannot be changed. Does not raise, but for want of memory. */
CRIER_CHECK int crier_record_with(lua_State *L, int idx, struct crier_record *record,
                                  struct crier_record **out, struct crier_err *err);

/** Add the members of the table at idx to a record being built. Cycles and depth are cut. */
void crier_build_lua_fields(struct crier_builder *b, lua_State *L, int idx);

/** Add the value at idx, of any type. */
void crier_build_lua_value(struct crier_builder *b, lua_State *L, int idx, const char *key,
                           size_t klen);

/** Whether it is crier.null. */
bool crier_is_null(lua_State *L, int idx);
/** The value at idx as one member. */
void crier_build_lua_value(struct crier_builder *b, lua_State *L, int idx, const char *key,
                           size_t klen);

/** A match or filter table at idx -> query; what is wrong in err. */
CRIER_CHECK int crier_query_from_lua(lua_State *L, int idx, const struct crier_zone *zone,
                                     struct crier_query **out, struct crier_err *err);

/** A function that says which records are meant: taken from the top of the stack; what: "match of the
 *  route", for messages. It may fail, and is called on the loop. */
void *crier_match_fn_new(lua_State *L, const char *what, const char *where);
/** 1, 0, or negative: it failed. */
CRIER_CHECK int crier_match_fn_try(void *fn, struct crier_record *record, struct crier_err *err);
void crier_match_fn_free(void *fn);

/** Warn of records that cannot be read back, and of sinks whose level hides what they are sent. */
void crier_judge_routes(struct crier_generation *gen);

/** Save the crier.state tables that have changed since they were put: compares their JSON. */
void crier_state_tables_save(struct crier_generation *gen);
/** At a swap: the old generation's tables, as they are now, into the new one's. */
void crier_state_tables_move(struct crier_generation *old, struct crier_generation *new_);

#endif
