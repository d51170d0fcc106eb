/* SPDX-License-Identifier: MIT
 *
 * The json sink: day files in the shape that DAF's users know (sink/dayfile.h has the format).
 *
 * Which file a record goes to: <path>/YYYY/MM/DD of its time in the config's zone, then, for a
 * message record, its guild's id; all others share @log.json, @task.json and so on. The first
 * record of a guild looks through the day's folder for a file with that id, so a guild that was
 * renamed, before or after a restart, keeps its file.
 *
 * A batch is sorted by file, so a failure may leave records stored behind one that is not. Those
 * are remembered and passed over when the framework comes again; after a restart the ids in the
 * file say the same.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/json.h"
#include "record/value_json.h"
#include "base/ulid.h"
#include "sink/dayfile.h"
#include "sink/dayquery.h"
#include "sink/registry.h"

#include <glib.h>

enum { OPEN_FILES = 64, NONE = -1 };

static const struct crier_option options[] = {
    {.name = "path",
     .type = CRIER_OPT_PATH,
     .def = "History",
     .help = "folder; files are PATH/YYYY/MM/DD/GUILD.json"},
    {.name = "gap",
     .type = CRIER_OPT_SIZE,
     .def = "16KiB",
     .min = CRIER_DAYFILE_PAGE,
     .max = CRIER_DAYFILE_GAP_MAX,
     .help = "blanks kept free in a file for the next records; grows fourfold when full"},
};

/* A guild or user; or, with id 0, all records of a kind. */
struct key {
    uint64_t id;
    int kind;
};

struct day {
    int year, month, day;
    char *folder;
    GHashTable *targets; /* struct key -> struct target */
    GHashTable *found;   /* id -> path: the files that stood in the folder */
};

struct target {
    struct key key;
    struct day *day;
    struct crier_dayfile *file; /* NULL until its first record is written */
    struct crier_str name;      /* of the guild, in the batch at hand */
    bool is_named;              /* so the file says too */
    const char *type;
    uint64_t used;        /* the write in which it was last used */
    ptrdiff_t head, tail; /* its records in the batch at hand; NONE */
    struct target *next;  /* the next one in the batch at hand */
};

struct json_sink {
    struct crier_clock *clock;
    const struct crier_zone *zone;
    char *path;
    size_t gap;
    GHashTable *days; /* number -> struct day */
    struct target *open[OPEN_FILES];
    GHashTable *ahead; /* ids of records that are stored though one in front of them is not */
    uint64_t writes;
    struct crier_buf entry;
    /* The second that was last looked up. */
    int64_t second;
    struct crier_civil civil;
    char stamp[32];
};

/* Entries */

static void new_line(struct crier_buf *b, unsigned indent)
{
    char *to = crier_buf_reserve(b, indent + 1);
    to[0] = '\n';
    memset(to + 1, ' ', indent);
    b->len += indent + 1;
    b->data[b->len] = '\0';
}

/* Begin a member or item: the comma behind the one before, the line, the key. */
static void begin_item(struct crier_buf *b, unsigned indent, const char *key, size_t len)
{
    char last = b->data[b->len - 1];
    if (last != '{' && last != '[')
        crier_buf_putc(b, ',');
    new_line(b, indent);
    if (key) {
        crier_json_quote(b, key, len);
        crier_buf_append(b, ": ", 2);
    }
}

/* The same for a key that is known, on the two levels where most of them stand. */
#define BLANKS_12 "            "
#define BLANKS_16 BLANKS_12 "    "
#define BEGIN(b, indent, key) begin_known(b, LINE(BLANKS_##indent, key))
#define LINE(blanks, key) ",\n" blanks "\"" key "\": ", sizeof(",\n" blanks "\"" key "\": ") - 1

static void begin_known(struct crier_buf *b, const char *line, size_t len)
{
    bool first = b->data[b->len - 1] == '{';
    crier_buf_append(b, line + first, len - first);
}

static void end_items(struct crier_buf *b, unsigned indent, char bracket)
{
    char last = b->data[b->len - 1];
    if (last != '{' && last != '[')
        new_line(b, indent);
    crier_buf_putc(b, bracket);
}

static bool is_key(const struct crier_value *v, const char *key)
{
    return v->key.len == strlen(key) && memcmp(v->key.data, key, v->key.len) == 0;
}

static bool is_text(const struct crier_value *v, const char *text)
{
    return v->type == CRIER_STR && v->s.len == strlen(text) &&
           memcmp(v->s.data, text, v->s.len) == 0;
}

static bool member(const struct crier_value *object, const char *key, struct crier_value *out)
{
    struct crier_iter it = crier_values(object);
    struct crier_value v;
    while (crier_next(&it, &v)) {
        if (is_key(&v, key)) {
            *out = v;
            return true;
        }
    }
    return false;
}

static void put_value(struct crier_buf *b, unsigned indent, const struct crier_value *v);

static void put_item(struct crier_buf *b, unsigned indent, const struct crier_value *v, bool keyed)
{
    begin_item(b, indent, keyed ? v->key.data : NULL, v->key.len);
    put_value(b, indent, v);
}

static void put_container(struct crier_buf *b, unsigned indent, const struct crier_value *v)
{
    bool object = v->type == CRIER_OBJECT;
    struct crier_iter it = crier_values(v);
    struct crier_value item;
    crier_buf_putc(b, object ? '{' : '[');
    while (crier_next(&it, &item))
        put_item(b, indent + 4, &item, object);
    end_items(b, indent, object ? '}' : ']');
}

static void put_value(struct crier_buf *b, unsigned indent, const struct crier_value *v)
{
    switch (v->type) {
    case CRIER_SNOWFLAKE:
        crier_json_uint(b, v->u);
        break;
    case CRIER_ARRAY:
    case CRIER_OBJECT:
        put_container(b, indent, v);
        break;
    default:
        crier_value_json(b, v);
    }
}

/* An object whose members come in the seed's order, then all others as they are. */
static void put_ordered(struct crier_buf *b, unsigned indent, const struct crier_value *v,
                        const char *const *order, size_t count)
{
    struct crier_value item;
    crier_buf_putc(b, '{');
    for (size_t i = 0; i < count; i++) {
        if (member(v, order[i], &item))
            put_item(b, indent + 4, &item, true);
    }
    struct crier_iter it = crier_values(v);
    while (crier_next(&it, &item)) {
        size_t i = 0;
        while (i < count && !is_key(&item, order[i]))
            i++;
        if (i == count)
            put_item(b, indent + 4, &item, true);
    }
    end_items(b, indent, '}');
}

static void put_channel_list(struct crier_buf *b, unsigned indent, const struct crier_value *v,
                             const char *key)
{
    static const char *const order[] = {"name", "id", "reason"};
    struct crier_value list = {0}, item;
    begin_item(b, indent, key, strlen(key));
    crier_buf_putc(b, '[');
    member(v, key, &list);
    struct crier_iter it = crier_values(&list);
    while (crier_next(&it, &item)) {
        begin_item(b, indent + 4, NULL, 0);
        if (item.type == CRIER_OBJECT)
            put_ordered(b, indent + 4, &item, order, CRIER_COUNT(order));
        else
            put_value(b, indent + 4, &item);
    }
    end_items(b, indent, ']');
}

/* Both lists stand in every entry, also when the message was skipped. */
static void put_channels(struct crier_buf *b, unsigned indent, const struct crier_value *v)
{
    struct crier_iter it = crier_values(v);
    struct crier_value item;
    crier_buf_putc(b, '{');
    put_channel_list(b, indent + 4, v, "successful");
    put_channel_list(b, indent + 4, v, "failed");
    while (crier_next(&it, &item)) {
        if (!is_key(&item, "successful") && !is_key(&item, "failed"))
            put_item(b, indent + 4, &item, true);
    }
    end_items(b, indent, '}');
}

/* What a message record shows above `record`. */
struct shown {
    struct crier_value sent_data, channels, success_info, type, mode, guild;
};

/* The place of a field in `shown`; NULL: it goes into `record`. */
static struct crier_value *shown_place(struct shown *s, const struct crier_value *v)
{
    bool object = v->type == CRIER_OBJECT, text = v->type == CRIER_STR;
    if (object && is_key(v, "sent_data"))
        return &s->sent_data;
    if (object && is_key(v, "channels"))
        return &s->channels;
    if (object && is_key(v, "success_info"))
        return &s->success_info;
    if (object && is_key(v, "guild"))
        return &s->guild;
    if (text && is_key(v, "type"))
        return &s->type;
    if (text && is_key(v, "mode"))
        return &s->mode;
    return NULL;
}

static void put_message(struct crier_buf *b, const struct shown *s)
{
    static const char *const data_order[] = {"text", "embed", "files"};
    static const char *const info_order[] = {"success", "reason"};
    BEGIN(b, 12, "sent_data");
    put_ordered(b, 12, &s->sent_data, data_order, CRIER_COUNT(data_order));
    if (s->success_info.type == CRIER_OBJECT) {
        BEGIN(b, 12, "success_info");
        put_ordered(b, 12, &s->success_info, info_order, CRIER_COUNT(info_order));
    } else if (!is_text(&s->type, "DirectMESSAGE")) {
        BEGIN(b, 12, "channels");
        put_channels(b, 12, &s->channels);
    }
    if (s->type.type == CRIER_STR)
        put_item(b, 12, &s->type, true);
    if (s->mode.type == CRIER_STR)
        put_item(b, 12, &s->mode, true);
}

static void put_text(struct crier_buf *b, struct crier_str s)
{
    crier_json_quote(b, s.data, s.len);
}

static void put_common(struct crier_buf *b, const struct crier_record *r)
{
    char text[32];
    struct crier_str where = crier_record_where(r);
    BEGIN(b, 16, "id");
    crier_record_id(r, text);
    crier_json_quote(b, text, CRIER_ULID_LEN);
    BEGIN(b, 16, "seq");
    crier_json_uint(b, crier_record_seq(r));
    BEGIN(b, 16, "time");
    crier_json_str(b, crier_time_rfc3339(crier_record_time(r), text));
    BEGIN(b, 16, "node");
    put_text(b, crier_record_node(r));
    BEGIN(b, 16, "level");
    crier_json_str(b, crier_level_name(crier_record_level(r)));
    BEGIN(b, 16, "logger");
    put_text(b, crier_record_logger(r));
    BEGIN(b, 16, "text");
    put_text(b, crier_record_text(r));
    if (where.len) {
        BEGIN(b, 16, "where");
        put_text(b, where);
    }
    if (crier_record_ok(r) >= 0) {
        BEGIN(b, 16, "ok");
        crier_json_bool(b, crier_record_ok(r));
    }
    if (crier_record_sim(r)) {
        BEGIN(b, 16, "sim");
        crier_json_bool(b, true);
    }
}

/* The guild stands at the top of the file; only a record made under another name repeats it. */
static bool repeats_guild(const struct target *t, const struct crier_value *guild)
{
    struct crier_value v;
    return !t->is_named || (member(guild, "name", &v) && v.type == CRIER_STR &&
                            (v.s.len != t->name.len || memcmp(v.s.data, t->name.data, v.s.len)));
}

static void put_entry(struct json_sink *self, const struct target *t, const struct crier_record *r,
                      uint64_t index)
{
    struct crier_buf *b = &self->entry;
    struct shown shown = {0};
    struct crier_value v, *place;
    bool message = crier_record_kind(r) == CRIER_KIND_MESSAGE;
    crier_buf_clear(b);
    crier_buf_putc(b, '{');
    if (message) {
        struct crier_iter it = crier_record_fields(r);
        while (crier_next(&it, &v)) {
            place = shown_place(&shown, &v);
            if (place)
                *place = v;
        }
        put_message(b, &shown);
    }
    BEGIN(b, 12, "index");
    crier_json_uint(b, index);
    BEGIN(b, 12, "timestamp");
    crier_json_str(b, self->stamp);
    BEGIN(b, 12, "record");
    crier_buf_putc(b, '{');
    put_common(b, r);
    struct crier_iter it = crier_record_fields(r);
    while (crier_next(&it, &v)) {
        if (!message || !shown_place(&shown, &v) || (is_key(&v, "guild") && repeats_guild(t, &v)))
            put_item(b, 16, &v, true);
    }
    end_items(b, 12, '}');
    end_items(b, 8, '}');
}

/* Days and files */

/* The civil time of a record, looked up once a second. */
static void look_up_time(struct json_sink *self, const struct crier_record *r)
{
    int64_t time = crier_record_time(r);
    int64_t second = time / CRIER_S - (time % CRIER_S < 0);
    if (second == self->second)
        return;
    self->second = second;
    crier_civil_at(self->zone, time, &self->civil);
    crier_time_dayfile(self->zone, time, self->stamp);
}

static guint key_hash(gconstpointer p)
{
    const struct key *key = p;
    return (guint)(key->id ^ key->id >> 32) * 31 + (guint)key->kind;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    const struct key *x = a, *y = b;
    return x->id == y->id && x->kind == y->kind;
}

static guint id_hash(gconstpointer p)
{
    guint tail; /* the first half of a ULID is its time */
    memcpy(&tail, (const char *)p + 12, sizeof tail);
    return tail;
}

static gboolean id_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, 16) == 0;
}

static void free_target(gpointer p)
{
    struct target *t = p;
    crier_dayfile_free(t->file);
    free(t);
}

static void free_day(gpointer p)
{
    struct day *day = p;
    g_hash_table_destroy(day->targets);
    g_hash_table_destroy(day->found);
    free(day->folder);
    free(day);
}

/* Learn which ids have files in a day's folder. */
static void look_through(struct day *day)
{
    DIR *dir = opendir(day->folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);
        uint64_t id;
        if (len < 5 || strcmp(entry->d_name + len - 5, ".json") != 0)
            continue;
        char *path = crier_path_join(day->folder, entry->d_name);
        if (crier_dayfile_peek(path, &id) && id)
            g_hash_table_insert(day->found, g_memdup2(&id, sizeof id), path);
        else
            free(path);
    }
    if (dir)
        closedir(dir);
}

static struct day *day_of(struct json_sink *self, const struct crier_civil *c)
{
    int number = (c->year * 12 + c->month - 1) * 31 + c->day - 1;
    struct day *day = g_hash_table_lookup(self->days, GINT_TO_POINTER(number));
    if (day)
        return day;
    day = crier_calloc(1, sizeof *day);
    day->year = c->year;
    day->month = c->month;
    day->day = c->day;
    day->folder = crier_asprintf("%s/%04d/%02d/%02d", self->path, c->year, c->month, c->day);
    day->targets = g_hash_table_new_full(key_hash, key_equal, NULL, free_target);
    day->found = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, free);
    look_through(day);
    g_hash_table_insert(self->days, GINT_TO_POINTER(number), day);
    return day;
}

static bool guild_of(const struct crier_record *r, struct crier_value *guild, uint64_t *id)
{
    struct crier_iter it = crier_record_fields(r);
    struct crier_value v;
    if (crier_record_kind(r) != CRIER_KIND_MESSAGE)
        return false;
    while (crier_next(&it, guild)) {
        if (!is_key(guild, "guild") || guild->type != CRIER_OBJECT || !member(guild, "id", &v))
            continue;
        *id = v.type == CRIER_SNOWFLAKE ? v.u : v.type == CRIER_INT && v.i > 0 ? (uint64_t)v.i : 0;
        return *id != 0;
    }
    return false;
}

static struct target *target_of(struct json_sink *self, const struct crier_record *r)
{
    struct crier_value guild, v;
    struct key key = {.id = 0, .kind = (int)crier_record_kind(r)};
    bool has_guild = guild_of(r, &guild, &key.id);
    if (has_guild)
        key.kind = NONE;
    look_up_time(self, r);
    struct day *day = day_of(self, &self->civil);
    struct target *t = g_hash_table_lookup(day->targets, &key);
    if (!t) {
        t = crier_calloc(1, sizeof *t);
        *t = (struct target){.key = key, .day = day, .head = NONE, .tail = NONE};
        g_hash_table_insert(day->targets, &t->key, t);
    }
    if (t->head != NONE)
        return t;
    if (!has_guild) {
        t->type = crier_kind_name(crier_record_kind(r));
        t->name = (struct crier_str){t->type, strlen(t->type)};
    } else {
        bool named = member(&guild, "name", &v) && v.type == CRIER_STR;
        t->name = named ? v.s : (struct crier_str){"", 0};
        t->type = member(&guild, "type", &v) && is_text(&v, "USER") ? "USER" : "GUILD";
    }
    return t;
}

/* The n-th choice of a file for a target; NULL: there are no more. */
static char *candidate(const struct target *t, int n)
{
    char name[CRIER_DAYFILE_NAME + 1];
    const char *found = g_hash_table_lookup(t->day->found, &t->key.id);
    unsigned long long id = t->key.id;
    if (!id)
        return n ? NULL : crier_asprintf("%s/@%s.json", t->day->folder, t->type);
    if (n == 0)
        return found ? crier_strdup(found) : candidate(t, 1);
    crier_dayfile_name(t->name.data, t->name.len, id, name);
    if (n == 1)
        return crier_asprintf("%s/%s.json", t->day->folder, name);
    if (n == 2)
        return crier_asprintf("%s/%s#%llu.json", t->day->folder, name, id);
    return n == 3 ? crier_asprintf("%s/%llu.json", t->day->folder, id) : NULL;
}

/* Choose the file of a target and begin writing. */
static int begin_new(struct json_sink *self, struct target *t, struct crier_err *err)
{
    char at_name[16];
    struct crier_str name = t->name;
    int rc = CRIER_EEXIST;
    if (!t->key.id) {
        int n = snprintf(at_name, sizeof at_name, "@%s", t->type);
        name = (struct crier_str){at_name, (size_t)n};
    }
    for (int i = 0; rc == CRIER_EEXIST; i++) {
        char *path = candidate(t, i);
        if (!path)
            break;
        t->file = crier_dayfile_new(path, name.data, name.len, t->key.id, t->type, self->gap);
        free(path);
        rc = crier_dayfile_begin(t->file, err);
        if (rc != 0) {
            crier_dayfile_free(t->file);
            t->file = NULL;
        }
    }
    return rc;
}

/* A place among the open files; the one not used for longest is closed for it. */
static void make_open(struct json_sink *self, struct target *t)
{
    size_t oldest = 0;
    for (size_t i = 0; i < OPEN_FILES; i++) {
        if (self->open[i] == t)
            return;
        if (!self->open[oldest])
            continue;
        if (!self->open[i] || self->open[i]->used < self->open[oldest]->used)
            oldest = i;
    }
    if (self->open[oldest])
        crier_dayfile_release(self->open[oldest]->file);
    self->open[oldest] = t;
}

static void forget_open(struct json_sink *self, const struct target *t)
{
    for (size_t i = 0; i < OPEN_FILES; i++) {
        if (self->open[i] == t)
            self->open[i] = NULL;
    }
}

static int begin_target(struct json_sink *self, struct target *t, struct crier_err *err)
{
    int rc = t->file ? crier_dayfile_begin(t->file, err) : begin_new(self, t, err);
    if (rc == CRIER_EEXIST && t->file) {
        /* Someone put another guild's file in its place. */
        forget_open(self, t);
        crier_dayfile_free(t->file);
        t->file = NULL;
        g_hash_table_remove(t->day->found, &t->key.id);
        rc = begin_new(self, t, err);
    }
    if (rc == 0)
        make_open(self, t);
    return rc;
}

/* Writing */

/* One file's records of the batch; stored[i] tells which are in the file afterwards. */
static int write_target(struct json_sink *self, struct target *t,
                        struct crier_record *const *records, const ptrdiff_t *next, bool *stored,
                        struct crier_err *err)
{
    size_t count = 0;
    int rc = begin_target(self, t, err);
    if (rc != 0)
        return rc;
    t->is_named = !t->key.id || crier_dayfile_is_named(t->file, t->name.data, t->name.len);
    for (ptrdiff_t i = t->head; i != NONE && rc == 0; i = next[i]) {
        if (crier_dayfile_holds(t->file, crier_record_id_bytes(records[i]))) {
            stored[i] = true;
            continue;
        }
        look_up_time(self, records[i]);
        put_entry(self, t, records[i], crier_dayfile_index(t->file));
        rc = crier_dayfile_add(t->file, self->entry.data, self->entry.len, err);
    }
    int end = crier_dayfile_end(t->file, &count, rc == 0 ? err : NULL);
    for (ptrdiff_t i = t->head; i != NONE && count; i = next[i]) {
        if (!stored[i]) {
            stored[i] = true;
            count--;
        }
    }
    return rc == 0 ? end : rc;
}

/* Sort the batch by file: the files in the order in which they are first needed. */
static struct target *sort_batch(struct json_sink *self, struct crier_record *const *records,
                                 size_t count, ptrdiff_t *next, bool *stored)
{
    struct target *first = NULL, **link = &first;
    for (size_t i = 0; i < count; i++) {
        next[i] = NONE;
        stored[i] = g_hash_table_contains(self->ahead, crier_record_id_bytes(records[i]));
        if (stored[i])
            continue;
        struct target *t = target_of(self, records[i]);
        if (t->head == NONE) {
            t->head = (ptrdiff_t)i;
            t->next = NULL;
            *link = t;
            link = &t->next;
        } else {
            next[t->tail] = (ptrdiff_t)i;
        }
        t->tail = (ptrdiff_t)i;
        t->used = self->writes;
    }
    return first;
}

static void remember_ahead(struct json_sink *self, struct crier_record *const *records,
                           size_t count, const bool *stored, size_t done)
{
    g_hash_table_remove_all(self->ahead);
    for (size_t i = done; i < count; i++) {
        if (stored[i])
            g_hash_table_add(self->ahead, g_memdup2(crier_record_id_bytes(records[i]), 16));
    }
}

static bool is_today(const struct day *day, const struct crier_civil *now)
{
    return day->year == now->year && day->month == now->month && day->day == now->day;
}

/* Close the gaps of a day's files. What cannot be closed stays as it is, which is valid too. */
static void finish_day(struct json_sink *self, struct day *day, bool sync)
{
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, day->targets);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        struct target *t = value;
        forget_open(self, t);
        int rc = t->file ? crier_dayfile_finish(t->file, sync, NULL) : 0;
        (void)rc;
    }
}

static bool used_in_this_write(struct json_sink *self, struct day *day)
{
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, day->targets);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        if (((struct target *)value)->used == self->writes)
            return true;
    }
    return false;
}

/* Days that are over are finished; while old records are still coming in, only those without. */
static void finish_days(struct json_sink *self, bool busy)
{
    struct crier_civil now;
    GHashTableIter it;
    gpointer value;
    crier_civil_at(self->zone, crier_clock_wall(self->clock), &now);
    g_hash_table_iter_init(&it, self->days);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        if (is_today(value, &now) || (busy && used_in_this_write(self, value)))
            continue;
        finish_day(self, value, true);
        g_hash_table_iter_remove(&it);
    }
}

static enum crier_verdict json_write(void *arg, struct crier_record *const *records, size_t count,
                                     size_t *done, struct crier_err *err)
{
    struct json_sink *self = arg;
    ptrdiff_t *next = crier_malloc((count + 1) * sizeof *next);
    bool *stored = crier_calloc(count + 1, sizeof *stored);
    int rc = 0;
    self->writes++;
    struct target *first = sort_batch(self, records, count, next, stored);
    for (struct target *t = first; t && rc == 0; t = t->next)
        rc = write_target(self, t, records, next, stored, err);
    for (struct target *t = first; t; t = t->next) {
        t->head = t->tail = NONE;
        t->name = (struct crier_str){0}; /* it was the record's */
    }
    for (*done = 0; *done < count && stored[*done];)
        ++*done;
    remember_ahead(self, records, count, stored, *done);
    finish_days(self, true);
    free(next);
    free(stored);
    return rc == 0 ? CRIER_WRITTEN : CRIER_RETRY_LATER;
}

/* Wall time of the next local midnight. */
static int64_t next_day(const struct json_sink *self, int64_t now)
{
    struct crier_civil c;
    int64_t at = now + 86400 * CRIER_S;
    crier_civil_at(self->zone, now, &c);
    c.hour = c.minute = c.second = c.micros = 0;
    c.day++;
    if (crier_civil_to_wall(self->zone, &c, &at, NULL) == 0)
        return at;
    c.day = 1;
    c.month++;
    if (crier_civil_to_wall(self->zone, &c, &at, NULL) == 0)
        return at;
    c.month = 1;
    c.year++;
    return crier_civil_to_wall(self->zone, &c, &at, NULL) == 0 ? at : now + 86400 * CRIER_S;
}

static int64_t json_idle(void *arg, int64_t now_mono)
{
    struct json_sink *self = arg;
    int64_t now = crier_clock_wall(self->clock);
    finish_days(self, false);
    if (!g_hash_table_size(self->days))
        return CRIER_NEVER;
    return now_mono + (next_day(self, now) - now);
}

static void json_reopen(void *arg)
{
    struct json_sink *self = arg;
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, self->days);
    while (g_hash_table_iter_next(&it, NULL, &value))
        finish_day(self, value, false);
    g_hash_table_remove_all(self->days);
}

static void json_close(void *arg)
{
    struct json_sink *self = arg;
    json_reopen(self);
    g_hash_table_destroy(self->days);
    g_hash_table_destroy(self->ahead);
    crier_buf_fini(&self->entry);
    free(self->path);
    free(self);
}

static int json_open(const struct crier_sink_env *env, const struct crier_options *opts,
                     const char *name, void **out, struct crier_err *err)
{
    struct stat st;
    char *path = crier_path_join(env->folder, crier_options_get(opts, "path")->s);
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        int rc = crier_err_set(err, CRIER_ECONFIG,
                               "sink '%s': path '%s' is not a folder; name one, or a new one", name,
                               path);
        free(path);
        return rc;
    }
    struct json_sink *self = crier_calloc(1, sizeof *self);
    self->clock = env->clock;
    self->zone = env->zone;
    self->path = path;
    self->gap = (size_t)crier_options_get(opts, "gap")->i;
    self->second = INT64_MIN;
    self->days = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, free_day);
    self->ahead = g_hash_table_new_full(id_hash, id_equal, g_free, NULL);
    *out = self;
    return 0;
}

static int json_query(void *arg, const struct crier_query *query, struct crier_record ***hits,
                      size_t *count, struct crier_err *err)
{
    return crier_dayfiles_query(((struct json_sink *)arg)->path, query, hits, count, err);
}

/* Whether the top of the file says all of a record's guild. */
static bool says_guild(const struct crier_dayentry *entry, const struct crier_value *guild)
{
    struct crier_iter it = crier_values(guild);
    struct crier_value v;
    size_t said = 0;
    while (crier_next(&it, &v)) {
        bool same = (is_key(&v, "id") && v.type == CRIER_SNOWFLAKE && v.u == entry->id) ||
                    (is_key(&v, "type") && is_text(&v, entry->type)) ||
                    (is_key(&v, "name") && v.type == CRIER_STR && v.s.len == entry->name.len &&
                     memcmp(v.s.data, entry->name.data, v.s.len) == 0);
        if (!same)
            return false;
        said++;
    }
    return said == 3;
}

static struct crier_str changed_entry(void *arg, const struct crier_record *record,
                                      const struct crier_dayentry *entry)
{
    struct json_sink *self = arg;
    struct target t = {.key.id = entry->id, .name = entry->name, .type = entry->type};
    struct crier_value guild;
    char scratch[32];
    t.is_named = !entry->id || (crier_record_get(record, "guild", &guild, scratch) &&
                                says_guild(entry, &guild));
    look_up_time(self, record);
    put_entry(self, &t, record, entry->index);
    return (struct crier_str){self->entry.data, self->entry.len};
}

static int json_change(void *arg, const struct crier_query *query, const json_t *fields,
                       uint64_t *changed, struct crier_err *err)
{
    struct json_sink *self = arg;
    return crier_dayfiles_change(self->path, query, fields, changed_entry, self, changed, err);
}

const struct crier_sink_driver crier_sink_json = {
    .kind = "json",
    .help = "a JSON document a guild and day, newest first",
    .options = options,
    .option_count = CRIER_COUNT(options),
    .kinds = 1u << CRIER_KIND_MESSAGE,
    .level = CRIER_INFO, /* a skipped send is a debug record, and not in the seed's history */
    .overflow = "spill",
    .open = json_open,
    .write = json_write,
    .idle = json_idle,
    .reopen = json_reopen,
    .close = json_close,
    .query = json_query,
    .change = json_change,
};
