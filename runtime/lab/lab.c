/* SPDX-License-Identifier: MIT */
#include "lab/lab.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/fixtures.h"

struct sink_fault {
    char *match;
    enum { FAIL, DOWN, REJECT } how;
    double chance;
    int64_t from, until; /* monotonic */
};

struct clock_fault {
    int64_t at; /* monotonic */
    int64_t by;
};

struct crier_lab {
    struct crier_lab_config config;
    char *file, *state_folder, *state_from;
    bool own_folder;
    struct crier_clock *clock;
    struct crier_loop *idle_loop; /* of the simulator, while no host runs */
    struct crier_sim *sim;
    struct crier_fixtures *fixtures;
    struct crier_rng rng;
    GPtrArray *sink_faults;
    GArray *clock_faults;
    struct crier_host_virtual virt;
    struct crier_host_embed embed;
    struct crier_host_config host_config;
    struct crier_host *host;
    unsigned starts;
    int reload_code;
    char *error;
    struct crier_buf reload_text;
};

/* --- the folder ----------------------------------------------------------------------------- */

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    while (dir && (e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *child = crier_path_join(path, e->d_name);
        struct stat st;
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            remove_tree(child);
        else
            unlink(child);
        free(child);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static int make_folder(struct crier_lab *lab, struct crier_err *err)
{
    const char *tmp = getenv("TMPDIR");
    lab->state_folder = crier_asprintf("%s/crier-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(lab->state_folder))
        return crier_err_sys(err, CRIER_EIO, errno, "cannot make the folder '%s'",
                             lab->state_folder);
    lab->own_folder = true;
    char *sim = crier_path_join(lab->state_folder, "sim"); /* as with --sim; nobody locks it */
    int rc = crier_mkdirs(sim, true, err);
    free(sim);
    return rc;
}

/* --- faults --------------------------------------------------------------------------------- */

static void sink_fault_free(void *p)
{
    struct sink_fault *f = p;
    free(f->match);
    free(f);
}

/* Faults of a lab's virtual sinks; arg: the lab. */
static bool on_sink_write(void *arg, const char *sink, size_t count, enum crier_verdict *verdict,
                          size_t *done, struct crier_err *err)
{
    struct crier_lab *lab = arg;
    int64_t now = crier_clock_mono(lab->clock);
    for (guint i = 0; i < lab->sink_faults->len; i++) {
        const struct sink_fault *f = lab->sink_faults->pdata[i];
        if (now < f->from || now >= f->until || fnmatch(f->match, sink, 0) != 0)
            continue;
        if (f->chance < 1 && (double)(crier_rng_next(&lab->rng) >> 11) * 0x1p-53 >= f->chance)
            continue;
        (void)count;
        *done = 0;
        *verdict = f->how == FAIL ? CRIER_RETRY_LATER
                   : f->how == DOWN ? CRIER_UNAVAILABLE
                                    : CRIER_REJECTED;
        crier_err_set(err, CRIER_EIO, "a fault of the simulation");
        return true;
    }
    return false;
}

static int read_time(const json_t *obj, const char *key, bool sign, int64_t *out,
                     struct crier_err *err)
{
    const json_t *v = json_object_get(obj, key);
    const char *text = json_string_value(v);
    bool minus = sign && text && *text == '-';
    int rc = 0;
    if (!v)
        return 0;
    if (json_is_number(v))
        rc = crier_duration_from_seconds(json_number_value(v), out, err);
    else if (text)
        rc = crier_duration_parse(text + (minus || (sign && *text == '+')), out, err);
    else
        rc = crier_err_set(err, CRIER_EINVAL, "expected a duration such as \"10m\"");
    if (minus)
        *out = -*out;
    return rc ? crier_err_prefix(err, "%s: ", key) : 0;
}

static int only_keys(const json_t *obj, const char *const *keys, size_t n, struct crier_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)obj, key, value) {
        size_t i = 0;
        while (i < n && strcmp(keys[i], key) != 0)
            i++;
        const char *near = crier_nearest(key, keys, n);
        if (i == n)
            return crier_err_set(err, CRIER_EINVAL, "unknown key '%s'%s%s%s", key,
                                 near ? " (did you mean '" : "", near ? near : "",
                                 near ? "'?)" : "");
    }
    return 0;
}

static int add_sink_fault(struct crier_lab *lab, const json_t *obj, struct crier_err *err)
{
    static const char *const keys[] = {"sink", "do", "at", "for", "chance"};
    const char *name = json_string_value(json_object_get(obj, "sink"));
    const char *how = json_string_value(json_object_get(obj, "do"));
    const json_t *chance = json_object_get(obj, "chance");
    int64_t from = 0, span = CRIER_NEVER;
    int rc = only_keys(obj, keys, CRIER_COUNT(keys), err);
    if (rc != 0)
        return rc;
    if (!name)
        return crier_err_set(err, CRIER_EINVAL, "sink: expected the name of a sink");
    int kind = !how ? -1 : strcmp(how, "fail") == 0 ? FAIL : strcmp(how, "down") == 0 ? DOWN
               : strcmp(how, "reject") == 0         ? REJECT
                                                    : -1;
    if (kind < 0)
        return crier_err_set(err, CRIER_EINVAL, "do: expected fail, down or reject");
    if (chance && (!json_is_number(chance) || json_number_value(chance) < 0 ||
                   json_number_value(chance) > 1))
        return crier_err_set(err, CRIER_EINVAL, "chance: expected a number from 0 to 1");
    rc = read_time(obj, "at", false, &from, err);
    if (rc == 0)
        rc = read_time(obj, "for", false, &span, err);
    if (rc != 0)
        return rc;
    struct sink_fault *f = crier_calloc(1, sizeof *f);
    f->match = crier_strdup(name);
    f->how = kind;
    f->chance = chance ? json_number_value(chance) : 1;
    f->from = crier_clock_mono(lab->clock) + from;
    f->until = span == CRIER_NEVER ? CRIER_NEVER : f->from + span;
    g_ptr_array_add(lab->sink_faults, f);
    return 0;
}

static gint by_at(gconstpointer a, gconstpointer b)
{
    const struct clock_fault *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static int add_clock_fault(struct crier_lab *lab, const json_t *obj, struct crier_err *err)
{
    static const char *const keys[] = {"clock", "at"};
    struct clock_fault f = {0};
    int rc = only_keys(obj, keys, CRIER_COUNT(keys), err);
    if (rc == 0)
        rc = read_time(obj, "clock", true, &f.by, err);
    if (rc == 0)
        rc = read_time(obj, "at", false, &f.at, err);
    if (rc != 0)
        return rc;
    f.at += crier_clock_mono(lab->clock);
    g_array_append_val(lab->clock_faults, f);
    g_array_sort(lab->clock_faults, by_at);
    return 0;
}

static int add_fault(void *arg, json_t *obj, struct crier_err *err)
{
    struct crier_lab *lab = arg;
    if (!json_is_object(obj))
        return crier_err_set(err, CRIER_EINVAL, "expected an object");
    if (json_object_get(obj, "sink"))
        return add_sink_fault(lab, obj, err);
    if (json_object_get(obj, "clock"))
        return add_clock_fault(lab, obj, err);
    char *text = json_dumps(obj, JSON_COMPACT);
    int rc = crier_sim_fault(lab->sim, text, err);
    free(text);
    return rc;
}

#define FLAKY                                                                                      \
    "{\"do\":\"status\",\"status\":503,\"chance\":0.02,\"times\":-1},"                             \
    "{\"do\":\"drop_before\",\"chance\":0.01,\"times\":-1},"                                       \
    "{\"match\":\"POST /channels/*/messages\",\"do\":\"drop_after\",\"chance\":0.01,\"times\":-1},"  \
    "{\"do\":\"delay\",\"delay\":\"3s\",\"chance\":0.02,\"times\":-1}"
#define LIMITS                                                                                     \
    "{\"do\":\"status\",\"status\":429,\"scope\":\"shared\",\"retry_after\":5,"                    \
    "\"match\":\"POST /channels/*/messages\",\"chance\":0.05,\"times\":-1}"
#define OUTAGE "{\"do\":\"refuse\",\"at\":\"1h\",\"for\":\"30m\"}"
#define SINKS                                                                                      \
    "{\"sink\":\"*\",\"do\":\"fail\",\"at\":\"1h\",\"for\":\"30m\"},"                              \
    "{\"sink\":\"*\",\"do\":\"reject\",\"chance\":0.01}"
#define CLOCK "{\"clock\":\"10m\",\"at\":\"2h\"},{\"clock\":\"-10m\",\"at\":\"4h\"}"

static const char *const preset_texts[] = {
    "[" FLAKY "]",  "[" LIMITS "]", "[" OUTAGE "]",
    "[" SINKS "]",  "[" CLOCK "]",  "[" FLAKY "," LIMITS "," OUTAGE "," SINKS "," CLOCK "]"};
const char *const crier_lab_presets[] = {"flaky", "limits", "outage", "sinks",
                                         "clock", "all",    NULL};

int crier_lab_faults(struct crier_lab *lab, const char *text, struct crier_err *err)
{
    for (size_t i = 0; crier_lab_presets[i]; i++) {
        if (strcmp(text, crier_lab_presets[i]) == 0)
            text = preset_texts[i];
    }
    return crier_lab_list(text, "faults", "fault", add_fault, lab, err);
}

void crier_lab_faults_clear(struct crier_lab *lab)
{
    crier_sim_faults_clear(lab->sim);
    g_ptr_array_set_size(lab->sink_faults, 0);
    g_array_set_size(lab->clock_faults, 0);
}

int crier_lab_fixtures(struct crier_lab *lab, const char *text, struct crier_err *err)
{
    return crier_fixtures_add(lab->fixtures, text, err);
}

const char *crier_lab_http_log(const struct crier_lab *lab)
{
    return crier_fixtures_log(lab->fixtures);
}

/* --- life ----------------------------------------------------------------------------------- */

static struct crier_transport *make_http(void *arg, struct crier_loop *loop)
{
    struct crier_lab *lab = arg;
    return crier_fixtures_transport(lab->fixtures, loop);
}

static void on_record(void *arg, const struct crier_record *record)
{
    struct crier_lab *lab = arg;
    if (lab->config.on_record)
        lab->config.on_record(lab->config.arg, record);
}

static void on_reloaded(void *arg, int code, const char *text)
{
    struct crier_lab *lab = arg;
    lab->reload_code = code;
    crier_buf_clear(&lab->reload_text);
    crier_buf_puts(&lab->reload_text, text);
}

static void on_started(void *arg, struct crier_host *host)
{
    (void)arg;
    (void)host;
}

static void on_ending(void *arg)
{
    (void)arg;
}

static void on_failed(void *arg, int code, const char *text)
{
    struct crier_lab *lab = arg;
    (void)code;
    free(lab->error);
    lab->error = crier_strdup(text);
}

const char *crier_lab_error(const struct crier_lab *lab)
{
    return lab->error ? lab->error : "";
}

int crier_lab_new(const struct crier_lab_config *config, struct crier_lab **out,
                  struct crier_err *err)
{
    struct crier_lab *lab = crier_calloc(1, sizeof *lab);
    int rc = 0;
    lab->config = *config;
    lab->file = crier_strdup(config->file);
    lab->state_from = crier_strdup(config->state_from);
    lab->sink_faults = g_ptr_array_new_with_free_func(sink_fault_free);
    lab->clock_faults = g_array_new(FALSE, FALSE, sizeof(struct clock_fault));
    lab->clock = crier_clock_virtual(config->from);
    lab->idle_loop = crier_loop_new(lab->clock);
    crier_rng_seed(&lab->rng, config->seed ^ 0x6c6162);
    struct crier_sim_config sim = {
        .seed = config->seed, .limits = !config->no_limits, .latency = CRIER_MS};
    lab->sim = crier_sim_new(lab->idle_loop, &sim);
    crier_sim_on_create(lab->sim, config->on_create, config->arg);
    lab->fixtures = crier_fixtures_new(lab->clock);
    if (config->world && crier_sim_load_world(lab->sim, config->world, err) != 0) {
        crier_err_prefix(err, "world file '%s': ", config->world);
        rc = CRIER_EINVAL;
        goto out;
    }
    if (config->state_folder)
        lab->state_folder = crier_strdup(config->state_folder);
    else
        rc = make_folder(lab, err);
out:
    if (rc != 0) {
        crier_lab_free(lab);
        return rc;
    }
    *out = lab;
    return 0;
}

void crier_lab_free(struct crier_lab *lab)
{
    if (!lab)
        return;
    crier_lab_stop(lab, false);
    crier_sim_free(lab->sim);
    crier_loop_free(lab->idle_loop);
    crier_clock_free(lab->clock);
    crier_fixtures_free(lab->fixtures);
    g_ptr_array_free(lab->sink_faults, TRUE);
    g_array_free(lab->clock_faults, TRUE);
    crier_buf_fini(&lab->reload_text);
    if (lab->own_folder)
        remove_tree(lab->state_folder);
    free(lab->state_folder);
    free(lab->state_from);
    free(lab->file);
    free(lab->error);
    free(lab);
}

int crier_lab_start(struct crier_lab *lab)
{
    int code;
    free(lab->error);
    lab->error = NULL;
    lab->virt = (struct crier_host_virtual){.seed = lab->config.seed + lab->starts++ * 0x9e37,
                                            .sim = lab->sim,
                                            .rest = lab->idle_loop,
                                            .dry = !lab->config.sinks,
                                            .forgets = lab->own_folder,
                                            .state_from = lab->state_from,
                                            .http = make_http,
                                            .on_record = on_record,
                                            .overlay = lab->config.overlay,
                                            .sink_fault = on_sink_write,
                                            .arg = lab};
    lab->embed = (struct crier_host_embed){.arg = lab,
                                           .started = on_started,
                                           .ending = on_ending,
                                           .reloaded = on_reloaded,
                                           .failed = on_failed};
    lab->host_config = (struct crier_host_config){.file = lab->file,
                                                  .state_folder = lab->state_folder,
                                                  .sim = true,
                                                  .clock = lab->clock,
                                                  .embed = &lab->embed,
                                                  .virt = &lab->virt};
    lab->host = crier_host_open(&lab->host_config, &code);
    return code;
}

/* What is left of the faults of the clock is applied as its time comes. */
static void turn(struct crier_lab *lab, int64_t until)
{
    for (;;) {
        const struct clock_fault *f =
            lab->clock_faults->len ? &g_array_index(lab->clock_faults, struct clock_fault, 0) : NULL;
        int64_t to = f && f->at < until ? f->at : until;
        if (lab->host)
            crier_loop_run(crier_host_loop(lab->host), to);
        else
            crier_loop_run(lab->idle_loop, to);
        if (to == until || (lab->host && crier_host_stopping(lab->host)))
            return;
        int64_t by = f->by;
        g_array_remove_index(lab->clock_faults, 0);
        crier_clock_set_wall(lab->clock, crier_clock_wall(lab->clock) + by);
    }
}

bool crier_lab_advance(struct crier_lab *lab, int64_t us)
{
    turn(lab, crier_clock_mono(lab->clock) + us);
    if (!lab->host || !crier_host_stopping(lab->host))
        return lab->host != NULL;
    crier_loop_run(crier_host_loop(lab->host), CRIER_NEVER);
    crier_lab_stop(lab, false);
    return false;
}

void crier_lab_stop(struct crier_lab *lab, bool in_order)
{
    if (!lab->host)
        return;
    if (in_order) {
        crier_host_stop(lab->host, 0);
        crier_loop_run(crier_host_loop(lab->host), CRIER_NEVER);
    }
    crier_host_close(lab->host);
    lab->host = NULL;
}

int crier_lab_reload(struct crier_lab *lab, struct crier_buf *diff)
{
    if (!lab->host)
        return 75;
    lab->reload_code = 0;
    crier_host_reload(lab->host);
    crier_buf_puts(diff, lab->reload_text.data ? lab->reload_text.data : "");
    return lab->reload_code == 0 ? 0 : 78;
}

void crier_lab_set_clock(struct crier_lab *lab, int64_t wall)
{
    crier_clock_set_wall(lab->clock, wall);
}

int64_t crier_lab_now(const struct crier_lab *lab)
{
    return crier_clock_wall(lab->clock);
}

struct crier_host *crier_lab_host(struct crier_lab *lab)
{
    return lab->host;
}

struct crier_sim *crier_lab_sim(struct crier_lab *lab)
{
    return lab->sim;
}

const char *crier_lab_state_folder(const struct crier_lab *lab)
{
    return lab->state_folder;
}
