/* SPDX-License-Identifier: MIT
 * A day file as a kill or an editor left it: it is taken up with all that it holds, or put aside as it was,
 * and what stands there then is a day file with the new entry in front. */
#include "support.h"

#include <jansson.h>

#include "sink/dayfile.h"
#include "sink/dayscan.h"

#define ENTRY "{\n            \"index\": 0\n        }"

static json_t *load(const char *data, size_t size)
{
    return json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);
}

static void read_whole(const char *path, struct crier_buf *out)
{
    struct crier_err err = {0};
    crier_buf_clear(out);
    MUST(crier_file_read(path, SIZE_MAX, out, &err) == 0);
}

/* jansson reads less than JSON has: no deep texts, no \u0000, no numbers out of range; so it judges
 * where it has read what was there before. */
static void judge(const char *path, json_t *before, bool aside)
{
    struct crier_buf text = {0};
    read_whole(path, &text);
    json_t *doc = load(text.data, text.len);
    json_t *old = aside ? NULL : json_object_get(before, "message_history");
    json_t *list = json_object_get(doc, "message_history");
    MUST(doc || (!aside && !before));
    if (doc)
        MUST(json_is_array(list) && json_is_integer(json_object_get(json_array_get(list, 0), "index")));
    if (aside)
        MUST(json_array_size(list) == 1);
    else if (before)
        MUST(json_array_size(list) == json_array_size(old) + 1);
    for (size_t i = 0; i < json_array_size(old); i++)
        MUST(json_equal(json_array_get(old, i), json_array_get(list, i + 1)));
    json_decref(doc);
    crier_buf_fini(&text);
}

/* What is blanked out of a file that is taken up is an entry without its end. */
static void judge_mended(const char *path, const uint8_t *data, size_t size)
{
    struct crier_buf text = {0};
    size_t from = 0, to = size;
    read_whole(path, &text);
    MUST(text.len == size);
    while (from < size && text.data[from] == (char)data[from])
        from++;
    while (to > from && text.data[to - 1] == (char)data[to - 1])
        to--;
    for (size_t i = from; i < to; i++)
        MUST(text.data[i] == ' ');
    MUST(from == to || !memmem(data + from, to - from, "\n        },", 11));
    crier_buf_fini(&text);
}

/* However it comes in pieces, the same is found. */
static void scan_in_pieces(const char *data, size_t size)
{
    struct crier_dayscan whole, parts;
    crier_dayscan_init(&whole);
    crier_dayscan_init(&parts);
    whole.want_ids = parts.want_ids = 8;
    bool a = crier_dayscan_feed(&whole, data, size), b = true;
    for (size_t i = 0; i < size && b; i += 7)
        b = crier_dayscan_feed(&parts, data + i, size - i < 7 ? size - i : 7);
    MUST(a == b);
    if (a) {
        MUST(crier_dayscan_end(&whole) == crier_dayscan_end(&parts));
        MUST(whole.entries == parts.entries && whole.list_at == parts.list_at);
        MUST(whole.first_at == parts.first_at && whole.ids.len == parts.ids.len);
    }
    crier_dayscan_fini(&whole);
    crier_dayscan_fini(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crier_err err = {0};
    char *path = crier_path_join(scratch(), "day.json"), *old = crier_asprintf("%s.old", path);
    size_t stored = 0;
    uint64_t id;
    struct crier_buf text = {0};
    json_t *before = load((const char *)data, size);
    scan_in_pieces((const char *)data, size);
    put_file(path, data, size);
    struct crier_dayfile *file = crier_dayfile_new(path, "Guild", 5, 77, "GUILD", 512);
    int rc = crier_dayfile_begin(file, &err);
    if (rc == 0) {
        bool aside = access(old, F_OK) == 0;
        if (aside) {
            read_whole(old, &text);
            MUST(text.len == size && memcmp(text.data, data, size) == 0);
        } else {
            judge_mended(path, data, size);
        }
        MUST(crier_dayfile_add(file, ENTRY, strlen(ENTRY), &err) == 0);
        MUST(crier_dayfile_end(file, &stored, &err) == 0 && stored == 1);
        judge(path, before, aside);
        MUST(crier_dayfile_peek(path, &id) && id == 77);
        MUST(crier_dayfile_finish(file, false, &err) == 0);
        judge(path, before, aside);
    } else {
        MUST(err.text[0]);
        read_whole(path, &text);
        MUST(text.len == size && memcmp(text.data, data, size) == 0);
    }
    crier_dayfile_free(file);
    crier_buf_fini(&text);
    json_decref(before);
    free(path);
    free(old);
    empty_folder(scratch());
    return 0;
}
