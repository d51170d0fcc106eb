/* SPDX-License-Identifier: MIT
 *
 * crier in a program of your own: the logging pipeline alone, or the whole host.
 *
 *     cc app.c $(pkg-config --cflags --libs crier)
 *
 * The pipeline alone. A pipeline has sinks (where records go: the kinds of lua/README.md, Sinks,
 * and your own) and rules (which record goes where). You log through loggers; each call makes one
 * immutable record (crier/record.h), which the sinks write on threads of their own.
 *
 *     struct crier_pipeline *p = crier_pipeline_new(NULL, &err);
 *     crier_pipeline_sink(p, "jsonl", "{\"path\": \"app.jsonl\"}", &err);
 *     struct crier_logger *log = crier_pipeline_logger(p, "shop");
 *     CRIER_LOG_INFO(log, "order taken", crier_f_str("user", name), crier_f_int("items", 3));
 *     ...
 *     crier_logger_free(log);
 *     crier_pipeline_free(p);
 *
 * The whole host. A Lua script declares bots, messages, sinks and rules; crier_run loads and runs
 * it as the command `crier run` does, on the thread that calls it. Sinks and functions that you
 * register first are there for the script: crier.sink.KIND { ... }, crier.app.NAME(...).
 *
 *     struct crier *c = crier_new(&config, &err);
 *     crier_register_sink(&wall, NULL, &err);
 *     crier_register_function(c, "stock", stock, NULL, &err);
 *     int code = crier_run(c);
 *     crier_free(c);
 *
 * Life cycle. What a _new or _logger function gave is freed by the _free function of its name, in
 * any order: a logger may outlive its pipeline or host, and then logs nothing. A pipeline that is
 * freed writes what waits, for a time, and leaves the rest in its state folder, where the next one
 * with that folder finds it; crier_pipeline_stop says how long, and what was left. Sinks and rules
 * may be added while others log.
 *
 * Threads. Each function's comment has a tag. [any]: any thread, several at once; nothing here may
 * be called in a signal handler, nor in the child of a fork. [owner]: any thread, but one at a
 * time, and not at the same time as the object's _free. [loop]: called by crier on the thread of
 * crier_run, which it must not hold up. Logging never waits for a sink: a full queue spills to the
 * state folder (with the policy "block", too), or drops by the sink's policy, which is counted. A
 * pipeline's own threads block all signals. crier_run takes SIGRTMIN+3 for the CPU budget of
 * callbacks, and ignores SIGPIPE and SIGXFSZ while it runs; it handles SIGTERM, SIGINT, SIGHUP and
 * SIGUSR1 only if asked to, and leaves these six as they were.
 *
 * Errors. A function that can fail returns 0 or a negative enum crier_code (crier/err.h), or NULL,
 * and fills the struct crier_err that it was given, which may be NULL: `text` says what is wrong
 * and what to do, `where` the place ("sink 'log' 1:14": line and column of the option in its JSON).
 * Logging itself cannot fail. Memory running out ends the program with a line on stderr.
 *
 * Text is UTF-8; bytes that are not become U+FFFD. Times are microseconds (CRIER_SECOND).
 *
 * The structs that you fill begin with struct_size, sizeof of the struct as your compiler saw it;
 * they only grow at the end, and what your program does not know of is taken as zero.
 */
#ifndef CRIER_CRIER_H
#define CRIER_CRIER_H

#include <string.h>

#include "crier/err.h"
#include "crier/record.h"
#include "crier/sink.h"

#ifdef __cplusplus
extern "C" {
#endif

/** [any] The version of the library: "0.1.0". */
CRIER_API const char *crier_version(void);

#define CRIER_SECOND INT64_C(1000000)

/** [owner, before crier_pipeline_sink and crier_run look for kinds] Make sinks in C a kind of this
 *  process: crier_pipeline_sink(p, "wall", "{\"options\": {\"width\": 80}}") and, in scripts,
 *  crier.sink.wall { options = { width = 80 } }. plugin (crier/sink.h) and arg are borrowed for as
 *  long as the process lives; arg comes to `open`. CRIER_EVERSION: the plugin is of another version
 *  or lacks a function; CRIER_EINVAL: its kind is not a name; CRIER_EEXIST; CRIER_ELIMIT. */
CRIER_API CRIER_CHECK int crier_register_sink(const struct crier_sink_plugin *plugin, void *arg,
                                              struct crier_err *err);

/* --- fields ------------------------------------------------------------------------------ */

/* A field is a struct crier_value with a name. What it points to is copied by the call that it is
 * handed to. [any], all of them. */

static inline struct crier_value crier_f_(const char *name, enum crier_type type)
{
    struct crier_value v;
    v.type = type;
    v.key.data = name;
    v.key.len = name ? strlen(name) : 0;
    v.s.data = NULL;
    v.s.len = 0;
    return v;
}

/** [any] Text of a length; it may hold NUL. */
static inline struct crier_value crier_f_strn(const char *name, const char *s, size_t len)
{
    struct crier_value v = crier_f_(name, CRIER_STR);
    v.s.data = s;
    v.s.len = len;
    return v;
}

/** [any] Text; NULL is null. */
static inline struct crier_value crier_f_str(const char *name, const char *s)
{
    return s ? crier_f_strn(name, s, strlen(s)) : crier_f_(name, CRIER_NULL);
}

/** [any] A whole number. */
static inline struct crier_value crier_f_int(const char *name, int64_t i)
{
    struct crier_value v = crier_f_(name, CRIER_INT);
    v.i = i;
    return v;
}

/** [any] A number; NaN and infinities become null. */
static inline struct crier_value crier_f_num(const char *name, double n)
{
    struct crier_value v = crier_f_(name, CRIER_NUM);
    v.n = n;
    return v;
}

/** [any] True or false. */
static inline struct crier_value crier_f_bool(const char *name, bool yes)
{
    return crier_f_(name, yes ? CRIER_TRUE : CRIER_FALSE);
}

/** [any] null. */
static inline struct crier_value crier_f_null(const char *name)
{
    return crier_f_(name, CRIER_NULL);
}

/** [any] A Discord id. */
static inline struct crier_value crier_f_snowflake(const char *name, uint64_t id)
{
    struct crier_value v = crier_f_(name, CRIER_SNOWFLAKE);
    v.u = id;
    return v;
}

/** [any] A time: microseconds since 1970, UTC. */
static inline struct crier_value crier_f_time(const char *name, int64_t us)
{
    struct crier_value v = crier_f_(name, CRIER_TIME);
    v.i = us;
    return v;
}

/** [any] An object or array, as JSON text that begins with its bracket. All other text, and text
 *  that is not JSON, is taken as a string; NULL is null. */
static inline struct crier_value crier_f_json(const char *name, const char *json)
{
    struct crier_value v = crier_f_str(name, json);
    if (json && (*json == '{' || *json == '['))
        v.type = *json == '{' ? CRIER_OBJECT : CRIER_ARRAY;
    return v;
}

/** [any] A value that was read out of a record, under a name of your own. */
static inline struct crier_value crier_f_value(const char *name, const struct crier_value *value)
{
    struct crier_value v = *value;
    v.key.data = name;
    v.key.len = name ? strlen(name) : 0;
    return v;
}

/* --- logging ----------------------------------------------------------------------------- */

struct crier_logger; /* opaque */

/** [any] A logger under this one: named `parent.name` (name NULL: as the parent), with fields that
 *  each of its records has besides the call's own; a field of the call replaces one of its name.
 *  fields are copied. Freed by crier_logger_free. */
CRIER_API struct crier_logger *crier_logger_with(const struct crier_logger *logger,
                                                 const char *name, const struct crier_value *fields,
                                                 size_t count);
/** [owner] NULL is allowed. */
CRIER_API void crier_logger_free(struct crier_logger *logger);
/** [any] Whether a record of this level would be made: see crier_pipeline_level. A few
 *  nanoseconds. */
CRIER_API bool crier_logger_enabled(const struct crier_logger *logger, enum crier_level level);
/** [any] Log. `where` is the place in the source, "shop.c:14" (directories in front of it are cut),
 *  or NULL. A field that has the name of a record's own member (`level`, `text`, ...) is kept as
 *  `fields.NAME`. The macros below are shorter, and look at the level before the fields are
 *  computed. */
CRIER_API void crier_log(const struct crier_logger *logger, enum crier_level level,
                         const char *where, const char *text, const struct crier_value *fields,
                         size_t count);

/* CRIER_LOG_INFO(logger, "text") or CRIER_LOG_INFO(logger, "text", field, ... up to 31 of them). */
#define CRIER_LOG_DEBUG(...) CRIER_LOG_(CRIER_DEBUG, __VA_ARGS__)
#define CRIER_LOG_INFO(...) CRIER_LOG_(CRIER_INFO, __VA_ARGS__)
#define CRIER_LOG_WARNING(...) CRIER_LOG_(CRIER_LEVEL_WARNING, __VA_ARGS__)
#define CRIER_LOG_ERROR(...) CRIER_LOG_(CRIER_LEVEL_ERROR, __VA_ARGS__)
#define CRIER_LOG_CRITICAL(...) CRIER_LOG_(CRIER_CRITICAL, __VA_ARGS__)

#define CRIER_LOG_(level, ...)                                                                     \
    CRIER_PICK_(__VA_ARGS__, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,  \
                M, M, M, M, M, M, M, M, T, E, 0)                                                   \
    (level, __VA_ARGS__)
#define CRIER_PICK_(l, t, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, u, v, w, x, y, z,  \
                    A, B, C, D, F, G, H, kind, ...)                                                \
    CRIER_LOG_##kind##_
#define CRIER_LOG_T_(level, logger, text)                                                          \
    do {                                                                                           \
        if (crier_logger_enabled(logger, level))                                                   \
            crier_log(logger, level, CRIER_WHERE_, text, NULL, 0);                                 \
    } while (0)
#define CRIER_LOG_M_(level, logger, text, ...)                                                     \
    do {                                                                                           \
        if (crier_logger_enabled(logger, level)) {                                                 \
            const struct crier_value crier_fields_[] = {__VA_ARGS__};                              \
            crier_log(logger, level, CRIER_WHERE_, text, crier_fields_,                            \
                      sizeof crier_fields_ / sizeof *crier_fields_);                               \
        }                                                                                          \
    } while (0)
#define CRIER_WHERE_ __FILE__ ":" CRIER_LINE_(__LINE__)
#define CRIER_LINE_(line) CRIER_TEXT_(line)
#define CRIER_TEXT_(line) #line

/* --- the pipeline alone ------------------------------------------------------------------ */

struct crier_pipeline; /* opaque */

struct crier_pipeline_config {
    size_t struct_size;
    const char *folder;       /**< relative paths of sinks are in it; NULL: the working directory */
    const char *state_folder; /**< for spools, dead letters and the record count; made if missing,
                                   and locked: one pipeline or host a folder. NULL: none, so that
                                   what a full queue would spill is dropped, and counted */
    const char *node;         /**< of the records; NULL: the host name */
    const char *timezone;     /**< IANA name, for what sinks date by the day; NULL: the machine's */
};

/** [any] A pipeline with no sink: until it has one, records from warning up go to stderr. config
 *  NULL: all defaults. CRIER_EBUSY: the state folder is in use; CRIER_EIO; CRIER_ENOTFOUND: no such
 *  time zone. */
CRIER_API CRIER_CHECK struct crier_pipeline *
crier_pipeline_new(const struct crier_pipeline_config *config, struct crier_err *err);

/** [any] Add a sink of a kind ("jsonl", "console", "redis", ..., or a registered one). options is a
 *  JSON object with the options that `crier help sink.KIND` lists, NULL for none:
 *      {"name": "log", "path": "app.jsonl", "level": "info", "retry": {"times": 3, "delay": "5m"}}
 *  `name` is how rules and the functions below find it (default: the kind); `fallback` is the name
 *  of a sink that is there already. CRIER_ECONFIG: the options are wrong; all of it is checked
 *  before anything is opened. CRIER_EEXIST: the name is taken. Else what opening it says. */
CRIER_API CRIER_CHECK int crier_pipeline_sink(struct crier_pipeline *pipeline, const char *kind,
                                              const char *options, struct crier_err *err);

/** [any] Add a rule behind those that are there. rule is a JSON object:
 *      {"match": {"level": {"ge": "error"}, "logger": {"like": "shop.%"}}, "to": ["pager", "log"]}
 *  The members are those of crier.route in Lua: match, unless, to, copy, now, dedupe, sample and
 *  rate ("100/1m"); {"otherwise": true, "to": "log"} takes what no rule before it took. A match is
 *  written as for crier_pipeline_query. As long as there is no rule, every sink gets all that it
 *  takes. */
CRIER_API CRIER_CHECK int crier_pipeline_route(struct crier_pipeline *pipeline, const char *rule,
                                               struct crier_err *err);

/** [any] Loggers of this name and those under it ("shop" is for "shop.orders", too) make records
 *  from `level` up; the longest name that fits decides. logger NULL or "*": all that no other call
 *  has named; CRIER_DEBUG at first. Takes effect at once. */
CRIER_API void crier_pipeline_level(struct crier_pipeline *pipeline, const char *logger,
                                    enum crier_level level);

/** [any] A logger of this name ("app" when NULL). Freed by crier_logger_free. */
CRIER_API struct crier_logger *crier_pipeline_logger(struct crier_pipeline *pipeline,
                                                     const char *name);

/** [any, but not from within a sink] Wait until everything that was logged before has been written,
 *  for at most `within` microseconds. CRIER_ETIMEOUT names a sink that still has some. */
CRIER_API int crier_pipeline_flush(struct crier_pipeline *pipeline, int64_t within,
                                   struct crier_err *err);

/** [any] Files are closed and opened again by name, for log rotation from outside. */
CRIER_API void crier_pipeline_reopen(struct crier_pipeline *pipeline);

/** [any, but not from within a sink] Ask a sink for records. query is a JSON object:
 *      {"match": {"kind": "log", "n": {"range": [1, 5]}, "user": {"one_of": ["ann", "bob"]}},
 *       "order": "time", "desc": true, "offset": 0, "limit": 10}
 *  In a match, the members are joined by AND; a bare value means equal; operators are eq, ne, gt,
 *  ge, lt, le, range, one_of, like and regex (where this build has it) and since ("1h"); a dotted
 *  name reaches into objects; "any", "all" and "no" take a list of matches.
 *  fn is called for each record, on this thread, in order; it returns false to end early. Returns
 *  the number of records it was called for, or a negative code. It sees all that was logged
 *  before. NULL query: everything. */
CRIER_API long crier_pipeline_query(struct crier_pipeline *pipeline, const char *sink,
                                    const char *query,
                                    bool (*fn)(void *arg, struct crier_record *record), void *arg,
                                    struct crier_err *err);

/** What became of the records of a sink. At every moment:
 *  accepted = written + queued + spilled + rejected + dropped. */
struct crier_sink_counts {
    size_t struct_size;
    uint64_t accepted, written;
    uint64_t queued;   /**< in memory now */
    uint64_t spilled;  /**< in the spool now */
    uint64_t rejected; /**< for a fault of their own: in the dead-letter file */
    uint64_t dropped;
    uint64_t retries;
    uint64_t copied; /**< to the fallback */
    bool failing;    /**< the last write did not succeed */
    char last_error[256];
};
/** [any] The counts of a sink; counts->struct_size is set by the caller. CRIER_ENOTFOUND. */
CRIER_API CRIER_CHECK int crier_pipeline_counts(struct crier_pipeline *pipeline, const char *sink,
                                                struct crier_sink_counts *counts,
                                                struct crier_err *err);

/** [any, but not from within a sink] Stop: what is logged from now on is dropped; what waits is
 *  written, for at most `within` microseconds plus the write that is under way; the rest goes to
 *  the state folder. 0: all was written, or is kept for the next start; CRIER_ETIMEOUT: there was
 *  more, and it is lost (no state folder, or the sink's policy); err says how many records. A
 *  second call does nothing. */
CRIER_API int crier_pipeline_stop(struct crier_pipeline *pipeline, int64_t within,
                                  struct crier_err *err);
/** [owner, but not from within a sink] Stop within 10 seconds unless it is stopped, and free. NULL
 *  is allowed. */
CRIER_API void crier_pipeline_free(struct crier_pipeline *pipeline);

/* --- the whole host ---------------------------------------------------------------------- */

struct crier; /* opaque */

struct crier_app_config {
    size_t struct_size;
    const char *file;         /**< the script */
    const char *state_folder; /**< NULL: as the script says */
    const char *world;        /**< sim: the simulator's guilds, channels and users; may be NULL */
    int64_t run_for;          /**< stop after so many microseconds; 0: when asked to */
    bool sim;                 /**< bots talk to a simulator of Discord on loopback */
    bool watch;               /**< reload when a file of the script changes */
    bool signals; /**< SIGTERM and SIGINT stop, SIGHUP reloads, SIGUSR1 reopens files; else they
                       are left to the program */
};

/** [any] Nothing is loaded yet. Strings are copied. CRIER_EINVAL: no file is named. */
CRIER_API CRIER_CHECK struct crier *crier_new(const struct crier_app_config *config,
                                              struct crier_err *err);

/** Where a function puts what it returns to the script. */
struct crier_reply; /* opaque */
/** [loop, within the function] One more result; what it points to is copied. Its name plays no
 *  part: crier_f_int(NULL, 5). */
CRIER_API void crier_reply_add(struct crier_reply *reply, struct crier_value value);

/** A function of the program. args: the script's arguments, borrowed; objects and arrays are
 *  iterated with crier_values (crier/record.h). Returns 0, or a negative code with err filled: the
 *  script then gets `nil, text, code name`. */
typedef int crier_function(void *arg, const struct crier_value *args, size_t count,
                           struct crier_reply *reply, struct crier_err *err);
/** [owner, before crier_run] Make fn callable in the script as crier.app.NAME(...), in callbacks
 *  (not while the script loads). It runs on the loop [loop] and must not block. CRIER_EINVAL: name
 *  is not letters, digits and '_'. CRIER_EEXIST. */
CRIER_API CRIER_CHECK int crier_register_function(struct crier *crier, const char *name,
                                                  crier_function *fn, void *arg,
                                                  struct crier_err *err);

/** [any, one host at a time in a process] Load the script and run it until crier_stop, a signal, or
 *  config.run_for. Returns what `crier run` would exit with: 0 fine, 66 no such script, 75 the
 *  state folder or the process has a host already, 77 a token was refused, 78 the script is wrong
 *  (README.md, Commands). Problems of the script are on stderr; the first is kept for
 *  crier_last_error. May be called again. */
CRIER_API int crier_run(struct crier *crier);
/** [any] Stop in order: what is under way ends, sinks are flushed, within the script's
 *  limits.stop. Returns at once; crier_run returns when it is done. Before crier_run: it stops as
 *  soon as it has started. */
CRIER_API void crier_stop(struct crier *crier);
/** [any, but not from within a function, a sink or crier_run's thread] Load the script anew and
 *  wait for it; before the script has started, wait for that first. CRIER_ECONFIG: refused, and
 *  why; what ran goes on. CRIER_ECANCELED: it is stopping, or has ended. */
CRIER_API CRIER_CHECK int crier_reload(struct crier *crier, struct crier_err *err);
/** [any] The last error of crier_run and of reloads; code 0: none. */
CRIER_API void crier_last_error(struct crier *crier, struct crier_err *err);
/** [any] A logger whose records go through the script's rules, as those of crier.log do. What is
 *  logged before the script runs is kept until it does (1,000 records; the rest is dropped, which a
 *  warning tells); what is logged after the end is dropped. name NULL: "app". */
CRIER_API struct crier_logger *crier_host_logger(struct crier *crier, const char *name);
/** [owner] Not while crier_run is running. NULL is allowed. */
CRIER_API void crier_free(struct crier *crier);

#ifdef __cplusplus
}
#endif
#endif
