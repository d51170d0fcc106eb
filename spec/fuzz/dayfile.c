/* SPDX-License-Identifier: MIT
 * A day file as a kill or an editor left it: it is taken up or put aside, and what stands there then is a
 * day file with the new entry in it. */
#include "support.h"

#include <jansson.h>

#include "sink/dayfile.h"
#include "sink/dayscan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crier_err err = {0};
    char *path = crier_path_join(scratch(), "day.json");
    size_t stored = 0;
    put_file(path, data, size);
    struct crier_dayfile *file = crier_dayfile_new(path, "Guild", 5, 77, "GUILD", 512);
    int rc = crier_dayfile_begin(file, &err);
    if (rc == 0) {
        MUST(crier_dayfile_add(file, "{\n            \"index\": 0\n        }", 34, &err) == 0);
        MUST(crier_dayfile_end(file, &stored, &err) == 0 && stored == 1);
        struct crier_buf text = {0};
        MUST(crier_file_read(path, SIZE_MAX, &text, &err) == 0);
        json_t *doc = json_loadb(text.data, text.len, 0, NULL);
        /* jansson refuses a few texts that are JSON: deep ones, \u0000, numbers out of range. */
        if (doc)
            MUST(json_array_size(json_object_get(doc, "message_history")) >= 1);
        else
            MUST(size > 0);
        json_decref(doc);
        crier_buf_fini(&text);
    }
    crier_dayfile_free(file);
    free(path);
    empty_folder(scratch());
    return 0;
}
