/* SPDX-License-Identifier: MIT */
#include "state/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/worker.h"

enum {
    APPLICATION_ID = 0x43524945, /* "CRIE" */
    SCHEMA_VERSION = 1,
    BUSY_MS = 1000,
};
#define RETRY_US (5 * CRIER_S)
#define SYNC_US (1 * CRIER_S)

/* Shared between the loop's map and the worker's transactions. */
struct value {
    atomic_int refs;
    char text[];
};

struct change {
    struct change *next;
    const char *section; /* interned */
    char *key;           /* GRefString, shared with the map */
    struct value *value; /* NULL: remove */
};

struct done {
    struct done *next;
    void (*fn)(void *arg, int rc);
    void *arg;
};

/* What one transaction writes, in the order of the puts. */
struct batch {
    GHashTable *index; /* a set of struct change, by section and key; borrowed from the list */
    struct change *head, **tail;
    struct done *dones, **dones_tail;
    int rc;
};

struct crier_state {
    char *path;
    bool read_only;
    bool memory; /* there is no file: no batches, no worker */
    sqlite3 *db; /* the opener's, then the worker's, then the closer's */
    sqlite3_stmt *upsert, *delete;

    GHashTable *sections; /* [loop] name -> GHashTable of key -> struct value */
    struct crier_loop *loop;
    struct crier_worker *worker;
    int64_t sync_due; /* [worker] commits are synced to the disk then; CRIER_NEVER: all are */

    pthread_mutex_t lock; /* guards what follows */
    struct batch *pending;
    struct batch *flight; /* being written; its index does not change meanwhile */
    bool failing;
    struct crier_state_stats stats;
};

/* --- the lock ------------------------------------------------------------------------------ */

/* The holder's pid, 0 when the file does not tell (yet). */
static long read_pid(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

int crier_state_lock(const char *folder, int *lock_fd, struct crier_err *err)
{
    int rc = crier_mkdirs(folder, true, err);
    if (rc != 0)
        return rc;
    char *path = crier_path_join(folder, "lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot open the state folder's lock '%s'", path);
        goto out;
    }
    while ((rc = flock(fd, LOCK_EX | LOCK_NB)) != 0 && errno == EINTR)
        ;
    if (rc != 0 && errno == EWOULDBLOCK) {
        long pid = read_pid(fd);
        if (pid > 0)
            rc = crier_err_set(err, CRIER_EBUSY, "state folder '%s' is in use by pid %ld", folder,
                               pid);
        else
            rc = crier_err_set(err, CRIER_EBUSY, "state folder '%s' is in use by another process",
                               folder);
        goto out;
    }
    if (rc != 0) {
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot lock '%s'", path);
        goto out;
    }
    /* The pid is only there to be named: without room for it the lock holds all the same. */
    if (ftruncate(fd, 0) == 0)
        dprintf(fd, "%ld\n", (long)getpid());
    *lock_fd = fd;
    fd = -1;
out:
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

/* The file stays: removing it would let two hosts lock two files of one name. */
void crier_state_unlock(int lock_fd)
{
    if (lock_fd < 0)
        return;
    if (ftruncate(lock_fd, 0) != 0)
        errno = 0;
    close(lock_fd);
}

/* --- values and batches -------------------------------------------------------------------- */

static struct value *value_new(const char *text, size_t len)
{
    struct value *v = crier_malloc(sizeof *v + len + 1);
    atomic_init(&v->refs, 1);
    memcpy(v->text, text, len);
    v->text[len] = '\0';
    return v;
}

static struct value *value_ref(struct value *v)
{
    if (v)
        atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

static void value_unref(void *arg)
{
    struct value *v = arg;
    if (v && atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1)
        free(v);
}

static void release_key(void *arg)
{
    g_ref_string_release(arg);
}

static guint change_hash(gconstpointer p)
{
    const struct change *c = p;
    return g_str_hash(c->section) * 31 + g_str_hash(c->key);
}

static gboolean change_equal(gconstpointer p, gconstpointer q)
{
    const struct change *a = p, *b = q;
    return strcmp(a->key, b->key) == 0 && strcmp(a->section, b->section) == 0;
}

static struct batch *batch_new(void)
{
    struct batch *b = crier_calloc(1, sizeof *b);
    b->index = g_hash_table_new(change_hash, change_equal);
    b->tail = &b->head;
    b->dones_tail = &b->dones;
    return b;
}

static void batch_free(struct batch *b)
{
    if (!b)
        return;
    g_hash_table_destroy(b->index);
    while (b->head) {
        struct change *c = b->head;
        b->head = c->next;
        g_ref_string_release(c->key);
        value_unref(c->value);
        free(c);
    }
    while (b->dones) {
        struct done *d = b->dones;
        b->dones = d->next;
        free(d);
    }
    free(b);
}

static struct change *batch_find(const struct batch *b, const char *section, char *key)
{
    struct change like = {.section = section, .key = key};
    return b ? g_hash_table_lookup(b->index, &like) : NULL;
}

static void batch_append(struct batch *b, struct change *c)
{
    c->next = NULL;
    *b->tail = c;
    b->tail = &c->next;
    g_hash_table_add(b->index, c);
}

static void batch_put(struct batch *b, const char *section, char *key, struct value *value)
{
    struct change *c = batch_find(b, section, key);
    if (c) {
        value_unref(c->value);
        c->value = value_ref(value);
        return;
    }
    c = crier_calloc(1, sizeof *c);
    c->section = section;
    c->key = g_ref_string_acquire(key);
    c->value = value_ref(value);
    batch_append(b, c);
}

static void batch_done(struct batch *b, void (*fn)(void *arg, int rc), void *arg)
{
    struct done *d = crier_calloc(1, sizeof *d);
    d->fn = fn;
    d->arg = arg;
    *b->dones_tail = d;
    b->dones_tail = &d->next;
}

/* [loop] */
static void tell(void *arg)
{
    struct batch *b = arg;
    for (struct done *d = b->dones; d; d = d->next)
        d->fn(d->arg, b->rc);
    batch_free(b);
}

static void tell_soon(struct crier_state *state, struct batch *b, int rc)
{
    b->rc = rc;
    if (!b->dones)
        batch_free(b);
    else if (state->loop)
        crier_loop_post(state->loop, tell, b);
    else
        tell(b);
}

/* --- SQLite -------------------------------------------------------------------------------- */

static int code_of(int sqlite_rc)
{
    switch (sqlite_rc & 0xff) {
    case SQLITE_OK:
        return 0;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return CRIER_ECORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return CRIER_EBUSY;
    default:
        return CRIER_EIO;
    }
}

static int damaged(const struct crier_state *state, const char *why, struct crier_err *err)
{
    return crier_err_set(err, CRIER_ECORRUPT,
                         "the state file is damaged or not crier's (%s); it is kept as it is: move "
                         "'%s' away to start afresh",
                         why, state->path);
}

static int sqlite_err(const struct crier_state *state, int sqlite_rc, struct crier_err *err)
{
    int code = code_of(sqlite_rc);
    const char *why = state->db ? sqlite3_errmsg(state->db) : sqlite3_errstr(sqlite_rc);
    if (code == CRIER_ECORRUPT)
        return damaged(state, why, err);
    return crier_err_set(err, code, "cannot use the state file '%s': %s", state->path, why);
}

static int exec(const struct crier_state *state, const char *sql, struct crier_err *err)
{
    int rc = sqlite3_exec(state->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sqlite_err(state, rc, err);
}

/* The first column of the first row. */
static int query_int(const struct crier_state *state, const char *sql, int64_t *out,
                     struct crier_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(state->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(stmt, 0);
        rc = SQLITE_OK;
    }
    int code = rc == SQLITE_OK ? 0 : sqlite_err(state, rc, err);
    sqlite3_finalize(stmt);
    return code;
}

static int quick_check(const struct crier_state *state, struct crier_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int code = 0;
    int rc = sqlite3_prepare_v2(state->db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW) {
        code = sqlite_err(state, rc, err);
    } else {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        if (!text || strcmp(text, "ok") != 0)
            code = damaged(state, text ? text : "no answer", err);
    }
    sqlite3_finalize(stmt);
    return code;
}

static GHashTable *section_of(struct crier_state *state, const char *name, bool make)
{
    GHashTable *section = g_hash_table_lookup(state->sections, name);
    if (!section && make) {
        section = g_hash_table_new_full(g_str_hash, g_str_equal, release_key, value_unref);
        g_hash_table_insert(state->sections, crier_strdup(name), section);
    }
    return section;
}

static int load(struct crier_state *state, struct crier_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(state->db, "SELECT section, key, json FROM kv", -1, &stmt, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW)
            break;
        const char *section = (const char *)sqlite3_column_text(stmt, 0);
        const char *key = (const char *)sqlite3_column_text(stmt, 1);
        const char *json = (const char *)sqlite3_column_text(stmt, 2);
        size_t len = (size_t)sqlite3_column_bytes(stmt, 2);
        if (section && key && json)
            g_hash_table_insert(section_of(state, section, true), g_ref_string_new(key),
                                value_new(json, len));
    }
    int code = rc == SQLITE_DONE ? 0 : sqlite_err(state, rc, err);
    sqlite3_finalize(stmt);
    return code;
}

/* One transaction, not yet in WAL mode, so that the file's header itself holds id and version.
 * Nothing of value is in it yet: no sync. */
static int create(const struct crier_state *state, struct crier_err *err)
{
    char sql[320];
    snprintf(sql, sizeof sql,
             "PRAGMA synchronous=OFF; BEGIN IMMEDIATE; PRAGMA application_id=%d; "
             "PRAGMA user_version=%d; CREATE TABLE kv(section TEXT NOT NULL, key TEXT NOT NULL, "
             "json TEXT NOT NULL, PRIMARY KEY(section, key)) WITHOUT ROWID; COMMIT",
             APPLICATION_ID, SCHEMA_VERSION);
    return exec(state, sql, err);
}

/* Reads only; *fresh when there is nothing in the file at all. */
static int check_identity(const struct crier_state *state, bool *fresh, struct crier_err *err)
{
    int64_t tables = 0, id = 0, version = 0;
    int rc = query_int(state, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (rc == 0)
        rc = query_int(state, "PRAGMA application_id", &id, err);
    if (rc == 0)
        rc = query_int(state, "PRAGMA user_version", &version, err);
    if (rc != 0)
        return rc;
    *fresh = !tables && !id && !version;
    if (*fresh)
        return 0;
    if (id != APPLICATION_ID || version < 1)
        return damaged(state, "another program's database", err);
    if (version > SCHEMA_VERSION)
        return crier_err_set(err, CRIER_EVERSION,
                             "the state file is of version %lld, this crier knows version %d: "
                             "install a newer crier, or move '%s' away to start afresh",
                             (long long)version, SCHEMA_VERSION, state->path);
    return 0;
}

/* A host that ended in good order has taken its write-ahead log away. A file that was cut within a
 * page reads as if zeros stood there, which only the check finds. */
static bool left_unclean(const struct crier_state *state)
{
    enum { PAGE = 4096 };
    struct stat st;
    char *wal = crier_asprintf("%s-wal", state->path);
    bool unclean = (stat(wal, &st) == 0 && st.st_size > 0) ||
                   (stat(state->path, &st) == 0 && st.st_size % PAGE != 0);
    free(wal);
    return unclean;
}

static int open_db(struct crier_state *state, bool unclean, struct crier_err *err)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
    char *escaped = g_uri_escape_string(state->path, "/", FALSE);
    char *uri;
    int rc = 0;
    if (state->read_only) {
        /* Immutable: SQLite leaves no files of its own. Where a log lies about it must be read. */
        uri = crier_asprintf("file:%s%s", escaped, unclean ? "" : "?immutable=1");
        flags |= SQLITE_OPEN_READONLY;
        if (access(state->path, R_OK) != 0)
            rc = crier_err_sys(err, errno == ENOENT ? CRIER_ENOTFOUND : CRIER_EIO, errno,
                               "cannot read the state file '%s'", state->path);
    } else {
        uri = crier_asprintf("file:%s", escaped);
        flags |= SQLITE_OPEN_READWRITE;
        int fd = open(state->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            rc = crier_err_sys(err, CRIER_EIO, errno, "cannot open the state file '%s'",
                               state->path);
        else
            close(fd);
    }
    if (rc == 0) {
        int sqlite_rc = sqlite3_open_v2(uri, &state->db, flags, NULL);
        if (sqlite_rc != SQLITE_OK)
            rc = sqlite_err(state, sqlite_rc, err);
    }
    free(uri);
    g_free(escaped);
    return rc;
}

static int prepare(struct crier_state *state, struct crier_err *err)
{
    int rc = exec(state, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL", err);
    if (rc != 0)
        return rc;
    rc = sqlite3_prepare_v3(state->db,
                            "INSERT INTO kv(section, key, json) VALUES(?1, ?2, ?3) "
                            "ON CONFLICT(section, key) DO UPDATE SET json = excluded.json",
                            -1, SQLITE_PREPARE_PERSISTENT, &state->upsert, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v3(state->db, "DELETE FROM kv WHERE section = ?1 AND key = ?2", -1,
                                SQLITE_PREPARE_PERSISTENT, &state->delete, NULL);
    return rc == SQLITE_OK ? 0 : sqlite_err(state, rc, err);
}

static void state_free(struct crier_state *state)
{
    sqlite3_finalize(state->upsert);
    sqlite3_finalize(state->delete);
    sqlite3_close(state->db);
    g_hash_table_destroy(state->sections);
    batch_free(state->pending);
    pthread_mutex_destroy(&state->lock);
    free(state->path);
    free(state);
}

static void free_section(void *arg)
{
    g_hash_table_destroy(arg);
}

int crier_state_open(const char *folder, bool read_only, struct crier_state **out,
                     struct crier_err *err)
{
    struct crier_state *state = crier_calloc(1, sizeof *state);
    bool fresh = false;
    state->path = crier_path_join(folder, "state.db");
    state->read_only = read_only;
    state->sync_due = CRIER_NEVER;
    state->sections = g_hash_table_new_full(g_str_hash, g_str_equal, free, free_section);
    pthread_mutex_init(&state->lock, NULL);

    bool unclean = left_unclean(state);
    int rc = open_db(state, unclean, err);
    if (rc != 0)
        goto out;
    sqlite3_busy_timeout(state->db, BUSY_MS);
    /* Until all is well the file is left as it is, its log included. */
    sqlite3_db_config(state->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    rc = check_identity(state, &fresh, err);
    if (rc == 0 && unclean && !fresh)
        rc = quick_check(state, err);
    if (rc == 0 && fresh && !read_only)
        rc = create(state, err);
    if (rc == 0 && !read_only)
        rc = prepare(state, err);
    /* Reads every page of the table, so that what is missing shows without the check too. */
    if (rc == 0 && !fresh)
        rc = load(state, err);
    if (rc != 0)
        goto out;
    sqlite3_db_config(state->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    *out = state;
    state = NULL;
out:
    if (state)
        state_free(state);
    return rc;
}

int crier_state_open_memory(const char *folder, struct crier_state **out, struct crier_err *err)
{
    struct crier_err why = {0};
    struct crier_state *state = NULL;
    int rc = folder ? crier_state_open(folder, true, &state, &why) : CRIER_ENOTFOUND;
    if (rc != 0 && rc != CRIER_ENOTFOUND) {
        *err = why;
        return rc;
    }
    if (rc != 0) {
        state = crier_calloc(1, sizeof *state);
        state->sections = g_hash_table_new_full(g_str_hash, g_str_equal, free, free_section);
        pthread_mutex_init(&state->lock, NULL);
    }
    state->read_only = false;
    state->memory = true;
    *out = state;
    return 0;
}

/* --- writing behind ------------------------------------------------------------------------ */

static int write_change(const struct crier_state *state, const struct change *c)
{
    sqlite3_stmt *stmt = c->value ? state->upsert : state->delete;
    sqlite3_bind_text(stmt, 1, c->section, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, c->key, -1, SQLITE_STATIC);
    if (c->value)
        sqlite3_bind_text(stmt, 3, c->value->text, -1, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int write_batch(const struct crier_state *state, const struct batch *b,
                       struct crier_err *err)
{
    int rc = sqlite3_exec(state->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (const struct change *c = b->head; c && rc == SQLITE_OK; c = c->next)
        rc = write_change(state, c);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(state->db, "COMMIT", NULL, NULL, NULL);
    int code = rc == SQLITE_OK ? 0 : sqlite_err(state, rc, err);
    if (!sqlite3_get_autocommit(state->db))
        sqlite3_exec(state->db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

/* What could not be written goes before what came meanwhile, unless it was overtaken. */
static void give_back(struct crier_state *state, struct batch *failed)
{
    struct batch *later = state->pending;
    struct batch *merged = batch_new();
    while (failed->head) {
        struct change *c = failed->head;
        failed->head = c->next;
        g_hash_table_remove(failed->index, c);
        batch_append(merged, c);
    }
    failed->tail = &failed->head;
    if (later) {
        for (struct change *c = later->head; c; c = c->next)
            batch_put(merged, c->section, c->key, c->value);
        merged->dones = later->dones;
        if (merged->dones)
            merged->dones_tail = later->dones_tail;
        later->dones = NULL;
        batch_free(later);
    }
    state->pending = merged;
}

/* Writes what there is. Returns 0 or a code, with the values kept. */
static int flush(struct crier_state *state)
{
    struct crier_err err = {0};
    pthread_mutex_lock(&state->lock);
    struct batch *b = state->flight = state->pending;
    state->pending = NULL;
    pthread_mutex_unlock(&state->lock);
    if (!b)
        return 0;

    int rc = write_batch(state, b, &err);

    pthread_mutex_lock(&state->lock);
    state->flight = NULL;
    state->failing = rc != 0;
    if (rc == 0) {
        state->stats.transactions++;
    } else {
        state->stats.failures++;
        give_back(state, b);
    }
    memcpy(state->stats.last_error, err.text, sizeof err.text);
    pthread_mutex_unlock(&state->lock);
    tell_soon(state, b, rc);
    return rc;
}

/* Commits in WAL mode are safe from kill -9 at once; this makes them safe from power loss. */
static void sync_log(struct crier_state *state)
{
    sqlite3_file *wal = NULL;
    sqlite3_file_control(state->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (!wal || !wal->pMethods || wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL) == SQLITE_OK)
        return;
    pthread_mutex_lock(&state->lock);
    state->stats.failures++;
    snprintf(state->stats.last_error, sizeof state->stats.last_error,
             "the disk did not take the state file's log '%s-wal'", state->path);
    pthread_mutex_unlock(&state->lock);
}

static int64_t step(void *arg, int64_t now)
{
    struct crier_state *state = arg;
    uint64_t before = state->stats.transactions; /* only this thread writes it */
    if (flush(state) != 0)
        return now + RETRY_US;
    if (crier_clock_is_virtual(crier_loop_clock(state->loop)))
        return CRIER_NEVER;
    if (now >= state->sync_due) {
        sync_log(state);
        state->sync_due = CRIER_NEVER;
    } else if (state->stats.transactions != before && state->sync_due == CRIER_NEVER) {
        state->sync_due = now + SYNC_US;
    }
    return state->sync_due;
}

void crier_state_start(struct crier_state *state, struct crier_loop *loop)
{
    assert(!state->read_only);
    state->loop = loop;
    if (state->memory)
        return;
    state->worker = crier_worker_start(loop, "crier-state", step, state);
}

void crier_state_close(struct crier_state *state)
{
    if (!state)
        return;
    if (state->worker)
        crier_worker_stop(state->worker);
    if (!state->read_only && !state->memory && flush(state) != 0)
        fprintf(stderr, "crier: %u changes of state are lost: %s\n",
                g_hash_table_size(state->pending->index), state->stats.last_error);
    state_free(state);
}

/* --- the map ------------------------------------------------------------------------------- */

static struct value *find(struct crier_state *state, const char *section, const char *key)
{
    GHashTable *entries = section_of(state, section, false);
    return entries ? g_hash_table_lookup(entries, key) : NULL;
}

const char *crier_state_get(struct crier_state *state, const char *section, const char *key)
{
    struct value *v = find(state, section, key);
    return v ? v->text : NULL;
}

struct pair {
    char *key;
    struct value *value;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

/* On a copy with references of its own, so that fn may put. */
void crier_state_each(struct crier_state *state, const char *section,
                      void (*fn)(void *arg, const char *key, const char *json), void *arg)
{
    GHashTable *entries = section_of(state, section, false);
    size_t n = 0;
    if (!entries)
        return;
    struct pair *pairs = crier_calloc(g_hash_table_size(entries) + 1, sizeof *pairs);
    GHashTableIter it;
    gpointer key, value;
    g_hash_table_iter_init(&it, entries);
    while (g_hash_table_iter_next(&it, &key, &value))
        pairs[n++] = (struct pair){g_ref_string_acquire(key), value_ref(value)};
    qsort(pairs, n, sizeof *pairs, by_key);
    for (size_t i = 0; i < n; i++) {
        fn(arg, pairs[i].key, pairs[i].value->text);
        g_ref_string_release(pairs[i].key);
        value_unref(pairs[i].value);
    }
    free(pairs);
}

/* The map's own copy of the key, or a new one. The caller releases it. */
static char *shared_key(struct crier_state *state, const char *section, const char *key)
{
    GHashTable *entries = section_of(state, section, false);
    gpointer known;
    if (entries && g_hash_table_lookup_extended(entries, key, &known, NULL))
        return g_ref_string_acquire(known);
    return g_ref_string_new(key);
}

static void put_memory(struct crier_state *state, const char *section, const char *key,
                       const char *json, void (*done)(void *arg, int rc), void *arg)
{
    GHashTable *entries = section_of(state, section, json != NULL);
    state->stats.puts++;
    if (json)
        g_hash_table_insert(entries, shared_key(state, section, key),
                            value_new(json, strlen(json)));
    else if (entries)
        g_hash_table_remove(entries, key);
    if (done) {
        struct batch *written = batch_new();
        batch_done(written, done, arg);
        tell_soon(state, written, 0);
    }
}

void crier_state_put(struct crier_state *state, const char *section_name, const char *key_text,
                     const char *json, void (*done)(void *arg, int rc), void *arg)
{
    assert(!state->read_only);
    if (state->memory) {
        put_memory(state, section_name, key_text, json, done, arg);
        return;
    }
    const char *section = g_intern_string(section_name);
    char *key = shared_key(state, section, key_text);
    struct value *old = find(state, section, key);
    bool same = old ? json && strcmp(old->text, json) == 0 : !json;
    struct value *value = json && !same ? value_new(json, strlen(json)) : value_ref(old);
    struct batch *written = NULL;

    pthread_mutex_lock(&state->lock);
    state->stats.puts++;
    bool owed = batch_find(state->pending, section, key) || batch_find(state->flight, section, key);
    bool wake = !state->pending || state->failing;
    if (same && !owed) {
        written = batch_new(); /* it is in the file already */
        if (done)
            batch_done(written, done, arg);
        wake = false;
    } else {
        if (!state->pending)
            state->pending = batch_new();
        batch_put(state->pending, section, key, json ? value : NULL);
        if (done)
            batch_done(state->pending, done, arg);
    }
    pthread_mutex_unlock(&state->lock);

    if (written)
        tell_soon(state, written, 0);
    if (json && !same)
        g_hash_table_insert(section_of(state, section, true), g_ref_string_acquire(key),
                            value_ref(value));
    else if (!json && old)
        g_hash_table_remove(section_of(state, section, false), key);
    g_ref_string_release(key);
    value_unref(value);
    if (wake && state->worker)
        crier_worker_wake(state->worker);
}

void crier_state_stats(struct crier_state *state, struct crier_state_stats *out)
{
    pthread_mutex_lock(&state->lock);
    *out = state->stats;
    out->pending = (state->pending ? g_hash_table_size(state->pending->index) : 0) +
                   (state->flight ? g_hash_table_size(state->flight->index) : 0);
    pthread_mutex_unlock(&state->lock);
}
