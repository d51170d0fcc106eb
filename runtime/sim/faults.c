/* SPDX-License-Identifier: MIT */
#include "sim/gateway.h"

#include <fnmatch.h>
#include <stdio.h>

#include "base/duration.h"

enum kind { DROP_BEFORE, DROP_AFTER, CUT, RESET, REFUSE, STATUS, DELAY };

static const char *const kind_names[] = {"drop_before", "drop_after", "cut",  "reset",
                                         "refuse",      "status",     "delay"};

struct sim_fault {
    enum kind kind;
    char *match; /* NULL: every request */
    int64_t times; /* left; -1: no end */
    int status;
    bool execute;
    const char *scope; /* NULL: not one of Discord's own 429s */
    int64_t retry_after, delay;
    int64_t from, until; /* monotonic */
    double chance;
    char *body; /* NULL: Discord's usual one for the status */
    bool raw_body; /* a text, not JSON: what a proxy in front would send */
    struct crier_buf headers;
};

static void fault_free(void *p)
{
    struct sim_fault *fault = p;
    free(fault->match);
    free(fault->body);
    crier_buf_fini(&fault->headers);
    free(fault);
}

void sim_faults_init(struct crier_sim *sim)
{
    sim->faults = g_ptr_array_new_with_free_func(fault_free);
}

void crier_sim_faults_clear(struct crier_sim *sim)
{
    g_ptr_array_set_size(sim->faults, 0);
    g_ptr_array_set_size(sim->gateway->faults, 0);
}

/* --- reading one --------------------------------------------------------------------------- */

static int read_kind(struct sim_fault *fault, const json_t *obj, struct crier_err *err)
{
    const char *name = json_string_value(json_object_get(obj, "do"));
    for (size_t i = 0; name && i < CRIER_COUNT(kind_names); i++) {
        if (strcmp(kind_names[i], name) == 0) {
            fault->kind = (enum kind)i;
            return 0;
        }
    }
    return crier_err_set(err, CRIER_EINVAL,
                         "fault.do: expected one of drop_before, drop_after, cut, reset, refuse, "
                         "status, delay");
}

static int read_status(struct sim_fault *fault, const json_t *obj, struct crier_err *err)
{
    const json_t *v = json_object_get(obj, "status");
    if (fault->kind != STATUS)
        return v ? crier_err_set(err, CRIER_EINVAL, "fault.status: only with \"do\":\"status\"")
                 : 0;
    if (!json_is_integer(v) || json_integer_value(v) < 200 || json_integer_value(v) > 599)
        return crier_err_set(err, CRIER_EINVAL, "fault.status: expected 200 to 599");
    fault->status = (int)json_integer_value(v);
    return 0;
}

static int read_scope(struct sim_fault *fault, const json_t *obj, struct crier_err *err)
{
    static const char *const scopes[] = {"user", "global", "shared"};
    const json_t *v = json_object_get(obj, "scope");
    const json_t *after = json_object_get(obj, "retry_after");
    fault->retry_after = CRIER_S;
    if (after && (!json_is_number(after) ||
                  crier_duration_from_seconds(json_number_value(after), &fault->retry_after, err)))
        return crier_err_set(err, CRIER_EINVAL, "fault.retry_after: expected seconds");
    if (!v)
        return after ? crier_err_set(err, CRIER_EINVAL, "fault.retry_after: only with a scope")
                     : 0;
    for (size_t i = 0; json_is_string(v) && i < CRIER_COUNT(scopes); i++) {
        if (strcmp(scopes[i], json_string_value(v)) == 0)
            fault->scope = scopes[i];
    }
    if (!fault->scope)
        return crier_err_set(err, CRIER_EINVAL, "fault.scope: expected user, global or shared");
    if (fault->status != 429)
        return crier_err_set(err, CRIER_EINVAL, "fault.scope: only with \"status\":429");
    return 0;
}

static int read_delay(struct sim_fault *fault, const json_t *obj, struct crier_err *err)
{
    const json_t *v = json_object_get(obj, "delay");
    int rc = 0;
    if (json_is_number(v))
        rc = crier_duration_from_seconds(json_number_value(v), &fault->delay, err);
    else if (json_is_string(v))
        rc = crier_duration_parse(json_string_value(v), &fault->delay, err);
    else if (v)
        rc = crier_err_set(err, CRIER_EINVAL, "expected a duration such as \"2s\"");
    else if (fault->kind == DELAY)
        rc = crier_err_set(err, CRIER_EINVAL, "missing");
    return rc ? crier_err_prefix(err, "fault.delay: ") : 0;
}

static int read_span(const json_t *obj, const char *key, int64_t *out, struct crier_err *err)
{
    const json_t *v = json_object_get(obj, key);
    int rc = 0;
    if (!v)
        return 0;
    if (json_is_number(v))
        rc = crier_duration_from_seconds(json_number_value(v), out, err);
    else if (json_is_string(v))
        rc = crier_duration_parse(json_string_value(v), out, err);
    else
        rc = crier_err_set(err, CRIER_EINVAL, "expected a duration such as \"2s\"");
    return rc ? crier_err_prefix(err, "fault.%s: ", key) : 0;
}

static int read_when(struct crier_sim *sim, struct sim_fault *fault, const json_t *obj,
                     struct crier_err *err)
{
    const json_t *chance = json_object_get(obj, "chance");
    int64_t span = CRIER_NEVER;
    int rc = read_span(obj, "at", &fault->from, err);
    if (rc == 0)
        rc = read_span(obj, "for", &span, err);
    if (rc != 0)
        return rc;
    fault->from += crier_loop_now(sim->loop);
    fault->until = span == CRIER_NEVER ? CRIER_NEVER : fault->from + span;
    if (span != CRIER_NEVER && !json_object_get(obj, "times"))
        fault->times = -1;
    fault->chance = chance ? json_number_value(chance) : 1;
    if (chance && (!json_is_number(chance) || !(fault->chance >= 0 && fault->chance <= 1)))
        return crier_err_set(err, CRIER_EINVAL, "fault.chance: expected a number from 0 to 1");
    return 0;
}

static int read_answer(struct sim_fault *fault, const json_t *obj, struct crier_err *err)
{
    const char *name;
    json_t *value;
    json_t *headers = json_object_get(obj, "headers");
    const json_t *body = json_object_get(obj, "body");
    const json_t *execute = json_object_get(obj, "execute");
    if ((headers || body || execute) && fault->kind != STATUS)
        return crier_err_set(err, CRIER_EINVAL,
                             "fault.%s: only with \"do\":\"status\"",
                             headers ? "headers" : body ? "body" : "execute");
    if (execute && !json_is_boolean(execute))
        return crier_err_set(err, CRIER_EINVAL, "fault.execute: expected true or false");
    fault->execute = json_is_true(execute);
    fault->raw_body = json_is_string(body);
    if (fault->raw_body)
        fault->body = crier_strdup(json_string_value(body));
    else if (body)
        fault->body = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    if (headers && !json_is_object(headers))
        return crier_err_set(err, CRIER_EINVAL, "fault.headers: expected {name: value}");
    json_object_foreach (headers, name, value) {
        if (!json_is_string(value) || strpbrk(json_string_value(value), "\r\n") ||
            strpbrk(name, "\r\n: "))
            return crier_err_set(err, CRIER_EINVAL, "fault.headers.%s: expected a text of one line",
                                 name);
        char *lower = g_ascii_strdown(name, -1);
        crier_buf_printf(&fault->headers, "%s: %s\n", lower, json_string_value(value));
        g_free(lower);
    }
    return 0;
}

static int read_match(struct sim_fault *fault, const json_t *obj, struct crier_err *err)
{
    static const char *const keys[] = {"match",   "times", "do",          "status",  "body",
                                       "headers", "delay", "retry_after", "execute", "scope",
                                       "at",      "for",   "chance"};
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)obj, key, value) {
        size_t i = 0;
        while (i < CRIER_COUNT(keys) && strcmp(keys[i], key) != 0)
            i++;
        const char *near = crier_nearest(key, keys, CRIER_COUNT(keys));
        if (i == CRIER_COUNT(keys))
            return crier_err_set(err, CRIER_EINVAL, "fault: unknown key '%s'%s%s%s", key,
                                 near ? " (did you mean '" : "", near ? near : "",
                                 near ? "'?)" : "");
    }
    const json_t *match = json_object_get(obj, "match");
    const json_t *times = json_object_get(obj, "times");
    if (match && (!json_is_string(match) || !strstr(json_string_value(match), " /")))
        return crier_err_set(err, CRIER_EINVAL,
                             "fault.match: expected \"METHOD /path\", such as "
                             "\"POST /channels/*/messages\"");
    fault->match = crier_strdup(json_string_value(match));
    if (times && (!json_is_integer(times) || json_integer_value(times) < -1 ||
                  json_integer_value(times) == 0))
        return crier_err_set(err, CRIER_EINVAL, "fault.times: expected 1 or more, or -1 for all");
    fault->times = times ? json_integer_value(times) : 1;
    return 0;
}

int crier_sim_fault(struct crier_sim *sim, const char *json, struct crier_err *err)
{
    json_error_t bad;
    struct sim_fault *fault = crier_calloc(1, sizeof *fault);
    json_t *obj = json_loads(json, JSON_REJECT_DUPLICATES, &bad);
    int rc = 0;
    if (!obj)
        rc = crier_err_set(err, CRIER_EINVAL, "fault: not valid JSON: %s (line %d, column %d)",
                           bad.text, bad.line, bad.column);
    else if (!json_is_object(obj))
        rc = crier_err_set(err, CRIER_EINVAL, "fault: expected an object");
    const char *what = json_string_value(json_object_get(obj, "do"));
    if (!rc && what && strncmp(what, "gateway_", 8) == 0) {
        rc = sim_gateway_fault_add(sim, obj, err);
        json_decref(obj);
        fault_free(fault);
        return rc;
    }
    if (!rc)
        rc = read_match(fault, obj, err);
    if (!rc)
        rc = read_kind(fault, obj, err);
    if (!rc)
        rc = read_status(fault, obj, err);
    if (!rc)
        rc = read_scope(fault, obj, err);
    if (!rc)
        rc = read_delay(fault, obj, err);
    if (!rc)
        rc = read_answer(fault, obj, err);
    if (!rc)
        rc = read_when(sim, fault, obj, err);
    json_decref(obj);
    if (rc)
        fault_free(fault);
    else
        g_ptr_array_add(sim->faults, fault);
    return rc;
}

/* --- taking part --------------------------------------------------------------------------- */

static bool takes_chance(struct crier_sim *sim, double chance)
{
    uint64_t drawn = sim_hash(sim->config.seed + ++sim->draws * 0x9e3779b97f4a7c15ULL, "fault");
    return (double)(drawn >> 11) * 0x1p-53 < chance;
}

const struct sim_fault *sim_fault_take(struct crier_sim *sim, const char *method, const char *path)
{
    char line[560];
    int64_t now = crier_loop_now(sim->loop);
    snprintf(line, sizeof line, "%s %s", method, path);
    for (guint i = 0; i < sim->faults->len; i++) {
        struct sim_fault *fault = sim->faults->pdata[i];
        if (!fault->times || now < fault->from || now >= fault->until || (fault->match && fnmatch(fault->match, line, FNM_PATHNAME) != 0))
            continue;
        if (fault->chance < 1 && !takes_chance(sim, fault->chance))
            continue;
        if (fault->times > 0)
            fault->times--;
        return fault;
    }
    return NULL;
}

bool sim_fault_executes(const struct sim_fault *fault)
{
    return fault->kind == DROP_AFTER || fault->kind == CUT || fault->kind == DELAY ||
           fault->execute;
}

static const char *status_text(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Error";
    }
}

/* What stands in front of Discord sends text and does not say Via; Discord itself sends JSON. */
static void scripted_answer(struct sim_call *call, const struct sim_fault *fault)
{
    struct crier_sim_answer *ans = call->ans;
    crier_buf_clear(&ans->headers);
    crier_buf_clear(&ans->body);
    if (fault->scope)
        sim_answer_429(call, fault->retry_after, fault->scope);
    else
        sim_error(call, fault->status, 0, "%d: %s", fault->status, status_text(fault->status));
    if (fault->body) {
        crier_buf_clear(&ans->body);
        crier_buf_puts(&ans->body, fault->body);
    }
    if (fault->status == 204 || fault->status == 304)
        crier_buf_clear(&ans->body);
    else
        sim_header(call, "content-type: %s", fault->raw_body ? "text/html" : "application/json");
    if (!fault->raw_body)
        sim_header(call, "via: 1.1 google");
    crier_buf_append(&ans->headers, fault->headers.len ? fault->headers.data : "",
                     fault->headers.len);
}

void sim_fault_apply(struct sim_call *call, const struct sim_fault *fault)
{
    static const enum crier_sim_close closes[] = {
        [DROP_BEFORE] = CRIER_SIM_CLOSE, [DROP_AFTER] = CRIER_SIM_CLOSE, [CUT] = CRIER_SIM_CUT,
        [RESET] = CRIER_SIM_RESET,       [REFUSE] = CRIER_SIM_REFUSE,    [STATUS] = CRIER_SIM_ANSWER,
        [DELAY] = CRIER_SIM_ANSWER};
    call->ans->delay_us = fault->delay;
    call->ans->close = closes[fault->kind];
    if (fault->kind == STATUS)
        scripted_answer(call, fault);
    if (call->ans->close != CRIER_SIM_ANSWER && call->ans->close != CRIER_SIM_CUT)
        call->ans->status = 0;
}
