/* SPDX-License-Identifier: MIT
 *
 * The inside of the host, shared by the files of this folder: host.c starts and stops it, bots.c
 * keeps the bots' clients, reload.c builds and swaps generations, control.c answers the control
 * socket, watch.c sees files change.
 *
 * Thread: [loop].
 */
#ifndef CRIER_HOST_PRIVATE_H
#define CRIER_HOST_PRIVATE_H

#include <uv.h>

#include "base/control.h"
#include "discord/view.h"
#include "host/host.h"
#include "host/watch.h"
#include "script/declare.h"
#include "script/message.h"
#include "script/task.h"

/* Exit codes: README.md, Commands. */
enum {
    EXIT_NO_FILE = 66,
    EXIT_INTERNAL = 70,
    EXIT_IN_USE = 75,
    EXIT_REFUSED = 77,
    EXIT_CONFIG = 78,
};

/* A bot's client; outlives generations that declare the bot alike. */
struct host_bot {
    struct crier_host *host;
    char *name, *api, *token;
    int per_second;
    struct crier_discord *client;
    struct crier_view *view;
    char *me;      /* its name on Discord, once known */
    bool ready;    /* accepted, or given up */
    char *trouble; /* why it is not reached; NULL: it is, or has not been tried for long */
    int64_t complain_at, complaint; /* when to say so next, and after how long again */
    int64_t asked_at;               /* the last time that it was tried */
    struct crier_timer ask;         /* until the next one */
    bool refused;
    struct host_gateway *gateway; /* NULL: it needs none (host/gateway.h) */
    bool by_reload; /* not of the generation that the host started with */
};

struct crier_host {
    const struct crier_host_config *config;
    struct crier_clock *clock;
    struct crier_loop *loop;
    struct crier_transport *http; /* crier.http, and bots that talk to a server */
    struct crier_transport *inline_transport;
    struct crier_sim *sim;
    struct crier_sim_server *sim_server;
    char *sim_api;
    char *state_folder;
    int lock;
    struct crier_state *state;
    struct crier_source source;
    struct crier_builder builder, spare;
    bool logging; /* a log call reads its fields */
    const struct crier_sink *about; /* the sink that the record under way tells of */
    bool from_sink;                 /* the record under way is what a sink's function has logged */
    uint64_t seq_reserved;
    struct crier_rng rng;
    struct crier_gateway_sockets *sockets; /* NULL until a gateway is opened */
    struct event_queue *events;            /* of the gateways; NULL until there is one */
    struct crier_poster *poster;
    struct crier_tasker *tasker;
    struct crier_alerts *alerts;
    GPtrArray *bots, *old_bots;
    struct crier_breaker breaker; /* of all bots: they share the network address */
    struct crier_generation *current;
    GPtrArray *draining; /* retired generations that have not ended, oldest first */
    unsigned generations, reloads;
    char *last_error; /* of the last reload that was refused */
    struct crier_control *control;
    struct crier_watch *watch;
    uv_signal_t signals[4];
    int signal_count;
    struct crier_timer for_timer, stop_timer;
    bool stopping, cut_off, over, stopped;
    int code;
    int64_t stop_by;        /* when limits.stop is over */
    GPtrArray *ending;      /* sinks that have been asked to end; a reference each */
    bool ending_all;        /* the last of them ends the loop */
    guint left_behind;      /* of those that end: nobody waits for them any more */
    GHashTable *down_sinks; /* names of those whose hook sink.down was called */
    int64_t started_wall;
    struct build_job *job; /* a reload under way */
    bool again;            /* another was asked for meanwhile */
    GPtrArray *waiting;    /* connections that wait for the reload */
    GPtrArray *waiting_next;
    bool targets_posted;  /* crier_host_targets_changed */
    GPtrArray *followers; /* control_logs.c: clients that get each record */
};

/* host.c */

/** Posted when something under way has ended: the last one ends the stop. arg: the host. */
void crier_host_check_idle(void *arg);
/** For hooks: an event as a table of texts: name, value, name, value, NULL. */
void crier_push_texts(lua_State *L, void *arg);
/** Callbacks that a generation gets at its swap. */
void crier_host_router_note(void *arg, const struct crier_router_note *note);
void crier_host_router_due(void *gen, int64_t within);
void crier_host_route_timer(struct crier_timer *timer);
void crier_host_stall(struct crier_vm *vm, const char *what, int64_t us);
void crier_host_state_timer(struct crier_timer *timer);

/** Ask a sink to end; it is kept until it has. */
void crier_host_end_sink(struct crier_host *host, struct crier_sink *sink, int64_t within);

/* bots.c */

/** See to it that the declared bot has a client: the one that it had, or a new one. */
void crier_bot_adopt(struct crier_host *host, const struct crier_bot *decl,
                     const struct crier_generation *gen);
/** For GPtrArray. */
void crier_bot_free(void *bot);
/** Discord does not accept the bot, and why; the last bot that was left ends the host. */
void crier_bot_refused(struct host_bot *bot, const char *why);
/** Whether the present generation has it; one that a reload removed only ends its requests. */
bool crier_bot_is_declared(const struct crier_host *host, const struct host_bot *bot);
/** The simulator gets what the script names and it does not have yet. */
void crier_host_furnish_sim(struct crier_host *host, const struct crier_generation *gen);

/* reload.c */

/** What a build gets of this host. */
struct crier_build crier_host_build(const struct crier_host *host);

/** The point of no return: everything before it was judged good. */
void crier_host_swap(struct crier_host *host, struct crier_generation *gen);

/* control.c */

void crier_host_on_request(void *arg, struct crier_control_conn *conn, json_t *request);
/** The exit code for what went wrong with a request. */
int crier_host_code_of(const struct crier_err *err);

/* control_event.c */
void crier_control_cmd_event(struct crier_host *host, struct crier_control_conn *conn,
                             json_t *request);

/* control_message.c, control_why.c, control_eval.c */
void crier_control_cmd_message(struct crier_host *host, struct crier_control_conn *conn,
                               json_t *request);
void crier_control_cmd_why(struct crier_host *host, struct crier_control_conn *conn,
                           json_t *request);
void crier_control_cmd_eval(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request);

/* control_metrics.c */
void crier_control_cmd_metrics(struct crier_host *host, struct crier_control_conn *conn);

/* control_logs.c */

void crier_control_cmd_logs(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request);
void crier_control_cmd_call(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request);
/** Each record that was handed to the sinks (crier_router_on_record). arg: the host. */
void crier_host_tap(void *arg, const struct crier_router *router, struct crier_record *record,
                    const void *to);
/** No more records come: the followers are told. */
void crier_host_end_followers(struct crier_host *host);

/* control_task.c */
void crier_control_cmd_task(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request);
/** Counts; *list: the tasks, a hundred of them or all. */
json_t *crier_host_task_status(struct crier_host *host, bool all, json_t **list);

/* control_source.c */
void crier_control_cmd_source(struct crier_host *host, struct crier_control_conn *conn);

/* control_sink.c */

/** gone: those too that a reload has removed and that have not ended yet. */
json_t *crier_host_sink_status(struct crier_host *host, bool gone);
void crier_control_cmd_sink(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request);

#endif
