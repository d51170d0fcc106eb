/* SPDX-License-Identifier: MIT
 *
 * A generation: everything that one evaluation of the user's script declared, with the Lua state
 * that its functions live in. It is built apart from the running bot (crier_generation_build, on a
 * builder thread for a reload), judged whole, and only then swapped in by the host; until the swap
 * nothing that runs has been touched (runtime/README.md, Reload).
 *
 * Ownership: the generation owns its declarations and its vm. It is refcounted by what is under
 * way in it (a send, a callback): the host holds one reference; an old generation is freed when
 * its last callback has ended.
 *
 * Thread: the builder's until it is handed over, then [loop].
 */
#ifndef CRIER_SCRIPT_GENERATION_H
#define CRIER_SCRIPT_GENERATION_H

#include <glib.h>

#include "base/diag.h"
#include "base/duration.h"
#include "base/option.h"
#include "discord/client.h"
#include "record/build.h"
#include "sched/period.h"
#include "script/srcmap.h"
#include "script/vm.h"
#include "sink/router.h"
#include "sink/sink.h"

struct crier_host;

/** crier.config */
struct crier_limits {
    int64_t callback; /**< CPU microseconds of a callback between two waits; 0: no limit */
    int64_t memory;   /**< bytes of a Lua state */
    int64_t load;     /**< CPU microseconds for loading */
    int64_t drain;    /**< microseconds that an old generation may take to end */
    int64_t stop;     /**< microseconds to finish and flush at the end */
    int64_t added;    /**< what callbacks may have added at one time; 0: no limit */
};
extern const struct crier_option crier_limits_options[];
extern const size_t crier_limits_count;

struct crier_config {
    char *timezone; /**< NULL: the machine's */
    char *node;     /**< NULL: the host name */
    char *state;    /**< state folder, absolute; NULL: .crier in the script's folder */
    struct crier_limits limits;
    bool native_modules;
    bool given;
    int line;
};

/** crier.secret.env/file/credential: where a secret is, never what it is. */
struct crier_secret {
    enum { CRIER_SECRET_ENV, CRIER_SECRET_FILE, CRIER_SECRET_CREDENTIAL, CRIER_SECRET_TEXT } kind;
    char *name; /**< variable, path or credential; TEXT: the secret itself */
};
struct crier_secret *crier_secret_new(int kind, const char *name);
void crier_secret_free(struct crier_secret *secret);
/** Read it now: NULL and err ("the environment variable DISCORD_TOKEN is not set") when it cannot
 *  be had. The caller wipes and frees. */
char *crier_secret_read(const struct crier_secret *secret, const char *folder,
                        struct crier_err *err);
/** As a text that options hold and compare in its place; the caller frees. */
char *crier_secret_reference(const struct crier_secret *secret);
/** Whether a text is such a reference. */
bool crier_is_secret_reference(const char *text);
/** Read what a reference means; NULL and err as crier_secret_read. */
char *crier_secret_resolve(const char *reference, const char *folder, struct crier_err *err);

/** crier.bot */
struct crier_bot {
    char *name; /**< "bot" when the script gives none */
    struct crier_secret *token;
    char *api;
    int per_second; /**< requests a second over all routes */
    int gateway;    /**< 1 and -1: as the script says; 0: as it is needed */
    char *presence; /**< Discord's JSON; NULL: none */
    char *where;
    const char *file; /**< interned */
    int line;
};

enum crier_target_type { CRIER_GUILD, CRIER_USER };

/** crier.GUILD, crier.USER. What stands in the script is constant once it is loaded, but for the
 *  marked members: a reload's builder reads it. What is made while the bot runs (crier.add, a guild
 *  of a pattern) is in lists of its own, and goes with its last reference. */
struct crier_target {
    int refs;
    enum crier_target_type type;
    uint64_t id;                 /**< 0: `match` */
    struct crier_pattern *match; /**< GUILD: all guilds whose names match, each as one of its own */
    struct crier_target *of;     /**< is one of those; a reference. NULL: it is not */
    char *name;                  /**< [loop] overrides Discord's; may be NULL */
    char *seen;                  /**< of: Discord's name when it came in */
    bool logging;
    bool logs;    /**< [loop] logging, as it is now */
    bool pending; /**< made by a callback, and not added yet: it owns its messages */
    bool gone;    /**< [loop] removed */
    bool said;    /**< [loop] match: that there is no such guild */
    struct crier_bot *bot; /**< the only one, where the script names none */
    bool invite_track;     /**< GUILD: which invite a new member has used */
    bool bot_wrong;        /**< what the script names is no bot, and that has been said */
    GPtrArray *messages;   /**< [loop] struct crier_message, borrowed from the generation's lists */
    char *where;
};
struct crier_target *crier_target_ref(struct crier_target *target);
void crier_target_unref(struct crier_target *target);
/** "GUILD '863071397207212052'", or "GUILD all{contains news}", into out; returns out. */
const char *crier_target_label(const struct crier_target *target, char *out, size_t cap);

enum crier_message_type { CRIER_TEXT_MESSAGE, CRIER_DIRECT_MESSAGE };
enum crier_mode { CRIER_MODE_SEND, CRIER_MODE_EDIT, CRIER_MODE_CLEAR_SEND };
const char *crier_message_type_name(enum crier_message_type type);
const char *crier_mode_name(enum crier_mode mode);

/** crier.TextMESSAGE, crier.DirectMESSAGE: as declared. What happens to it over time is in its
 *  struct crier_msgstate, which outlives generations. */
struct crier_message {
    int refs;
    struct crier_timer timer;
    struct crier_generation *gen;
    struct crier_target *target; /**< NULL until a GUILD or USER names it; `late`: a reference */
    struct crier_message *of;    /**< of a guild of a pattern: the declaration, which it shares its
                                      parts with; a reference */
    bool late;                   /**< added while the bot runs, or of such a guild */
    bool gone;                   /**< [loop] removed, or another one has taken its place */
    enum crier_message_type type;
    enum crier_mode mode;
    char *name; /**< NULL when unnamed */
    char *was;  /**< former name */
    char *key;  /**< identity: see crier_message_key */
    uint64_t *channels;
    size_t channel_count;
    struct crier_period period;
    struct crier_misfire misfire;
    struct crier_start start;
    struct crier_removal removal;
    struct crier_content *content; /**< constant data, or */
    int data_fn;                   /**< registry ref of the function, 0 none */
    int data_args; /**< registry ref of a list of bound arguments {n=, ...}, 0 none */
    int ctx;       /**< registry ref of the ctx table, 0 until first called */
    struct crier_mentions *mentions; /**< NULL: nobody */
    bool auto_publish;               /**< crosspost what is sent to announcement channels */
    struct crier_pattern *match;     /**< the channels of the guild whose name it matches; NULL: those
                                          of `channels` */
    int only_if;                     /**< registry ref of the predicate, 0 none */
    const char *file;                /**< interned; the place of the declaration */
    int line;
    int options;                     /**< registry ref of the table that declared it, 0 none */
    char *logger, *where;         /**< of its records; NULL until the first one */
    struct crier_msgstate *state; /**< set when the generation is swapped in */
};
/** While it is under way its generation is held, too. */
struct crier_message *crier_message_ref(struct crier_message *message);
void crier_message_unref(struct crier_message *message);
/** Nothing is due of it any more: its generation is retired, or it is gone itself. */
bool crier_message_is_over(const struct crier_message *message);
/** It is sent: no declaration for guilds of a pattern, and not gone. */
bool crier_message_is_live(const struct crier_message *message);

/** A declared sink: opened, or taken over from the running generation. */
struct crier_declared_sink {
    char *name;
    const struct crier_sink_driver *driver;
    struct crier_options common, options; /**< a SECRET is here as where it is: see
                                               crier_secret_reference */
    struct crier_declared_sink *fallback; /**< resolved when all is declared; NULL: none */
    struct crier_sink *sink;          /**< NULL until opened */
    unsigned long code;               /**< checksum of the files that its code came from, as they
                                           were when it was opened */
    unsigned long secrets;            /**< checksum of what its secrets said then */
    const char *reopened;             /**< why it is not kept at this reload, where that is not
                                           seen in its options; NULL: else */
    bool opening;                     /**< while sinks are opened, fallbacks first */
    const struct crier_sink_env *env; /**< where it was opened; lives as long as the process */
    bool kept;                        /**< taken over from the running generation */
    bool ended;                       /**< the host stops, and has asked for its end */
    const char *file;
    int line;
    bool routed; /**< a rule names it */
    int functions; /**< custom: registry ref of the table that the script gave; 0: none */
};

/** crier.on */
struct crier_hook {
    char *event;
    int fn;
    char *where;
};

/** A crier.state table. */
struct crier_state_table {
    char *key;
    int ref;      /**< registry ref of the table */
    char *loaded; /**< JSON that it was filled from; NULL: it started from `initial` */
    char *saved;  /**< JSON as last put */
};

struct crier_generation {
    int refs;
    unsigned number; /**< 1, 2, ... as the host counts them; 0 while building */
    char *file;      /**< as the user named it: "bot.lua" */
    char *path;      /**< absolute */
    char *folder;    /**< absolute */
    char hash[5];    /**< of the loaded files' bytes: shows in status and reload */
    struct crier_vm *vm;
    struct crier_config config;
    struct crier_zone *zone;
    struct crier_diags diags;
    GPtrArray *bots, *targets, *messages, *sinks, *rules, *transforms, *hooks, *states;
    GPtrArray *late_targets, *late_messages; /**< [loop] made while it runs; see crier_message_at */
    guint added;               /**< of these, by callbacks: not those of patterns */
    struct crier_diags late_diags; /**< of declarations by callbacks */
    bool late;                 /**< one is being read */
    bool last_author;          /**< crier.not_last_author is used */
    GPtrArray *alerts; /**< struct crier_alert (script/alert.h) */
    GPtrArray *responders; /**< struct crier_responder (script/reply.h) */
    GPtrArray *tasks; /**< struct crier_task (script/task.h) */
    GPtrArray *logs; /**< struct crier_record: crier.log while loading; they get their ids when the
                          generation runs */
    GHashTable *secret_env; /**< names of the variables that crier.secret.env was called with; NULL:
                                 none. Commands don't get them */
    GHashTable *log_levels;      /**< logger -> level; "*": all others */
    struct crier_logger *loggers; /**< of this state (api_log.c) */
    /** Of records that are kept: what was logged while loading, fields bound to loggers. Two,
     *  because a finalizer may log while the fields of another call are being read. */
    struct crier_builder builders[2];
    bool logging;        /**< the first is in use */
    GHashTable *srcmaps; /**< file -> struct crier_srcmap */
    GHashTable *strings; /**< interned file names */
    struct crier_router *router;
    struct crier_host *host; /**< NULL until swapped in */
    bool dying;              /**< its end is posted: see crier_generation_unref */
    bool retired;            /**< a newer generation has taken over */
    struct crier_timer state_timer, drain_timer, route_timer;
    int64_t state_cost; /**< what the last saving of crier.state tables took */
    void (*on_free)(struct crier_generation *gen); /**< the host's */
    bool virtual_time;
    const struct crier_build *build; /**< while building */
};

/** What a build may use. */
struct crier_build {
    const char *file;         /**< the script */
    const char *state_folder; /**< --state; NULL: as the script says */
    struct crier_clock *clock;
    bool sim;
    const char *const *sim_allow; /**< as in struct crier_sink_env; lives as long as the process */
    const struct crier_app *app; /**< functions of the program; NULL: none. Outlives the
                                      generation */
    uint64_t seed;     /**< virtual time: math.random; 0 is one, too */
    GHashTable *overlay; /**< file -> its text, in place of what is on disk; absolute paths */
    bool dry;          /**< virtual time: as in struct crier_sink_env */
    bool (*sink_fault)(void *arg, const char *sink, size_t count, enum crier_verdict *verdict,
                       size_t *done, struct crier_err *err); /**< as there */
    void *sink_fault_arg;
    bool need_secrets; /**< a bot's token that is not set is an error, not a warning */
    bool open_sinks;   /**< false for check and plan: nothing is opened or written */
    struct crier_generation *previous; /**< the running one: its sinks may be taken over. Not
                                            changed by the build */
    /** The stored JSON of a crier.state table, malloc'ed, or NULL. Called on the builder thread. */
    char *(*state_get)(void *arg, const char *state_folder, const char *key);
    void *arg;
};

/** Evaluate, validate, open what is new. Always returns a generation, whose diags tell everything
 *  that is wrong; it may only be swapped in when diags.errors is 0. */
struct crier_generation *crier_generation_build(const struct crier_build *build);
/** What `open_sinks` does, later: the first generation opens its sinks when the state folder is
 *  locked. Faults are added to diags. */
void crier_generation_open(struct crier_generation *gen, const struct crier_build *build);
/** Secrets take the place of their references in a sink's options, before they go to the driver. */
CRIER_CHECK int crier_generation_resolve(const struct crier_generation *gen,
                                         struct crier_options *options, struct crier_err *err);
struct crier_generation *crier_generation_ref(struct crier_generation *gen);
/** The last reference: freed at once, or, once it has run, in the loop's next turn: the caller may
 *  be one of its own callbacks. */
void crier_generation_unref(struct crier_generation *gen);

/** The state folder in effect: `given` (--state), else config.state, else .crier beside the
 *  script; with "/sim" behind it when sim. Caller frees. */
char *crier_generation_state_folder(const struct crier_generation *gen, const char *given,
                                    bool sim);

/** The stored JSON of a crier.state table as it was when loading began; malloc'ed, or NULL. */
char *crier_generation_stored_state(struct crier_generation *gen, const char *key);

/** Whether the script declares an alert. */
bool crier_generation_has_alerts(const struct crier_generation *gen);

/** All messages, and targets: those of the script first, then those made while it runs. */
guint crier_message_total(const struct crier_generation *gen); /**< those that are sent */
guint crier_message_count(const struct crier_generation *gen);
struct crier_message *crier_message_at(const struct crier_generation *gen, guint i);
guint crier_target_count(const struct crier_generation *gen);
struct crier_target *crier_target_at(const struct crier_generation *gen, guint i);

/** A message that is made while the generation runs, with its target, into the lists; consumes the
 *  reference. And out of them, with its place there; one of the script stays, and is gone. */
void crier_message_join(struct crier_message *message);
void crier_message_leave(struct crier_message *message);

/** The guild of a pattern: a target with copies of its messages, in no list yet; a reference. */
struct crier_target *crier_target_instance(struct crier_target *pattern, uint64_t id,
                                           const char *name);
/** A message of such a guild: a reference, in no list yet; bound arguments of its data function are
 *  copied. */
struct crier_message *crier_message_instance(struct crier_message *declared,
                                             struct crier_target *guild);
/** Its identity, once it has a target: "GUILD 863071397207212052/gallery", or without a name
 *  "USER 1/DirectMESSAGE:send::1" (type, mode, channels, ordinal among equals). */
char *crier_message_key(const struct crier_message *message, int ordinal);
/** For people: "gallery", or "TextMESSAGE at bot.lua:14". Into out; returns out. */
const char *crier_message_label(const struct crier_message *message, char *out, size_t cap);

/** The diff of two generations, for `reload`: lines "+ message gallery        (bot.lua:45)",
 *  "~ ...", "- ...". Sets the counts. */
struct crier_diff_counts {
    int added, changed, removed, kept;
};
void crier_generation_diff(const struct crier_generation *old, const struct crier_generation *new_,
                           struct crier_buf *out, struct crier_diff_counts *counts);
/** [loop] The same for what callbacks have added, changed and removed in the old one: it ends with
 *  it. */
void crier_generation_diff_late(const struct crier_generation *old,
                                const struct crier_generation *new_, struct crier_buf *out,
                                struct crier_diff_counts *counts);

#endif
