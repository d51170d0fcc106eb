/* SPDX-License-Identifier: MIT
 *
 * The sql sink on SQL Server: on a real one with spec/sqlserver.sh, else on what speaks as one
 * does, through FreeTDS. Statements are understood there only as far as SQLite does: what is tested
 * is the way there and back, and what becomes of faults.
 */
#include "sink_sql_cases.h"

static void strike(const char *what)
{
    shell("echo '%s' >%s/fault.new && mv %s/fault.new %s/fault", what, server_dir, server_dir,
          server_dir);
}

static bool struck(void)
{
    return shell("test -e %s/fault", server_dir) != 0;
}

/* What each fault makes of a batch, and that it is there once afterwards. */
static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        enum crier_verdict verdict; /* the first time */
    } faults[] = {
        {"deadlock MERGE INTO MessageLOG", CRIER_WRITTEN},
        {"deadlock COMMIT", CRIER_WRITTEN},
        {"full MERGE INTO MessageLOG", CRIER_RETRY_LATER},
        {"cut MERGE INTO MessageChannelLOG", CRIER_RETRY_LATER},
        {"cut SELECT id, record_id", CRIER_RETRY_LATER},
        {"cut COMMIT", CRIER_RETRY_LATER},
        {"lose COMMIT", CRIER_RETRY_LATER},
        {"lose MERGE INTO DataHISTORY", CRIER_RETRY_LATER},
    };
    struct rig rig;
    struct maker m;
    struct crier_record *batch[16];
    struct crier_err err;
    size_t done;
    maker_init(&m, 1);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    for (size_t f = 0; f < CRIER_COUNT(faults); f++) {
        int from = 10 + (int)f * 16;
        for (int i = 0; i < 16; i++)
            batch[i] = post_of(&m, from + i);
        strike(faults[f].what);
        enum crier_verdict v = try_write(&rig, batch, 16, &done, &err);
        if (v != faults[f].verdict || !struck())
            fail_msg("%s: verdict %d, %s", faults[f].what, (int)v, err.text);
        assert_int_equal(done, v == CRIER_WRITTEN ? 16 : 0);
        if (v != CRIER_WRITTEN) {
            assert_non_null(strstr(err.text, "FreeTDS, 127.0.0.1:"));
            assert_int_equal(try_write(&rig, batch, 16, &done, &err), CRIER_WRITTEN);
        }
        assert_int_equal(count_all(&rig), (size_t)from + 16);
        for (int i = 0; i < 16; i++)
            crier_record_unref(batch[i]);
    }
    look_open();
    assert_int_equal(look_number("SELECT COUNT(*) FROM MessageLOG"),
                     look_number("SELECT COUNT(DISTINCT record_id) FROM MessageLOG"));
    look_close();
    rig_close(&rig);
    maker_fini(&m);
}

/* A question whose connection is gone is asked on another one. */
static void test_lost_questions(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    maker_init(&m, 1);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    strike("cut SELECT l.record_id");
    assert_int_equal(count_all(&rig), 10);
    assert_true(struck());
    strike("cut SELECT COUNT(*), SUM(r.good)");
    assert_true(rate(&rig, "[{\"guild\":\"1\"}]") == 1);
    assert_true(struck());
    rig_close(&rig);
    maker_fini(&m);
}

/* Characters of one and of two units of UTF-16, as the server has them. */
static void test_wide_text(void **state)
{
    (void)state;
    static const char text[] = "a\xc5\xbe\xe4\xbd\xa0\xf0\x9f\x98\x80\xf0\x9f\x91\x8d";
    struct rig rig;
    struct maker m;
    maker_init(&m, 1);
    sql_open(&rig);
    struct crier_record *r =
        make_post(&m, START, (struct post){"TextMESSAGE", "send", "x", text, NULL, GUILD, 1, 0});
    rig_write(&rig, &r, 1);
    look_open();
    assert_string_equal(look("SELECT utf16_len(name), name FROM GuildUSER"),
                        "7|a\xc5\xbe\xe4\xbd\xa0\xf0\x9f\x98\x80\xf0\x9f\x91\x8d");
    look_close();
    crier_record_unref(r);
    rig_close(&rig);
    maker_fini(&m);
}

static void test_logins(void **state)
{
    (void)state;
    static const char *const logins[] = {"bot;UID=crier;PWD=w0rng", "bot;UID=eve;PWD=s3cret",
                                         "other;UID=crier;PWD=s3cret"};
    struct rig rig;
    struct maker m;
    struct crier_err err;
    size_t done;
    char old[sizeof dsn];
    maker_init(&m, 1);
    struct crier_record *r = post_of(&m, 1);
    strcpy(old, dsn);
    for (size_t i = 0; i < CRIER_COUNT(logins); i++) {
        strcpy(strstr(dsn, "Database=") + strlen("Database="), logins[i]);
        sql_open(&rig);
        enum crier_verdict v = try_write(&rig, &r, 1, &done, &err);
        if (v != CRIER_UNAVAILABLE)
            fail_msg("%s: verdict %d, %s", logins[i], (int)v, err.text);
        assert_null(strstr(err.text, strrchr(logins[i], '=') + 1));
        rig_close(&rig);
        strcpy(dsn, old);
    }
    crier_record_unref(r);
    maker_fini(&m);
}

int main(void)
{
    const struct CMUnitTest more[] = {
        SQL_CASE(test_faults),
        SQL_CASE(test_lost_questions),
        SQL_CASE(test_wide_text),
        SQL_CASE(test_logins),
    };
    return run_sql_cases(SQLSERVER, "SQL Server", more, getenv("CRIER_SQLSERVER_DSN") ? 0 : 4);
}
