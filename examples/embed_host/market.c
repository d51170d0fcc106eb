/* SPDX-License-Identifier: MIT
 *
 * A program that has a whole crier host in it. The host runs bot.lua on the main thread; a second
 * thread logs through the script's rules, has the script loaded anew, and stops the host.
 *
 *     ./market [FOLDER]      the folder with bot.lua; the working directory
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <crier/crier.h>

/* --- a function for the script: crier.app.stock(item [, { stall = n }]) -> count, shelf ------ */

static int stock(void *arg, const struct crier_value *args, size_t count, struct crier_reply *reply,
                 struct crier_err *err)
{
    int *asked = arg;
    int64_t stall = 0;
    ++*asked;
    if (count < 1 || args[0].type != CRIER_STR)
        return crier_err_set(err, CRIER_EINVAL, "stock takes the name of an item");
    if (count > 1) {
        struct crier_iter it = crier_values(&args[1]);
        struct crier_value v;
        while (crier_next(&it, &v)) {
            if (v.key.len == 5 && memcmp(v.key.data, "stall", 5) == 0 && v.type == CRIER_INT)
                stall = v.i;
        }
    }
    if (args[0].s.len != 7 || memcmp(args[0].s.data, "herring", 7) != 0)
        return crier_err_set(err, CRIER_ENOTFOUND, "there is no %.*s here", (int)args[0].s.len,
                             args[0].s.data);
    char shelf[64];
    snprintf(shelf, sizeof shelf, "{\"stall\": %" PRId64 ", \"row\": 2}", stall);
    crier_reply_add(reply, crier_f_int(NULL, 100 - *asked));
    crier_reply_add(reply, crier_f_json(NULL, shelf));
    return 0;
}

/* --- a sink for the script: crier.sink.wall { options = { width = n } } --------------------- */

static int wall_open(const struct crier_sink_open *in, void **self, struct crier_err *err)
{
    const char *width = strstr(in->options, "\"width\":");
    int *columns = malloc(sizeof *columns);
    (void)err;
    if (!columns)
        abort();
    *columns = width ? atoi(width + strlen("\"width\":")) : 80;
    *self = columns;
    return 0;
}

static int wall_write(void *self, struct crier_record *const *records, size_t count,
                      const char *batch_id, size_t *done, struct crier_err *err)
{
    const int *columns = self;
    (void)batch_id;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        struct crier_str json = crier_record_json(records[i]);
        const char *from = strstr(json.data, "\"level\"");
        printf("wall| %.*s\n", *columns, from ? from : json.data);
    }
    fflush(stdout);
    *done = count;
    return CRIER_SINK_WRITTEN;
}

static const struct crier_sink_plugin wall = {
    .abi = CRIER_SINK_ABI,
    .struct_size = sizeof(struct crier_sink_plugin),
    .kind = "wall",
    .help = "prints the beginning of each record",
    .open = wall_open,
    .write = wall_write,
    .close = free,
};

/* --- the program -------------------------------------------------------------------------- */

static void *work(void *arg)
{
    struct crier *c = arg;
    struct crier_err err = {0};
    struct crier_logger *log = crier_host_logger(c, "market");
    CRIER_LOG_INFO(log, "the market opens", crier_f_int("stalls", 12));
    if (crier_reload(c, &err) != 0) /* which waits until the script runs */
        CRIER_LOG_ERROR(log, "the script stays as it is", crier_f_str("why", err.text));
    CRIER_LOG_INFO(log, "the market closes");
    crier_logger_free(log);
    crier_stop(c);
    return NULL;
}

int main(int argc, char **argv)
{
    struct crier_err err = {0};
    char file[512];
    int asked = 0;
    snprintf(file, sizeof file, "%s/bot.lua", argc > 1 ? argv[1] : ".");
    struct crier_app_config config = {.struct_size = sizeof config, .file = file, .signals = true};
    struct crier *c = crier_new(&config, &err);
    if (!c || crier_register_sink(&wall, NULL, &err) != 0 ||
        crier_register_function(c, "stock", stock, &asked, &err) != 0) {
        fprintf(stderr, "market: %s\n", err.text);
        return 1;
    }
    pthread_t worker;
    pthread_create(&worker, NULL, work, c);
    int code = crier_run(c);
    crier_last_error(c, &err);
    if (err.code != 0)
        fprintf(stderr, "market: %s\n", err.text);
    pthread_join(worker, NULL);
    crier_free(c);
    printf("stock was asked %d times, exit code %d\n", asked, code);
    return code;
}
