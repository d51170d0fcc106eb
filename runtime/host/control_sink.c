/* SPDX-License-Identifier: MIT
 *
 * The control socket's answers about sinks: how they do, and records moved into one: what a sink
 * that is gone has left in its spool, dead letters, or the records of another sink.
 *
 *     -> {"cmd":"sink","do":"replay","name":"old","to":"sql"}      the spool of "old"
 *     -> {"cmd":"sink","do":"replay","name":"sql","dead":true}     its dead letters
 *     -> {"cmd":"sink","do":"copy","from":"files","to":"sql", ...}  (host/logs.h)
 *     <- {"progress":2000} ...
 *     <- {"done":true,"code":0,"moved":2104,"there":3,"rejected":0,...}
 *
 * It goes page by page: the records of a page that the target has already, by their ids, are left
 * out, the others are pushed, and when the target has answered for all of them the source forgets
 * them and the next page comes. So what was interrupted can be repeated; only a target that cannot
 * be read may then get a page twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/logs.h"
#include "host/private.h"
#include "record/read.h"
#include "sink/spool.h"

#define PAGE CRIER_LOGS_PAGE
#define AT_ONCE 500 /* pushed before the target is waited for */
#define LOOK_EVERY (2 * CRIER_S)

/* --- status -------------------------------------------------------------------------------- */

static json_t *one_status(struct crier_sink *sink)
{
    struct crier_sink_stats st;
    crier_sink_stats(sink, &st);
    char *error = g_utf8_make_valid(st.last_error, -1); /* it may be cut within a character */
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:s}",
                          "name", crier_sink_name(sink), "kind", crier_sink_driver_of(sink)->kind,
                          "accepted", (json_int_t)st.accepted, "written", (json_int_t)st.written,
                          "rejected", (json_int_t)st.rejected, "dropped", (json_int_t)st.dropped,
                          "retries", (json_int_t)st.retries, "queued", (json_int_t)st.queued,
                          "spilled", (json_int_t)st.spilled, "copied", (json_int_t)st.copied,
                          "spool_bytes", (json_int_t)st.spool_bytes, "failing", st.failing, "down",
                          st.down, "error", error);
    g_free(error);
    if (st.down_since)
        json_object_set_new(o, "down_since", json_real((double)st.down_since / 1e6));
    if (st.next_try)
        json_object_set_new(o, "next_try", json_real((double)st.next_try / 1e6));
    return o;
}

json_t *crier_host_sink_status(struct crier_host *host, bool gone)
{
    json_t *list = json_array();
    for (guint i = 0; i < host->current->sinks->len; i++) {
        const struct crier_declared_sink *s = host->current->sinks->pdata[i];
        json_t *o = one_status(s->sink);
        if (s->fallback)
            json_object_set_new(o, "fallback", json_string(s->fallback->name));
        json_array_append_new(list, o);
    }
    for (guint i = 0; gone && i < host->ending->len; i++) {
        json_t *o = one_status(host->ending->pdata[i]);
        json_object_set_new(o, "gone", json_true());
        json_array_append_new(list, o);
    }
    return list;
}

/* --- moving records ------------------------------------------------------------------------ */

struct transfer {
    struct crier_host *host;
    struct crier_control_conn *conn; /* a reference; NULL: nobody waits for it any more */
    struct crier_sink *to;           /* a reference */
    /* Exactly one of these is the source. */
    struct crier_spool *spool;
    FILE *file; /* dead letters, in `path`, to be moved to `aside` */
    struct crier_sink *from;
    char *path, *aside;
    struct crier_logs logs;
    struct crier_reader reader;
    struct crier_record **page;
    size_t count, at, taken; /* at: the next to push; taken: from the source, unreadable ones too */
    GHashTable *ids, *known; /* of the page; those of them that the target has */
    char last[27];           /* the greatest of them */
    size_t at_once;
    bool more, busy; /* busy: an answer of a sink is awaited */
    struct crier_timer look;
    bool told; /* that the target does not work */
    uint64_t moved, there, refused, bad;
    struct crier_sink_stats before;
};

static void next_page(struct transfer *t);
static void push_some(struct transfer *t);

static void drop_page(struct transfer *t)
{
    for (size_t i = 0; i < t->count; i++)
        crier_record_unref(t->page[i]);
    free(t->page);
    t->page = NULL;
    t->count = t->at = 0;
    g_hash_table_remove_all(t->known);
    g_hash_table_remove_all(t->ids);
}

static void transfer_free(struct transfer *t)
{
    if (t->conn || t->busy)
        return;
    drop_page(t);
    crier_timer_stop(t->host->loop, &t->look);
    crier_spool_close(t->spool);
    if (t->file)
        fclose(t->file);
    crier_sink_unref(t->from);
    crier_sink_unref(t->to);
    crier_logs_fini(&t->logs);
    crier_reader_fini(&t->reader);
    g_hash_table_destroy(t->known);
    g_hash_table_destroy(t->ids);
    free(t->path);
    free(t->aside);
    free(t);
}

static void on_gone(void *arg)
{
    struct transfer *t = arg;
    crier_control_unref(t->conn);
    t->conn = NULL;
    transfer_free(t);
}

static void finish(struct transfer *t, int code, const char *error)
{
    struct crier_control_conn *conn = t->conn;
    struct crier_sink_stats now;
    crier_sink_stats(t->to, &now);
    uint64_t rejected = now.rejected - t->before.rejected,
             dropped = now.dropped - t->before.dropped;
    /* What else came to the target meanwhile is among these: no more than what was moved. */
    uint64_t lost = rejected + dropped < t->moved ? rejected + dropped : t->moved;
    json_t *extra = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "to", crier_sink_name(t->to),
                              "moved", (json_int_t)(t->moved - lost), "there", (json_int_t)t->there,
                              "refused", (json_int_t)t->refused, "unreadable", (json_int_t)t->bad,
                              "rejected", (json_int_t)rejected, "dropped", (json_int_t)dropped);
    if (t->aside)
        json_object_set_new(extra, "aside", json_string(t->aside));
    if (error)
        json_object_set_new(extra, "error", json_string(error));
    else if (rejected || dropped || t->bad)
        code = 1;
    crier_control_on_close(conn, NULL, NULL);
    crier_control_finish(conn, code, extra);
    t->conn = NULL;
    crier_control_unref(conn);
    transfer_free(t);
}

/* All of it has been answered for. */
static void complete(struct transfer *t)
{
    if (t->file && rename(t->path, t->aside) != 0) {
        char *error = crier_asprintf("cannot rename '%s': %s", t->path, strerror(errno));
        finish(t, 69, error);
        free(error);
        return;
    }
    finish(t, 0, NULL);
}

/* --- the target ---------------------------------------------------------------------------- */

static void page_done(struct transfer *t)
{
    /* A stopping sink answers, too; what it has not written is found by its id the next time. */
    if (t->spool && !t->host->stopping)
        crier_spool_ack(t->spool, t->taken);
    drop_page(t);
    t->busy = true; /* the reply may find that the client has gone */
    crier_control_reply(t->conn, json_pack("{s:I}", "progress", (json_int_t)t->moved));
    t->busy = false;
    if (!t->conn)
        transfer_free(t);
    else if (t->more)
        next_page(t);
    else
        complete(t);
}

static void on_flushed(void *arg)
{
    struct transfer *t = arg;
    t->busy = false;
    crier_timer_stop(t->host->loop, &t->look);
    if (!t->conn)
        transfer_free(t);
    else if (t->at < t->count)
        push_some(t);
    else
        page_done(t);
}

static void on_look(struct crier_timer *timer)
{
    struct transfer *t = CRIER_CONTAINER(timer, struct transfer, look);
    struct crier_sink_stats st;
    crier_sink_stats(t->to, &st);
    if (st.failing && !t->told && t->conn) {
        t->told = true;
        crier_control_reply(t->conn, json_pack("{s:s}", "waiting", st.last_error));
        return;
    }
    t->told = st.failing;
    crier_timer_in(t->host->loop, timer, LOOK_EVERY);
}

/* No more than the target's queue holds, whatever it does with what is too much. */
static void push_some(struct transfer *t)
{
    for (size_t n = 0; n < t->at_once && t->at < t->count; t->at++) {
        char id[27];
        crier_record_id(t->page[t->at], id);
        if (g_hash_table_contains(t->known, id)) {
            t->there++;
        } else if (t->from && !crier_sink_takes_routed(t->to, t->page[t->at])) {
            t->refused++;
        } else {
            crier_sink_push(t->to, t->page[t->at]);
            t->moved++;
            n++;
        }
    }
    t->busy = true;
    t->look.fire = on_look;
    crier_timer_in(t->host->loop, &t->look, LOOK_EVERY);
    crier_sink_hurry(t->to);
    crier_sink_flush(t->to, on_flushed, t);
}

/* --- what the target has ------------------------------------------------------------------- */

static void on_known(void *arg, struct crier_record **hits, size_t count,
                     const struct crier_err *err);

/* Its records between two ids, in their order, so many at once. */
static void ask_known(struct transfer *t, const char *from, bool behind, const char *to)
{
    struct crier_query *query = crier_query_new(NULL);
    struct crier_value v[2] = {{.type = CRIER_STR, .s = {from, 26}},
                               {.type = CRIER_STR, .s = {to, 26}}};
    struct crier_err err = {0};
    int rc = crier_query_add(query, "id", behind ? CRIER_OP_GT : CRIER_OP_GE, &v[0], 1, &err);
    if (rc == 0)
        rc = crier_query_add(query, "id", CRIER_OP_LE, &v[1], 1, &err);
    crier_query_phases(query);
    crier_query_order(query, "id", false);
    query->limit = PAGE;
    if (rc != 0) {
        crier_query_free(query);
        finish(t, crier_host_code_of(&err), err.text);
        return;
    }
    t->busy = true;
    crier_sink_query(t->to, query, on_known, t);
}

static void on_known(void *arg, struct crier_record **hits, size_t count,
                     const struct crier_err *err)
{
    struct transfer *t = arg;
    char id[27] = "", last[27];
    t->busy = false;
    for (size_t i = 0; i < count; i++) {
        crier_record_id(hits[i], id);
        if (t->conn && g_hash_table_contains(t->ids, id))
            g_hash_table_add(t->known, crier_strdup(id));
        crier_record_unref(hits[i]);
    }
    free(hits);
    memcpy(last, t->last, sizeof last);
    if (!t->conn)
        transfer_free(t);
    else if (err && err->code)
        finish(t, crier_host_code_of(err), err->text);
    else if (count == PAGE && strcmp(id, last) < 0)
        ask_known(t, id, true, last);
    else
        push_some(t);
}

static void give_page(struct transfer *t)
{
    char first[27] = "", id[27];
    if (!t->count || !crier_sink_driver_of(t->to)->query) {
        push_some(t);
        return;
    }
    *t->last = '\0';
    for (size_t i = 0; i < t->count; i++) {
        crier_record_id(t->page[i], id);
        g_hash_table_add(t->ids, crier_strdup(id));
        if (!*first || strcmp(id, first) < 0)
            memcpy(first, id, sizeof first);
        if (strcmp(id, t->last) > 0)
            memcpy(t->last, id, sizeof t->last);
    }
    ask_known(t, first, false, t->last);
}

/* --- the sources --------------------------------------------------------------------------- */

static void add_to_page(struct transfer *t, struct crier_record *record)
{
    if (!t->page)
        t->page = crier_calloc(PAGE, sizeof *t->page);
    t->page[t->count++] = record;
}

/* False: what is there is of another version, and has to stay. */
static bool read_spool(struct transfer *t, struct crier_err *err)
{
    struct crier_spool_entry entry;
    t->more = true;
    for (t->taken = 0; t->taken < PAGE; t->taken++) {
        struct crier_record *record;
        if (!crier_spool_read(t->spool, &entry)) {
            t->more = false;
            break;
        }
        int rc = crier_record_from_bytes(entry.data, entry.len, &record, err);
        if (rc == CRIER_EVERSION)
            return false;
        if (rc == 0)
            add_to_page(t, record);
        else
            t->bad++;
    }
    return true;
}

static void read_letters(struct transfer *t)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = 0;
    while (t->count < PAGE && (n = getline(&line, &cap, t->file)) >= 0) {
        struct crier_record *record = NULL;
        json_t *letter = json_loadb(line, (size_t)n, 0, NULL);
        char *json = json_dumps(json_object_get(letter, "record"), JSON_COMPACT);
        if (json && crier_reader_read(&t->reader, json, strlen(json), &record, NULL) == 0)
            add_to_page(t, record);
        else if (n > 1)
            t->bad++;
        free(json);
        json_decref(letter);
    }
    t->more = n >= 0;
    free(line);
}

static void on_page(void *arg, struct crier_record **hits, size_t count,
                    const struct crier_err *err)
{
    struct transfer *t = arg;
    t->busy = false;
    t->page = hits;
    t->count = count;
    if (!t->conn) {
        transfer_free(t);
    } else if (err && err->code) {
        finish(t, crier_host_code_of(err), err->text);
    } else {
        t->more = crier_logs_took(&t->logs, t->page, t->count);
        give_page(t);
    }
}

static void next_page(struct transfer *t)
{
    struct crier_query *query;
    struct crier_err err = {0};
    if (t->from && crier_logs_page(&t->logs, &query, &err) == 0) {
        t->busy = true;
        crier_sink_query(t->from, query, on_page, t);
        return;
    }
    if (t->file)
        read_letters(t);
    else if (t->spool)
        read_spool(t, &err);
    if (err.code == CRIER_EVERSION || (t->from && err.code))
        finish(t, crier_host_code_of(&err), err.text);
    else
        give_page(t);
}

/* --- requests ------------------------------------------------------------------------------ */

static const char *text(const json_t *request, const char *key)
{
    return json_string_value(json_object_get(request, key));
}

/* The sink that records are moved into. */
static int open_target(struct transfer *t, const char *name, struct crier_err *err)
{
    struct crier_declared_sink *s;
    if (!name)
        return crier_err_set(err, CRIER_EINVAL, "into which sink? (--to NAME)");
    int rc = crier_logs_find(t->host->current, name, &s, err);
    if (rc != 0)
        return rc;
    if (s->driver->in_order)
        return crier_err_set(
            err, CRIER_EINVAL,
            "sink '%s' (%s) takes what is older than its last record for a repeat: "
            "move records into another one",
            name, s->driver->kind);
    t->to = crier_sink_ref(s->sink);
    crier_sink_stats(t->to, &t->before);
    size_t room = (size_t)crier_options_get(&s->common, "queue")->i / 2;
    t->at_once = room < 1 ? 1 : room < AT_ONCE ? room : AT_ONCE;
    if (t->before.failing)
        return crier_err_set(err, CRIER_ENET,
                             "sink '%s' does not work now (%.150s): try again "
                             "when it does",
                             name, t->before.last_error);
    return 0;
}

static int open_spool(struct transfer *t, const char *name, struct crier_err *err)
{
    const struct crier_spool_config config = {0};
    struct crier_declared_sink *s;
    if (crier_logs_find(t->host->current, name, &s, NULL) == 0)
        return crier_err_set(err, CRIER_EBUSY,
                             "sink '%s' is in use, and writes what it has spooled by itself (its "
                             "dead letters: --dead)",
                             name);
    char *folder = crier_sink_folder(t->host->state_folder, name);
    int rc = access(folder, F_OK) == 0
                 ? crier_spool_open(folder, &config, &t->spool, err)
                 : crier_err_set(err, CRIER_EINVAL,
                                 "no sink '%s' has left anything (crier sink list)", name);
    free(folder);
    return rc;
}

/* The file is moved out of the way first: what the target rejects makes a new one. */
static int open_letters(struct transfer *t, const char *name, struct crier_err *err)
{
    char *folder = crier_sink_folder(t->host->state_folder, name);
    char *letters = crier_asprintf("%s.dead.jsonl", folder), time[32];
    int rc = 0;
    t->path = crier_asprintf("%s.dead.replay.jsonl", folder);
    t->aside = crier_asprintf("%s.dead.done-%.26s.jsonl", folder,
                              crier_time_rfc3339(crier_clock_wall(t->host->clock), time));
    if (access(t->path, F_OK) != 0 && rename(letters, t->path) != 0)
        rc = errno == ENOENT
                 ? crier_err_set(err, CRIER_EINVAL, "sink '%s' has no dead letters", name)
                 : crier_err_sys(err, CRIER_EIO, errno, "cannot rename '%s'", letters);
    if (rc == 0 && !(t->file = fopen(t->path, "re")))
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot read '%s'", t->path);
    free(letters);
    free(folder);
    return rc;
}

static int begin_replay(struct transfer *t, const json_t *request, struct crier_err *err)
{
    const char *name = text(request, "name"), *to = text(request, "to");
    bool dead = json_is_true(json_object_get(request, "dead"));
    if (!name)
        return crier_err_set(err, CRIER_EINVAL, "what which sink has left?");
    int rc = open_target(t, to || !dead ? to : name, err);
    if (rc == 0)
        rc = dead ? open_letters(t, name, err) : open_spool(t, name, err);
    return rc;
}

static int begin_copy(struct transfer *t, json_t *request, struct crier_err *err)
{
    struct crier_generation *gen = t->host->current;
    struct crier_declared_sink *from;
    struct crier_query *query;
    const char *name = text(request, "from"), *to = text(request, "to");
    if (!name)
        return crier_err_set(err, CRIER_EINVAL, "from which sink?");
    int rc = crier_logs_choose(gen, name, false, &from, err);
    if (rc == 0)
        rc = open_target(t, to, err);
    if (rc != 0)
        return rc;
    if (from->sink == t->to)
        return crier_err_set(err, CRIER_EINVAL, "'%s' cannot be copied into itself", name);
    crier_logs_init(&t->logs, request, gen->zone, crier_clock_wall(t->host->clock));
    t->logs.phases = true;
    rc = crier_logs_page(&t->logs, &query, err);
    if (rc == 0) {
        crier_query_free(query);
        t->from = crier_sink_ref(from->sink);
    }
    return rc;
}

void crier_control_cmd_sink(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request)
{
    struct transfer *t = crier_calloc(1, sizeof *t);
    struct crier_err err = {0};
    const char *what = text(request, "do");
    t->host = host;
    t->ids = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    t->known = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    int rc = what && strcmp(what, "copy") == 0 ? begin_copy(t, request, &err)
             : what && strcmp(what, "replay") == 0
                 ? begin_replay(t, request, &err)
                 : crier_err_set(&err, CRIER_EINVAL, "unknown command");
    if (rc != 0) {
        crier_control_finish(conn, crier_host_code_of(&err), json_pack("{s:s}", "error", err.text));
        transfer_free(t);
        return;
    }
    t->conn = crier_control_ref(conn);
    crier_control_on_close(conn, on_gone, t);
    next_page(t);
}
