/* SPDX-License-Identifier: MIT
 * Discord's JSON: an answer, as the client judges it; and a request, as the simulator does. */
#include "support.h"

#include "discord/brief.h"
#include "discord/outcome.h"
#include "sim/sim.h"

static void judge(const uint8_t *data, size_t size)
{
    struct crier_http_response res = {.status = 400};
    json_t *body = json_loadb((const char *)data, size, 0, NULL);
    crier_buf_append(&res.body, data, size);
    crier_outcome_row(res.status, crier_outcome_code(&res, body), CRIER_REQ_CREATE);
    if (body) {
        struct crier_buf flat = {0};
        crier_outcome_flatten(json_object_get(body, "errors"), &flat);
        crier_buf_fini(&flat);
    }
    json_t *brief = crier_discord_brief_body((const char *)data, size);
    if (body && brief && json_is_object(body)) {
        const char *id = json_string_value(json_object_get(body, "id"));
        const char *seen = json_string_value(json_object_get(brief, "id"));
        MUST(!id == !seen && (!id || strcmp(id, seen) == 0));
    }
    json_decref(brief);
    json_decref(body);
    crier_buf_fini(&res.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *method, *path;
    } routes[] = {{"POST", "/channels/77/messages"},
                  {"PATCH", "/channels/77/messages/1"},
                  {"POST", "/users/@me/channels"}};
    static struct crier_sim *sim;
    static struct crier_loop *loop;
    struct crier_sim_answer ans = {0};
    judge(data, size);
    if (!sim) {
        struct crier_sim_config config = {.seed = 1, .keep = 4};
        loop = crier_loop_new(crier_clock_virtual(1774742400LL * CRIER_S));
        sim = crier_sim_new(loop, &config);
        crier_sim_any_token(sim, true);
        crier_sim_add_guild(sim, 7, "g");
        crier_sim_add_channel(sim, 77, 7, "c", 0);
        crier_sim_add_user(sim, 9, "u");
    }
    for (size_t i = 0; i < CRIER_COUNT(routes); i++) {
        struct crier_sim_request req = {.method = routes[i].method,
                                        .path = routes[i].path,
                                        .authorization = "Bot x.y.z",
                                        .user_agent = "DiscordBot (https://example.org, 1)",
                                        .content_type = "application/json",
                                        .body = (const char *)data,
                                        .body_len = size};
        crier_sim_handle(sim, &req, &ans);
        MUST(ans.status >= 200 && ans.status < 500);
        if (ans.body.len) {
            json_t *answer = json_loadb(ans.body.data, ans.body.len, JSON_DECODE_ANY, NULL);
            MUST(answer);
            json_decref(answer);
        }
    }
    crier_sim_answer_fini(&ans);
    return 0;
}
