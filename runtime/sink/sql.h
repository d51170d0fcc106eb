/* SPDX-License-Identifier: MIT
 *
 * The inside of the sql sink: one log in a relational database, over ODBC.
 *
 *     sql.c          the driver: options, write, query, idle
 *     sql_dsn.c      connection strings: what is added, what may be shown
 *     sql_conn.c     handles, statements, and what a diagnostic means (enum crier_sql_fault)
 *     sql_dialect.c  what the four engines call things: types, marks, limits, upserts
 *     sql_schema.c   tables, views, functions and triggers; their version
 *     sql_import.c   the original's tables, taken over
 *     sql_rows.c     a record as cells
 *     sql_write.c    cells into tables, one transaction a batch
 *     sql_query.c    a query as WHERE with bound values
 *     sql_read.c     rows as records; changing and deleting
 *     sql_event.c    the fold of an event's phases
 *     sql_stats.c    methods: success_rate, exec
 *     sql_table.c    a plain table of task runs
 *
 * Text goes through ODBC as UTF-8 in SQL_C_CHAR, times as text in UTC, so that no driver gets at
 * their fractions. Statements are ASCII; every value is bound.
 *
 * Thread: everything here belongs to the sink's worker once the sink has been opened.
 */
#ifndef CRIER_SINK_SQL_H
#define CRIER_SINK_SQL_H

#include <glib.h>
#include <sql.h>
#include <sqlext.h>

#include "record/read.h"
#include "sink/sink.h"

/* ---- faults ---- */

/** What went wrong, by who has to do something about it. */
enum crier_sql_fault {
    CRIER_SQL_OK,
    CRIER_SQL_LOST,   /**< no connection any more: what was sent may have been done */
    CRIER_SQL_DENIED, /**< the login or a permission: more tries are no use */
    CRIER_SQL_LATER,  /**< the server cannot take it now: locks, a full disk, anything unknown */
    CRIER_SQL_AGAIN,  /**< deadlock or serialisation failure: the same transaction, at once */
    CRIER_SQL_SCHEMA, /**< a table, view or column is missing */
    CRIER_SQL_STALE,  /**< a row that others refer to is gone: what was remembered is wrong */
    CRIER_SQL_RECORD, /**< a value is what the database cannot take */
};

/* ---- dialects ---- */

/** Types of columns. */
enum crier_sql_type {
    CRIER_SQL_INT,  /**< small numbers, lookup keys */
    CRIER_SQL_BIG,  /**< 64 bits */
    CRIER_SQL_REAL, /**< double */
    CRIER_SQL_BOOL,
    CRIER_SQL_TIME, /**< UTC with microseconds, bound and read as "2026-11-21 22:31:10.123456" */
    CRIER_SQL_ID,   /**< a record's id */
    CRIER_SQL_HASH, /**< 64 hexadecimal digits */
    CRIER_SQL_NAME, /**< text that an index holds, up to the dialect's name_max characters */
    CRIER_SQL_TEXT, /**< any length */
    CRIER_SQL_TYPES
};

enum crier_sql_engine {
    CRIER_SQL_SQLITE,
    CRIER_SQL_POSTGRESQL,
    CRIER_SQL_MARIADB, /**< and MySQL */
    CRIER_SQL_SQLSERVER
};

struct crier_sql_dialect {
    enum crier_sql_engine engine;
    const char *name;                   /**< for messages */
    const char *types[CRIER_SQL_TYPES]; /**< in CREATE TABLE */
    const char *marks[CRIER_SQL_TYPES]; /**< a bound value: "?" or "CAST(? AS bigint)" */
    const char *serial;                 /**< type of a key that counts by itself */
    const char *quotes;                 /**< around names that are words of the language: `""` */
    const char *time_out;               /**< a time as text; %s is the column */
    const char *suffix;                 /**< behind the ")" of CREATE TABLE */
    size_t max_params;                  /**< of a statement */
    size_t max_rows;                    /**< of a statement: more gains nothing */
    size_t name_max;                    /**< characters of a NAME; 0: any */
    bool exact_text;                    /**< = on texts means the same bytes */
    bool own_begin;             /**< transactions by statements (below) instead of by ODBC */
    const char *setup;          /**< statements after connecting, each ended by ';' */
    const char *on_begin;       /**< a statement at the beginning of each transaction that writes */
    const char *const *objects; /**< views, functions, triggers: statements in order, NULL ends */
    const char *present; /**< SELECT the number of tables and objects of the schema that are there;
                              %s stands for the list of the tables' names */
    int object_count;    /**< what `present` counts beside the tables */
    const char *exists;  /**< SELECT how many tables have the name that is bound; NULL: try it */
    const char *find_table;  /**< SELECT the name of the table %s, which is in small letters there,
                                  as it is spelled */
    const char *find_column; /**< SELECT how many tables %s have the column %s, both likewise */
};
extern const struct crier_sql_dialect crier_sql_dialects[4];

/* ---- connection strings ---- */

/** What stands in `dsn`, read. */
struct crier_sql_dsn {
    char *text;                  /**< for SQLDriverConnect; holds the password */
    char *shown;                 /**< for messages: "PostgreSQL Unicode, 127.0.0.1, bot" */
    char *password;              /**< NULL: none */
    char *driver;                /**< NULL: a data source names it */
    char *server;                /**< NULL: none is named */
    char *file;                  /**< SQLite's, absolute; NULL: not known, or in memory */
    bool local;                  /**< a file or this machine */
    enum crier_sql_engine guess; /**< by the driver's name */
};
/** `dsn`: a data source's name or "Driver=...;Key=value"; user and password may be NULL. Relative
 *  file names are made absolute against folder, and what the driver needs for speed or
 *  correctness is added where nothing is said about it. CRIER_ECONFIG: no driver of that name is
 *  installed (the text names those that are), or not of that form. */
CRIER_CHECK int crier_sql_dsn_read(struct crier_sql_dsn *out, const char *dsn, const char *user,
                                   const char *password, const char *folder, bool read_only,
                                   struct crier_err *err);
void crier_sql_dsn_fini(struct crier_sql_dsn *dsn); /**< wipes the password */
/** Replace each occurrence of the password by stars. */
void crier_sql_hide(const struct crier_sql_dsn *dsn, char *text);

/* ---- connections ---- */

struct crier_sql_conn {
    struct crier_sql_dsn dsn;
    const struct crier_sql_dialect *dialect; /**< known once connected */
    int64_t timeout;                         /**< microseconds, of the login */
    unsigned epoch;                          /**< counts connections */
    /* private */
    SQLHENV env;
    SQLHDBC dbc;
    bool connected, begun;
};

/** A value to bind, or to compare with. */
struct crier_sql_cell {
    enum crier_sql_type type;
    bool null;
    union {
        int64_t i; /* INT BIG BOOL */
        double n;
        struct crier_str s;
    };
    SQLLEN ind; /* private: while it is bound */
};
#define CRIER_SQL_CELL_NULL(type_)                                                                 \
    (struct crier_sql_cell)                                                                        \
    {                                                                                              \
        .type = (type_), .null = true                                                              \
    }
#define CRIER_SQL_CELL_INT(type_, i_)                                                              \
    (struct crier_sql_cell)                                                                        \
    {                                                                                              \
        .type = (type_), .i = (i_)                                                                 \
    }
#define CRIER_SQL_CELL_STR(type_, s_)                                                              \
    (struct crier_sql_cell)                                                                        \
    {                                                                                              \
        .type = (type_), .s = (s_)                                                                 \
    }

/** Each of these: CRIER_SQL_OK, or a fault with err filled (place, fault, remedy; no password). A
 *  connection that is found to be lost is closed. */
CRIER_CHECK enum crier_sql_fault crier_sql_connect(struct crier_sql_conn *conn,
                                                   struct crier_err *err);
void crier_sql_disconnect(struct crier_sql_conn *conn);
CRIER_CHECK enum crier_sql_fault crier_sql_exec(struct crier_sql_conn *conn, const char *text,
                                                struct crier_err *err);
CRIER_CHECK enum crier_sql_fault crier_sql_begin(struct crier_sql_conn *conn,
                                                 struct crier_err *err);
CRIER_CHECK enum crier_sql_fault crier_sql_commit(struct crier_sql_conn *conn,
                                                  struct crier_err *err);
void crier_sql_rollback(struct crier_sql_conn *conn);
CRIER_CHECK enum crier_sql_fault crier_sql_prepare(struct crier_sql_conn *conn, const char *text,
                                                   SQLHSTMT *stmt, struct crier_err *err);
/** Bind the cells and execute; they stay valid until then. */
CRIER_CHECK enum crier_sql_fault crier_sql_run(struct crier_sql_conn *conn, SQLHSTMT stmt,
                                               struct crier_sql_cell *cells, size_t count,
                                               struct crier_err *err);
/** The next row; *more is false behind the last one. */
CRIER_CHECK enum crier_sql_fault crier_sql_fetch(struct crier_sql_conn *conn, SQLHSTMT stmt,
                                                 bool *more, struct crier_err *err);
/** Column `column` (from 1) as text behind what is in b; *null: it is NULL, nothing is added. */
CRIER_CHECK enum crier_sql_fault crier_sql_text(struct crier_sql_conn *conn, SQLHSTMT stmt,
                                                int column, struct crier_buf *b, bool *null,
                                                struct crier_err *err);
/** Column as a number; NULL is 0. */
CRIER_CHECK enum crier_sql_fault crier_sql_int(struct crier_sql_conn *conn, SQLHSTMT stmt,
                                               int column, int64_t *out, struct crier_err *err);
void crier_sql_end(SQLHSTMT stmt); /**< close the cursor; the statement can be run again */
/** Frees `*stmt`, which may be NULL, and sets it to NULL: a disconnect freed it already. */
void crier_sql_free(const struct crier_sql_conn *conn, SQLHSTMT *stmt);
/** What a SQLSTATE (or, where the engine has none, its own number) means. */
enum crier_sql_fault crier_sql_fault_of(enum crier_sql_engine engine, const char state[6],
                                        int native, const char *text);

/* ---- schema ---- */

/** 2: the index of MessageLOG by what was sent. */
#define CRIER_SQL_SCHEMA_VERSION 2

struct crier_sql_column {
    const char *name;
    enum crier_sql_type type;
    const char *rest; /**< "NOT NULL", references; NULL: nothing */
};
struct crier_sql_table {
    const char *name;
    const struct crier_sql_column *columns;
    size_t count;
    bool serial;                /**< has a column `id` that counts by itself, before the others */
    const char *constraints;    /**< behind the columns; NULL: none */
    const char *const *indexes; /**< "name(columns)", NULL ends */
    const char *key;            /**< what makes a row a duplicate: a column's name, or two */
    bool keep;                  /**< a row with this key is left as it is (else: written over) */
};
enum crier_sql_table_id {
    CRIER_SQL_T_MESSAGE_TYPE,
    CRIER_SQL_T_MESSAGE_MODE,
    CRIER_SQL_T_GUILD_TYPE,
    CRIER_SQL_T_GUILD_USER,
    CRIER_SQL_T_CHANNEL,
    CRIER_SQL_T_DATA_HISTORY,
    CRIER_SQL_T_MESSAGE_LOG,
    CRIER_SQL_T_MESSAGE_CHANNEL_LOG,
    CRIER_SQL_T_TASK_LOG,
    CRIER_SQL_T_EVENT_LOG,
    CRIER_SQL_T_RECORD_LOG,
    CRIER_SQL_TABLES
};
extern const struct crier_sql_table crier_sql_tables[CRIER_SQL_TABLES];

/** The statement that makes a table, and one for each index; each is handed to fn. */
void crier_sql_table_ddl(const struct crier_sql_dialect *d, const struct crier_sql_table *table,
                         void (*fn)(void *arg, const char *text), void *arg);
/** All statements of the schema, in order; the last ones write its version. */
void crier_sql_schema_ddl(const struct crier_sql_dialect *d,
                          void (*fn)(void *arg, const char *text), void *arg);
struct crier_sql;
/** Make what is missing; a database of an older version or of the original is migrated, one of a
 *  newer version is CRIER_SQL_DENIED (code CRIER_EVERSION). */
CRIER_CHECK enum crier_sql_fault crier_sql_schema_make(struct crier_sql *s, struct crier_err *err);
/** Whether all of it is there, and of this version. */
CRIER_CHECK enum crier_sql_fault crier_sql_schema_check(struct crier_sql_conn *conn, bool *whole,
                                                        struct crier_err *err);
/** A time's column as text, in a SELECT. */
void crier_sql_put_time(const struct crier_sql_dialect *d, struct crier_buf *b, const char *column);
/** A name, in the dialect's quotes where it is a word of the language or not plain. */
void crier_sql_put_name(const struct crier_sql_dialect *d, struct crier_buf *b, const char *name);
/** INSERT of `rows` rows, with the key's duplicates left out (or written over). */
void crier_sql_insert_text(const struct crier_sql_dialect *d, const struct crier_sql_table *table,
                           size_t rows, struct crier_buf *b);

/* ---- rows ---- */

/** Where a record goes. */
enum crier_sql_place { CRIER_SQL_MESSAGE, CRIER_SQL_TASK, CRIER_SQL_OTHER, CRIER_SQL_PLACES };
/** The table of a place. */
const struct crier_sql_table *crier_sql_place_table(enum crier_sql_place place);

struct crier_sql_guild {
    uint64_t snowflake;
    struct crier_str name;
    int type; /* row of GuildTYPE */
};
struct crier_sql_target {
    uint64_t snowflake;
    struct crier_str name;
    struct crier_str reason; /* data NULL: sent */
};

/** A record made ready to be written. What it points to belongs to the record or to `text`. */
struct crier_sql_row {
    enum crier_sql_place place;
    const struct crier_record *record;
    char id[27], time[32];
    struct crier_str rest; /* JSON */
    /* messages */
    struct crier_sql_guild guild;
    int type, mode; /* rows of MessageTYPE, MessageMODE; mode 0: NULL */
    struct crier_str content, dm_reason;
    char hash[65];
    size_t targets, target_count; /* in the batch's list */
};

/** Rows of a batch; reused. Zero-initialised is valid. */
struct crier_sql_rows {
    struct crier_sql_row *rows;
    size_t count, cap;
    struct crier_sql_target *targets;
    size_t target_count, target_cap;
    /* private */
    GStringChunk *text;
    GChecksum *sum;
    struct crier_buf b;
};
void crier_sql_rows_fini(struct crier_sql_rows *rows);
void crier_sql_rows_make(struct crier_sql_rows *rows, const struct crier_sql_dialect *d,
                         struct crier_record *const *records, size_t count);
/** A time as it is bound. */
const char *crier_sql_time(int64_t us, char out[32]);
/** Text for a column: NUL, which no engine takes, becomes U+2400. Made in chunk when needed. */
struct crier_str crier_sql_plain(GStringChunk *chunk, struct crier_str s);

/* ---- the sink ---- */

struct crier_sql_model; /* sql_table.c */

struct crier_sql {
    const struct crier_sink_env *env;
    char *name;
    char *refused; /* why no connection is made; NULL: none of that */
    struct crier_sql_conn conn;
    int64_t keep; /* microseconds; 0: for ever */
    bool read_only;

    /* plain tables */
    const struct crier_sql_model *model; /* NULL: the whole schema */
    char *table, *id_field;
    bool create;

    /* of this connection */
    unsigned epoch;
    bool ready;          /* the schema is there */
    bool remake;         /* or it is not, whatever a look says */
    bool writing;        /* the connection stood when the last write began */
    GHashTable *inserts; /* statement's key -> SQLHSTMT */
    int64_t keep_at, check_at;

    /* what is in the database already */
    GHashTable *guilds, *channels, *contents;

    struct crier_sql_rows rows;
    struct crier_sql_cell *cells;
    size_t cell_count, cell_cap;
    char suspect[27]; /* id of the record that the connection was lost at, so many times */
    unsigned suspect_times;
};

/** Connected, with the schema there and the caches of this connection. */
CRIER_CHECK enum crier_sql_fault crier_sql_ready(struct crier_sql *s, struct crier_err *err);
void crier_sql_caches_init(struct crier_sql *s);
void crier_sql_caches_fini(struct crier_sql *s);
/** Forget what was read of the database. */
void crier_sql_forget(struct crier_sql *s);
/** A prepared statement, kept until the connection goes. `key` names it: the same text always. */
CRIER_CHECK enum crier_sql_fault crier_sql_statement(struct crier_sql *s, unsigned key,
                                                     void (*text)(struct crier_sql *s, unsigned key,
                                                                  struct crier_buf *b),
                                                     SQLHSTMT *out, struct crier_err *err);

/** [worker] The driver's write. */
enum crier_verdict crier_sql_write(struct crier_sql *s, struct crier_record *const *records,
                                   size_t count, size_t *done, struct crier_err *err);
/** Write records within the transaction that is open. */
CRIER_CHECK enum crier_sql_fault crier_sql_store(struct crier_sql *s,
                                                 struct crier_record *const *records, size_t count,
                                                 struct crier_err *err);
/** Insert cells (rows x columns of the table). */
CRIER_CHECK enum crier_sql_fault crier_sql_insert(struct crier_sql *s,
                                                  enum crier_sql_table_id table,
                                                  struct crier_sql_cell *cells, size_t rows,
                                                  struct crier_err *err);

/** What a fault of a question becomes for the one who asked. */
int crier_sql_code(enum crier_sql_fault fault);

/* ---- queries ---- */

/** The WHERE of a query in one place's table. Every record that matches is found by it; `exact`:
 *  and no other one. `none`: no record of this place can match. */
struct crier_sql_where {
    struct crier_buf text; /* empty: no condition */
    struct crier_sql_cell *cells;
    size_t count, cap;
    bool exact, none;
    GStringChunk *chunk;
};
void crier_sql_where_make(struct crier_sql_where *where, const struct crier_sql_dialect *d,
                          enum crier_sql_place place, const struct crier_query *query,
                          bool columns_only);
void crier_sql_where_fini(struct crier_sql_where *where);

int crier_sql_query(struct crier_sql *s, const struct crier_query *query,
                    struct crier_record ***hits, size_t *count, struct crier_err *err);
int crier_sql_change(struct crier_sql *s, const struct crier_query *query, const json_t *fields,
                     uint64_t *changed, struct crier_err *err);
/** Delete what is older than the option `keep` says. */
CRIER_CHECK enum crier_sql_fault crier_sql_retain(struct crier_sql *s, struct crier_err *err);

/** The phases of an event, each a reference for the caller. */
CRIER_CHECK enum crier_sql_fault crier_sql_phases(struct crier_sql *s, struct crier_str node,
                                                  struct crier_str event,
                                                  struct crier_record ***out, size_t *count,
                                                  struct crier_err *err);
/** Fold the phases of these events, which are in the database, into event_log. */
CRIER_CHECK enum crier_sql_fault crier_sql_fold(struct crier_sql *s,
                                                struct crier_record *const *records, size_t count,
                                                struct crier_err *err);

/** [worker] Methods of the driver: success_rate{...}, exec(sql, params). */
int crier_sql_success_rate(void *self, const json_t *args, json_t **result, struct crier_err *err);
int crier_sql_do(void *self, const json_t *args, json_t **result, struct crier_err *err);

/* ---- the original's database ---- */

/** Whether its tables stand where ours go; or whether they were renamed already. */
CRIER_CHECK enum crier_sql_fault crier_sql_import_find(struct crier_sql *s, bool *found,
                                                       struct crier_err *err);
CRIER_CHECK enum crier_sql_fault crier_sql_import_begun(struct crier_sql *s, bool *begun,
                                                        struct crier_err *err);
/** Put them out of the way; and, with ours made, write each of its logs into them. */
CRIER_CHECK enum crier_sql_fault crier_sql_import_rename(struct crier_sql *s,
                                                         struct crier_err *err);
CRIER_CHECK enum crier_sql_fault crier_sql_import_copy(struct crier_sql *s, struct crier_err *err);

/* ---- plain tables ---- */

/** What a plain table holds: "minimal", "log" or "run". NULL: no such model. */
const struct crier_sql_model *crier_sql_model_find(const char *name);
enum crier_sql_fault crier_sql_table_make(struct crier_sql *s, struct crier_err *err);
enum crier_sql_fault crier_sql_table_store(struct crier_sql *s, struct crier_record *const *records,
                                           size_t count, struct crier_err *err);
int crier_sql_table_query(struct crier_sql *s, const struct crier_query *query,
                          struct crier_record ***hits, size_t *count, struct crier_err *err);

#endif
