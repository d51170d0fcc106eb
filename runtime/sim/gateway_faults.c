/* SPDX-License-Identifier: MIT */
#include "sim/gateway.h"

#include "base/duration.h"

enum kind { CLOSE, DROP, MUTE, RECONNECT, INVALID, ASK, GARBAGE, SLOW };

static const char *const kinds[] = {"gateway_close",   "gateway_drop",      "gateway_mute",
                                    "gateway_reconnect", "gateway_invalid", "gateway_heartbeat",
                                    "gateway_garbage", "gateway_delay"};
static const char *const occasions[] = {"connect",   "identify", "resume",
                                        "heartbeat", "dispatch", "now"};

struct gateway_fault {
    enum kind kind;
    enum sim_occasion on;
    int64_t times, delay;
    int code;
    bool resumable;
};

static void act(struct sim_conn *conn, const struct gateway_fault *f)
{
    switch (f->kind) {
    case CLOSE:
        sim_conn_close(conn, f->code, "as scripted");
        break;
    case DROP:
        sim_conn_close(conn, 0, NULL);
        break;
    case MUTE:
        conn->mute = true;
        crier_timer_stop(conn->sim->loop, &conn->deadline);
        break;
    case RECONNECT:
        sim_conn_op(conn, 7, "null");
        break;
    case INVALID:
        if (!f->resumable && conn->session) {
            struct sim_session *s = conn->session;
            conn->session = NULL;
            s->conn = NULL;
            crier_timer_in(conn->sim->loop, &s->expiry, 0);
        }
        sim_conn_op(conn, 9, f->resumable ? "true" : "false");
        break;
    case ASK:
        sim_conn_op(conn, 1, "null");
        break;
    case GARBAGE:
        if (conn->garbage)
            conn->garbage(conn);
        break;
    case SLOW:
        conn->delay = f->delay;
        break;
    }
}

/* Those that only add to what happens; after all others nothing else is done. */
static bool adds(enum kind kind)
{
    return kind == ASK || kind == SLOW || kind == RECONNECT;
}

bool sim_gateway_fault(struct sim_conn *conn, enum sim_occasion occasion)
{
    GPtrArray *faults = conn->sim->gateway->faults;
    for (guint i = 0; i < faults->len; i++) {
        struct gateway_fault *f = faults->pdata[i];
        if (f->on != occasion || !f->times)
            continue;
        if (f->times > 0)
            f->times--;
        act(conn, f);
        return !adds(f->kind);
    }
    return false;
}

static int read_word(const json_t *obj, const char *key, const char *const *words, size_t n, int def,
                     int *out)
{
    const json_t *v = json_object_get(obj, key);
    *out = def;
    if (!v)
        return 0;
    for (size_t i = 0; json_is_string(v) && i < n; i++) {
        if (strcmp(words[i], json_string_value(v)) == 0) {
            *out = (int)i;
            return 0;
        }
    }
    return -1;
}

static int check_keys(const json_t *obj, struct crier_err *err)
{
    static const char *const keys[] = {"do", "on", "times", "code", "resumable", "delay"};
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)obj, key, value) {
        size_t i = 0;
        while (i < CRIER_COUNT(keys) && strcmp(keys[i], key) != 0)
            i++;
        if (i == CRIER_COUNT(keys))
            return crier_err_set(err, CRIER_EINVAL,
                                 "fault: unknown key '%s' (those of the gateway know do, on, "
                                 "times, code, resumable, delay)",
                                 key);
    }
    return 0;
}

int sim_gateway_fault_add(struct crier_sim *sim, const json_t *obj, struct crier_err *err)
{
    struct gateway_fault f = {.times = 1};
    int kind, on, rc = check_keys(obj, err);
    const json_t *times = json_object_get(obj, "times"), *code = json_object_get(obj, "code");
    const json_t *delay = json_object_get(obj, "delay");
    if (rc)
        return rc;
    if (read_word(obj, "do", kinds, CRIER_COUNT(kinds), -1, &kind) != 0 || kind < 0)
        return crier_err_set(err, CRIER_EINVAL,
                             "fault.do: expected gateway_close, gateway_drop, gateway_mute, "
                             "gateway_reconnect, gateway_invalid, gateway_heartbeat, "
                             "gateway_garbage or gateway_delay");
    if (read_word(obj, "on", occasions, CRIER_COUNT(occasions), SIM_ON_NOW, &on) != 0)
        return crier_err_set(err, CRIER_EINVAL,
                             "fault.on: expected connect, identify, resume, heartbeat, dispatch or "
                             "now");
    f.kind = (enum kind)kind;
    f.on = (enum sim_occasion)on;
    if (times && (!json_is_integer(times) || json_integer_value(times) < -1 ||
                  !json_integer_value(times)))
        return crier_err_set(err, CRIER_EINVAL, "fault.times: expected 1 or more, or -1 for all");
    if (times)
        f.times = json_integer_value(times);
    if (f.kind == CLOSE && (!json_is_integer(code) || json_integer_value(code) < 1000 ||
                            json_integer_value(code) > 4999))
        return crier_err_set(err, CRIER_EINVAL, "fault.code: expected 1000 to 4999");
    f.code = (int)json_integer_value(code);
    f.resumable = json_is_true(json_object_get(obj, "resumable"));
    if (json_is_string(delay))
        rc = crier_duration_parse(json_string_value(delay), &f.delay, err);
    else if (json_is_number(delay))
        rc = crier_duration_from_seconds(json_number_value(delay), &f.delay, err);
    else if (f.kind == SLOW)
        rc = crier_err_set(err, CRIER_EINVAL, "expected a duration such as \"2s\"");
    if (rc)
        return crier_err_prefix(err, "fault.delay: ");
    if (f.on == SIM_ON_NOW) {
        struct sim_conn *next;
        for (struct sim_conn *conn = sim->gateway->conns; conn; conn = next) {
            next = conn->next;
            act(conn, &f);
        }
        return 0;
    }
    struct gateway_fault *kept = crier_malloc(sizeof *kept);
    *kept = f;
    g_ptr_array_add(sim->gateway->faults, kept);
    return 0;
}
