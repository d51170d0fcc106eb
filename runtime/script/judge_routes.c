/* SPDX-License-Identifier: MIT
 *
 * What `check` says of where records go: kinds that cannot be read back anywhere, and sinks whose
 * level hides what they are sent.
 */
#include <stdlib.h>
#include <string.h>

#include "script/declare.h"

#define ALL_KINDS ((1u << CRIER_KIND_COUNT) - 1)

static unsigned kind_bit(const struct crier_value *v)
{
    enum crier_kind kind;
    return v->type == CRIER_STR && crier_kind_parse(v->s.data, v->s.len, &kind) ? 1u << kind : 0;
}

/* The kinds that a table match can match; what it says in groups is not looked at. */
static unsigned kinds_of_query(const struct crier_query *query)
{
    unsigned kinds = ALL_KINDS;
    for (size_t i = 0; i < query->count;) {
        const struct crier_cond *cond = &query->conds[i];
        unsigned named = 0;
        i = cond->path ? i + 1 : cond->end;
        if (!cond->path || strcmp(cond->path, "kind") != 0)
            continue;
        for (size_t k = 0; k < cond->count; k++)
            named |= kind_bit(&cond->values[k].value);
        if (cond->op == CRIER_OP_EQ || cond->op == CRIER_OP_ONE_OF)
            kinds &= named;
        else if (cond->op == CRIER_OP_NE)
            kinds &= ~named;
    }
    return kinds;
}

static unsigned kinds_of_sink(const struct crier_declared_sink *s, bool routed)
{
    const struct crier_option_value *v = crier_options_get(&s->common, "kinds");
    unsigned kinds = 0;
    if (!v->set)
        return routed ? ALL_KINDS : s->driver->kinds;
    for (size_t i = 0; i < v->count; i++) {
        enum crier_kind kind;
        if (crier_kind_parse(v->list[i], strlen(v->list[i]), &kind))
            kinds |= 1u << kind;
    }
    return kinds;
}

/* While a generation is judged, a rule's targets are declarations. */
static const struct crier_declared_sink *target_of(const struct crier_rule *rule, size_t i)
{
    return (const struct crier_declared_sink *)(const void *)rule->to[i];
}

/* The kinds that can get to a sink; *named: those of them that a rule, or the sink, asks for. */
static unsigned kinds_reaching(const struct crier_generation *gen,
                               const struct crier_declared_sink *s, unsigned *named)
{
    bool given = crier_options_get(&s->common, "kinds")->set;
    unsigned reaching = 0;
    *named = 0;
    if (!gen->rules->len) {
        reaching = kinds_of_sink(s, false);
        *named = given ? reaching : 0;
        return reaching;
    }
    for (guint i = 0; i < gen->rules->len; i++) {
        const struct crier_rule *rule = gen->rules->pdata[i];
        unsigned kinds = rule->query ? kinds_of_query(rule->query) : ALL_KINDS;
        for (size_t k = 0; k < rule->to_count; k++) {
            if (target_of(rule, k) != s)
                continue;
            unsigned got = kinds & kinds_of_sink(s, true);
            reaching |= got;
            *named |= kinds != ALL_KINDS || given ? got : 0;
        }
    }
    return reaching;
}

static enum crier_level level_of(const struct crier_declared_sink *s)
{
    const struct crier_option_value *v = crier_options_get(&s->common, "level");
    enum crier_level level = s->driver->level ? s->driver->level : CRIER_DEBUG;
    if (v->set && v->s)
        crier_level_parse(v->s, strlen(v->s), &level);
    return level;
}

/* Of those that a sink is meant to get, what went well is info. */
static void judge_level(struct crier_generation *gen, const struct crier_declared_sink *s,
                        unsigned named)
{
    static const enum crier_kind kinds[] = {CRIER_KIND_MESSAGE, CRIER_KIND_TASK};
    char object[120], callee[64], text[160];
    if (level_of(s) <= CRIER_INFO)
        return;
    snprintf(object, sizeof object, "sink '%.80s'", s->name);
    snprintf(callee, sizeof callee, "sink.%s", s->driver->kind);
    for (size_t i = 0; i < CRIER_COUNT(kinds); i++) {
        if (!(named >> kinds[i] & 1))
            continue;
        snprintf(text, sizeof text, "its level '%s' hides %s records of what went well: they are info",
                 crier_level_name(level_of(s)), crier_kind_name(kinds[i]));
        crier_place_problem(gen, CRIER_WARNING, s->file ? s->file : gen->file, s->line, callee,
                            "level", object, text, "level = \"info\"");
    }
}

/* Message records are made where a GUILD or USER logs. */
static void judge_messages_read(struct crier_generation *gen, unsigned readable)
{
    for (guint i = 0; i < gen->targets->len; i++) {
        const struct crier_target *target = gen->targets->pdata[i];
        if (!target->logging || !target->messages->len || (readable >> CRIER_KIND_MESSAGE & 1))
            continue;
        char file[256], object[200];
        const char *callee = target->type == CRIER_GUILD ? "GUILD" : "USER";
        snprintf(file, sizeof file, "%s", target->where);
        char *colon = strrchr(file, ':');
        int line = colon ? atoi(colon + 1) : 0;
        if (colon)
            *colon = '\0';
        crier_target_label(target, object, sizeof object);
        crier_place_problem(gen, CRIER_WARNING, file, line, callee, "logging", object,
                            "its message records reach no sink that can be read",
                            "crier.sink.json, memory, jsonl, csv or sql");
        return; /* once is enough */
    }
}

void crier_judge_routes(struct crier_generation *gen)
{
    unsigned readable = 0, named;
    if (!gen->sinks->len)
        return;
    for (guint i = 0; i < gen->sinks->len; i++) {
        const struct crier_declared_sink *s = gen->sinks->pdata[i];
        unsigned reaching = kinds_reaching(gen, s, &named);
        if (s->driver->query)
            readable |= reaching;
        judge_level(gen, s, named);
    }
    judge_messages_read(gen, readable);
}
