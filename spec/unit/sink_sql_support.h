/* SPDX-License-Identifier: MIT
 *
 * What the tests of the sql sink share: servers of their own in a temporary folder, and a second
 * connection that looks at what is there.
 */
#ifndef SINK_SQL_SUPPORT_H
#define SINK_SQL_SUPPORT_H

#include "sink_lines_support.h"

#include <glob.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "sink/sql.h"

enum server { SQLITE, POSTGRESQL, MARIADB, SQLSERVER };

static enum server server;
static pid_t server_pid;
static char server_dir[64], server_bin[256], dsn[512];
static bool fake; /* SQLSERVER: spec/support/tds.py, which has no functions and no procedures */
static int fake_port;

static inline void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* As root: the user that the server wants to be. */
static inline const char *as_user(void)
{
    if (geteuid() != 0)
        return "";
    return server == POSTGRESQL ? "setpriv --reuid=postgres --regid=postgres --clear-groups"
                                : "setpriv --reuid=mysql --regid=mysql --clear-groups";
}

static inline int shell(const char *fmt, ...) CRIER_PRINTF(1, 2);
static inline int shell(const char *fmt, ...)
{
    char command[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    return system(command);
}

static inline bool fake_up(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/port", server_dir);
    FILE *f = fopen(path, "r");
    bool up = f && fscanf(f, "%d", &fake_port) == 1;
    if (f)
        fclose(f);
    return up;
}

static inline bool server_up(void)
{
    if (server == SQLSERVER)
        return fake_up();
    if (server == POSTGRESQL)
        return shell("%s/pg_isready -q -h %s", server_bin, server_dir) == 0;
    return shell("mariadb-admin --no-defaults -uroot -S %s/s ping >/dev/null 2>&1", server_dir) ==
           0;
}

static inline void server_start(void)
{
    char command[1024];
    if (server == SQLITE || (server == SQLSERVER && !fake))
        return;
    if (server == SQLSERVER) {
        shell("rm -f %s/port", server_dir);
        snprintf(command, sizeof command, "exec python3 %.*s/../support/tds.py %s %d >>%s/log 2>&1",
                 (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__, server_dir, fake_port,
                 server_dir);
    } else if (server == POSTGRESQL)
        snprintf(command, sizeof command,
                 "exec %s %s/postgres -D %s/data -k %s -c listen_addresses='' -c fsync=off -c "
                 "max_connections=20 >>%s/log 2>&1",
                 as_user(), server_bin, server_dir, server_dir, server_dir);
    else
        snprintf(command, sizeof command,
                 "exec %s mariadbd --no-defaults --datadir=%s/data --socket=%s/s --skip-networking "
                 "--pid-file=%s/pid --innodb-flush-log-at-trx-commit=2 "
                 "--log-bin-trust-function-creators=1 >>%s/log 2>&1",
                 as_user(), server_dir, server_dir, server_dir, server_dir);
    /* After a kill the children of the old one hold its memory for a while. */
    server_pid = 0;
    for (int i = 0; i < 2400; i++) {
        if (!server_pid && (server_pid = fork()) == 0) {
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
            _exit(127);
        }
        if (server_up())
            return;
        if (waitpid(server_pid, NULL, WNOHANG) == server_pid)
            server_pid = 0;
        pause_ms(50);
    }
    fail_msg("the server does not start: see %s/log", server_dir);
}

static inline void server_stop(int sig)
{
    if (!server_pid)
        return;
    kill(server_pid, sig);
    waitpid(server_pid, NULL, 0);
    server_pid = 0;
}

/* False: it is not installed. */
static inline bool server_find(void)
{
    glob_t found;
    if (server == SQLITE)
        return true;
    fake = server == SQLSERVER && !getenv("CRIER_SQLSERVER_DSN");
    if (server == SQLSERVER)
        return !fake || system("python3 -c 'import sqlite3' >/dev/null 2>&1 && "
                               "odbcinst -q -d -n FreeTDS >/dev/null 2>&1") == 0;
    if (server == MARIADB)
        return system("command -v mariadbd mariadb-install-db >/dev/null 2>&1") == 0;
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) != 0)
        return false;
    snprintf(server_bin, sizeof server_bin, "%.*s",
             (int)(strlen(found.gl_pathv[found.gl_pathc - 1]) - strlen("/initdb")),
             found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return true;
}

static inline int server_make(void **state)
{
    (void)state;
    strcpy(server_dir, "/tmp/crier-sql-XXXXXX");
    if (!mkdtemp(server_dir))
        return -1;
    if (server == SQLITE || server == SQLSERVER) {
        server_start();
        return 0;
    }
    if (geteuid() == 0)
        shell("chown %s %s", server == POSTGRESQL ? "postgres" : "mysql", server_dir);
    int rc = server == POSTGRESQL
                 ? shell("%s %s/initdb -D %s/data -A trust -U crier -E UTF8 --locale=C.UTF-8 "
                         "--no-sync >%s/log 2>&1",
                         as_user(), server_bin, server_dir, server_dir)
                 : shell("%s mariadb-install-db --no-defaults --datadir=%s/data "
                         "--auth-root-authentication-method=normal --skip-test-db >%s/log 2>&1",
                         as_user(), server_dir, server_dir);
    if (rc == 0)
        server_start();
    return rc;
}

static inline int server_remove(void **state)
{
    (void)state;
    server_stop(SIGKILL);
    return shell("rm -rf %s", server_dir);
}

/* Ours is not to make a database there: what is in it goes. */
static inline int empty_sqlserver(void)
{
    static const char *const drops[] = {
        "DROP VIEW IF EXISTS vMessageLogFullDETAIL",
        "DROP FUNCTION IF EXISTS fn_log_success_rate",
        "DROP FUNCTION IF EXISTS fn_guilduser_success_rate",
        "DROP PROCEDURE IF EXISTS sp_save_log",
        "DROP TYPE IF EXISTS t_tmp_channel_log",
        ("DROP TABLE IF EXISTS MessageChannelLOG, MessageLOG, CHANNEL, GuildUSER, DataHISTORY, "
         "MessageTYPE, MessageMODE, GuildTYPE, task_log, event_log, record_log, crier_schema"),
        ("DROP TABLE IF EXISTS daf_MessageChannelLOG, daf_MessageLOG, daf_CHANNEL, daf_GuildUSER, "
         "daf_DataHISTORY, daf_MessageTYPE, daf_MessageMODE, daf_GuildTYPE"),
    };
    struct crier_sql_conn conn = {.timeout = 10 * CRIER_S};
    struct crier_err err = {0};
    bool good = crier_sql_dsn_read(&conn.dsn, dsn, NULL, NULL, NULL, false, &err) == 0 &&
                crier_sql_connect(&conn, &err) == CRIER_SQL_OK;
    for (size_t i = 0; good && i < CRIER_COUNT(drops); i++)
        good = crier_sql_exec(&conn, drops[i], &err) == CRIER_SQL_OK;
    good = good && crier_sql_commit(&conn, &err) == CRIER_SQL_OK;
    if (!good)
        print_error("%s\n", err.text);
    crier_sql_disconnect(&conn);
    crier_sql_dsn_fini(&conn.dsn);
    return good ? 0 : -1;
}

/* A fresh database for each test. */
static inline int database_make(void **state)
{
    if (make_test_folder(state) != 0)
        return -1;
    switch (server) {
    case SQLITE:
        snprintf(dsn, sizeof dsn, "Driver=SQLite3;Database=log.db");
        return 0;
    case SQLSERVER:
        if (fake)
            snprintf(dsn, sizeof dsn,
                     "Driver=FreeTDS;Server=127.0.0.1;Port=%d;Database=bot;UID=crier;PWD=s3cret",
                     fake_port);
        else
            snprintf(dsn, sizeof dsn, "%s", getenv("CRIER_SQLSERVER_DSN"));
        return empty_sqlserver();
    case POSTGRESQL:
        snprintf(dsn, sizeof dsn,
                 "Driver={PostgreSQL Unicode};Server=%s;Port=5432;Database=bot;"
                 "UID=crier",
                 server_dir);
        return shell("%s/psql -q -h %s -U crier -d postgres -c 'DROP DATABASE IF EXISTS bot WITH "
                     "(FORCE)' -c 'CREATE DATABASE bot' 2>/dev/null",
                     server_bin, server_dir);
    default:
        snprintf(dsn, sizeof dsn, "Driver={MariaDB Unicode};Socket=%s/s;Database=bot;UID=root",
                 server_dir);
        return shell("mariadb --no-defaults -uroot -S %s/s -e 'DROP DATABASE IF EXISTS bot; CREATE "
                     "DATABASE bot'",
                     server_dir);
    }
}

/* ---- looking ---- */

static struct crier_sql_conn eye;

static inline void look_open(void)
{
    struct crier_err err = {0};
    eye = (struct crier_sql_conn){.timeout = 10 * CRIER_S};
    if (crier_sql_dsn_read(&eye.dsn, dsn, NULL, NULL, folder, false, &err) != 0 ||
        crier_sql_connect(&eye, &err) != CRIER_SQL_OK)
        fail_msg("%s", err.text);
}

static inline void look_close(void)
{
    crier_sql_disconnect(&eye);
    crier_sql_dsn_fini(&eye.dsn);
}

static struct crier_buf looked;

/** All rows as text: columns by '|', rows by '\n', NULL as "-". */
static inline const char *look(const char *fmt, ...) CRIER_PRINTF(1, 2);
static inline const char *look(const char *fmt, ...)
{
    struct crier_err err = {0};
    char text[4096];
    bool more = true, null;
    SQLHSTMT stmt = NULL;
    SQLSMALLINT columns = 0;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    crier_buf_clear(&looked);
    crier_buf_puts(&looked, "");
    enum crier_sql_fault fault = crier_sql_prepare(&eye, text, &stmt, &err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&eye, stmt, NULL, 0, &err);
    SQLNumResultCols(stmt, &columns);
    while (fault == CRIER_SQL_OK && columns) {
        fault = crier_sql_fetch(&eye, stmt, &more, &err);
        if (fault != CRIER_SQL_OK || !more)
            break;
        if (looked.len)
            crier_buf_putc(&looked, '\n');
        for (int i = 1; i <= columns; i++) {
            if (i > 1)
                crier_buf_putc(&looked, '|');
            fault = crier_sql_text(&eye, stmt, i, &looked, &null, &err);
            if (null)
                crier_buf_putc(&looked, '-');
        }
    }
    if (fault != CRIER_SQL_OK)
        fail_msg("%s: %s", text, err.text);
    crier_sql_free(&eye, &stmt);
    if (!eye.dialect->own_begin)
        SQLEndTran(SQL_HANDLE_DBC, eye.dbc, SQL_COMMIT);
    return looked.data;
}

static inline long look_number(const char *text)
{
    return atol(look("%s", text));
}

#endif
