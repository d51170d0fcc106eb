/* SPDX-License-Identifier: MIT
 *
 * The process that writes through a durable sql sink under kill -9: a child logs into SQLite, this
 * process kills it after a random number of its records has been written, and the next child goes
 * on. Every record whose push returned is in the database exactly once in the end, and in order,
 * each message with its channel.
 */
#include "sink_kill_support.h"
#include "sink/sql.h"

enum { KILLS = 5 + ROUNDS(20), MAX = 1000000 };

static unsigned char seen[MAX];
static uint64_t pushed_before;

static void set_options(struct crier_options *common, struct crier_options *options)
{
    struct crier_option_value *v = (void *)crier_options_get(common, "batch");
    v->set = true;
    v->i = 100;
    v = (void *)crier_options_get(options, "dsn");
    free(v->s);
    v->s = crier_strdup("Driver=SQLite3;Database=out.db");
}

/* Every other one is a message with a channel. */
static struct crier_record *make(struct rig *r, uint64_t n)
{
    struct crier_builder *b = &r->builder;
    char text[32];
    crier_build_begin(b, n % 2 ? CRIER_KIND_MESSAGE : CRIER_KIND_LOG, CRIER_INFO,
                      crier_clock_wall(r->env.clock));
    crier_build_text(b, "a line of some length, as lines are", 35);
    if (n % 2) {
        CRIER_B_STR(b, "type", "TextMESSAGE");
        CRIER_B_STR(b, "mode", "send");
        CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
        CRIER_B_STR(b, "name", "Chat");
        CRIER_B_SNOWFLAKE(b, "id", 863071397207212052u + n / 100);
        CRIER_B_STR(b, "type", "GUILD");
        crier_build_close(b);
        CRIER_B_OPEN(b, "sent_data", CRIER_OBJECT);
        snprintf(text, sizeof text, "content %d", (int)(n / 16));
        CRIER_B_STR(b, "text", text);
        crier_build_close(b);
        CRIER_B_OPEN(b, "channels", CRIER_OBJECT);
        CRIER_B_OPEN(b, "successful", CRIER_ARRAY);
        crier_build_open(b, NULL, 0, CRIER_OBJECT);
        CRIER_B_STR(b, "name", "sp");
        CRIER_B_SNOWFLAKE(b, "id", 978332728615378984u + n / 50);
        crier_build_close(b);
        crier_build_close(b);
        crier_build_close(b);
    }
    CRIER_B_INT(b, "n", (int64_t)n);
    return crier_build_end(b);
}

static void write_forever(uint64_t seed)
{
    struct crier_rng mine;
    struct crier_sink_stats s;
    struct rig r;
    crier_rng_seed(&mine, seed);
    rig_begin(&r, &crier_sink_sql, set_options);
    for (;;) {
        int64_t burst = crier_rng_range(&mine, 1, crier_rng_range(&mine, 1, 10) == 1 ? 400 : 40);
        for (int64_t i = 0; i < burst && shared->begun + 1 < MAX; i++) {
            uint64_t n = shared->begun++;
            rig_push(&r, make(&r, n), n);
        }
        crier_sink_stats(r.sink, &s);
        shared->written = s.written;
        usleep((useconds_t)crier_rng_range(&mine, 0, 1000));
    }
}

static bool has_written(uint64_t written)
{
    return shared->pushed > pushed_before && shared->written >= written;
}

static void expect(enum crier_sql_fault fault, const struct crier_err *err)
{
    if (fault != CRIER_SQL_OK)
        fail_msg("%s", err->text);
}

/* What a table holds, in the order in which it was written; returns how many. */
static uint64_t walk(struct crier_sql_conn *conn, const char *text)
{
    struct crier_err err = {0};
    SQLHSTMT stmt;
    int64_t n, last = -1;
    uint64_t rows = 0;
    bool more;
    expect(crier_sql_prepare(conn, text, &stmt, &err), &err);
    expect(crier_sql_run(conn, stmt, NULL, 0, &err), &err);
    for (;; rows++) {
        expect(crier_sql_fetch(conn, stmt, &more, &err), &err);
        if (!more)
            break;
        expect(crier_sql_int(conn, stmt, 1, &n, &err), &err);
        assert_in_range(n, 0, MAX - 1);
        assert_true(n > last);
        assert_int_equal(seen[n]++, 0);
        last = n;
    }
    crier_sql_free(conn, &stmt);
    return rows;
}

static void every_record_once(void **state)
{
    uint64_t begun[KILLS], pushed[KILLS], missing = 0;
    struct crier_sql_conn conn = {.timeout = 10 * CRIER_S};
    struct crier_err err = {0};
    struct rig r;
    (void)state;
    for (int k = 0; k < KILLS; k++) {
        pushed_before = shared->pushed;
        kill_child(write_forever, has_written, (uint64_t)crier_rng_range(&rng, 0, 800), 0);
        begun[k] = shared->begun;
        pushed[k] = shared->pushed;
    }
    rig_begin(&r, &crier_sink_sql, set_options);
    rig_finish(&r);
    if (crier_sql_dsn_read(&conn.dsn, "Driver=SQLite3;Database=out.db", NULL, NULL, folder, false,
                           &err) != 0)
        fail_msg("%s", err.text);
    expect(crier_sql_connect(&conn, &err), &err);
    uint64_t messages = walk(&conn, "SELECT json_extract(l.record, '$.n') FROM MessageLOG l JOIN "
                                    "MessageChannelLOG c ON c.log_id = l.id ORDER BY l.id");
    uint64_t logs = walk(&conn, "SELECT json_extract(record, '$.n') FROM record_log ORDER BY id");
    crier_sql_disconnect(&conn);
    crier_sql_dsn_fini(&conn.dsn);
    /* The one that a kill met inside of push may be missing: `begun`, but not `pushed`. */
    for (uint64_t n = 0; n < begun[KILLS - 1]; n++) {
        bool cut = false;
        for (int k = 0; k < KILLS; k++)
            cut |= n >= pushed[k] && n < begun[k];
        if (!seen[n] && !cut)
            fail_msg("record %llu is lost", (unsigned long long)n);
        missing += !seen[n];
    }
    assert_int_equal(messages + logs + missing, begun[KILLS - 1]);
    print_message("%llu records over %d kills\n", (unsigned long long)(messages + logs), KILLS);
    assert_true(messages + logs > KILLS * 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_record_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
