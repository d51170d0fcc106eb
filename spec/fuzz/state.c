/* SPDX-License-Identifier: MIT
 * The board of tasks as anything may have left it. The first byte says how it is made: odd: of the input's
 * own bytes; even: slots are written, then bytes of the file are changed. It opens, gives whole entries
 * (those that were written, where the file was only changed), takes more, and has that at the next
 * opening; who only reads sees the same. */
#include "support.h"

#include "state/board.h"

enum { TASKS = 5 };

static struct crier_board_entry entry_of(unsigned i, unsigned round)
{
    struct crier_board_entry e = {.due = 1000 + i, .known = round, .fails = i, .live_count = 1};
    e.last[0].seq = 10 * i + round;
    e.live[0].start = i;
    return e;
}

static void put_board(unsigned tasks, unsigned rounds)
{
    struct crier_board *board = NULL;
    struct crier_err err = {0};
    char name[16];
    MUST(crier_board_open(scratch(), false, &board, &err) == 0 && crier_board_fresh(board));
    for (unsigned i = 0; i < tasks; i++) {
        snprintf(name, sizeof name, "task%u", i);
        struct crier_board_entry e = entry_of(i, 0);
        uint32_t slot = crier_board_add(board, name, &e, &err);
        MUST(slot != CRIER_BOARD_NONE);
        for (unsigned k = 1; k <= rounds; k++) {
            e = entry_of(i, k);
            crier_board_put(board, slot, &e);
        }
    }
    crier_board_see(board, 77);
    crier_board_close(board);
}

/* Three bytes each: where (two), what. */
static void change_file(const char *path, const uint8_t *edits, size_t size)
{
    FILE *f = fopen(path, "r+b");
    for (; size >= 3; size -= 3, edits += 3) {
        MUST(f && fseek(f, (edits[0] | edits[1] << 8) % ((TASKS + 1) * 1024), SEEK_SET) == 0);
        MUST(fputc(edits[2], f) != EOF);
    }
    MUST(f && fclose(f) == 0);
}

struct seen {
    bool raw;
    unsigned count, rounds;
    bool found;
};

static void see(void *arg, uint32_t slot, const char *name, const struct crier_board_entry *entry)
{
    struct seen *seen = arg;
    (void)slot;
    seen->count++;
    MUST(strlen(name) <= CRIER_BOARD_NAME && entry->live_count <= CRIER_BOARD_LIVE);
    if (strcmp(name, "new") == 0) {
        seen->found = entry->due == 5;
        return;
    }
    if (seen->raw)
        return;
    struct crier_board_entry e = entry_of(entry->fails, (unsigned)entry->known);
    MUST(entry->fails < TASKS && entry->known <= seen->rounds);
    MUST(strncmp(name, "task", 4) == 0 && (unsigned)atoi(name + 4) == entry->fails);
    MUST(memcmp(&e, entry, sizeof e) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crier_board *board = NULL;
    struct crier_err err = {0};
    struct crier_board_entry entry = {.due = 5};
    if (size < 2)
        return 0;
    struct seen seen = {.raw = data[0] & 1, .rounds = data[1] % 4}, reader = seen, again = seen;
    char *path = crier_path_join(scratch(), "tasks.board");
    if (seen.raw) {
        put_file(path, data + 1, size - 1);
    } else {
        put_board(data[0] / 2 % (TASKS + 1), seen.rounds);
        change_file(path, data + 2, size - 2);
    }
    bool read = crier_board_open(scratch(), true, &board, &err) == 0;
    if (read) {
        crier_board_each(board, see, &reader);
        crier_board_seen(board);
        crier_board_close(board);
    } else {
        MUST(err.text[0]);
    }
    err = (struct crier_err){0};
    if (crier_board_open(scratch(), false, &board, &err) != 0) {
        MUST(err.text[0] && !read);
        goto out;
    }
    crier_board_each(board, see, &seen);
    MUST(seen.count == reader.count && read == !crier_board_fresh(board));
    int64_t was = crier_board_seen(board);
    MUST(seen.raw || was == 77 || was == 0);
    MUST(crier_board_add(board, "new", &entry, &err) != CRIER_BOARD_NONE);
    crier_board_see(board, 99);
    crier_board_close(board);
    MUST(crier_board_open(scratch(), false, &board, &err) == 0);
    crier_board_each(board, see, &again);
    MUST(again.found && again.count == seen.count + 1 && crier_board_seen(board) == 99);
    MUST(crier_board_damaged(board) == 0);
    crier_board_close(board);
out:
    free(path);
    empty_folder(scratch());
    return 0;
}
