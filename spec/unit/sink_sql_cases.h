/* SPDX-License-Identifier: MIT
 *
 * What holds on each engine; the includer says which one.
 */
#include "sink_sql_support.h"

#include <pthread.h>
#include <sys/resource.h>

#define GUILD 863071397207212052u
#define CHANNEL 978332728615378984u

/* ---- messages ---- */

struct post {
    const char *type, *mode, *text, *guild, *reason; /* reason: the last channel's, or the user's */
    uint64_t id;
    int channels;
    bool skipped;
};

static struct crier_record *make_post(struct maker *m, int64_t time, struct post p)
{
    struct crier_builder *b = &m->b;
    bool direct = strcmp(p.type, "DirectMESSAGE") == 0;
    crier_build_begin(b, CRIER_KIND_MESSAGE, p.reason ? CRIER_LEVEL_WARNING : CRIER_INFO, time);
    crier_build_logger(b, "message.gallery", 15);
    crier_build_text(b, "gallery #sp sent", 16);
    crier_build_ok(b, !p.reason);
    CRIER_B_STR(b, "name", "gallery");
    CRIER_B_STR(b, "type", p.type);
    if (p.mode)
        CRIER_B_STR(b, "mode", p.mode);
    CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
    CRIER_B_STR(b, "name", p.guild);
    CRIER_B_SNOWFLAKE(b, "id", p.id);
    CRIER_B_STR(b, "type", direct ? "USER" : "GUILD");
    crier_build_close(b);
    if (p.skipped) {
        CRIER_B_STR(b, "skipped", "late");
        return crier_build_end(b);
    }
    CRIER_B_OPEN(b, "sent_data", CRIER_OBJECT);
    CRIER_B_STR(b, "text", p.text);
    CRIER_B_OPEN(b, "embed", CRIER_OBJECT);
    CRIER_B_STR(b, "title", "Sent");
    CRIER_B_INT(b, "color", 7);
    crier_build_close(b);
    crier_build_close(b);
    if (direct) {
        CRIER_B_OPEN(b, "success_info", CRIER_OBJECT);
        CRIER_B_BOOL(b, "success", !p.reason);
        if (p.reason)
            CRIER_B_STR(b, "reason", p.reason);
        crier_build_close(b);
    } else {
        CRIER_B_OPEN(b, "channels", CRIER_OBJECT);
        for (int part = 0; part < 2; part++) {
            if (part)
                CRIER_B_OPEN(b, "failed", CRIER_ARRAY);
            else
                CRIER_B_OPEN(b, "successful", CRIER_ARRAY);
            for (int i = 0; i < p.channels; i++) {
                char name[32];
                bool failed = p.reason && i == p.channels - 1;
                if (failed != (part == 1))
                    continue;
                snprintf(name, sizeof name, "sp%d", i);
                crier_build_open(b, NULL, 0, CRIER_OBJECT);
                CRIER_B_STR(b, "name", name);
                CRIER_B_SNOWFLAKE(b, "id", CHANNEL + (uint64_t)i);
                if (failed)
                    CRIER_B_STR(b, "reason", p.reason);
                crier_build_close(b);
            }
            crier_build_close(b);
        }
        crier_build_close(b);
    }
    CRIER_B_NUM(b, "success_rate", p.reason ? 0.5 : 1.0);
    CRIER_B_INT(b, "requests", 1);
    return crier_build_end(b);
}

static struct crier_record *post_of(struct maker *m, int i)
{
    static const char *const modes[] = {"send", "edit", "clear-send"};
    char text[64];
    struct post p = {.type = "TextMESSAGE",
                     .mode = modes[i % 3],
                     .text = text,
                     .guild = i % 2 ? "Chat" : "News",
                     .id = GUILD + (uint64_t)(i % 2),
                     .channels = 1 + i % 3,
                     .reason = i % 5 ? NULL : "403 forbidden"};
    snprintf(text, sizeof text, "content %d", i / 8);
    if (i % 7 == 3) {
        p.type = "DirectMESSAGE";
        p.id = GUILD + 100;
        p.guild = "somebody";
    } else if (i % 11 == 4) {
        p.type = "VoiceMESSAGE";
        p.mode = NULL;
    }
    p.skipped = i % 13 == 5;
    return make_post(m, START + i * CRIER_S, p);
}

/* ---- the sink ---- */

static struct crier_clock *the_clock;

static void sql_open(struct rig *rig)
{
    rig_open(rig, &crier_sink_sql, the_clock, "=dsn", dsn, NULL);
}

static enum crier_verdict try_write(struct rig *rig, struct crier_record *const *records,
                                    size_t count, size_t *done, struct crier_err *err)
{
    *err = (struct crier_err){0};
    *done = 99999;
    return crier_sink_sql.write(rig->self, records, count, done, err);
}

static void write_posts(struct rig *rig, struct maker *m, int from, int to)
{
    struct crier_record *batch[512] = {0};
    for (int i = from; i < to; i++)
        batch[i - from] = post_of(m, i);
    rig_write(rig, batch, (size_t)(to - from));
    for (int i = 0; i < to - from; i++)
        crier_record_unref(batch[i]);
}

/* ---- tests ---- */

static void test_schema(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    maker_init(&m, 1);
    sql_open(&rig);
    struct crier_record *r[3] = {
        make_post(&m, START + 123456,
                  (struct post){"TextMESSAGE", "edit", "one", "Chat", "403", GUILD, 2, false}),
        make_post(
            &m, START + CRIER_S,
            (struct post){"DirectMESSAGE", "send", "one", "me", "closed", GUILD + 9, 0, false}),
        make_post(&m, START + 2 * CRIER_S,
                  (struct post){"VoiceMESSAGE", NULL, "two", "Chat", NULL, GUILD, 1, false})};
    rig_write(&rig, r, 3);
    look_open();
    assert_string_equal(look("SELECT id, name FROM MessageTYPE ORDER BY id"),
                        "1|TextMESSAGE\n2|DirectMESSAGE\n3|VoiceMESSAGE");
    assert_string_equal(look("SELECT id, name FROM MessageMODE ORDER BY id"),
                        "1|send\n2|edit\n3|clear-send");
    assert_string_equal(look("SELECT id, name FROM GuildTYPE ORDER BY id"), "1|GUILD\n2|USER");
    assert_string_equal(look("SELECT snowflake_id, name, guild_type FROM GuildUSER ORDER BY id"),
                        "863071397207212052|Chat|1\n863071397207212061|me|2");
    assert_string_equal(look("SELECT snowflake_id, name, guild_id FROM CHANNEL ORDER BY id"),
                        "978332728615378984|sp0|1\n978332728615378985|sp1|1");
    assert_string_equal(look("SELECT COUNT(*) FROM DataHISTORY"), "2");
    assert_string_equal(look("SELECT content FROM DataHISTORY ORDER BY id"),
                        "{\"embed\":{\"color\":7,\"title\":\"Sent\"},\"text\":\"one\"}\n"
                        "{\"embed\":{\"color\":7,\"title\":\"Sent\"},\"text\":\"two\"}");
    char *text = crier_asprintf(eye.dialect->time_out, "timestamp");
    assert_string_equal(
        look("SELECT message_type, guild_type, guild_id, guild_name, message_mode, dm_reason, %s "
             "FROM vMessageLogFullDETAIL ORDER BY id",
             text),
        "TextMESSAGE|GUILD|863071397207212052|Chat|edit|-|2022-05-23 16:28:15.123456\n"
        "DirectMESSAGE|USER|863071397207212061|me|send|closed|2022-05-23 16:28:16.000000\n"
        "VoiceMESSAGE|GUILD|863071397207212052|Chat|-|-|2022-05-23 16:28:17.000000");
    free(text);
    assert_string_equal(look("SELECT log_id, channel_id, reason FROM MessageChannelLOG ORDER BY "
                             "log_id, channel_id"),
                        "1|1|-\n1|2|403\n3|1|-");
    look_close();
    for (int i = 0; i < 3; i++)
        crier_record_unref(r[i]);
    rig_close(&rig);
    maker_fini(&m);
}

static struct crier_record *any_record(struct maker *m, int i)
{
    bool phase = i == 3 || i == 4 || i == 150 || i == 199;
    return phase || i % 3 ? record_or_phase(m, i) : post_of(m, i);
}

static const struct filter more_filters[] = {
    {"sent_data.text", CRIER_OP_EQ, {STR("content 9")}, 1, NULL, false, 0, 0},
    {"mode", CRIER_OP_EQ, {STR("edit")}, 1, "time", true, 5, 1},
    {"channels.failed.1.reason", CRIER_OP_LIKE, {STR("403%")}, 1, NULL, false, 0, 0},
    {"channels.failed.1.reason", CRIER_OP_EQ, {STR("403 forbidden")}, 1, NULL, false, 0, 0},
    {"channels.successful.2.id", CRIER_OP_NE, {NIL}, 1, NULL, false, 0, 0},
    {"guild.id", CRIER_OP_ONE_OF, {STR("863071397207212053"), INT(1)}, 2, NULL, false, 0, 0},
    {"guild.name", CRIER_OP_GE, {STR("N")}, 1, NULL, false, 0, 0},
    {"requests", CRIER_OP_RANGE, {INT(1), NIL}, 2, NULL, false, 0, 0},
    {"skipped", CRIER_OP_EQ, {STR("late")}, 1, NULL, false, 0, 0},
    {"skipped", CRIER_OP_EQ, {NIL}, 1, NULL, false, 3, 0},
    {"success_info.success", CRIER_OP_EQ, {{.type = CRIER_TRUE}}, 1, NULL, false, 0, 0},
    {"success_info.success", CRIER_OP_EQ, {{.type = CRIER_FALSE}}, 1, NULL, false, 0, 0},
    {"event_id", CRIER_OP_EQ, {STR("e1")}, 1, NULL, false, 0, 0},
    {"task_name", CRIER_OP_LIKE, {STR("F_T%")}, 1, NULL, false, 0, 0},
    {"task_name", CRIER_OP_GT, {STR("fetch")}, 1, NULL, false, 0, 0},
    {"task_name", CRIER_OP_RANGE, {STR("a"), STR("fetch")}, 2, "time", true, 3, 0},
    {"task_name", CRIER_OP_NE, {STR("fetch")}, 1, NULL, false, 9, 0},
    {"time", CRIER_OP_EQ, {STR("2022-05-23T16:28:15.25Z")}, 1, NULL, false, 0, 0},
    {"level", CRIER_OP_ONE_OF, {STR("warning"), INT(40)}, 2, NULL, false, 0, 0},
    {"id", CRIER_OP_GE, {STR("0")}, 1, "id", true, 4, 0},
};

static void check_more(struct rig *rig, struct rig *memory)
{
    for (size_t i = 0; i < CRIER_COUNT(more_filters); i++)
        same_answer(rig, memory, &more_filters[i], i);
}

static void test_answers_as_memory(void **state)
{
    (void)state;
    struct rig rig, memory;
    struct maker m;
    maker_init(&m, 7);
    sql_open(&rig);
    rig_open(&memory, &crier_sink_memory, the_clock, NULL);
    for (int round = 0; round < 2; round++) { /* the first is that of the other stores */
        for (int i = 0; i < 200; i += 10) {
            struct crier_record *batch[10];
            for (int k = 0; k < 10; k++)
                batch[k] = round ? any_record(&m, i + k) : mixed_record(&m, i + k);
            rig_write(&rig, batch, 10);
            rig_write(&memory, batch, 10);
            for (int k = 0; k < 10; k++)
                crier_record_unref(batch[k]);
        }
        check_filters(&rig, &memory);
        check_more(&rig, &memory);
    }
    rig_close(&rig);
    rig_close(&memory);
    maker_fini(&m);
}

/* Rows stand in another order than ids: a spool was replayed, a sink copied. */
static void test_first_by_id(void **state)
{
    static const struct filter list[] = {
        {"kind", CRIER_OP_EQ, {STR("task")}, 1, "id", true, 5, 0},
        {"kind", CRIER_OP_EQ, {STR("task")}, 1, "id", false, 5, 2},
        {"kind", CRIER_OP_NE, {STR("event")}, 1, "id", true, 9, 3},
        {"node", CRIER_OP_EQ, {STR("web-1")}, 1, "id", false, 12, 0},
        {"text", CRIER_OP_REGEX, {STR("record [0-4]")}, 1, "id", true, 4, 1},
        {"kind", CRIER_OP_EQ, {STR("task")}, 1, "id", true, 0, 0},
    };
    (void)state;
    struct rig rig, memory;
    struct maker m;
    struct crier_record *made[100];
    maker_init(&m, 7);
    sql_open(&rig);
    rig_open(&memory, &crier_sink_memory, the_clock, NULL);
    for (int i = 0; i < 100; i++)
        made[i * 37 % 100] = mixed_record(&m, i);
    rig_write(&rig, made, 100);
    rig_write(&memory, made, 100);
    for (size_t i = 0; i < CRIER_COUNT(list); i++)
        assert_true(same_answer(&rig, &memory, &list[i], i) >= 4);
    for (int i = 0; i < 100; i++)
        crier_record_unref(made[i]);
    rig_close(&rig);
    rig_close(&memory);
    maker_fini(&m);
}

static void test_groups_as_memory(void **state)
{
    (void)state;
    struct rig rig, memory;
    struct maker m;
    struct crier_value task = STR("task"), fetch = STR("fetch"), fail = STR("fail"), five = INT(5);
    maker_init(&m, 9);
    sql_open(&rig);
    rig_open(&memory, &crier_sink_memory, the_clock, NULL);
    for (int i = 0; i < 200; i++) {
        struct crier_record *r = any_record(&m, i);
        rig_write(&rig, &r, 1);
        rig_write(&memory, &r, 1);
        crier_record_unref(r);
    }
    size_t counts[2];
    for (int group = CRIER_OP_ANY; group <= CRIER_OP_NO; group++) {
        for (int inner = CRIER_OP_ANY; inner <= CRIER_OP_NO; inner++) {
            for (int which = 0; which < 2; which++) {
                struct rig *at = which ? &memory : &rig;
                struct crier_query *q = crier_query_new(NULL);
                struct crier_record **hits;
                struct crier_err err = {0};
                int rc = crier_query_open(q, (enum crier_op)group, &err);
                rc |= crier_query_add(q, "kind", CRIER_OP_EQ, &task, 1, &err);
                rc |= crier_query_open(q, (enum crier_op)inner, &err);
                rc |= crier_query_add(q, "task_name", CRIER_OP_EQ, &fetch, 1, &err);
                rc |= crier_query_add(q, "action", CRIER_OP_NE, &fail, 1, &err);
                crier_query_close(q);
                rc |= crier_query_add(q, "count", CRIER_OP_GT, &five, 1, &err);
                crier_query_close(q);
                assert_int_equal(rc, 0);
                assert_int_equal(at->driver->query(at->self, q, &hits, &counts[which], &err), 0);
                assert_int_equal(crier_query_finish(q, &hits, &counts[which], &err), 0);
                for (size_t i = 0; i < counts[which]; i++)
                    crier_record_unref(hits[i]);
                free(hits);
                crier_query_free(q);
            }
            if (counts[0] != counts[1])
                fail_msg("groups %d and %d: %zu hits, memory has %zu", group, inner, counts[0],
                         counts[1]);
        }
    }
    rig_close(&rig);
    rig_close(&memory);
    maker_fini(&m);
}

static void test_changes_as_memory(void **state)
{
    (void)state;
    static const struct {
        struct filter f;
        const char *fields;
    } changes[] = {
        {{"task_name", CRIER_OP_EQ, {STR("fetch")}, 1, NULL, false, 0, 0},
         "{\"action\":\"gone\",\"reason\":\"a, \\\"b\\\"\",\"runtime\":null}"},
        {{"guild.name", CRIER_OP_EQ, {STR("Chat")}, 1, NULL, false, 0, 0},
         "{\"guild.name\":\"=Talk\",\"x.y\":[1,2]}"},
        {{"type", CRIER_OP_EQ, {STR("TextMESSAGE")}, 1, NULL, false, 0, 0},
         "{\"sent_data.text\":\"another\"}"},
        {{"code", CRIER_OP_EQ, {STR("E7")}, 1, NULL, false, 0, 0}, "{\"mod_type\":\"other\"}"},
        {{"count", CRIER_OP_LT, {INT(0)}, 1, NULL, false, 0, 0}, NULL},
        {{"code", CRIER_OP_EQ, {STR("E8")}, 1, NULL, false, 0, 0}, NULL},
        {{"level", CRIER_OP_EQ, {STR("error")}, 1, NULL, false, 0, 0}, NULL},
        {{"kind", CRIER_OP_EQ, {STR("message")}, 1, NULL, false, 0, 0}, NULL},
    };
    static const struct filter checks[] = {
        {"seq", CRIER_OP_GE, {INT(0)}, 1, NULL, false, 0, 0},
        {"action", CRIER_OP_EQ, {STR("gone")}, 1, NULL, false, 0, 0},
        {"runtime", CRIER_OP_GE, {INT(0)}, 1, "runtime", true, 0, 0},
        {"guild.name", CRIER_OP_EQ, {STR("=Talk")}, 1, NULL, false, 0, 0},
        {"x.y.2", CRIER_OP_EQ, {INT(2)}, 1, NULL, false, 0, 0},
        {"sent_data.text", CRIER_OP_EQ, {STR("another")}, 1, NULL, false, 0, 0},
        {"mod_type", CRIER_OP_EQ, {STR("other")}, 1, NULL, false, 0, 0},
        {"phase", CRIER_OP_NE, {NIL}, 1, "event_id", true, 0, 0},
    };
    struct rig rig, memory;
    struct maker m;
    maker_init(&m, 7);
    sql_open(&rig);
    rig_open(&memory, &crier_sink_memory, the_clock, NULL);
    for (int i = 0; i < 200; i++)
        write_both(&rig, &memory, any_record(&m, i));
    look_open();
    assert_string_equal(look("SELECT event_id, mod_type, code, is_error FROM event_log ORDER BY 1"),
                        "e1|report|E7|0\ne2|report|E8|0");
    for (size_t i = 0; i < CRIER_COUNT(changes); i++) {
        uint64_t n = change(&rig, &changes[i].f, changes[i].fields);
        assert_int_equal(n, change(&memory, &changes[i].f, changes[i].fields));
        assert_true(n > 0);
        for (size_t k = 0; k < CRIER_COUNT(checks); k++)
            same_answer(&rig, &memory, &checks[k], 100 * i + k);
    }
    assert_string_equal(look("SELECT event_id, mod_type, code FROM event_log"), "e1|other|E7");
    assert_string_equal(look("SELECT COUNT(*) FROM MessageChannelLOG"), "0");
    look_close();
    rig_close(&rig);
    rig_close(&memory);
    maker_fini(&m);
}

/* As JSON: what was sent comes back with its members sorted. */
static json_t *as_json(struct crier_record *r)
{
    json_t *v =
        json_loadb(crier_record_json(r).data, crier_record_json(r).len, JSON_ALLOW_NUL, NULL);
    assert_non_null(v);
    return v;
}

static void assert_back(struct rig *rig, struct crier_record *const *made, size_t n)
{
    struct crier_err err = {0};
    size_t count;
    struct crier_record **hits = query_all(rig, &count, &err);
    assert_int_equal(count, n);
    for (size_t i = 0; i < n; i++) {
        json_t *a = as_json(hits[i]), *b = as_json(made[i]);
        if (!json_equal(a, b))
            fail_msg("%s\n%s", crier_record_json(hits[i]).data, crier_record_json(made[i]).data);
        json_decref(a);
        json_decref(b);
        crier_record_unref(hits[i]);
    }
    free(hits);
}

static void test_records_come_back_whole(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    struct crier_record *made[100];
    maker_init(&m, 8);
    sql_open(&rig);
    for (int i = 0; i < 100; i++)
        made[i] = any_record(&m, i);
    rig_write(&rig, made, 100);
    assert_back(&rig, made, 100);
    rig_write(&rig, made + 30, 70); /* again: nothing twice */
    rig_close(&rig);
    sql_open(&rig);
    rig_write(&rig, made, 100);
    assert_back(&rig, made, 100);
    look_open();
    assert_int_equal(look_number("SELECT COUNT(*) FROM MessageLOG"),
                     look_number("SELECT COUNT(DISTINCT record_id) FROM MessageLOG"));
    look_close();
    for (int i = 0; i < 100; i++)
        crier_record_unref(made[i]);
    rig_close(&rig);
    maker_fini(&m);
}

static void test_hostile_text(void **state)
{
    (void)state;
    static const char *const evil[] = {
        "'; DROP TABLE MessageLOG; --",
        "\"quoted\" 'and' `more`",
        "%_?%s%n {fn now()} :p $1 @p1",
        "\xf0\x9f\x98\x80 \xc5\xbd\xc3\xad\xc5\xa1\xc4\x8d \xe4\xbd\xa0\xe5\xa5\xbd",
        "a\\b\\",
        "",
        " trailing ",
        "line\r\nbreak\ttab",
    };
    struct rig rig;
    struct maker m;
    struct crier_record *made[12];
    size_t n = 0;
    maker_init(&m, 8);
    sql_open(&rig);
    for (; n < CRIER_COUNT(evil); n++)
        made[n] = make_post(
            &m, START + (int64_t)n,
            (struct post){"TextMESSAGE", "send", evil[n], evil[n], evil[n], GUILD + n, 2, false});
    char *big = crier_malloc((1 << 20) + 1);
    memset(big, 'x', 1 << 20);
    memcpy(big + 77777, "\xf0\x9f\x98\x80", 4);
    big[1 << 20] = '\0';
    made[n++] =
        make_post(&m, START + 100,
                  (struct post){"DirectMESSAGE", "send", big, "me", big, GUILD + 50, 0, false});
    crier_build_begin(&m.b, CRIER_KIND_LOG, CRIER_INFO, START + 200);
    crier_build_logger(&m.b, "bot", 3);
    crier_build_text(&m.b, "nul\0here", 8);
    crier_build_str(&m.b, "x", 1, "a\0b", 3);
    made[n++] = crier_build_end(&m.b);
    rig_write(&rig, made, n);
    assert_back(&rig, made, n);
    look_open();
    for (size_t i = 0; i < CRIER_COUNT(evil); i++) {
        assert_string_equal(look("SELECT name FROM GuildUSER WHERE snowflake_id = %llu",
                                 (unsigned long long)(GUILD + i)),
                            evil[i]);
        struct filter f = {"guild.name", CRIER_OP_EQ, {{.type = CRIER_STR}}, 1, NULL, false, 0, 0};
        size_t hits;
        f.values[0].s = (struct crier_str){evil[i], strlen(evil[i])};
        free(answer(&rig, &f, &hits));
        assert_int_equal(hits, 1);
    }
    look_close();
    for (size_t i = 0; i < n; i++)
        crier_record_unref(made[i]);
    free(big);
    rig_close(&rig);
    maker_fini(&m);
}

static void test_names_follow(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    maker_init(&m, 8);
    sql_open(&rig);
    for (int i = 0; i < 3; i++) {
        struct crier_record *r =
            make_post(&m, START + i,
                      (struct post){"TextMESSAGE", "send", "x", i ? "After" : "Before", NULL, GUILD,
                                    1, false});
        rig_write(&rig, &r, 1);
        crier_record_unref(r);
    }
    look_open();
    assert_string_equal(look("SELECT id, name FROM GuildUSER"), "1|After");
    look_close();
    rig_close(&rig);
    maker_fini(&m);
}

static void test_dropped_tables_come_again(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 20);
    look_open();
    look("DROP TABLE record_log");
    write_posts(&rig, &m, 20, 60);
    look("DROP TABLE MessageChannelLOG");
    look("DROP VIEW vMessageLogFullDETAIL");
    write_posts(&rig, &m, 60, 80);
    assert_true(look_number("SELECT COUNT(*) FROM record_log") > 0);
    assert_true(look_number("SELECT COUNT(*) FROM MessageChannelLOG") > 0);
    assert_true(look_number("SELECT COUNT(*) FROM vMessageLogFullDETAIL") > 60);
    /* All of it, while the sink believes to know what is there. */
    look_close();
    database_make(NULL);
    if (server == SQLITE)
        shell("rm -f %s/log.db*", folder);
    struct crier_record *r = post_of(&m, 90);
    struct crier_err err = {0};
    size_t done;
    enum crier_verdict verdict = try_write(&rig, &r, 1, &done, &err);
    if (verdict == CRIER_RETRY_LATER) /* the connection went with the database */
        verdict = try_write(&rig, &r, 1, &done, &err);
    if (server != SQLITE)
        assert_int_equal(verdict, CRIER_WRITTEN);
    crier_record_unref(r);
    rig_close(&rig);
    maker_fini(&m);
}

static void test_rows_gone_under_the_cache(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    look_open();
    look("DELETE FROM MessageChannelLOG");
    look("DELETE FROM MessageLOG");
    look("DELETE FROM DataHISTORY");
    look("DELETE FROM CHANNEL");
    look("DELETE FROM GuildUSER");
    look("DELETE FROM MessageMODE WHERE id = 2");
    write_posts(&rig, &m, 0, 12);
    assert_int_equal(look_number("SELECT COUNT(*) FROM MessageLOG"), 11); /* one is skipped */
    assert_int_equal(look_number("SELECT COUNT(*) FROM MessageMODE"), 3);
    look_close();
    rig_close(&rig);
    maker_fini(&m);
}

static double rate(struct rig *rig, const char *args)
{
    json_t *list = json_loads(args, 0, NULL), *result = NULL;
    struct crier_err err = {0};
    if (crier_sink_sql.methods[0].run(rig->self, list, &result, &err) != 0)
        fail_msg("%s", err.text);
    double value = json_real_value(result);
    json_decref(result);
    json_decref(list);
    return value;
}

/* SQL Server calls functions by their schema only. */
#define FN server == SQLSERVER ? "SELECT dbo.fn_%s" : "SELECT fn_%s",

static void test_success_rates(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    struct crier_record *r[8];
    maker_init(&m, 8);
    sql_open(&rig);
    for (int i = 0; i < 7; i++)
        r[i] = make_post(&m, START + i,
                         (struct post){"TextMESSAGE", "send", "x", "Chat",
                                       i % 3 == 0 ? "403" : NULL, GUILD, 3, false});
    r[7] =
        make_post(&m, START + 9,
                  (struct post){"DirectMESSAGE", "send", "x", "me", "closed", GUILD + 1, 0, false});
    rig_write(&rig, r, 8);
    assert_true(rate(&rig, "[{\"guild\":\"863071397207212052\"}]") == 0.57143);
    assert_true(rate(&rig, "[{\"guild\":863071397207212052,\"limit\":2}]") == 0.5);
    assert_true(rate(&rig, "[{\"guild\":\"863071397207212052\",\"limit\":0}]") == 1);
    assert_true(rate(&rig, "[{\"guild\":\"1\"}]") == 1);
    assert_true(rate(&rig, "[{\"user\":\"863071397207212053\"}]") == 0);
    assert_true(rate(&rig, "[{\"log\":1}]") == 0.66667);
    assert_true(rate(&rig, "[{\"log\":2}]") == 1);
    assert_true(rate(&rig, "[{\"log\":8}]") == 1);
    look_open();
    if (server == SQLITE) {
        assert_string_equal(look("SELECT success_rate FROM vLogSuccessRate WHERE log_id IN (1, 8) "
                                 "ORDER BY log_id"),
                            "0.66667\n1.0");
        assert_string_equal(look("SELECT success_rate FROM vGuildUserSuccessRate"), "0.57143\n0.0");
    } else if (!fake) {
        assert_string_equal(look(FN "log_success_rate(1)"), "0.66667");
        assert_string_equal(look(FN "log_success_rate(8)"), "1.00000");
        assert_string_equal(look(FN "guilduser_success_rate(863071397207212052, 1000)"), "0.57143");
        assert_string_equal(look(FN "guilduser_success_rate(863071397207212052, 2)"), "0.50000");
        assert_string_equal(look(FN "guilduser_success_rate(863071397207212052, 0)"), "1.00000");
        assert_string_equal(look(FN "guilduser_success_rate(1, NULL)"), "1.00000");
    }
    look_close();
    for (int i = 0; i < 8; i++)
        crier_record_unref(r[i]);
    rig_close(&rig);
    maker_fini(&m);
}

static void test_trigger(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 60);
    look_open();
    long direct = look_number("SELECT COUNT(*) FROM MessageLOG WHERE message_type = 2");
    long logs = look_number("SELECT COUNT(*) FROM MessageLOG");
    long one = look_number("SELECT COUNT(*) FROM (SELECT log_id FROM MessageChannelLOG GROUP BY "
                           "log_id HAVING COUNT(*) = 1) x");
    assert_true(direct > 0 && one > 0);
    /* Many rows at once: logs with one channel lose it, those with more keep the others. */
    look("DELETE FROM MessageChannelLOG WHERE channel_id = 1");
    assert_int_equal(look_number("SELECT COUNT(*) FROM MessageLOG"), logs - one);
    look("DELETE FROM MessageChannelLOG");
    assert_int_equal(look_number("SELECT COUNT(*) FROM MessageLOG"), direct);
    /* And the other way round. */
    write_posts(&rig, &m, 100, 120);
    assert_true(look_number("SELECT COUNT(*) FROM MessageChannelLOG") > 10);
    look("DELETE FROM MessageLOG");
    assert_int_equal(look_number("SELECT COUNT(*) FROM MessageChannelLOG"), 0);
    look_close();
    rig_close(&rig);
    maker_fini(&m);
}

static void test_procedure(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    struct crier_err err = {0};
    size_t count;
    maker_init(&m, 8);
    sql_open(&rig);
    struct crier_record *r = make_post(
        &m, START, (struct post){"TextMESSAGE", "send", "x", "\"Chat\"", NULL, GUILD, 2, false});
    rig_write(&rig, &r, 1);
    look_open();
    bool procedures = server == POSTGRESQL || server == MARIADB;
    for (int i = 0; i < 2 && procedures; i++)
        look("CALL sp_save_log('{\"text\":\"mine\"}', 1, 1, 2, NULL, "
             "'[{\"id\":1,\"reason\":null},{\"id\":2,\"reason\":\"no\"}]')");
    if (procedures) {
        assert_string_equal(look("SELECT sent_data, guild_name, message_mode FROM "
                                 "vMessageLogFullDETAIL WHERE id > 1"),
                            "{\"text\":\"mine\"}|\"Chat\"|edit\n{\"text\":\"mine\"}|\"Chat\"|edit");
        assert_string_equal(look("SELECT reason FROM MessageChannelLOG WHERE log_id = 2 ORDER BY "
                                 "channel_id"),
                            "-\nno");
        struct crier_record **hits = query_all(&rig, &count, &err);
        assert_int_equal(count, 3);
        for (size_t i = 0; i < count; i++)
            crier_record_unref(hits[i]);
        free(hits);
        struct filter f = {"sent_data.text", CRIER_OP_EQ, {STR("mine")}, 1, NULL, false, 0, 0};
        free(answer(&rig, &f, &count));
        assert_int_equal(count, 2);
    }
    look_close();
    crier_record_unref(r);
    rig_close(&rig);
    maker_fini(&m);
}

static void test_exec(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 20);
    static const struct {
        const char *args, *want;
    } calls[] = {
        {"[\"SELECT COUNT(*) AS n FROM MessageLOG WHERE message_type = ?\", [2]]", "[{\"n\": 3}]"},
        {"[\"SELECT name, snowflake_id FROM GuildUSER WHERE name = ?\", [\"Chat\"]]",
         "[{\"name\": \"Chat\", \"snowflake_id\": \"863071397207212053\"}]"},
        {"[\"UPDATE CHANNEL SET name = ? WHERE name = ?\", [\"'x\", \"sp1\"]]", "1"},
        {"[\"SELECT name FROM CHANNEL ORDER BY id\"]",
         "[{\"name\": \"sp0\"}, {\"name\": \"'x\"}, {\"name\": \"sp2\"}]"},
        {"[\"SELECT NULL AS a, id AS b FROM CHANNEL WHERE id = 1\"]", "[{\"b\": 1}]"},
        {"[\"DELETE FROM MessageLOG\", []]", "18"},
    };
    for (size_t i = 0; i < CRIER_COUNT(calls); i++) {
        json_t *args = json_loads(calls[i].args, 0, NULL), *result = NULL;
        struct crier_err err = {0};
        if (crier_sink_sql.methods[1].run(rig.self, args, &result, &err) != 0)
            fail_msg("%s", err.text);
        char *text = json_dumps(result, JSON_ENCODE_ANY);
        assert_string_equal(text, calls[i].want);
        free(text);
        json_decref(args);
        json_decref(result);
    }
    json_t *args = json_loads("[\"SELEKT 1\"]", 0, NULL), *result = NULL;
    struct crier_err err = {0};
    assert_int_not_equal(crier_sink_sql.methods[1].run(rig.self, args, &result, &err), 0);
    assert_non_null(strcasestr(err.text, "selekt"));
    assert_null(result);
    json_decref(args);
    rig_close(&rig);
    maker_fini(&m);
}

static void test_keep(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    size_t count;
    struct crier_err err = {0};
    struct crier_record *made[100];
    maker_init(&m, 8);
    rig_open(&rig, &crier_sink_sql, the_clock, "=dsn", dsn, "keep", (int64_t)(3600 * CRIER_S),
             NULL);
    for (int i = 0; i < 100; i++)
        made[i] = any_record(&m, i);
    rig_write(&rig, made, 100);
    crier_clock_set_wall(the_clock, START + 3600 * CRIER_S + 20 * CRIER_S);
    rig.driver->idle(rig.self, crier_clock_mono(the_clock));
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_true(count > 10 && count < 90);
    for (size_t i = 0; i < count; i++) {
        assert_true(crier_record_time(hits[i]) >= START + 20 * CRIER_S);
        crier_record_unref(hits[i]);
    }
    free(hits);
    look_open();
    assert_int_equal(look_number("SELECT COUNT(*) FROM DataHISTORY"),
                     look_number("SELECT COUNT(DISTINCT sent_data) FROM MessageLOG"));
    assert_string_equal(look("SELECT COUNT(*) FROM event_log"), "0");
    look_close();
    rig_write(&rig, made, 100); /* what was remembered of it is forgotten */
    crier_clock_set_wall(the_clock, START);
    for (int i = 0; i < 100; i++)
        crier_record_unref(made[i]);
    rig_close(&rig);
    maker_fini(&m);
}

/* The n-th record of two processes is not the same one, but guilds, channels, contents are. */
static void test_two_processes(void **state)
{
    (void)state;
    pid_t pids[2];
    struct rig rig;
    look_open(); /* SQLite: the file */
    look_close();
    for (int p = 0; p < 2; p++) {
        pids[p] = fork();
        if (pids[p] == 0) {
            struct maker m;
            maker_init(&m, 100 + (uint64_t)p);
            sql_open(&rig);
            for (int i = 0; i < 400;) {
                struct crier_record *batch[20];
                struct crier_err err;
                size_t done, at = 0;
                for (int k = 0; k < 20; k++)
                    batch[k] = post_of(&m, i + k);
                for (int tries = 0; at < 20 && tries < 3000; tries++) {
                    enum crier_verdict v = try_write(&rig, batch + at, 20 - at, &done, &err);
                    if (v == CRIER_REJECTED || v == CRIER_UNAVAILABLE) {
                        fprintf(stderr, "%s\n", err.text);
                        _exit(2);
                    }
                    at += done;
                    if (at < 20)
                        pause_ms(20);
                }
                if (at < 20)
                    _exit(3);
                for (int k = 0; k < 20; k++)
                    crier_record_unref(batch[k]);
                i += 20;
            }
            _exit(0);
        }
    }
    for (int p = 0; p < 2; p++) {
        int status;
        waitpid(pids[p], &status, 0);
        assert_int_equal(status, 0);
    }
    look_open();
    assert_int_equal(look_number("SELECT (SELECT COUNT(*) FROM MessageLOG) + (SELECT COUNT(*) FROM "
                                 "record_log)"),
                     800);
    assert_int_equal(look_number("SELECT COUNT(*) FROM GuildUSER"), 3);
    assert_int_equal(look_number("SELECT COUNT(*) FROM DataHISTORY"), 50);
    look_close();
}

/* The server is killed while batches are written; each is written again until it is acknowledged.
 * (SQLite has no server: the process that writes is killed.) */
static void test_kills(void **state)
{
    (void)state;
    int kills = fake ? 3 : 50;
    struct rig rig;
    struct maker m;
    struct crier_rng rng;
    struct crier_record *batch[40];
    struct crier_err err;
    size_t done, count;
    long acked = 0, lost = 0;
    crier_rng_seed_system(&rng);
    if (!server_pid)
        return;
    maker_init(&m, 8);
    sql_open(&rig);
    for (int k = 0; k < kills; k++) {
        long want = acked + 40;
        pid_t killer = fork();
        if (killer == 0) {
            nanosleep(&(struct timespec){.tv_nsec = (long)crier_rng_range(&rng, 0, 30000000)},
                      NULL);
            kill(server_pid, SIGKILL);
            _exit(0);
        }
        while (acked < want || waitpid(server_pid, NULL, WNOHANG) == 0) {
            for (int i = 0; i < 40; i++)
                batch[i] = post_of(&m, (int)acked + i);
            for (size_t at = 0; at < 40; at += done) {
                enum crier_verdict v = try_write(&rig, batch + at, 40 - at, &done, &err);
                if (v == CRIER_REJECTED)
                    fail_msg("rejected: %s", err.text);
                if (v == CRIER_WRITTEN)
                    continue;
                lost++;
                waitpid(killer, NULL, 0);
                waitpid(server_pid, NULL, 0);
                server_start();
            }
            for (int i = 0; i < 40; i++)
                crier_record_unref(batch[i]);
            acked += 40;
            if (lost > k)
                break;
        }
        if (lost <= k) { /* it died between two batches */
            waitpid(killer, NULL, 0);
            server_start();
            lost = k + 1;
        }
    }
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_int_equal(count, acked);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(crier_record_seq(hits[i]), i + 1);
        crier_record_unref(hits[i]);
    }
    free(hits);
    look_open();
    long total = look_number("SELECT (SELECT COUNT(*) FROM MessageLOG) + (SELECT COUNT(*) FROM "
                             "record_log)");
    assert_int_equal(total, acked);
    look_close();
    print_message("%ld records over %d kills\n", acked, kills);
    rig_close(&rig);
    maker_fini(&m);
}

static void test_read_only(void **state)
{
    (void)state;
    struct rig rig, reader;
    struct maker m;
    struct crier_err err = {0};
    size_t count;
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    rig_open(&reader, &crier_sink_memory, the_clock, NULL); /* for its env */
    rig_close(&reader);
    reader = (struct rig){.driver = &crier_sink_sql, .env = rig.env};
    reader.env.read_only = true;
    assert_int_equal(crier_sink_sql.open(&reader.env, &rig.options, "r", &reader.self, &err), 0);
    reader.zone = rig.zone;
    struct crier_record **hits = query_all(&reader, &count, &err);
    assert_int_equal(count, 10);
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    crier_sink_sql.close(reader.self);
    rig_close(&rig);
    maker_fini(&m);
}

/* A value that the engine cannot take makes its record a dead letter, and no other one. */
static void test_one_bad_record(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m, bad;
    struct crier_record *batch[40];
    struct crier_err err;
    size_t done, at = 0, rejected = 0;
    char *long_node = crier_malloc(70001);
    memset(long_node, 'n', 70000);
    long_node[70000] = '\0';
    maker_init(&m, 8);
    maker_init(&bad, 9);
    free(bad.source.node);
    bad.source.node = long_node;
    sql_open(&rig);
    for (int i = 0; i < 40; i++)
        batch[i] = i == 7 || i == 30 ? post_of(&bad, i) : post_of(&m, i);
    while (at < 40) {
        enum crier_verdict v = try_write(&rig, batch + at, 40 - at, &done, &err);
        at += done;
        if (v == CRIER_WRITTEN)
            continue;
        if (v != CRIER_REJECTED)
            fail_msg("%d: %s", (int)v, err.text);
        assert_true(at == 7 || at == 30);
        at++;
        rejected++;
    }
    /* the others have no such bound */
    assert_int_equal(rejected, server == MARIADB || server == SQLSERVER ? 2 : 0);
    assert_int_equal(count_all(&rig), 40 - rejected);
    for (int i = 0; i < 40; i++)
        crier_record_unref(batch[i]);
    rig_close(&rig);
    maker_fini(&m);
    maker_fini(&bad);
}

/* A login that may look and not write, and one that is refused. */
static void test_denied(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    struct crier_err err;
    size_t done;
    char old[sizeof dsn];
    if (server == SQLITE || server == SQLSERVER)
        return;
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    rig_close(&rig);
    look_open();
    if (server == POSTGRESQL) {
        look("DROP ROLE IF EXISTS guest");
        look("CREATE ROLE guest LOGIN PASSWORD 's3cret'");
        look("GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest");
    } else {
        look("CREATE OR REPLACE USER guest@localhost IDENTIFIED BY 's3cret'");
        look("GRANT SELECT, SHOW VIEW, EXECUTE, TRIGGER ON bot.* TO guest@localhost");
    }
    strcpy(old, dsn);
    char *uid = strstr(dsn, "UID=");
    struct crier_record *r = post_of(&m, 50);
    strcpy(uid, "UID=guest;PWD=s3cret");
    sql_open(&rig);
    assert_int_equal(count_all(&rig), 10);
    assert_int_equal(try_write(&rig, &r, 1, &done, &err), CRIER_UNAVAILABLE);
    assert_null(strstr(err.text, "s3cret"));
    assert_int_equal(done, 0);
    rig_close(&rig);
    strcpy(uid, "UID=nobody-here;PWD=s3cret");
    sql_open(&rig);
    assert_int_equal(try_write(&rig, &r, 1, &done, &err), CRIER_UNAVAILABLE);
    assert_null(strstr(err.text, "s3cret"));
    rig_close(&rig);
    strcpy(dsn, old);
    look_close();
    crier_record_unref(r);
    maker_fini(&m);
}

/* The password is another one when the connection has to be made again, and then the old one. */
static void test_password_changed(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    struct crier_err err;
    size_t done;
    char old[sizeof dsn];
    if (server != POSTGRESQL && server != MARIADB)
        return;
    bool postgres = server == POSTGRESQL;
    const char *change = postgres ? "ALTER ROLE keeper PASSWORD '%s'"
                                  : "ALTER USER keeper@localhost IDENTIFIED BY '%s'";
    look_open();
    if (postgres) {
        look("DROP ROLE IF EXISTS keeper");
        look("CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '0ne'");
        shell("sed -i '1i local all keeper scram-sha-256' %s/data/pg_hba.conf", server_dir);
        look("SELECT pg_reload_conf()");
    } else {
        look("CREATE OR REPLACE USER keeper@localhost IDENTIFIED BY '0ne'");
        look("GRANT ALL ON *.* TO keeper@localhost");
    }
    strcpy(old, dsn);
    strcpy(strstr(dsn, "UID="), "UID=keeper;PWD=0ne");
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    struct crier_record *r = post_of(&m, 10);
    for (int other = 1; other >= 0; other--) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        look(change, other ? "tw0" : "0ne");
#pragma GCC diagnostic pop
        if (postgres)
            look("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keeper'");
        else if (other)
            look("KILL USER keeper@localhost");
        enum crier_verdict v = try_write(&rig, &r, 1, &done, &err);
        if (v == CRIER_RETRY_LATER) /* that the connection is gone is told first */
            v = try_write(&rig, &r, 1, &done, &err);
        if (v != (other ? CRIER_UNAVAILABLE : CRIER_WRITTEN))
            fail_msg("verdict %d: %s", (int)v, err.text);
        assert_null(strstr(err.text, "0ne"));
    }
    assert_int_equal(count_all(&rig), 11);
    rig_close(&rig);
    strcpy(dsn, old);
    look_close();
    crier_record_unref(r);
    maker_fini(&m);
}

struct writing {
    struct rig *rig;
    struct crier_record *records[2];
    enum crier_verdict verdict;
    struct crier_err err;
};

static void *write_aside(void *arg)
{
    struct writing *w = arg;
    size_t done;
    w->verdict = try_write(w->rig, w->records, 2, &done, &w->err);
    return NULL;
}

static void exec_eye(const char *fmt, uint64_t n)
{
    struct crier_err err = {0};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    char *text = crier_asprintf(fmt, (unsigned long long)n);
#pragma GCC diagnostic pop
    if (crier_sql_exec(&eye, text, &err) != CRIER_SQL_OK)
        fail_msg("%s", err.text);
    free(text);
}

/* Two transactions that hold what the other one waits for. The sink's is the victim: it has done
 * less, or waits with more patience. */
static void test_deadlock(void **state)
{
    (void)state;
    static const char update[] = "UPDATE GuildUSER SET name = 'theirs' WHERE snowflake_id = %llu";
    struct rig rig;
    struct maker m;
    struct writing w = {.rig = &rig};
    pthread_t thread;
    if (server != POSTGRESQL && server != MARIADB)
        return;
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    for (int i = 0; i < 2; i++)
        w.records[i] = make_post(
            &m, START + 100 + i,
            (struct post){"TextMESSAGE", "send", "x", "ours", NULL, GUILD + (uint64_t)i, 1, false});
    look_open();
    struct crier_sql_conn watch = {.timeout = 10 * CRIER_S};
    struct crier_err err = {0};
    assert_int_equal(crier_sql_dsn_read(&watch.dsn, dsn, NULL, NULL, folder, false, &err), 0);
    assert_int_equal(crier_sql_connect(&watch, &err), CRIER_SQL_OK);
    if (server == POSTGRESQL) {
        exec_eye("SET deadlock_timeout = '60s'", 0);
    } else {
        look("CREATE TABLE heavy (id BIGINT PRIMARY KEY)");
        for (uint64_t i = 0; i < 300; i++)
            exec_eye("INSERT INTO heavy (id) VALUES (%llu)", i);
    }
    exec_eye(update, GUILD + 1);
    assert_int_equal(pthread_create(&thread, NULL, write_aside, &w), 0);
    struct crier_sql_conn mine = eye;
    eye = watch; /* what waits is seen on another connection */
    for (int i = 0; i < 2400; i++) {
        pause_ms(25);
        if (look_number(server == POSTGRESQL ? "SELECT COUNT(*) FROM pg_locks WHERE NOT granted"
                                             : "SELECT COUNT(*) FROM information_schema.INNODB_TRX "
                                               "WHERE trx_state = 'LOCK WAIT'") > 0)
            break;
    }
    watch = eye;
    eye = mine;
    exec_eye(update, GUILD);
    assert_int_equal(crier_sql_commit(&eye, &err), CRIER_SQL_OK);
    pthread_join(thread, NULL);
    if (w.verdict != CRIER_WRITTEN)
        fail_msg("verdict %d: %s", (int)w.verdict, w.err.text);
    assert_int_equal(look_number("SELECT COUNT(*) FROM GuildUSER WHERE name = 'ours'"), 2);
    assert_int_equal(count_all(&rig), 12);
    crier_sql_disconnect(&watch);
    crier_sql_dsn_fini(&watch.dsn);
    look_close();
    for (int i = 0; i < 2; i++)
        crier_record_unref(w.records[i]);
    rig_close(&rig);
    maker_fini(&m);
}

/* A database that does not hold every character: what it holds comes back whole, and a record with
 * another one is told of, not changed. (MariaDB's tables have a character set of their own.) */
static void test_latin1(void **state)
{
    (void)state;
    static const char *const texts[] = {"gr\xc3\xb6\xc3\x9f", "\xf0\x9f\x98\x80",
                                        "d\xc3\xa9j\xc3\xa0"};
    struct rig rig;
    struct maker m;
    struct crier_record *made[3];
    struct crier_err err;
    size_t done, at = 0, rejected = 0;
    int rc = 0;
    if (server != POSTGRESQL && server != MARIADB)
        return;
    if (server == POSTGRESQL)
        rc = shell("%s/psql -q -h %s -U crier -d postgres -c 'DROP DATABASE bot WITH (FORCE)' -c "
                   "\"CREATE DATABASE bot ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' "
                   "LC_CTYPE 'C'\" 2>/dev/null",
                   server_bin, server_dir);
    else
        rc = shell("mariadb --no-defaults -uroot -S %s/s -e 'DROP DATABASE bot; CREATE DATABASE "
                   "bot CHARACTER SET latin1'",
                   server_dir);
    assert_int_equal(rc, 0);
    maker_init(&m, 8);
    sql_open(&rig);
    for (int i = 0; i < 3; i++)
        made[i] = make_post(&m, START + i,
                            (struct post){"TextMESSAGE", "send", texts[i], texts[i], texts[i],
                                          GUILD + (uint64_t)i, 1, false});
    while (at < 3) {
        enum crier_verdict v = try_write(&rig, made + at, 3 - at, &done, &err);
        at += done;
        if (v == CRIER_WRITTEN)
            continue;
        if (v != CRIER_REJECTED || at != 1 || !strstr(err.text, "LATIN1"))
            fail_msg("verdict %d at %zu: %s", (int)v, at, err.text);
        at++;
        rejected++;
    }
    assert_int_equal(rejected, server == POSTGRESQL);
    if (rejected)
        made[1] = (crier_record_unref(made[1]), made[2]);
    assert_back(&rig, made, 3 - rejected);
    for (size_t i = 0; i < 3 - rejected; i++)
        crier_record_unref(made[i]);
    rig_close(&rig);
    maker_fini(&m);
}

/* The table's rows, by model. */
static void test_plain_table(void **state)
{
    (void)state;
    static const char *const models[] = {"minimal", "log", "run"};
    struct rig rig;
    struct maker m;
    struct crier_record *runs[3];
    struct crier_err err;
    size_t done, hits;
    maker_init(&m, 8);
    for (int i = 0; i < 3; i++)
        runs[i] = mixed_record(&m, i * MIXED_KINDS + CRIER_KIND_TASK);
    struct crier_record *other = make_log(&m, START, "x");
    for (int i = 0; i < 3; i++) {
        for (int own = 0; own < 2; own++) {
            char *table = crier_asprintf("runs_%s%d", models[i], own);
            for (int again = 0; again < 2; again++) {
                rig_open(&rig, &crier_sink_sql, the_clock, "=dsn", dsn, "=table", table, "=model",
                         models[i], "=id_field", own ? "created" : "id", NULL);
                rig_write(&rig, runs, 3);
                struct filter f = {"action", CRIER_OP_EQ, {STR("success")}, 1, NULL, false, 0, 0};
                free(answer(&rig, &f, &hits));
                assert_int_equal(hits, 2);
                assert_int_equal(count_all(&rig), 3);
                assert_int_equal(try_write(&rig, &other, 1, &done, &err), CRIER_REJECTED);
                assert_non_null(strstr(err.text, "kinds = \"task\""));
                rig_close(&rig);
            }
            look_open();
            assert_string_equal(look("SELECT task_name, action FROM %s ORDER BY created", table),
                                "report|success\nfetch|success\nreport|fail");
            if (i == 2)
                assert_int_equal(
                    look_number("SELECT COUNT(*) FROM runs_run0 WHERE runtime > 0.2 AND "
                                "start > 1653323296"),
                    3);
            look_close();
            free(table);
        }
    }
    rig_open(&rig, &crier_sink_sql, the_clock, "=dsn", dsn, "=table", "no_such", "=if_missing",
             "error", NULL);
    assert_int_equal(try_write(&rig, runs, 1, &done, &err), CRIER_UNAVAILABLE);
    assert_non_null(strstr(err.text, "there is no table 'no_such'"));
    rig_close(&rig);
    for (int i = 0; i < 3; i++)
        crier_record_unref(runs[i]);
    crier_record_unref(other);
    maker_fini(&m);
}

/* The server's process for the sink can make no file longer than this. (MariaDB's is killed by it.)
 */
static bool limit_files(const char *limit)
{
    return shell("for pid in $(%s/psql -h %s -U crier -d bot -tAc \"SELECT pid FROM "
                 "pg_stat_activity WHERE datname = 'bot' AND pid <> pg_backend_pid()\"); do "
                 "%s prlimit --pid $pid --fsize=%s: || exit 1; done",
                 server_bin, server_dir, as_user(), limit) == 0;
}

/* A disk that is full is waited for, and nothing is lost or doubled. */
static void test_full_disk(void **state)
{
    (void)state;
    struct rlimit old, small;
    struct rig rig;
    struct maker m;
    struct crier_record *batch[400];
    struct crier_err err;
    size_t done;
    if (server != SQLITE && server != POSTGRESQL)
        return;
    signal(SIGXFSZ, SIG_IGN);
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    for (int i = 0; i < 400; i++)
        batch[i] = post_of(&m, 10 + i);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 300000;
    if (server == SQLITE)
        setrlimit(RLIMIT_FSIZE, &small);
    else
        assert_true(limit_files("49152"));
    enum crier_verdict v = try_write(&rig, batch, 400, &done, &err);
    if (v != CRIER_RETRY_LATER)
        print_error("%s\n", err.text);
    if (server == SQLITE)
        setrlimit(RLIMIT_FSIZE, &old);
    else
        assert_true(limit_files("unlimited"));
    assert_int_equal(v, CRIER_RETRY_LATER);
    assert_int_equal(done, 0);
    assert_int_equal(try_write(&rig, batch, 400, &done, &err), CRIER_WRITTEN);
    assert_int_equal(count_all(&rig), 410);
    for (int i = 0; i < 400; i++)
        crier_record_unref(batch[i]);
    rig_close(&rig);
    maker_fini(&m);
}

/* A file system of a few MiB that fills up, and gets more room. Only root may make one. (A MariaDB
 * may abort over it: then it is started again.) */
static void test_no_room(void **state)
{
    (void)state;
    enum { COUNT = 40, TEXT = 128 * 1024 };
    struct rig rig;
    struct maker m;
    struct crier_record *batch[COUNT] = {0};
    struct crier_err err;
    size_t done = 0;
    char at[128], *text = crier_malloc(TEXT + 1);
    if (server == SQLITE)
        snprintf(at, sizeof at, "%s", folder);
    else
        snprintf(at, sizeof at, "%s/data/bot", server_dir);
    if ((server != SQLITE && server != MARIADB) || geteuid() != 0 ||
        shell("mount -t tmpfs -o size=4m,mode=0777 crier %s 2>/dev/null", at) != 0) {
        if (server == SQLITE || server == MARIADB)
            print_message("no file system may be mounted here: not tried\n");
        free(text);
        return;
    }
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    memset(text, 'x', TEXT);
    text[TEXT] = '\0';
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, 16, "%015d", i); /* each content is one of its own */
        text[15] = 'x';
        batch[i] =
            make_post(&m, START + 100 * CRIER_S + i,
                      (struct post){"TextMESSAGE", "send", text, "Chat", NULL, GUILD, 1, false});
    }
    enum crier_verdict v[3];
    v[0] = try_write(&rig, batch, COUNT, &done, &err);
    size_t first = done;
    v[1] = try_write(&rig, batch, COUNT, &done, &err); /* and it stays so */
    int more = shell("mount -o remount,size=64m %s", at);
    for (int i = 0; i < 1200; i++) {
        if (server_pid && waitpid(server_pid, NULL, WNOHANG) == server_pid)
            server_start();
        v[2] = try_write(&rig, batch, COUNT, &done, &err);
        if (v[2] == CRIER_WRITTEN)
            break;
        pause_ms(50);
    }
    size_t count = v[2] == CRIER_WRITTEN ? count_all(&rig) : 0;
    rig_close(&rig);
    if (server == MARIADB)
        shell("mariadb --no-defaults -uroot -S %s/s -e 'DROP DATABASE bot' 2>/dev/null",
              server_dir);
    shell("umount -l %s", at);
    for (int i = 0; i < COUNT; i++)
        crier_record_unref(batch[i]);
    maker_fini(&m);
    free(text);
    assert_int_equal(more, 0);
    assert_int_equal(v[0], CRIER_RETRY_LATER);
    assert_int_equal(first, 0);
    assert_int_equal(v[1], CRIER_RETRY_LATER);
    if (v[2] != CRIER_WRITTEN)
        fail_msg("verdict %d: %s", (int)v[2], err.text);
    assert_int_equal(count, 10 + COUNT);
}

/* Another crier has made these tables, and a newer one. */
static void test_newer_schema(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    struct crier_err err;
    size_t done;
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    rig_close(&rig);
    look_open();
    look("INSERT INTO crier_schema (version) VALUES (99)");
    look_close();
    struct crier_record *r = post_of(&m, 50);
    sql_open(&rig);
    assert_int_equal(try_write(&rig, &r, 1, &done, &err), CRIER_UNAVAILABLE);
    assert_int_equal(err.code, CRIER_EVERSION);
    rig_close(&rig);
    crier_record_unref(r);
    maker_fini(&m);
}

/* What version 1 had: no index of what was sent. */
static void test_older_schema(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    if (server == SQLSERVER)
        return;
    maker_init(&m, 8);
    sql_open(&rig);
    write_posts(&rig, &m, 0, 10);
    rig_close(&rig);
    look_open();
    if (server != MARIADB) /* whose foreign key had one of its own */
        look("DROP INDEX MessageLOG_data");
    look("UPDATE crier_schema SET version = 1");
    look_close();
    sql_open(&rig);
    write_posts(&rig, &m, 10, 20);
    look_open();
    assert_string_equal(look("SELECT version FROM crier_schema"), "2");
    static const char *const there[] = {
        "SELECT COUNT(*) FROM sqlite_master WHERE name = 'MessageLOG_data'",
        "SELECT COUNT(*) FROM pg_class WHERE relname = 'messagelog_data'",
        ("SELECT COUNT(*) FROM information_schema.STATISTICS WHERE INDEX_NAME = 'MessageLOG_data' "
         "AND TABLE_SCHEMA = DATABASE()"),
    };
    assert_string_equal(look("%s", there[server]), "1");
    assert_int_equal(count_all(&rig), 20);
    look_close();
    rig_close(&rig);
    maker_fini(&m);
}

/* A database as the original made it: lookup rows by order of use, from 0; no record_id, node,
 * record, content_hash; on some no reason. */
static void make_original(bool reason)
{
    static const char *const types[][5] = {
        /* key, number, snowflake, text, time */
        {"INTEGER PRIMARY KEY", "INTEGER", "BIGINT", "VARCHAR(3000)", "DATETIME"},
        {"INTEGER PRIMARY KEY", "INTEGER", "BIGINT", "VARCHAR(3000)", "TIMESTAMP"},
        {"INTEGER PRIMARY KEY", "INTEGER", "BIGINT", "VARCHAR(3000)", "DATETIME"},
        {"INT NOT NULL PRIMARY KEY", "INT", "BIGINT", "NVARCHAR(3000)", "DATETIME"},
    };
    const char *const *t = types[server];
    look("CREATE TABLE MessageTYPE (id %s, name VARCHAR(50) NOT NULL)", t[0]);
    look("CREATE TABLE MessageMODE (id %s, name VARCHAR(50) NOT NULL)", t[0]);
    look("CREATE TABLE GuildTYPE (id %s, name VARCHAR(50) NOT NULL)", t[0]);
    look("CREATE TABLE GuildUSER (id %s, snowflake_id %s NOT NULL, name %s NOT NULL, guild_type %s "
         "NOT NULL, FOREIGN KEY (guild_type) REFERENCES GuildTYPE (id))",
         t[0], t[2], t[3], t[1]);
    look("CREATE TABLE CHANNEL (id %s, snowflake_id %s NOT NULL, name %s NOT NULL, guild_id %s NOT "
         "NULL, FOREIGN KEY (guild_id) REFERENCES GuildUSER (id))",
         t[0], t[2], t[3], t[1]);
    look("CREATE TABLE DataHISTORY (id %s, content %s NOT NULL)", t[0], t[3]);
    look(
        "CREATE TABLE MessageLOG (id %s, sent_data %s NOT NULL, message_type %s NOT NULL, guild_id "
        "%s NOT NULL, message_mode %s NULL, dm_reason %s NULL, timestamp %s NOT NULL, FOREIGN KEY "
        "(sent_data) REFERENCES DataHISTORY (id), FOREIGN KEY (message_type) REFERENCES "
        "MessageTYPE (id), FOREIGN KEY (guild_id) REFERENCES GuildUSER (id), FOREIGN KEY "
        "(message_mode) REFERENCES MessageMODE (id))",
        t[0], t[1], t[1], t[1], t[1], t[3], t[4]);
    look("CREATE TABLE MessageChannelLOG (log_id %s NOT NULL, channel_id %s NOT NULL, %s%s%s"
         "PRIMARY KEY (log_id, channel_id), FOREIGN KEY (log_id) REFERENCES MessageLOG (id) ON "
         "DELETE CASCADE, FOREIGN KEY (channel_id) REFERENCES CHANNEL (id))",
         t[1], t[1], reason ? "reason " : "", reason ? t[3] : "", reason ? " NULL, " : "");
    look("CREATE VIEW vMessageLogFullDETAIL AS SELECT id, sent_data FROM MessageLOG");
    for (int i = 0; i < 3; i++) {
        static const char *const names[][3] = {{"DirectMESSAGE", "TextMESSAGE", "VoiceMESSAGE"},
                                               {"clear-send", "edit", "send"},
                                               {"USER", "GUILD", "x"}};
        look("INSERT INTO MessageTYPE (id, name) VALUES (%d, '%s')", i, names[0][i]);
        look("INSERT INTO MessageMODE (id, name) VALUES (%d, '%s')", i, names[1][i]);
        look("INSERT INTO GuildTYPE (id, name) VALUES (%d, '%s')", i, names[2][i]);
    }
    look(
        "INSERT INTO GuildUSER (id, snowflake_id, name, guild_type) VALUES (0, 863071397207212999, "
        "'Chat''s', 1)");
    look("INSERT INTO GuildUSER (id, snowflake_id, name, guild_type) VALUES (1, 12345, 'me', 0)");
    look("INSERT INTO CHANNEL (id, snowflake_id, name, guild_id) VALUES (0, 978332728615379984, "
         "'sp', 0)");
    look("INSERT INTO CHANNEL (id, snowflake_id, name, guild_id) VALUES (1, 978332728615379985, "
         "'ads', 0)");
    look("INSERT INTO DataHISTORY (id, content) VALUES (0, '{\"text\": \"one\"}')");
    look("INSERT INTO DataHISTORY (id, content) VALUES (1, '{ \"text\":\"one\" }')");
    look("INSERT INTO DataHISTORY (id, content) VALUES (2, 'no JSON')");
}

static void original_log(int id, int data, const char *rest)
{
    look("INSERT INTO MessageLOG (id, sent_data, message_type, guild_id, message_mode, dm_reason, "
         "timestamp) VALUES (%d, %d, %s, '2022-05-23 18:28:%02d')",
         id, data, rest, id % 60);
}

/* Its rows are found like ours, and stay as they were beside them. */
static void test_original(void **state)
{
    (void)state;
    for (int reason = 0; reason < 2; reason++) {
        struct rig rig;
        struct maker m;
        size_t count;
        assert_int_equal(reason ? (remove_test_folder(state), database_make(state)) : 0, 0);
        look_open();
        make_original(reason);
        original_log(0, 0, "1, 0, 1, NULL");
        original_log(1, 1, "0, 1, 2, 'closed'");
        original_log(2, 2, "2, 0, NULL, NULL");
        original_log(700, 0, "1, 0, NULL, NULL");
        look("INSERT INTO MessageChannelLOG (log_id, channel_id) VALUES (0, 0)");
        look("INSERT INTO MessageChannelLOG (log_id, channel_id) VALUES (0, 1)");
        look("INSERT INTO MessageChannelLOG (log_id, channel_id) VALUES (700, 1)");
        if (reason)
            look("UPDATE MessageChannelLOG SET reason = '403' WHERE log_id = 0 AND channel_id = 1");
        look_close();
        maker_init(&m, 8);
        sql_open(&rig);
        assert_int_equal(count_all(&rig), 4);
        write_posts(&rig, &m, 0, 4);
        assert_int_equal(count_all(&rig), 8);
        struct filter f = {"guild.name", CRIER_OP_EQ, {STR("Chat's")}, 1, NULL, false, 0, 0};
        free(answer(&rig, &f, &count));
        assert_int_equal(count, 3);
        f = (struct filter){"success_info.reason", CRIER_OP_EQ, {STR("closed")}, 1, NULL, 0, 0, 0};
        free(answer(&rig, &f, &count));
        assert_int_equal(count, 1);
        f = (struct filter){"time", CRIER_OP_EQ, {STR("2022-05-23T16:28:01Z")}, 1, NULL, false, 0,
                            0};
        free(answer(&rig, &f, &count));
        assert_int_equal(count, 1);
        rig_close(&rig);
        look_open();
        char *text = crier_asprintf(eye.dialect->time_out, "timestamp");
        assert_string_equal(
            look("SELECT sent_data, message_type, guild_type, guild_id, guild_name, "
                 "message_mode, dm_reason, %s FROM vMessageLogFullDETAIL WHERE id "
                 "<= 4 ORDER BY id",
                 text),
            "{\"text\":\"one\"}|TextMESSAGE|GUILD|863071397207212999|Chat's|edit|-|"
            "2022-05-23 16:28:00.000000\n"
            "{\"text\":\"one\"}|DirectMESSAGE|USER|12345|me|send|closed|"
            "2022-05-23 16:28:01.000000\n"
            "{\"text\":\"no JSON\"}|VoiceMESSAGE|GUILD|863071397207212999|Chat's|-|-|"
            "2022-05-23 16:28:02.000000\n"
            "{\"text\":\"one\"}|TextMESSAGE|GUILD|863071397207212999|Chat's|send|-|"
            "2022-05-23 16:28:40.000000");
        free(text);
        assert_string_equal(look("SELECT c.name, l.reason FROM MessageChannelLOG l JOIN CHANNEL c "
                                 "ON c.id = l.channel_id WHERE l.log_id IN (1, 4) ORDER BY "
                                 "l.log_id, c.id"),
                            reason ? "sp|-\nads|403\nads|-" : "sp|-\nads|-\nads|-");
        assert_int_equal(look_number("SELECT COUNT(*) FROM daf_MessageLOG"), 4);
        assert_int_equal(look_number("SELECT COUNT(*) FROM daf_DataHISTORY"), 3);
        /* A version is what tells that it is done: without it, it is done again, and nothing is
         * twice. */
        look("DELETE FROM crier_schema");
        look_close();
        sql_open(&rig);
        assert_int_equal(count_all(&rig), 8);
        look_open();
        assert_string_equal(look("SELECT version FROM crier_schema"), "2");
        look_close();
        rig_close(&rig);
        maker_fini(&m);
    }
}

#define SQL_CASE(test) cmocka_unit_test_setup_teardown(test, database_make, remove_test_folder)
#define SQL_CASES                                                                                  \
    SQL_CASE(test_schema), SQL_CASE(test_records_come_back_whole),                                 \
        SQL_CASE(test_answers_as_memory), SQL_CASE(test_first_by_id),                              \
        SQL_CASE(test_groups_as_memory),                                                           \
        SQL_CASE(test_changes_as_memory), SQL_CASE(test_hostile_text),                             \
        SQL_CASE(test_names_follow), SQL_CASE(test_dropped_tables_come_again),                     \
        SQL_CASE(test_rows_gone_under_the_cache), SQL_CASE(test_success_rates),                    \
        SQL_CASE(test_trigger), SQL_CASE(test_procedure), SQL_CASE(test_exec),                     \
        SQL_CASE(test_keep), SQL_CASE(test_two_processes), SQL_CASE(test_read_only),               \
        SQL_CASE(test_one_bad_record), SQL_CASE(test_denied), SQL_CASE(test_plain_table),          \
        SQL_CASE(test_full_disk), SQL_CASE(test_no_room), SQL_CASE(test_newer_schema),             \
        SQL_CASE(test_older_schema), SQL_CASE(test_original), SQL_CASE(test_password_changed),     \
        SQL_CASE(test_deadlock), SQL_CASE(test_latin1), SQL_CASE(test_kills)

/* psqlodbc loses some of its own memory with a connection that breaks. Visible: the sanitizer's
 * library looks for it by name. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:psqlodbc";
}

/* Tests that need a server that is not installed are not run, and say so. `more` come behind the
 * cases of all engines. */
static int run_sql_cases(enum server which, const char *name, const struct CMUnitTest *more,
                         size_t more_count)
{
    const struct CMUnitTest all[] = {SQL_CASES};
    struct CMUnitTest tests[CRIER_COUNT(all) + 16];
    server = which;
    if (!server_find()) {
        printf("1..0 # SKIP %s is not installed\n", name);
        return 0;
    }
    memcpy(tests, all, sizeof all);
    if (more_count)
        memcpy(tests + CRIER_COUNT(all), more, more_count * sizeof *more);
    the_clock = crier_clock_virtual(START);
    int rc = _cmocka_run_group_tests(name, tests, CRIER_COUNT(all) + more_count, server_make,
                                     server_remove);
    crier_clock_free(the_clock);
    crier_buf_fini(&looked);
    return rc;
}
