/* SPDX-License-Identifier: MIT
 *
 * The jsonl sink: a record a line, as crier_record_json writes it (sink/linefile.h has the files).
 */
#include <stdlib.h>
#include <string.h>

#include "base/ulid.h"
#include "record/build.h"
#include "record/read.h"
#include "sink/linefile.h"
#include "sink/linefile_query.h"
#include "sink/registry.h"

#define ID_LEAD "{\"id\":\""

static const struct crier_option options[] = {
    {.name = "path",
     .type = CRIER_OPT_PATH,
     .def = "crier.jsonl",
     .help = "the file; closed ones are named crier.000001.2026-11-21.jsonl beside it"},
    CRIER_LINEFILE_OPTIONS,
};

struct jsonl {
    struct crier_linefile *file;
    struct crier_buf line;
    struct crier_reader reader;
    struct crier_line_filter filter;
};

/* The time of a line as crier wrote it, without reading the rest. */
static bool line_time(const struct crier_line_format *unused, struct crier_str line, int64_t *out)
{
    (void)unused;
    const char *at = line.data + strlen(ID_LEAD) + CRIER_ULID_LEN;
    const char *end = line.data + (line.len < 120 ? line.len : 120);
    if (at >= end || !(at = memmem(at, (size_t)(end - at), "\"time\":\"", 8)))
        return false;
    return end - at >= 8 + 28 && crier_time_read(at + 8, 27, out);
}

/* A line that does not begin as ours do was not cut short by us. */
static bool line_whole(struct crier_str line)
{
    struct crier_reader reader = {0};
    struct crier_record *record = NULL;
    size_t lead = strlen(ID_LEAD);
    if (memcmp(line.data, ID_LEAD, line.len < lead ? line.len : lead) != 0)
        return true;
    bool whole = crier_reader_read(&reader, line.data, line.len, &record, NULL) == 0;
    crier_record_unref(record);
    crier_reader_fini(&reader);
    return whole;
}

static const struct crier_line_format format = {
    .end = "\n",
    .id_lead = ID_LEAD,
    .time = line_time,
    .whole = line_whole,
};

static int jsonl_open(const struct crier_sink_env *env, const struct crier_options *opts,
                      const char *name, void **out, struct crier_err *err)
{
    struct crier_linefile *file;
    (void)name;
    int rc = crier_linefile_new(opts, env, &format, &file, err);
    if (rc != 0)
        return rc;
    struct jsonl *self = crier_calloc(1, sizeof *self);
    self->file = file;
    *out = self;
    return 0;
}

static void jsonl_close(void *arg)
{
    struct jsonl *self = arg;
    crier_linefile_free(self->file);
    crier_buf_fini(&self->line);
    crier_reader_fini(&self->reader);
    free(self);
}

static struct crier_str record_line(void *arg, struct crier_record *record)
{
    struct jsonl *self = arg;
    crier_buf_clear(&self->line);
    crier_record_json_append(record, &self->line);
    return (struct crier_str){self->line.data, self->line.len};
}

static enum crier_verdict jsonl_write(void *arg, struct crier_record *const *records, size_t count,
                                      size_t *done, struct crier_err *err)
{
    struct jsonl *self = arg;
    return crier_linefile_write(self->file, record_line, self, records, count, done, err);
}

static int64_t jsonl_idle(void *arg, int64_t now)
{
    return crier_linefile_idle(((struct jsonl *)arg)->file, now);
}

static void jsonl_reopen(void *arg)
{
    crier_linefile_reopen(((struct jsonl *)arg)->file);
}

static bool may_hit(void *arg, struct crier_str line)
{
    struct jsonl *self = arg;
    size_t lead = strlen(ID_LEAD);
    bool ours = line.len > lead + CRIER_ULID_LEN && memcmp(line.data, ID_LEAD, lead) == 0 &&
                line.data[line.len - 1] == '}';
    return !ours || crier_line_filter_event(&self->filter, line) ||
           (crier_line_filter_id(&self->filter, line.data + lead) &&
            crier_line_filter_members(&self->filter, line) &&
            crier_line_filter_texts(&self->filter, line));
}

static struct crier_record *read_line(void *arg, struct crier_str line)
{
    struct jsonl *self = arg;
    struct crier_record *record;
    return crier_reader_read(&self->reader, line.data, line.len, &record, NULL) == 0 ? record
                                                                                     : NULL;
}

static int jsonl_query(void *arg, const struct crier_query *query, struct crier_record ***hits,
                       size_t *count, struct crier_err *err)
{
    struct jsonl *self = arg;
    const struct crier_line_reader reader = {
        .filter = &self->filter, .may_hit = may_hit, .record = read_line, .arg = self};
    crier_line_filter_init(&self->filter, query, "\"");
    return crier_lines_query(crier_linefile_list(self->file), &reader, query, hits, count, err);
}

static int changed_line(void *arg, const struct crier_change *change, struct crier_record *record,
                        struct crier_str *out, struct crier_err *err)
{
    (void)arg;
    (void)change;
    (void)err;
    *out = crier_record_json(record);
    return 0;
}

static int jsonl_change(void *arg, const struct crier_query *query, const json_t *fields,
                        uint64_t *changed, struct crier_err *err)
{
    struct jsonl *self = arg;
    const struct crier_line_reader reader = {
        .may_hit = may_hit, .record = read_line, .arg = self, .line = changed_line};
    crier_line_filter_init(&self->filter, query, "\"");
    return crier_linefile_change(self->file, &reader, query, fields, changed, err);
}

const struct crier_sink_driver crier_sink_jsonl = {
    .kind = "jsonl",
    .help = "a JSON object a line, in files that are closed by size and time",
    .options = options,
    .option_count = CRIER_COUNT(options),
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .open = jsonl_open,
    .write = jsonl_write,
    .idle = jsonl_idle,
    .reopen = jsonl_reopen,
    .close = jsonl_close,
    .query = jsonl_query,
    .change = jsonl_change,
};
