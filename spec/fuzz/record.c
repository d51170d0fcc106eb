/* SPDX-License-Identifier: MIT
 * The record codec: JSON, and stored bytes. What is read is a whole record: it can be written as JSON,
 * and that reads as the same record. Behind a NUL: changes of its stored bytes, three bytes each (where,
 * two, and what); without a NUL the input is taken as stored bytes, too. */
#include "support.h"

#include <jansson.h>

#include "record/build.h"
#include "record/read.h"
#include "record/value_json.h"

static void same(struct crier_record *record)
{
    struct crier_reader reader = {0};
    struct crier_record *again = NULL;
    struct crier_err err = {0};
    struct crier_str json = crier_record_json(record), twice;
    MUST(crier_reader_read(&reader, json.data, json.len, &again, &err) == 0);
    twice = crier_record_json(again);
    MUST(twice.len == json.len && memcmp(twice.data, json.data, json.len) == 0);
    crier_record_unref(again);
    crier_reader_fini(&reader);
}

static void walk(struct crier_iter it, int depth)
{
    struct crier_value v;
    while (crier_next(&it, &v)) {
        MUST(depth < 70);
        if (v.type == CRIER_OBJECT || v.type == CRIER_ARRAY)
            walk(crier_values(&v), depth + 1);
    }
}

/* Bytes as they come from a file: they are no record, or a record that can be used. */
static void stored(const void *bytes, size_t len)
{
    struct crier_record *record = NULL, *again = NULL;
    struct crier_err err = {0};
    char scratch[32];
    struct crier_value v;
    if (crier_record_from_bytes(bytes, len, &record, &err) != 0) {
        MUST(err.text[0]);
        return;
    }
    walk(crier_record_fields(record), 0);
    crier_record_get(record, "a.b", &v, scratch);
    crier_record_get(record, "guild.id", &v, scratch);
    struct crier_str json = crier_record_json(record), stays = crier_record_bytes(record);
    struct crier_reader reader = {0};
    MUST(crier_reader_read(&reader, json.data, json.len, &again, &err) == 0);
    crier_record_unref(again);
    crier_reader_fini(&reader);
    MUST(crier_record_from_bytes(stays.data, stays.len, &again, &err) == 0);
    struct crier_str twice = crier_record_json(again);
    MUST(twice.len == json.len && memcmp(twice.data, json.data, json.len) == 0);
    crier_record_unref(again);
    crier_record_unref(record);
}

static void changed(struct crier_record *record, const uint8_t *edits, size_t size)
{
    struct crier_str bytes = crier_record_bytes(record);
    char *copy = crier_malloc(bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    for (; size >= 3; size -= 3, edits += 3)
        copy[(edits[0] | (size_t)edits[1] << 8) % bytes.len] = (char)edits[2];
    stored(copy, bytes.len);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crier_reader reader = {0};
    struct crier_record *record = NULL;
    struct crier_err err = {0};
    const uint8_t *end = memchr(data, 0, size);
    size_t len = end ? (size_t)(end - data) : size;
    stored(data, size);
    if (crier_reader_read(&reader, (const char *)data, len, &record, &err) == 0) {
        same(record);
        struct crier_str bytes = crier_record_bytes(record);
        stored(bytes.data, bytes.len);
        if (end)
            changed(record, end + 1, size - len - 1);
        crier_record_unref(record);
    } else {
        MUST(err.text[0]);
    }
    crier_reader_fini(&reader);
    return 0;
}
