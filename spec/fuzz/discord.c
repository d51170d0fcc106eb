/* SPDX-License-Identifier: MIT
 * Discord's JSON: an answer, as the client judges it (what stands before a NUL are its headers), and a
 * request, as the simulator does; a body that begins with a dash is multipart, with the boundary `b`. */
#include "support.h"

#include "discord/brief.h"
#include "discord/outcome.h"
#include "discord/ratelimit.h"
#include "sim/multipart.h"
#include "sim/sim.h"

static void judge_brief(const json_t *body, const char *data, size_t size)
{
    json_t *brief = crier_discord_brief_body(data, size);
    if (body && brief && json_is_object(body)) {
        const char *id = json_string_value(json_object_get(body, "id"));
        const char *seen = json_string_value(json_object_get(brief, "id"));
        MUST(!id == !seen && (!id || strcmp(id, seen) == 0));
    }
    json_decref(brief);
}

static void judge_waits(struct crier_http_response *res)
{
    static const char route[] = "POST /channels/77/messages";
    static const int statuses[] = {200, 429, 429};
    struct crier_ratelimit *rl = crier_ratelimit_new(50);
    const int64_t now = 1000 * CRIER_S;
    MUST(crier_ratelimit_retry_after(res) >= -1);
    for (size_t i = 0; i < CRIER_COUNT(statuses); i++) {
        int64_t taken = 0;
        if (crier_ratelimit_acquire(rl, route, now, &taken) != 0)
            continue;
        res->status = statuses[i];
        int64_t wait = crier_ratelimit_answer(rl, route, taken, res, now);
        MUST(wait == 0 || (wait >= now && res->status == 429));
    }
    crier_ratelimit_free(rl);
}

static void judge(const uint8_t *data, size_t size)
{
    struct crier_http_response res = {.status = 400};
    char *headers = memchr(data, 0, size) ? text_before_nul(&data, &size) : NULL;
    json_t *body = json_loadb((const char *)data, size, 0, NULL);
    crier_buf_append(&res.body, data, size);
    if (headers)
        crier_buf_puts(&res.headers, headers);
    crier_outcome_row(res.status, crier_outcome_code(&res, body), CRIER_REQ_CREATE);
    if (body) {
        struct crier_buf flat = {0};
        crier_outcome_flatten(json_object_get(body, "errors"), &flat);
        crier_buf_fini(&flat);
    }
    judge_brief(body, (const char *)data, size);
    judge_waits(&res);
    json_decref(body);
    crier_buf_fini(&res.headers);
    crier_buf_fini(&res.body);
    free(headers);
}

static struct crier_sim *make_world(void)
{
    struct crier_sim_config config = {.seed = 1, .keep = 4};
    struct crier_loop *loop = crier_loop_new(crier_clock_virtual(1774742400LL * CRIER_S));
    struct crier_sim *sim = crier_sim_new(loop, &config);
    crier_sim_any_token(sim, true);
    crier_sim_add_guild(sim, 7, "g");
    crier_sim_add_channel(sim, 77, 7, "c", 0);
    crier_sim_add_channel(sim, 78, 7, "forum", 15);
    crier_sim_add_user(sim, 9, "u");
    return sim;
}

/* One request: Discord's answers are JSON, and none of them is a failure of the server's. */
static void ask(struct crier_sim *sim, struct crier_sim_request *req, json_t **out)
{
    struct crier_sim_answer ans = {0};
    req->authorization = "Bot x.y.z";
    req->user_agent = "DiscordBot (https://example.org, 1)";
    crier_sim_handle(sim, req, &ans);
    MUST(ans.status >= 200 && ans.status < 500);
    json_t *answer = NULL;
    if (ans.body.len) {
        answer = json_loadb(ans.body.data, ans.body.len, JSON_DECODE_ANY, NULL);
        MUST(answer);
        judge_brief(answer, ans.body.data, ans.body.len);
    }
    if (out && ans.status == 200)
        *out = json_incref(answer);
    json_decref(answer);
    crier_sim_answer_fini(&ans);
}

static void send_json(struct crier_sim *sim, const uint8_t *data, size_t size)
{
    static const char *const paths[][2] = {{"POST", "/channels/77/messages"},
                                           {"POST", "/channels/78/threads"},
                                           {"POST", "/users/@me/channels"}};
    json_t *made = NULL;
    for (size_t i = 0; i < CRIER_COUNT(paths); i++)
        ask(sim,
            &(struct crier_sim_request){.method = paths[i][0],
                                        .path = paths[i][1],
                                        .content_type = "application/json",
                                        .body = (const char *)data,
                                        .body_len = size},
            i ? NULL : &made);
    const char *id = json_string_value(json_object_get(made, "id"));
    char *path = crier_asprintf("/channels/77/messages/%s", id ? id : "1");
    ask(sim,
        &(struct crier_sim_request){.method = "PATCH",
                                    .path = path,
                                    .content_type = "application/json",
                                    .body = (const char *)data,
                                    .body_len = size},
        NULL);
    ask(sim, &(struct crier_sim_request){.method = "GET", .path = path}, NULL);
    free(path);
    json_decref(made);
}

static void send_parts(struct crier_sim *sim, const uint8_t *data, size_t size)
{
    static const char type[] = "multipart/form-data; boundary=b";
    struct crier_http_part *parts = NULL;
    size_t count = 0;
    char *body = crier_malloc(size);
    memcpy(body, data, size);
    if (crier_sim_multipart_parse(type, body, size, &parts, &count)) {
        for (size_t i = 0; i < count; i++)
            MUST(!parts[i].len ||
                 (parts[i].data >= body && parts[i].data + parts[i].len <= body + size));
        ask(sim,
            &(struct crier_sim_request){.method = "POST",
                                        .path = "/channels/77/messages",
                                        .content_type = type,
                                        .parts = parts,
                                        .part_count = count},
            NULL);
    } else {
        MUST(!parts && !count);
    }
    crier_sim_multipart_free(parts, count);
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crier_sim *sim;
    if (!sim)
        sim = make_world();
    if (!size)
        return 0;
    judge(data, size);
    if (data[0] == '-')
        send_parts(sim, data, size);
    else
        send_json(sim, data, size);
    return 0;
}
