/* SPDX-License-Identifier: MIT
 *
 * crier discord-sim: the simulator as a server of its own, for other programs' tests.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/json.h"
#include "cli/cli.h"
#include "sim/sim.h"

struct arguments {
    long port;
    const char *world;
    unsigned long long seed;
    bool no_limits, any_token, json;
};

static bool read_number(const char *text, unsigned long long max, unsigned long long *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *out <= max;
}

/* -1: go on; else the exit code. */
static int read_arguments(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"world", required_argument, NULL, 'w'},
        {"seed", required_argument, NULL, 's'},
        {"no-limits", no_argument, NULL, 'l'},
        {"any-token", no_argument, NULL, 'a'},
        {"json", no_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    unsigned long long number = 0;
    int opt;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'p':
            if (!read_number(optarg, 65535, &number))
                return crier_usage("discord-sim", "--port takes 0 to 65535, got '%s'", optarg);
            a->port = (long)number;
            break;
        case 's':
            if (!read_number(optarg, UINT64_MAX, &a->seed))
                return crier_usage("discord-sim", "--seed takes a number, got '%s'", optarg);
            break;
        case 'w':
            a->world = optarg;
            break;
        case 'l':
            a->no_limits = true;
            break;
        case 'a':
            a->any_token = true;
            break;
        case 'j':
            a->json = true;
            break;
        default:
            return crier_usage_option("discord-sim", argv);
        }
    }
    if (optind < argc)
        return crier_usage("discord-sim", "unexpected argument '%s'", argv[optind]);
    return -1;
}

static int exit_code(const struct crier_err *err)
{
    switch (err->code) {
    case CRIER_ENOTFOUND:
        return 66;
    case CRIER_EBUSY:
        return 75;
    case CRIER_ENET:
        return 69;
    default:
        return 78;
    }
}

static void complain(const struct crier_err *err)
{
    fprintf(stderr, "crier: discord-sim: %s%s%s\n", err->where, *err->where ? ": " : "", err->text);
}

static void announce(const struct arguments *a, int port)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/api/v10", port);
    if (a->json) {
        printf("{\"url\":\"%s\",\"port\":%d}\n", url, port);
    } else {
        printf("discord-sim: %s (token: %s)\n", url, a->any_token ? "any" : "those of the world");
    }
    fflush(stdout);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    crier_loop_stop(handle->data);
}

static void on_closed(uv_handle_t *handle)
{
    handle->data = NULL;
}

static void serve(struct crier_loop *loop)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    uv_signal_t signals[CRIER_COUNT(numbers)];
    for (size_t i = 0; i < CRIER_COUNT(numbers); i++) {
        uv_signal_init(crier_loop_uv(loop), &signals[i]);
        signals[i].data = loop;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    crier_loop_run(loop, CRIER_NEVER);
    for (size_t i = 0; i < CRIER_COUNT(numbers); i++)
        uv_close((uv_handle_t *)&signals[i], on_closed);
    while (signals[0].data || signals[1].data)
        uv_run(crier_loop_uv(loop), UV_RUN_NOWAIT);
}

int crier_cmd_discord_sim(int argc, char **argv)
{
    struct arguments a = {0};
    struct crier_err err = {0};
    struct crier_sim_server *server = NULL;
    int code = read_arguments(argc, argv, &a);
    if (code >= 0)
        return code;
    if (!a.world)
        a.any_token = true;
    signal(SIGPIPE, SIG_IGN);
    struct crier_loop *loop = crier_loop_new(crier_clock_real());
    struct crier_sim_config config = {.seed = a.seed, .limits = !a.no_limits};
    struct crier_sim *sim = crier_sim_new(loop, &config);
    int port = (int)a.port;
    code = 0;
    crier_sim_any_token(sim, a.any_token);
    if ((a.world && crier_sim_load_world(sim, a.world, &err) != 0) ||
        crier_sim_server_start(sim, loop, &port, &server, &err) != 0) {
        complain(&err);
        code = exit_code(&err);
        goto out;
    }
    announce(&a, port);
    serve(loop);
out:
    crier_sim_server_stop(server);
    crier_sim_free(sim);
    crier_loop_free(loop);
    return code;
}
