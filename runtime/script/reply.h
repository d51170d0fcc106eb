/* SPDX-License-Identifier: MIT
 *
 * What a script wants of the gateway: hooks of its events, automatic replies, invites that are
 * watched, a presence; and which intents that takes.
 *
 * Thread: the generation's.
 */
#ifndef CRIER_SCRIPT_REPLY_H
#define CRIER_SCRIPT_REPLY_H

#include "record/query.h"
#include "script/generation.h"

/** crier.reply */
struct crier_responder {
    struct crier_query *when; /**< NULL: when_fn */
    int when_fn, only_if;     /**< registry refs; 0: none */
    struct crier_content *content; /**< constant data; NULL: */
    int data_fn;
    int64_t cooldown; /**< between two replies to one person, microseconds */
    bool dm;          /**< as a direct message, not in the channel */
    struct crier_bot *bot; /**< NULL: every one */
    char *where;
    const char *file; /**< interned */
    int line;
};
void crier_responder_free(void *responder);
extern const struct crier_option crier_responder_options[];
extern const size_t crier_responder_count;

void crier_open_reply(lua_State *L); /**< reply */

/** A hook's name: which event of the gateway calls it, and what intents that event takes. */
struct crier_gateway_hook {
    const char *name;  /**< "member.join" */
    const char *event; /**< "GUILD_MEMBER_ADD"; NULL: the host makes it */
    uint32_t intents;
};
extern const struct crier_gateway_hook crier_gateway_hooks[];
extern const size_t crier_gateway_hook_count;
/** NULL: not one of the gateway's. */
const struct crier_gateway_hook *crier_gateway_hook(const char *name);

/** Whether a bot needs the gateway for this script, and the intents that it takes. */
bool crier_gateway_needed(const struct crier_generation *gen, const struct crier_bot *bot,
                          uint32_t *intents);
/** The names of intents, "guilds, members", for people. */
void crier_intents_text(uint32_t intents, char *out, size_t cap);
/** What is wrong with what is wanted: hooks where `gateway = false` and the like. */
void crier_judge_gateway(struct crier_generation *gen);

/** crier.bot's `presence` as Discord's JSON, owned by the caller; NULL: none, or it is wrong. */
struct crier_decl;
char *crier_read_presence(struct crier_decl *d);

#endif
