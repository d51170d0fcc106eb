/* SPDX-License-Identifier: MIT
 *
 * Connection strings: "Driver=SQLite3;Database=crier.db", {braces} around what holds a ';'.
 */
#include "sink/sql.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct pair {
    char *key, *value;
};

/* ---- reading ---- */

static void free_pairs(GArray *pairs)
{
    for (guint i = 0; i < pairs->len; i++) {
        struct pair *p = &g_array_index(pairs, struct pair, i);
        explicit_bzero(p->value, strlen(p->value));
        free(p->key);
        free(p->value);
    }
    g_array_free(pairs, TRUE);
}

static const char *find(const GArray *pairs, const char *names)
{
    for (guint i = 0; i < pairs->len; i++) {
        const struct pair *p = &g_array_index(pairs, struct pair, i);
        size_t len = strlen(p->key);
        for (const char *at = names; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
            if (strncasecmp(at, p->key, len) == 0 && (at[len] == ' ' || at[len] == '\0'))
                return p->value;
    }
    return NULL;
}

static void set(GArray *pairs, const char *key, const char *value)
{
    struct pair p = {crier_strdup(key), crier_strdup(value)};
    for (guint i = 0; i < pairs->len; i++) {
        struct pair *old = &g_array_index(pairs, struct pair, i);
        if (strcasecmp(old->key, key) != 0)
            continue;
        explicit_bzero(old->value, strlen(old->value));
        free(old->key);
        free(old->value);
        *old = p;
        return;
    }
    g_array_append_val(pairs, p);
}

static void set_default(GArray *pairs, const char *key, const char *value)
{
    if (!find(pairs, key))
        set(pairs, key, value);
}

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* A value, in braces (where "}}" is one) or up to the ';'. */
static char *read_value(const char **at)
{
    struct crier_buf b = {0};
    const char *p = skip_blanks(*at);
    if (*p == '{') {
        for (p++; *p && (*p != '}' || p[1] == '}'); p++) {
            p += *p == '}';
            crier_buf_putc(&b, *p);
        }
        p += *p == '}';
        p += strcspn(p, ";");
    } else {
        size_t len = strcspn(p, ";");
        crier_buf_append(&b, p, len);
        p += len;
        while (b.len && strchr(" \t\r\n", b.data[b.len - 1]))
            b.data[--b.len] = '\0';
    }
    *at = p;
    return crier_buf_take(&b);
}

static int read_pairs(const char *text, GArray *pairs, struct crier_err *err)
{
    if (!strchr(text, '=')) {
        set(pairs, "DSN", text);
        return CRIER_OK;
    }
    for (const char *at = skip_blanks(text); *at; at = skip_blanks(at)) {
        size_t len = strcspn(at, "=;");
        if (len && at[len] != '=')
            return crier_err_set(err, CRIER_ECONFIG,
                                 "option 'dsn': expected \"Driver=...;Key=value\" or the name of a "
                                 "data source; part %u has no '='",
                                 pairs->len + 1);
        if (len) {
            char *key = crier_strndup(at, len);
            g_strchomp(key);
            at += len + 1;
            char *value = read_value(&at);
            set(pairs, key, value);
            explicit_bzero(value, strlen(value));
            free(value);
            free(key);
        }
        at += *at == ';';
    }
    return CRIER_OK;
}

/* ---- drivers ---- */

static enum crier_sql_engine guess_engine(const char *driver)
{
    static const struct {
        const char *word;
        enum crier_sql_engine engine;
    } words[] = {{"sqlite", CRIER_SQL_SQLITE},        {"postg", CRIER_SQL_POSTGRESQL},
                 {"psql", CRIER_SQL_POSTGRESQL},      {"maria", CRIER_SQL_MARIADB},
                 {"mysql", CRIER_SQL_MARIADB},        {"libmaodbc", CRIER_SQL_MARIADB},
                 {"libmyodbc", CRIER_SQL_MARIADB},    {"tds", CRIER_SQL_SQLSERVER},
                 {"sql server", CRIER_SQL_SQLSERVER}, {"msodbcsql", CRIER_SQL_SQLSERVER}};
    for (size_t i = 0; driver && i < CRIER_COUNT(words); i++)
        if (strcasestr(driver, words[i].word))
            return words[i].engine;
    return CRIER_SQL_SQLITE;
}

/* What the driver manager knows: drivers, or data sources with their drivers. True: `name` is among
 *  them; its driver is put into `driver`. Otherwise `list` has all names. */
static bool is_installed(bool sources, const char *name, struct crier_buf *list, char **driver)
{
    SQLHENV env = NULL;
    SQLCHAR found[128], more[256];
    bool there = false;
    if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &env)))
        return true;
    SQLSetEnvAttr(env, SQL_ATTR_ODBC_VERSION, (SQLPOINTER)SQL_OV_ODBC3, 0);
    SQLUSMALLINT direction = SQL_FETCH_FIRST;
    for (;;) {
        SQLRETURN rc =
            sources
                ? SQLDataSources(env, direction, found, sizeof found, NULL, more, sizeof more, NULL)
                : SQLDrivers(env, direction, found, sizeof found, NULL, more, sizeof more, NULL);
        if (!SQL_SUCCEEDED(rc))
            break;
        direction = SQL_FETCH_NEXT;
        if (strcasecmp((char *)found, name) == 0) {
            there = true;
            if (driver)
                *driver = crier_strdup((char *)more);
            break;
        }
        crier_buf_printf(list, "%s%s", list->len ? ", " : "", (char *)found);
    }
    SQLFreeHandle(SQL_HANDLE_ENV, env);
    return there;
}

static int no_driver(const char *name, const struct crier_buf *list, struct crier_err *err)
{
    if (!list->len)
        return crier_err_set(
            err, CRIER_ECONFIG,
            "ODBC driver '%.60s' is not installed, and no other is; on Debian: apt "
            "install libsqliteodbc odbc-postgresql odbc-mariadb tdsodbc",
            name);
    return crier_err_set(err, CRIER_ECONFIG,
                         "ODBC driver '%.60s' is not installed; installed are: %.120s", name,
                         list->data);
}

static int find_driver(struct crier_sql_dsn *out, const GArray *pairs, struct crier_err *err)
{
    const char *driver = find(pairs, "Driver"), *source = find(pairs, "DSN");
    struct crier_buf list = {0};
    int rc = CRIER_OK;
    if (driver && *driver) {
        out->driver = crier_strdup(driver);
        if (driver[0] == '/' ? access(driver, R_OK) != 0
                             : !is_installed(false, driver, &list, NULL))
            rc = no_driver(driver, &list, err);
    } else if (source && *source) {
        if (!is_installed(true, source, &list, &out->driver))
            rc = crier_err_set(err, CRIER_ECONFIG,
                               "there is no ODBC data source '%.60s' in odbc.ini%s%.120s", source,
                               list.len ? "; there are: " : "", list.len ? list.data : "");
    } else if (!find(pairs, "FILEDSN")) {
        is_installed(false, "", &list, NULL);
        rc = crier_err_set(err, CRIER_ECONFIG,
                           "option 'dsn' names no driver (Driver=...;); installed are: %.120s",
                           list.len ? list.data : "none");
    }
    out->guess = guess_engine(out->driver);
    crier_buf_fini(&list);
    return rc;
}

/* ---- what is added ---- */

static void complete_sqlite(struct crier_sql_dsn *out, GArray *pairs, const char *folder,
                            bool read_only)
{
    const char *file = find(pairs, "Database");
    if (file && *file && file[0] != '/' && file[0] != ':' && strncmp(file, "file:", 5) != 0) {
        char *path = crier_path_join(folder ? folder : ".", file);
        set(pairs, "Database", path);
        free(path);
    }
    file = find(pairs, "Database");
    if (file && file[0] == '/')
        out->file = crier_strdup(file);
    /* A commit that waits for the disk each time would be some hundred a second; with WAL, NORMAL
     * loses nothing when the process or the host dies, and a power failure costs what was written
     * since the last checkpoint. */
    if (read_only)
        set(pairs, "NoCreat", "1");
    else
        set_default(pairs, "JournalMode", "WAL");
    set_default(pairs, "SyncPragma", "NORMAL");
    set_default(pairs, "FKSupport", "1");
    set_default(pairs, "Timeout", "5000");
    set_default(pairs, "StepAPI", "1");
    set_default(pairs, "BigInt", "1");
}

static void complete(struct crier_sql_dsn *out, GArray *pairs, const char *folder, bool read_only)
{
    switch (out->guess) {
    case CRIER_SQL_SQLITE:
        if (out->driver && strcasestr(out->driver, "sqlite"))
            complete_sqlite(out, pairs, folder, read_only);
        break;
    case CRIER_SQL_POSTGRESQL:
        /* -0: an error ends the transaction; the default is a savepoint a statement. */
        set_default(pairs, "Protocol", "7.4-0");
        set_default(pairs, "UseServerSidePrepare", "1");
        set_default(pairs, "BoolsAsChar", "0");
        set_default(pairs, "MaxLongVarcharSize", "-4");
        break;
    case CRIER_SQL_MARIADB:
        set_default(pairs, "CHARSET", "utf8mb4");
        break;
    case CRIER_SQL_SQLSERVER:
        if (out->driver && strcasestr(out->driver, "tds")) {
            set_default(pairs, "TDS_Version", "7.4");
            set_default(pairs, "ClientCharset", "UTF-8");
        }
        break;
    }
}

static bool is_local(const struct crier_sql_dsn *dsn, const GArray *pairs)
{
    const char *s = dsn->server;
    if (dsn->guess == CRIER_SQL_SQLITE && dsn->driver && strcasestr(dsn->driver, "sqlite"))
        return true;
    if (find(pairs, "DSN FILEDSN Servername"))
        return s && dsn->guess == CRIER_SQL_POSTGRESQL && s[0] == '/';
    return !s || !*s || s[0] == '/' || strcasecmp(s, "localhost") == 0 ||
           strncmp(s, "127.", 4) == 0 || strcmp(s, "::1") == 0;
}

static char *show(const struct crier_sql_dsn *dsn, const GArray *pairs)
{
    static const char *const parts[] = {"DSN", "Server Servername Host Address Socket", "Port",
                                        "Database DB"};
    struct crier_buf b = {0};
    if (find(pairs, "Driver"))
        crier_buf_puts(&b, dsn->driver);
    for (size_t i = 0; i < CRIER_COUNT(parts); i++) {
        const char *value = find(pairs, parts[i]);
        if (value && *value)
            crier_buf_printf(&b, "%s%s", !b.len ? "" : i == 2 ? ":" : ", ", value);
    }
    return crier_buf_take(&b);
}

/* A value as it stands in a connection string. */
static void put_pair(struct crier_buf *b, const struct pair *p)
{
    bool brace =
        p->value[strcspn(p->value, ";{}[]()?*=!@")] != '\0' && strcasecmp(p->key, "Database") != 0;
    brace = brace || strcasecmp(p->key, "Driver") == 0 ? p->value[0] != '/' : brace;
    crier_buf_printf(b, "%s=%s", p->key, brace ? "{" : "");
    for (const char *c = p->value; *c; c++) {
        if (brace && *c == '}')
            crier_buf_putc(b, '}');
        crier_buf_putc(b, *c);
    }
    crier_buf_puts(b, brace ? "};" : ";");
}

int crier_sql_dsn_read(struct crier_sql_dsn *out, const char *dsn, const char *user,
                       const char *password, const char *folder, bool read_only,
                       struct crier_err *err)
{
    GArray *pairs = g_array_new(FALSE, FALSE, sizeof(struct pair));
    *out = (struct crier_sql_dsn){0};
    int rc = read_pairs(dsn, pairs, err);
    if (user && *user)
        set(pairs, "UID", user);
    if (password && *password)
        set(pairs, "PWD", password);
    if (rc == CRIER_OK)
        rc = find_driver(out, pairs, err);
    const char *secret = find(pairs, "PWD Password"), *server = find(pairs, "Server Servername "
                                                                            "Host Address");
    out->password = secret && *secret ? crier_strdup(secret) : NULL;
    out->server = crier_strdup(server);
    if (rc == CRIER_OK) {
        struct crier_buf b = {0};
        complete(out, pairs, folder, read_only);
        out->local = is_local(out, pairs);
        out->shown = show(out, pairs);
        for (guint i = 0; i < pairs->len; i++)
            put_pair(&b, &g_array_index(pairs, struct pair, i));
        out->text = crier_buf_take(&b);
    } else if (err) {
        crier_sql_hide(out, err->text);
    }
    free_pairs(pairs);
    return rc;
}

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void crier_sql_dsn_fini(struct crier_sql_dsn *dsn)
{
    wipe(dsn->text);
    wipe(dsn->password);
    free(dsn->shown);
    free(dsn->driver);
    free(dsn->server);
    free(dsn->file);
    *dsn = (struct crier_sql_dsn){0};
}

void crier_sql_hide(const struct crier_sql_dsn *dsn, char *text)
{
    size_t len = dsn->password ? strlen(dsn->password) : 0;
    if (!len)
        return;
    for (char *at = text; (at = strstr(at, dsn->password)); at += strlen("*****")) {
        char *rest = crier_strdup(at + len);
        size_t room = strlen(at) + 1; /* a short password's stars need not fit: cut */
        snprintf(at, room, "*****%s", rest);
        free(rest);
        if (room <= strlen("*****"))
            break;
    }
}
