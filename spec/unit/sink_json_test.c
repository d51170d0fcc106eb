/* SPDX-License-Identifier: MIT
 *
 * The json sink: which file a record goes to, what its entry looks like, what is kept through
 * restarts and faults.
 */
#include "sink_dayfile_support.h"

#include <sys/file.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <signal.h>

#define GUILD_ID 863071397207212052u
#define GUILD_NAME "\\David's dungeon"
#define DAY_23 "History/2022/05/23/"

static struct maker maker;
static struct crier_clock *clock_;
static struct rig rig;

static int64_t wall(const char *text)
{
    int64_t at = 0;
    struct crier_err err = {0};
    if (crier_datetime_parse(text, rig.zone, &at, &err) != 0)
        fail_msg("%s", err.text);
    return at;
}

static void open_rig(void)
{
    rig_open(&rig, clock_, "Europe/Ljubljana");
}

static void reopen_rig(void)
{
    rig_close(&rig);
    open_rig();
}

static int setup(void **state)
{
    (void)state;
    make_test_folder();
    maker_init(&maker, 1);
    clock_ = crier_clock_virtual(1653323295LL * CRIER_S); /* 2022-05-23 18:28:15 there */
    open_rig();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    crier_clock_free(clock_);
    maker_fini(&maker);
    remove_test_folder();
    return 0;
}

static struct crier_record *plain(const char *guild, uint64_t id)
{
    return make_message(&maker, wall("2022-05-23T18:00:00"), guild, id, "hello");
}

static void write_plain(const char *guild, uint64_t id)
{
    rig_write_one(&rig, plain(guild, id));
}

/* The text without the entries' last member and without the blanks at the ends of lines. */
static char *without_record(const char *text)
{
    struct crier_buf lines = {0}, out = {0};
    for (const char *at = text; *at; at++) {
        size_t blanks = strspn(at, " ");
        if (blanks && at[blanks] == '\n')
            at += blanks;
        crier_buf_putc(&lines, *at);
    }
    const char *cut, *from = lines.data;
    while ((cut = strstr(from, ",\n            \"record\": {"))) {
        crier_buf_append(&out, from, (size_t)(cut - from));
        from = strstr(cut, "\n            }\n") + strlen("\n            }");
    }
    crier_buf_puts(&out, from);
    crier_buf_fini(&lines);
    return crier_buf_take(&out);
}

#define LONG_ROLL                                                                                  \
    "http://static1.squarespace.com/static/60503ac20951e15087fbe7b8/60504609ee9c445722c9dd4e/"     \
    "60e3f9b541eb1b01e8e46854/1627103366283/RalphRoll.gif?format=1500w"

static const char *const rolls[] = {
    "https://i.pinimg.com/originals/b7/fb/80/b7fb80122cf46d0e584f3a0768aef282.gif",
    "https://bit.ly/3sHrjQZ",
    "https://static.wikia.nocookie.net/a1dea591-8a10-4c02-a573-5321c601c129",
    "https://www.gifcen.com/wp-content/uploads/2022/03/rickroll-gif-4.gif",
    "https://bit.ly/3u5D8Dt",
    LONG_ROLL,
    "https://i.imgflip.com/56bhvt.gif",
};

/* The document that DAF's users know, as its program wrote it (json.dump, indent=4). */
static char *seed_document(void)
{
    static const char *const seconds[] = {"27:44", "27:49", "27:54", "27:59",
                                          "28:04", "28:09", "28:15"};
    struct crier_buf b = {0};
    crier_buf_puts(&b, "{\n    \"name\": \"\\\\David's dungeon\",\n"
                       "    \"id\": 863071397207212052,\n    \"type\": \"GUILD\",\n"
                       "    \"message_history\": [");
    for (int i = 6; i >= 0; i--)
        crier_buf_printf(&b,
                         "%s\n        {\n            \"sent_data\": {\n"
                         "                \"text\": \"%s\"\n            },\n"
                         "            \"channels\": {\n                \"successful\": [\n"
                         "                    {\n                        \"name\": \"sp\",\n"
                         "                        \"id\": 978332728615378984\n"
                         "                    }\n                ],\n"
                         "                \"failed\": []\n            },\n"
                         "            \"type\": \"TextMESSAGE\",\n            \"mode\": \"edit\",\n"
                         "            \"index\": %d,\n"
                         "            \"timestamp\": \"23.05.2022 18:%s\"\n        }",
                         i == 6 ? "" : ",", rolls[i], i, seconds[i]);
    crier_buf_puts(&b, "\n    ]\n}");
    return crier_buf_take(&b);
}

static void write_seed(void)
{
    static const int at[] = {0, 5, 10, 15, 20, 25, 31};
    for (int i = 0; i < 7; i++)
        rig_write_one(&rig, make_message(&maker, wall("2022-05-23T18:27:44") + at[i] * CRIER_S,
                                         GUILD_NAME, GUILD_ID, rolls[i]));
}

static void test_seed_document(void **state)
{
    (void)state;
    char *want = seed_document();
    write_seed();
    char *path = in_folder(DAY_23 "#David's dungeon.json");
    char *live = slurp(path, NULL);
    assert_true(strstr(live, "[      ") != NULL);
    char *got = without_record(live);
    assert_string_equal(got, want);
    free(got);
    free(live);

    rig_close(&rig);
    char *closed = slurp(path, NULL);
    assert_null(strstr(closed, "[ "));
    got = without_record(closed);
    assert_string_equal(got, want);
    open_rig();
    free(got);
    free(closed);
    free(path);
    free(want);
}

static void test_record_member(void **state)
{
    (void)state;
    char id[27], *want;
    struct crier_record *r = make_message(&maker, wall("2022-05-23T18:27:44.5"), "G", 7, "x");
    crier_record_id(r, id);
    rig_write_one(&rig, r);
    reopen_rig();
    char *path = in_folder(DAY_23 "G.json");
    char *text = slurp(path, NULL);
    want = crier_asprintf(",\n            \"record\": {\n                \"id\": \"%s\",\n"
                          "                \"seq\": 1,\n"
                          "                \"time\": \"2022-05-23T16:27:44.500000Z\",\n"
                          "                \"node\": \"web-1\",\n"
                          "                \"level\": \"info\",\n"
                          "                \"logger\": \"message.gallery\",\n"
                          "                \"text\": \"gallery #sp edited\",\n"
                          "                \"where\": \"bot.lua:14\",\n"
                          "                \"ok\": true,\n"
                          "                \"name\": \"gallery\",\n"
                          "                \"success_rate\": 1.0,\n"
                          "                \"runtime\": 0.125,\n"
                          "                \"requests\": 1\n            }\n        }\n    ]\n}",
                          id);
    assert_non_null(strstr(text, want));
    free(want);
    free(text);
    free(path);
}

static void test_direct_message_and_failures(void **state)
{
    (void)state;
    struct crier_builder *b = &maker.b;
    begin_message(&maker, wall("2022-05-23T18:00:00"), "Ana", 145196308985020416u, "USER");
    CRIER_B_STR(b, "type", "DirectMESSAGE");
    CRIER_B_STR(b, "mode", "send");
    CRIER_B_OPEN(b, "sent_data", CRIER_OBJECT);
    CRIER_B_OPEN(b, "files", CRIER_ARRAY);
    CRIER_B_STR(b, "", "a.png");
    crier_build_close(b);
    CRIER_B_STR(b, "text", "Good \"morning\"");
    crier_build_close(b);
    CRIER_B_OPEN(b, "success_info", CRIER_OBJECT);
    CRIER_B_STR(b, "reason", "403");
    CRIER_B_BOOL(b, "success", false);
    crier_build_close(b);
    rig_write_one(&rig, crier_build_end(b));
    char *path = in_folder(DAY_23 "Ana.json");
    char *text = slurp(path, NULL);
    assert_non_null(strstr(text, "\"type\": \"USER\","));
    assert_non_null(strstr(text, "        {\n            \"sent_data\": {\n"
                                 "                \"text\": \"Good \\\"morning\\\"\",\n"
                                 "                \"files\": [\n"
                                 "                    \"a.png\"\n                ]\n"
                                 "            },\n            \"success_info\": {\n"
                                 "                \"success\": false,\n"
                                 "                \"reason\": \"403\"\n            },\n"
                                 "            \"type\": \"DirectMESSAGE\",\n"
                                 "            \"mode\": \"send\",\n            \"index\": 0,"));
    assert_null(strstr(text, "channels"));
    free(text);
    free(path);

    /* Failed channels, in any order of members; voice has no mode; skipped has no channels. */
    begin_message(&maker, wall("2022-05-23T18:00:00"), "G", 7, "GUILD");
    CRIER_B_STR(b, "type", "VoiceMESSAGE");
    CRIER_B_OPEN(b, "channels", CRIER_OBJECT);
    CRIER_B_OPEN(b, "failed", CRIER_ARRAY);
    crier_build_open(b, NULL, 0, CRIER_OBJECT);
    CRIER_B_STR(b, "reason", "gone");
    CRIER_B_SNOWFLAKE(b, "id", 18446744073709551615u);
    CRIER_B_STR(b, "name", "v");
    crier_build_close(b);
    crier_build_close(b);
    crier_build_close(b);
    rig_write_one(&rig, crier_build_end(b));
    begin_message(&maker, wall("2022-05-23T18:00:01"), "G", 7, "GUILD");
    CRIER_B_STR(b, "skipped", "late");
    rig_write_one(&rig, crier_build_end(b));
    path = in_folder(DAY_23 "G.json");
    text = slurp(path, NULL);
    assert_non_null(strstr(text, "\"successful\": [],\n                \"failed\": [\n"
                                 "                    {\n                        \"name\": \"v\",\n"
                                 "                        \"id\": 18446744073709551615,\n"
                                 "                        \"reason\": \"gone\"\n"
                                 "                    }\n                ]\n            },\n"
                                 "            \"type\": \"VoiceMESSAGE\",\n"
                                 "            \"index\": 0,"));
    assert_non_null(strstr(text, "            \"sent_data\": {},\n            \"channels\": {\n"
                                 "                \"successful\": [],\n"
                                 "                \"failed\": []\n            },\n"
                                 "            \"index\": 1,"));
    assert_non_null(strstr(text, "                \"skipped\": \"late\"\n"));
    assert_entries(path, 2);
    free(text);
    free(path);
}

static void test_kinds_without_guild(void **state)
{
    (void)state;
    struct crier_builder *b = &maker.b;
    crier_build_begin(b, CRIER_KIND_TASK, CRIER_LEVEL_ERROR, wall("2022-05-23T18:00:00"));
    CRIER_B_STR(b, "task_name", "fetch");
    CRIER_B_TIME(b, "start", wall("2022-05-23T18:00:00"));
    rig_write_one(&rig, crier_build_end(b));
    crier_build_begin(b, CRIER_KIND_MESSAGE, CRIER_INFO, wall("2022-05-23T18:00:00"));
    rig_write_one(&rig, crier_build_end(b));
    rig_close(&rig);
    char *path = in_folder(DAY_23 "@task.json");
    char *text = slurp(path, NULL);
    const char *want = "{\n    \"name\": \"@task\",\n    \"id\": 0,\n    \"type\": \"task\",\n"
                       "    \"message_history\": [\n        {\n            \"index\": 0,\n"
                       "            \"timestamp\": \"23.05.2022 18:00:00\",\n"
                       "            \"record\": {\n";
    assert_memory_equal(text, want, strlen(want));
    assert_non_null(strstr(text, "\"start\": \"2022-05-23T16:00:00.000000Z\"\n"));
    assert_true(exists(DAY_23 "@message.json"));
    free(text);
    open_rig();
    crier_build_begin(b, CRIER_KIND_TASK, CRIER_INFO, wall("2022-05-23T18:00:01"));
    rig_write_one(&rig, crier_build_end(b));
    assert_entries(path, 2);
    free(path);
}

static void test_file_is_chosen_by_id(void **state)
{
    (void)state;
    write_plain("One", 1);
    write_plain("Renamed", 1);
    assert_false(exists(DAY_23 "Renamed.json"));
    reopen_rig();
    write_plain("Again", 1);
    assert_false(exists(DAY_23 "Again.json"));
    char *path = in_folder(DAY_23 "One.json");
    assert_entries(path, 3);
    char *text = slurp(path, NULL);
    const char *guild = strstr(text, "\"guild\": {");
    assert_non_null(guild); /* said where it is not the file's name, and only there */
    assert_non_null(strstr(guild, "\"Renamed\""));
    assert_null(strstr(strstr(guild, "\"index\": 0"), "\"guild\""));
    free(text);
    free(path);
}

static void test_two_of_one_name(void **state)
{
    (void)state;
    write_plain("Same", 11);
    write_plain("Same", 12);
    write_plain("Same", 11);
    char *one = in_folder(DAY_23 "Same.json"), *two = in_folder(DAY_23 "Same#12.json");
    assert_entries(one, 2);
    assert_entries(two, 1);
    reopen_rig();
    write_plain("Same", 12);
    write_plain("Same#12", 13);
    assert_entries(two, 2);
    assert_true(exists(DAY_23 "Same#12#13.json"));
    free(one);
    free(two);
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *file;
    } cases[] = {
        {"../../etc/x", "..#..#etc#x.json"},
        {".", "#.json"},
        {"..", "##.json"},
        {"@task", "#task.json"},
        {"a@b", "a@b.json"},
        {"line\nbreak \"quoted\" <:>|?*\\", "line#break #quoted# #######.json"},
        {"", "107.json"},
        {"\xf0\x9f\x90\xa2 emoji", "\xf0\x9f\x90\xa2 emoji.json"},
        {"\xc2\x9b"
         "2J",
         "#2J.json"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        char *path = crier_asprintf(DAY_23 "%s", cases[i].file);
        write_plain(cases[i].name, 101 + i);
        if (!exists(path))
            fail_msg("no '%s'", path);
        char *full = in_folder(path);
        assert_entries(full, 1);
        free(full);
        free(path);
    }
    char name[301], *path;
    memset(name, 'x', 300);
    name[300] = '\0';
    memcpy(name + 219, "\xe2\x82\xac", 3); /* would be cut in the middle */
    write_plain(name, 201);
    path = crier_asprintf(DAY_23 "%.219s.json", name);
    assert_true(exists(path));
    free(path);
    write_plain(name, 18446744073709551615u);
    path = crier_asprintf(DAY_23 "%.219s#18446744073709551615.json", name);
    assert_true(exists(path));
    free(path);
    assert_false(exists("etc"));
    assert_false(exists("History/etc"));
}

static void test_days(void **state)
{
    (void)state;
    rig_write_one(&rig, make_message(&maker, wall("2022-05-23T23:59:59.999999"), "G", 7, "a"));
    rig_write_one(&rig, make_message(&maker, wall("2022-05-24T00:00:00"), "G", 7, "b"));
    /* The hour that comes twice, and a day of the zone that is another one in UTC. */
    rig_write_one(&rig, make_message(&maker, wall("2022-10-30T00:30:00Z"), "G", 7, "c"));
    rig_write_one(&rig, make_message(&maker, wall("2022-10-30T01:30:00Z"), "G", 7, "d"));
    rig_write_one(&rig, make_message(&maker, wall("2022-12-31T23:30:00Z"), "G", 7, "e"));
    char *path = in_folder("History/2022/10/30/G.json");
    assert_entries(path, 2);
    char *text = slurp(path, NULL);
    const char *first = strstr(text, "30.10.2022 02:30:00");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "30.10.2022 02:30:00"));
    assert_true(exists("History/2022/05/23/G.json"));
    assert_true(exists("History/2022/05/24/G.json"));
    assert_true(exists("History/2023/01/01/G.json"));
    free(text);
    free(path);
}

static bool has_gap(const char *name)
{
    char *path = in_folder(name), *text = slurp(path, NULL);
    bool gap = strstr(text, "[  ") != NULL;
    free(text);
    free(path);
    return gap;
}

static void test_gap_closes_when_the_day_ends(void **state)
{
    (void)state;
    int64_t now = crier_clock_mono(clock_);
    assert_true(crier_sink_json.idle(rig.self, now) == CRIER_NEVER);
    write_plain("G", 7);
    write_plain("H", 8);
    int64_t due = crier_sink_json.idle(rig.self, now);
    assert_true(due - now == wall("2022-05-24T00:00:00") - crier_clock_wall(clock_));
    assert_true(has_gap(DAY_23 "G.json"));

    crier_clock_advance_to(clock_, due); /* the next write does it too */
    rig_write_one(&rig, make_message(&maker, wall("2022-05-24T00:00:00"), "G", 7, "b"));
    assert_false(has_gap(DAY_23 "G.json"));
    assert_false(has_gap(DAY_23 "H.json"));
    assert_true(has_gap("History/2022/05/24/G.json"));

    /* A late record opens the old file again, and idling closes it. */
    write_plain("G", 7);
    assert_true(has_gap(DAY_23 "G.json"));
    crier_sink_json.idle(rig.self, due);
    assert_false(has_gap(DAY_23 "G.json"));
    char *path = in_folder(DAY_23 "G.json");
    assert_entries(path, 2);
    free(path);
    crier_clock_advance_to(clock_, due + 86400 * CRIER_S);
    assert_true(crier_sink_json.idle(rig.self, due) == CRIER_NEVER);
    assert_false(has_gap("History/2022/05/24/G.json"));
}

static void test_exactly_once_after_restart(void **state)
{
    (void)state;
    struct crier_record *r[6];
    for (int i = 0; i < 6; i++)
        r[i] = plain(i % 2 ? "G" : "H", i % 2 ? 7 : 8);
    rig_write(&rig, r, 4);
    reopen_rig();
    rig_write(&rig, r, 6); /* the batch again, and what came behind it */
    crier_sink_json.reopen(rig.self);
    rig_write(&rig, r + 4, 2);
    char *g = in_folder(DAY_23 "G.json"), *h = in_folder(DAY_23 "H.json");
    assert_entries(g, 3);
    assert_entries(h, 3);
    free(g);
    free(h);
    for (int i = 0; i < 6; i++)
        crier_record_unref(r[i]);
}

static void test_fault_in_the_middle_of_a_batch(void **state)
{
    (void)state;
    struct crier_err err = {0};
    struct crier_record *r[6];
    size_t done = 99;
    for (int i = 0; i < 6; i++)
        r[i] = plain(i % 2 ? "H" : "G", i % 2 ? 8 : 7); /* G H G H G H */
    write_plain("H", 8);
    char *h = in_folder(DAY_23 "H.json"), *g = in_folder(DAY_23 "G.json");
    int fd = open(h, O_RDONLY);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    assert_int_equal(crier_sink_json.write(rig.self, r, 6, &done, &err), CRIER_RETRY_LATER);
    assert_int_equal(done, 1);
    assert_int_equal(err.code, CRIER_EBUSY);
    assert_non_null(strstr(err.text, "H.json"));
    assert_entries(g, 3);
    close(fd);
    rig_write(&rig, r + done, 6 - done);
    assert_entries(g, 3);
    assert_entries(h, 4);
    for (int i = 0; i < 6; i++)
        crier_record_unref(r[i]);
    free(g);
    free(h);
}

static void test_more_files_than_descriptors(void **state)
{
    (void)state;
    enum { GUILDS = 150, ROUNDS = 4 };
    struct rlimit limit, few = {100, 100};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few.rlim_max = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct crier_record *r[GUILDS];
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < GUILDS; i++) {
            char name[16];
            snprintf(name, sizeof name, "g%u", i);
            r[i] = plain(name, 1000 + i);
        }
        rig_write(&rig, r, GUILDS);
        for (int i = 0; i < GUILDS; i++)
            crier_record_unref(r[i]);
    }
    rig_close(&rig);
    open_rig();
    for (int i = 0; i < GUILDS; i++) {
        char *path = crier_asprintf("%s/" DAY_23 "g%d.json", folder, i);
        assert_entries(path, ROUNDS);
        free(path);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct rlimit limit, small = {96 * 1024, RLIM_INFINITY};
    struct crier_err err = {0};
    struct crier_record *r[200];
    size_t done = 0, total = 0;
    signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < 200; i++)
        r[i] = plain("G", 7);
    char *path = in_folder(DAY_23 "G.json");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small.rlim_max = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 3; i++) {
        err = (struct crier_err){0};
        assert_int_equal(crier_sink_json.write(rig.self, r + total, 200 - total, &done, &err),
                         CRIER_RETRY_LATER);
        total += done;
        assert_int_equal(err.sys, EFBIG);
        assert_non_null(strstr(err.text, "G.json"));
        assert_entries(path, (long)total);
        assert_false(exists(DAY_23 ".G.json.tmp"));
    }
    assert_in_range(total, 70, 110); /* no room for a large gap, but for the records */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    rig_write(&rig, r + total, 200 - total);
    assert_entries(path, 200);
    for (int i = 0; i < 200; i++)
        crier_record_unref(r[i]);
    free(path);
}

static void test_folder_that_cannot_be_made(void **state)
{
    (void)state;
    struct crier_err err = {0};
    struct crier_record *r = plain("G", 7);
    size_t done = 9;
    char *history = in_folder("History");
    spill(history, "x", 1); /* read-only folders do not stop a test that runs as root */
    assert_int_equal(crier_sink_json.write(rig.self, &r, 1, &done, &err), CRIER_RETRY_LATER);
    assert_int_equal(done, 0);
    assert_int_equal(err.code, CRIER_EIO);
    assert_non_null(strstr(err.text, "History"));
    void *other;
    assert_int_equal(crier_sink_json.open(&rig.env, &rig.options, "files", &other, &err),
                     CRIER_ECONFIG);
    assert_non_null(strstr(err.text, "sink 'files': path '"));
    unlink(history);
    rig_write_one(&rig, r);
    assert_true(exists(DAY_23 "G.json"));
    free(history);
}

static void test_deleted_or_replaced_while_running(void **state)
{
    (void)state;
    write_plain("G", 7);
    char *path = in_folder(DAY_23 "G.json"), *command = crier_asprintf("rm -r %s/History", folder);
    assert_int_equal(system(command), 0);
    write_plain("G", 7);
    assert_entries(path, 1);
    char *other = crier_asprintf("sed 's/\"id\": 7,/\"id\": 9,/' %s > %s.x && mv %s.x %s", path,
                                 path, path, path);
    assert_int_equal(system(other), 0);
    write_plain("G", 7);
    assert_entries(path, 1);
    char *mine = in_folder(DAY_23 "G#7.json");
    assert_entries(mine, 1);
    free(mine);
    free(other);
    free(command);
    free(path);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_seed_document),
        T(test_record_member),
        T(test_direct_message_and_failures),
        T(test_kinds_without_guild),
        T(test_file_is_chosen_by_id),
        T(test_two_of_one_name),
        T(test_names),
        T(test_days),
        T(test_gap_closes_when_the_day_ends),
        T(test_exactly_once_after_restart),
        T(test_fault_in_the_middle_of_a_batch),
        T(test_more_files_than_descriptors),
        T(test_full_disk),
        T(test_folder_that_cannot_be_made),
        T(test_deleted_or_replaced_while_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
