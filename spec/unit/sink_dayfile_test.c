/* SPDX-License-Identifier: MIT
 *
 * The day file format: valid at every moment, through every torn write, bad file and other writer.
 */
#include "sink_dayfile_support.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/ulid.h"
#include "rounds.h"
#include "sink/dayfile.h"
#include "sink/dayscan.h"

#define PAGE CRIER_DAYFILE_PAGE

static char *path;
static struct crier_rng rng;

static int setup(void **state)
{
    (void)state;
    make_test_folder();
    path = in_folder("2022/05/23/G.json");
    crier_rng_seed(&rng, 42);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_test_folder();
    free(path);
    return 0;
}

static struct crier_dayfile *new_file(size_t gap)
{
    return crier_dayfile_new(path, "G", 1, 7, "GUILD", gap);
}

#define must(call)                                                                                 \
    do {                                                                                           \
        struct crier_err err_ = {0};                                                               \
        if (call != 0)                                                                             \
            fail_msg("%s: %s", #call, err_.text);                                                  \
    } while (0)

static unsigned char id_byte;

/* An entry of exactly `size` bytes. */
static void add(struct crier_dayfile *f, size_t size)
{
    struct crier_buf b = {0};
    unsigned char id[16] = {1, 2, 3, id_byte++};
    char text[27];
    crier_ulid_text(id, text);
    crier_buf_printf(&b,
                     "{\n            \"index\": %llu,\n            \"record\": {\n"
                     "                \"id\": \"%s\",\n                \"text\": \"",
                     (unsigned long long)crier_dayfile_index(f), text);
    static const char end[] = "\"\n            }\n        }";
    assert_true(size >= b.len + sizeof end - 1);
    while (b.len < size - sizeof end + 1)
        crier_buf_putc(&b, "abc {}[],: "[crier_rng_next(&rng) % 11]);
    crier_buf_puts(&b, end);
    must(crier_dayfile_add(f, b.data, b.len, &err_));
    crier_buf_fini(&b);
}

static void begin(struct crier_dayfile *f)
{
    must(crier_dayfile_begin(f, &err_));
}

static size_t end(struct crier_dayfile *f)
{
    size_t stored = 99;
    must(crier_dayfile_end(f, &stored, &err_));
    return stored;
}

static void add_one(struct crier_dayfile *f, size_t size)
{
    begin(f);
    add(f, size);
    assert_int_equal(end(f), 1);
}

static void finish(struct crier_dayfile *f)
{
    must(crier_dayfile_finish(f, true, &err_));
}

/* The newest entry, if it takes up to a page with its comma, does not cross a page. (Older ones
 * move when the gap grows.) */
static void assert_page(const char *text)
{
    const char *from = strstr(text, "\n        {\n") + 9;
    const char *to = strstr(from, "\n        }") + 10;
    to += *to == ',';
    if (to - from <= PAGE)
        assert_int_equal((from - text) / PAGE, (to - 1 - text) / PAGE);
}

static void test_every_write_leaves_it_valid(void **state)
{
    (void)state;
    struct crier_dayfile *f = new_file(PAGE);
    for (int i = 0; i < ROUNDS(2000); i++) {
        size_t size = 160 + crier_rng_next(&rng) % 700;
        if (i % 7 == 0) /* with its comma just a page, one less, one more, and so on */
            size = PAGE - 8 + crier_rng_next(&rng) % 16;
        else if (i % 50 == 1)
            size = 4000 + crier_rng_next(&rng) % 20000;
        add_one(f, size);
        if (i > 300 && i % 20)
            continue; /* the file is megabytes by now */
        size_t len;
        char *text = slurp(path, &len);
        struct judged j = judge(text, len);
        assert_true(j.valid && j.continuous);
        assert_int_equal(j.count, i + 1);
        assert_page(text);
        free(text);
    }
    finish(f);
    assert_entries(path, ROUNDS(2000));
    crier_dayfile_free(f);
}

static void test_batches(void **state)
{
    (void)state;
    struct crier_dayfile *f = new_file(PAGE);
    long total = 0;
    for (int i = 0; i < 60; i++) {
        size_t count = crier_rng_next(&rng) % ROUNDS(200);
        begin(f);
        for (size_t k = 0; k < count; k++)
            add(f, k % 90 == 3 ? 9000 : 160 + crier_rng_next(&rng) % 1500);
        assert_int_equal(end(f), count);
        total += (long)count;
        assert_entries(path, total);
        if (i % 20 == 19)
            finish(f);
        if (i % 10 == 4) {
            crier_dayfile_free(f);
            f = new_file(PAGE);
        }
    }
    crier_dayfile_free(f);
}

/* The document as json.dump would have written it, whatever way it came to be. */
static void test_finished_text(void **state)
{
    (void)state;
    struct crier_dayfile *f = new_file(PAGE);
    static const char head[] = "{\n    \"name\": \"G\",\n    \"id\": 7,\n    \"type\": \"GUILD\",\n"
                               "    \"message_history\": [\n        {\n            \"index\": 4,";
    for (int i = 0; i < 5; i++)
        add_one(f, 3000);
    finish(f);
    size_t len;
    char *text = slurp(path, &len);
    assert_memory_equal(text, head, sizeof head - 1);
    static const char tail[] = "\n        }\n    ]\n}";
    assert_string_equal(text + len - sizeof tail + 1, tail);
    const char *list = strchr(text, '[') + 1;
    assert_int_equal(len, (size_t)(list - text) + 5 * (3000 + 9) + 4 + strlen("\n    ]\n}"));
    const char *at = text;
    for (int i = 0; i < 4; i++) {
        at = strstr(at, "\n        },\n        {\n");
        assert_non_null(at);
        at++;
    }
    free(text);
    finish(f); /* nothing to do */
    add_one(f, 200);
    assert_entries(path, 6);
    crier_dayfile_free(f);
}

/* A kill lets the kernel finish any number of pages: from the oldest on for small entries, which
 * leave the beginning of the batch, valid as it lies. */
static void test_batch_cut_at_any_page(void **state)
{
    (void)state;
    struct crier_dayfile *f = new_file(256 * 1024);
    add_one(f, 500);
    size_t len;
    char *before = slurp(path, NULL);
    begin(f);
    for (int i = 0; i < 100; i++)
        add(f, 160 + crier_rng_next(&rng) % 3000);
    end(f);
    char *after = slurp(path, &len);
    long seen = 0;
    for (size_t cut = len / PAGE * PAGE;; cut -= PAGE) {
        memcpy(before + cut, after + cut, cut + PAGE < len ? PAGE : len - cut);
        struct judged j = judge(before, len);
        assert_true(j.valid && j.continuous);
        assert_int_equal(j.newest, j.count - 1);
        assert_true(j.count >= seen);
        seen = j.count;
        if (!cut)
            break;
    }
    assert_int_equal(seen, 101);
    free(before);
    free(after);
    crier_dayfile_free(f);
}

/* An entry larger than a page is written from its beginning on. */
static void check_torn(int older)
{
    struct crier_dayfile *f = new_file(64 * 1024);
    for (int i = 0; i < older; i++)
        add_one(f, 300);
    size_t len;
    begin(f);
    end(f);
    char *before = slurp(path, &len);
    add_one(f, 15000);
    char *after = slurp(path, NULL);
    crier_dayfile_free(f);
    size_t first = 0;
    while (before[first] == after[first])
        first++;
    int torn = 0;
    for (size_t cut = first / PAGE * PAGE; cut < len; cut += PAGE) {
        char *mixed = crier_strndup(before, len);
        memcpy(mixed, after, cut);
        bool valid = judge(mixed, len).valid;
        torn += !valid;
        spill(path, mixed, len);
        f = new_file(64 * 1024);
        begin(f);
        struct judged j = judge_file(path);
        assert_true(j.valid);
        assert_int_equal(j.count, valid && cut > first + 15000 ? older + 1 : older);
        add(f, 400);
        end(f);
        assert_entries(path, j.count + 1);
        crier_dayfile_free(f);
        free(mixed);
    }
    assert_in_range(torn, 3, 4);
    assert_false(exists("2022/05/23/G.json.old"));
    free(before);
    free(after);
    unlink(path);
}

static void test_torn_large_entry_is_mended(void **state)
{
    (void)state;
    check_torn(0);
    check_torn(1);
    check_torn(20);
}

static void test_bad_files_are_kept(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "not json",
        "[]",
        "{}",
        "null",
        "\"x\"",
        "17",
        "{\"name\": \"G\", \"id\": 7, \"type\": \"GUILD\", \"message_history\": [}",
        "{\"name\": \"G\", \"id\": 7, \"type\": \"GUILD\", \"message_history\": [1]}",
        "{\"name\": \"G\", \"id\": 7, \"type\": \"GUILD\", \"message_history\": [[]]}",
        "{\"name\": \"G\", \"id\": 7, \"type\": \"GUILD\", \"message_history\": {}}",
        "{\"name\": \"G\", \"id\": 7, \"type\": \"GUILD\"}",
        "{\"name\": \"G\", \"id\": \"7\", \"type\": \"GUILD\", \"message_history\": []}",
        "{\"name\": \"G\", \"id\": 7, \"type\": \"GUILD\", \"message_history\": []} x",
        "{\"name\": \"\xff\", \"id\": 7, \"type\": \"GUILD\", \"message_history\": []}",
    };
    struct crier_dayfile *f = new_file(PAGE);
    add_one(f, 200);
    for (size_t i = 0; i < CRIER_COUNT(bad); i++) {
        spill(path, bad[i], strlen(bad[i]));
        add_one(f, 200);
        assert_entries(path, 1);
        char *old = i ? crier_asprintf("%s.old.%zu", path, i) : crier_asprintf("%s.old", path);
        char *text = slurp(old, NULL);
        assert_string_equal(text, bad[i]);
        free(text);
        free(old);
    }
    /* Our own file, cut off anywhere. */
    size_t len;
    char *text = slurp(path, &len);
    spill(path, text, len - 3);
    add_one(f, 200);
    assert_entries(path, 1);
    assert_true(exists("2022/05/23/G.json.old.17"));
    free(text);
    crier_dayfile_free(f);
}

/* Of what only a kill leaves, a torn entry, nothing is owed to anyone. Damage by another hand is: the
 * file is kept with it, wherever in the newest entry it is. And another one's file is left as it is. */
static void test_what_is_mended(void **state)
{
    (void)state;
    static const char entry[] = "\n        {\n            \"index\": 0\n        }";
    static const char head[] =
        "{\n    \"name\": \"G\",\n    \"id\": 7,\n    \"type\": \"GUILD\",\n    \"message_history\": [";
    struct crier_dayfile *f = new_file(PAGE);
    struct crier_err err;
    add_one(f, 200); /* and the folder is there */
    crier_dayfile_free(f);
    for (int others = 0; others < 2; others++) {
        for (size_t at = 12; at < sizeof entry - 1; at++) {
            char *text = crier_asprintf("%s    %s%s%s    \n    ]\n}", head, entry, others ? ",   " : "",
                                        others ? entry : "");
            text[strlen(head) + 4 + at] = '\x01';
            char *old = crier_asprintf("%s.old", path);
            f = new_file(PAGE);
            spill(path, text, strlen(text));
            /* The last two bytes end the entry: without them it looks like a torn one. */
            bool torn = at >= sizeof entry - 11;
            add_one(f, 200);
            assert_int_equal(judge_file(path).count, torn ? 1 + others : 1);
            assert_int_equal(exists("2022/05/23/G.json.old"), !torn);
            if (!torn) {
                char *kept = slurp(old, NULL);
                assert_string_equal(kept, text);
                free(kept);
                unlink(old);
            }
            crier_dayfile_free(f);
            unlink(path);
            free(old);
            free(text);
        }
    }
    char *same, *torn = crier_asprintf("%s\n        {\n            \"index\":     %s\n    ]\n}", head, entry);
    memcpy(strstr(torn, "\"id\": 7"), "\"id\": 8", 7);
    f = new_file(PAGE);
    spill(path, torn, strlen(torn));
    assert_int_equal(crier_dayfile_begin(f, &err), CRIER_EEXIST);
    same = slurp(path, NULL);
    assert_string_equal(same, torn);
    crier_dayfile_free(f);
    unlink(path);
    free(same);
    free(torn);
}

static void test_what_is_not_a_file_is_kept(void **state)
{
    (void)state;
    char *secret = in_folder("secret"), *old = crier_asprintf("%s.old", path);
    spill(secret, "keep", 4);
    struct crier_dayfile *f = new_file(PAGE);
    add_one(f, 200);
    for (int i = 0; i < 4; i++) {
        crier_dayfile_release(f);
        assert_int_equal(unlink(path), 0);
        if (i == 0) {
            assert_int_equal(symlink(secret, path), 0);
        } else if (i == 1) {
            assert_int_equal(mkdir(path, 0755), 0);
        } else if (i == 2) {
            assert_int_equal(mkfifo(path, 0644), 0);
        } else {
            struct sockaddr_un at = {.sun_family = AF_UNIX};
            snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
            int fd = socket(AF_UNIX, SOCK_STREAM, 0);
            assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
            close(fd);
        }
        add_one(f, 200);
        assert_entries(path, 1);
    }
    char *text = slurp(secret, NULL);
    assert_string_equal(text, "keep");
    struct stat st;
    assert_int_equal(lstat(old, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    free(text);
    free(old);
    free(secret);
    crier_dayfile_free(f);
}

/* A symbolic link in the place of the file that is renamed over ours must not be followed. */
static void test_planted_link(void **state)
{
    (void)state;
    char *secret = in_folder("secret"), *temp = in_folder("2022/05/23/.G.json.tmp");
    spill(secret, "keep", 4);
    struct crier_dayfile *f = new_file(PAGE);
    add_one(f, 200);
    assert_int_equal(symlink(secret, temp), 0);
    for (int i = 0; i < 40; i++)
        add_one(f, 1000);
    assert_entries(path, 41);
    char *text = slurp(secret, NULL);
    assert_string_equal(text, "keep");
    free(text);
    free(secret);
    free(temp);
    crier_dayfile_free(f);
}

static void test_files_of_others_are_taken_on(void **state)
{
    (void)state;
    static const char text[] = "{\"type\":\"GUILD\",\"message_history\":[{\"index\":41,\"x\":[{}]},"
                               "{\"index\":40}],\"id\":7,\"name\":\"\\u00e9\"}\n";
    struct crier_dayfile *f = new_file(PAGE);
    add_one(f, 200);
    spill(path, text, sizeof text - 1);
    begin(f);
    assert_int_equal(crier_dayfile_index(f), 42);
    assert_false(crier_dayfile_is_named(f, "G", 1));
    add(f, 200);
    end(f);
    struct judged j = judge_file(path);
    assert_true(j.valid && j.continuous && j.count == 3 && j.newest == 42);
    finish(f);
    j = judge_file(path);
    assert_true(j.valid && j.continuous && j.count == 3 && j.newest == 42);
    static const char other[] = "{\"name\":\"\",\"id\":8,\"type\":\"\",\"message_history\":[]}";
    spill(path, other, sizeof other - 1);
    struct crier_err err;
    assert_int_equal(crier_dayfile_begin(f, &err), CRIER_EEXIST);
    assert_non_null(strstr(err.text, "id 8"));
    crier_dayfile_free(f);
}

/* Two writers in turn; also when mtime says nothing (a coarse clock). */
static void test_two_writers(void **state)
{
    (void)state;
    struct crier_dayfile *f[2] = {new_file(PAGE), new_file(PAGE)};
    long total = 0;
    for (int i = 0; i < ROUNDS(400); i++) {
        struct crier_dayfile *w = f[crier_rng_next(&rng) % 2];
        begin(w);
        size_t n = 1 + crier_rng_next(&rng) % 3;
        for (size_t k = 0; k < n; k++)
            add(w, i % 9 == 0 ? 5000 : 160 + crier_rng_next(&rng) % 3900);
        end(w);
        total += (long)n;
        const struct timespec same[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
        assert_int_equal(utimensat(AT_FDCWD, path, same, 0), 0);
        if (i % 10 == 0)
            assert_entries(path, total);
    }
    assert_entries(path, total);
    finish(f[0]);
    finish(f[1]);
    assert_entries(path, total);
    crier_dayfile_free(f[0]);
    crier_dayfile_free(f[1]);
}

/* The same, where both have seen the same time at the end of their own write. */
static void test_writer_unseen_by_mtime(void **state)
{
    (void)state;
    struct crier_dayfile *f[2] = {new_file(64 * 1024), new_file(64 * 1024)};
    struct stat st;
    add_one(f[0], 3000);
    add_one(f[1], 200);
    add_one(f[0], 200); /* both know the file */
    assert_int_equal(stat(path, &st), 0);
    const struct timespec same[2] = {st.st_mtim, st.st_mtim};
    for (int size = 200; size < 4096; size += 700) {
        add_one(f[1], (size_t)size);
        assert_int_equal(utimensat(AT_FDCWD, path, same, 0), 0);
        begin(f[1]); /* learns that time */
        end(f[1]);
        begin(f[0]);
        end(f[0]);
        add_one(f[1], (size_t)size);
        assert_int_equal(utimensat(AT_FDCWD, path, same, 0), 0);
        add_one(f[0], 160); /* sees the time that it remembers, but not a blank gap */
        struct judged j = judge_file(path);
        assert_true(j.valid && j.continuous);
        assert_int_equal(j.newest, j.count - 1);
    }
    assert_entries(path, 3 + 6 * 3);
    crier_dayfile_free(f[0]);
    crier_dayfile_free(f[1]);
}

static void test_locked(void **state)
{
    (void)state;
    struct crier_err err;
    struct crier_dayfile *f = new_file(PAGE);
    add_one(f, 200);
    int fd = open(path, O_RDONLY);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    assert_int_equal(crier_dayfile_begin(f, &err), CRIER_EBUSY);
    assert_non_null(strstr(err.text, "locked by another process"));
    close(fd);
    begin(f);
    fd = open(path, O_RDONLY);
    assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
    add(f, 200);
    end(f);
    assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
    close(fd);
    assert_entries(path, 2);
    crier_dayfile_free(f);
}

static void test_ids(void **state)
{
    (void)state;
    unsigned char first[16] = {1, 2, 3, 0}, other[16] = {9};
    struct crier_dayfile *f = new_file(PAGE);
    id_byte = 0;
    begin(f);
    for (int i = 0; i < 20; i++)
        add(f, 200);
    assert_false(crier_dayfile_holds(f, first)); /* not from a file that was read */
    end(f);
    crier_dayfile_free(f);
    f = new_file(PAGE);
    begin(f);
    for (first[3] = 0; first[3] < 20; first[3]++)
        assert_true(crier_dayfile_holds(f, first));
    assert_false(crier_dayfile_holds(f, first));
    assert_false(crier_dayfile_holds(f, other));
    for (int i = 0; i < 20; i++)
        add(f, 200);
    end(f);
    begin(f);
    first[3] = 0;
    assert_false(crier_dayfile_holds(f, first));
    end(f);
    crier_dayfile_free(f);
}

/* The scan against a judge of another make: each text, whole and in pieces of one byte. */
static void test_scan(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "0",
        "-0",
        "-",
        "01",
        "1.",
        "1.5",
        ".5",
        "1e5",
        "1E+5",
        "1e",
        "1e-",
        "-1.25e-7",
        "1.5.5",
        "true",
        "tru",
        "truee",
        "false",
        "null",
        "nul",
        "\"\"",
        "\"a\\n\\\"\\\\\\/\\u00e9\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "\"\xc3\xa9\"",
        "\"\xe2\x82\xac\"",
        "[]",
        "[1]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{}",
        "{\"a\":1}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "[[[]]]",
        "[[[]]",
        "[}",
        "{]",
        "",
        " ",
        "\"a",
        "'a'",
        "[1]]",
        "1 1",
        "+1",
        "NaN",
        "[\"a\",{\"b\":[null,true,{}]}]",
        "1e5\n",
    };
    for (size_t i = 0; i < CRIER_COUNT(parts); i++) {
        char *text = crier_asprintf(" {\"name\": \"G\", \"x\": %s,\n\"id\":7,\"type\":\"\","
                                    "\"message_history\":[{\"index\": 3, \"y\": %s}]}",
                                    parts[i], parts[i]);
        size_t len = strlen(text);
        bool want = judge(text, len).valid;
        struct crier_dayscan scan;
        crier_dayscan_init(&scan);
        bool got = crier_dayscan_feed(&scan, text, len) && crier_dayscan_end(&scan);
        if (got != want)
            fail_msg("%s: %d", parts[i], got);
        crier_dayscan_fini(&scan);
        crier_dayscan_init(&scan);
        got = true;
        for (size_t k = 0; k < len && got; k++)
            got = crier_dayscan_feed(&scan, text + k, 1);
        assert_int_equal(got && crier_dayscan_end(&scan), want);
        if (want) {
            assert_int_equal(scan.id, 7);
            assert_int_equal(scan.newest_index, 3);
            assert_int_equal(scan.entries, 1);
            assert_int_equal(text[scan.first_at], '{');
            assert_int_equal(text[scan.list_at - 1], '[');
            assert_int_equal(text[scan.list_end], ']');
            assert_memory_equal(text + scan.name_at, "\"G\"", scan.name_end - scan.name_at);
        }
        crier_dayscan_fini(&scan);
        free(text);
    }
    static const char *const not_utf8[] = {
        "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80", "\x80"};
    for (size_t i = 0; i < CRIER_COUNT(not_utf8); i++) {
        struct crier_dayscan scan;
        crier_dayscan_init(&scan);
        assert_false(crier_dayscan_feed(&scan, "{\"a\":\"", 6) &&
                     crier_dayscan_feed(&scan, not_utf8[i], strlen(not_utf8[i])) &&
                     crier_dayscan_feed(&scan, "\"", 1));
        crier_dayscan_fini(&scan);
    }
    struct crier_dayscan scan;
    crier_dayscan_init(&scan);
    bool deep = true;
    for (int i = 0; i < 100000 && deep; i++)
        deep = crier_dayscan_feed(&scan, "[", 1);
    assert_false(deep);
    crier_dayscan_fini(&scan);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_every_write_leaves_it_valid),
        T(test_batches),
        T(test_finished_text),
        T(test_batch_cut_at_any_page),
        T(test_torn_large_entry_is_mended),
        T(test_bad_files_are_kept),
        T(test_what_is_mended),
        T(test_what_is_not_a_file_is_kept),
        T(test_planted_link),
        T(test_files_of_others_are_taken_on),
        T(test_two_writers),
        T(test_writer_unseen_by_mtime),
        T(test_locked),
        T(test_ids),
        T(test_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
