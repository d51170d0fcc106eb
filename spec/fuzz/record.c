/* SPDX-License-Identifier: MIT
 * The record codec: stored bytes, and JSON. What is read is a whole record: it can be written as JSON, and
 * that reads as the same record. */
#include "support.h"

#include "record/build.h"
#include "record/read.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crier_reader reader = {0};
    struct crier_record *record = NULL;
    struct crier_err err = {0};
    if (crier_record_from_bytes(data, size, &record, &err) == 0) {
        struct crier_iter it = crier_record_fields(record);
        struct crier_value v;
        while (crier_next(&it, &v)) {
        }
        crier_record_json(record);
        crier_record_unref(record);
    }
    if (crier_reader_read(&reader, (const char *)data, size, &record, &err) == 0) {
        same(record);
        struct crier_str bytes = crier_record_bytes(record);
        struct crier_record *again = NULL;
        MUST(crier_record_from_bytes(bytes.data, bytes.len, &again, &err) == 0);
        crier_record_unref(again);
        crier_record_unref(record);
    }
    crier_reader_fini(&reader);
    return 0;
}
