/* SPDX-License-Identifier: MIT
 *
 * The board: what a put leaves behind, also when it was cut off half way, growth, damage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "state/board.h"

static char folder[40], path[80];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/crier-board-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tasks.board", folder);
    return 0;
}

static int teardown(void **state)
{
    char command[80];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static struct crier_board *open_board(void)
{
    struct crier_board *b = NULL;
    struct crier_err err = {0};
    assert_int_equal(crier_board_open(folder, false, &b, &err), 0);
    return b;
}

struct seen {
    unsigned count;
    uint64_t sum;
    char names[256];
    struct crier_board_entry last;
};

static void on_slot(void *arg, uint32_t slot, const char *name, const struct crier_board_entry *e)
{
    struct seen *s = arg;
    (void)slot;
    s->count++;
    s->sum += e->last[0].seq;
    s->last = *e;
    if (strlen(s->names) + strlen(name) + 2 < sizeof s->names) {
        strcat(s->names, name);
        strcat(s->names, " ");
    }
}

static struct seen look(struct crier_board *b)
{
    struct seen s = {0};
    crier_board_each(b, on_slot, &s);
    return s;
}

static void keeps(void **state)
{
    struct crier_err err = {0};
    struct crier_board *b = open_board();
    (void)state;
    assert_true(crier_board_fresh(b));
    struct crier_board_entry e = {.due = -5, .known = 7, .fails = 3, .paused = 1, .live_count = 1};
    e.last[5].time = INT64_MAX;
    e.last[5].set = -1;
    memset(e.live[0].id, 0xab, 16);
    uint32_t slot = crier_board_add(b, "fetch", &e, &err);
    uint32_t other = crier_board_add(b, "other", &e, &err);
    for (uint64_t i = 1; i <= 5; i++) {
        e.last[0].seq = i;
        crier_board_put(b, slot, &e);
    }
    crier_board_remove(b, other);
    crier_board_see(b, 123);
    crier_board_see(b, 124);
    crier_board_close(b);
    b = open_board();
    assert_false(crier_board_fresh(b));
    struct seen s = look(b);
    assert_string_equal(s.names, "fetch ");
    assert_memory_equal(&s.last, &e, sizeof e);
    assert_int_equal(crier_board_seen(b), 124);
    crier_board_close(b);
}

static void grows(void **state)
{
    struct crier_err err = {0};
    struct crier_board *b = open_board();
    uint64_t sum = 0;
    (void)state;
    for (uint64_t i = 1; i <= 1000; i++) {
        char name[32];
        struct crier_board_entry e = {0};
        snprintf(name, sizeof name, "task %d", (int)i);
        e.last[0].seq = i;
        sum += i;
        assert_true(crier_board_add(b, name, &e, &err) != CRIER_BOARD_NONE);
    }
    assert_int_equal(look(b).sum, sum);
    /* What is empty is used again. */
    struct stat before, after;
    assert_int_equal(stat(path, &before), 0);
    for (uint32_t i = 100; i < 200; i++) {
        struct crier_board_entry e = {0};
        crier_board_remove(b, i);
        assert_int_equal(crier_board_add(b, "again", &e, &err), i);
    }
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    crier_board_close(b);
    b = open_board();
    assert_int_equal(look(b).count, 1000);
    crier_board_close(b);
}

/* Whatever byte a kill left unwritten in the half under way: the one before is whole, and the put
 * after it does not touch that one. */
static void torn(void **state)
{
    struct crier_err err = {0};
    struct crier_board *b = open_board();
    struct crier_board_entry e = {0};
    struct crier_buf one = {0}, two = {0}, three = {0};
    (void)state;
    e.last[0].seq = 1;
    uint32_t slot = crier_board_add(b, "fetch", &e, &err);
    crier_board_close(b);
    assert_int_equal(crier_file_read(path, 1 << 20, &one, &err), 0);
    b = open_board();
    e.last[0].seq = 2;
    memset(e.live, 0x11, sizeof e.live);
    crier_board_put(b, slot, &e);
    crier_board_close(b);
    assert_int_equal(crier_file_read(path, 1 << 20, &two, &err), 0);
    b = open_board();
    e.last[0].seq = 3;
    memset(e.live, 0x33, sizeof e.live);
    crier_board_put(b, slot, &e);
    crier_board_close(b);
    assert_int_equal(crier_file_read(path, 1 << 20, &three, &err), 0);
    unsigned tried = 0;
    for (size_t cut = 0; cut < three.len; cut += 3) {
        /* The third put has come as far as `cut`. */
        if (memcmp(two.data + cut, three.data + cut, three.len - cut) == 0)
            break;
        int fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, two.data, two.len, 0), two.len);
        assert_int_equal(pwrite(fd, three.data, cut, 0), cut);
        close(fd);
        b = open_board();
        struct seen s = look(b);
        assert_int_equal(s.count, 1);
        assert_true(s.last.last[0].seq == 2 || s.last.last[0].seq == 3);
        uint64_t had = s.last.last[0].seq;
        crier_board_close(b);
        /* And so on: the next put, cut off at once, loses nothing either. */
        b = open_board();
        e.last[0].seq = 4;
        crier_board_put(b, slot, &e);
        assert_int_equal(look(b).last.last[0].seq, 4);
        crier_board_close(b);
        assert_true(had >= 2);
        tried++;
    }
    assert_true(tried > 50);
    crier_buf_fini(&one);
    crier_buf_fini(&two);
    crier_buf_fini(&three);
}

/* After a torn put the next one must go over the torn half, not over the only good one. */
static void torn_twice(void **state)
{
    struct crier_err err = {0};
    struct crier_board *b = open_board();
    struct crier_board_entry e = {0};
    (void)state;
    e.last[0].seq = 1;
    uint32_t slot = crier_board_add(b, "fetch", &e, &err);
    e.last[0].seq = 2;
    crier_board_put(b, slot, &e);
    crier_board_close(b);
    struct crier_buf text = {0};
    assert_int_equal(crier_file_read(path, 1 << 20, &text, &err), 0);
    uint64_t two = 2;
    size_t at = 1024;
    while (memcmp(text.data + at, &two, 8) != 0 || memcmp(text.data + at + 8, &two, 8) != 0)
        at += 8; /* counter and seq are alike here */
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "\xff", 1, (off_t)at + 40), 1);
    close(fd);
    crier_buf_fini(&text);
    b = open_board();
    assert_int_equal(look(b).last.last[0].seq, 1);
    e.last[0].seq = 3;
    crier_board_put(b, slot, &e);
    crier_board_close(b);
    /* The put went there: what it wrote is where the spoilt one was. */
    assert_int_equal(crier_file_read(path, 1 << 20, &text, &err), 0);
    uint64_t three = 3;
    assert_memory_equal(text.data + at + 8, &three, 8);
    crier_buf_fini(&text);
}

static void damage(void **state)
{
    struct crier_err err = {0};
    struct crier_board *b = open_board();
    struct crier_board_entry e = {0};
    (void)state;
    crier_board_add(b, "one", &e, &err);
    crier_board_add(b, "two", &e, &err);
    crier_board_close(b);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, 1024 + 8), 1); /* the first one's name */
    close(fd);
    b = open_board();
    assert_int_equal(crier_board_damaged(b), 1);
    assert_string_equal(look(b).names, "two ");
    crier_board_close(b);
    /* Of a later version: kept as it is. */
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "\x09", 1, 4), 1);
    close(fd);
    assert_int_equal(crier_board_open(folder, false, &b, &err), CRIER_EVERSION);
    assert_non_null(strstr(err.text, "move it away"));
    /* No board at all: set aside. */
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "what", 4, 0), 4);
    close(fd);
    b = open_board();
    assert_true(crier_board_fresh(b));
    crier_board_close(b);
    char old[96];
    snprintf(old, sizeof old, "%s.old", path);
    assert_int_equal(access(old, F_OK), 0);
    unlink(path);
    assert_int_equal(crier_board_open(folder, true, &b, &err), CRIER_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps, setup, teardown),
        cmocka_unit_test_setup_teardown(grows, setup, teardown),
        cmocka_unit_test_setup_teardown(torn, setup, teardown),
        cmocka_unit_test_setup_teardown(torn_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(damage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
