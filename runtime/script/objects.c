/* SPDX-License-Identifier: MIT
 *
 * The lives of messages and targets: those of the script last as long as their generation, those
 * that are made while it runs as long as somebody needs them.
 */
#include <inttypes.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/message_private.h"
#include "script/pattern.h"

/* --- references ---------------------------------------------------------------------------- */

struct crier_target *crier_target_ref(struct crier_target *t)
{
    t->refs++;
    return t;
}

/* A GUILD that a callback made and that was never added: its messages go with it. */
static void drop_pending(struct crier_target *t)
{
    for (guint i = 0; i < t->messages->len; i++) {
        struct crier_message *m = t->messages->pdata[i];
        m->target = NULL;
        crier_message_unref(m);
    }
}

void crier_target_unref(struct crier_target *t)
{
    if (!t || --t->refs > 0)
        return;
    if (t->pending)
        drop_pending(t);
    crier_pattern_unref(t->match);
    crier_target_unref(t->of);
    free(t->name);
    free(t->seen);
    free(t->where);
    g_ptr_array_free(t->messages, TRUE);
    free(t);
}

struct crier_message *crier_message_ref(struct crier_message *m)
{
    m->refs++;
    return m;
}

/* What is in the Lua state; at the generation's end that has gone before. */
static void unref_functions(struct crier_message *m)
{
    lua_State *L = m->gen->vm ? m->gen->vm->L : NULL;
    const int own[] = {m->ctx, m->of && m->of->data_args == m->data_args ? 0 : m->data_args};
    const int shared[] = {m->data_fn, m->only_if, m->options};
    for (size_t i = 0; L && i < CRIER_COUNT(own); i++)
        if (own[i])
            luaL_unref(L, LUA_REGISTRYINDEX, own[i]);
    for (size_t i = 0; L && !m->of && i < CRIER_COUNT(shared); i++)
        if (shared[i])
            luaL_unref(L, LUA_REGISTRYINDEX, shared[i]);
}

void crier_message_unref(struct crier_message *m)
{
    if (!m || --m->refs > 0)
        return;
    unref_functions(m);
    if (m->late)
        crier_target_unref(m->target);
    crier_msgstate_unref(m->state);
    free(m->key);
    free(m->logger);
    free(m->where);
    crier_content_unref(m->content);
    crier_pattern_unref(m->match);
    if (!m->of) {
        free(m->name);
        free(m->was);
        free(m->channels);
        crier_period_fini(&m->period);
        if (m->mentions) {
            free(m->mentions->role_ids);
            free(m->mentions->user_ids);
            free(m->mentions);
        }
    }
    crier_message_unref(m->of);
    free(m);
}

bool crier_message_is_over(const struct crier_message *m)
{
    return m->gone || m->gen->retired;
}

bool crier_message_is_live(const struct crier_message *m)
{
    return m->state && !m->gone;
}

const char *crier_target_label(const struct crier_target *t, char *out, size_t cap)
{
    if (t->match)
        snprintf(out, cap, "GUILD %s", crier_pattern_text(t->match));
    else
        snprintf(out, cap, "%s '%" PRIu64 "'", t->type == CRIER_GUILD ? "GUILD" : "USER", t->id);
    return out;
}

/* --- lists --------------------------------------------------------------------------------- */

static void *at(const GPtrArray *first, const GPtrArray *then, guint i)
{
    return i < first->len ? first->pdata[i] : then->pdata[i - first->len];
}

guint crier_message_count(const struct crier_generation *gen)
{
    return gen->messages->len + gen->late_messages->len;
}

guint crier_message_total(const struct crier_generation *gen)
{
    guint n = 0;
    for (guint i = 0; i < crier_message_count(gen); i++)
        n += crier_message_is_live(crier_message_at(gen, i));
    return n;
}

struct crier_message *crier_message_at(const struct crier_generation *gen, guint i)
{
    return at(gen->messages, gen->late_messages, i);
}

guint crier_target_count(const struct crier_generation *gen)
{
    return gen->targets->len + gen->late_targets->len;
}

struct crier_target *crier_target_at(const struct crier_generation *gen, guint i)
{
    return at(gen->targets, gen->late_targets, i);
}

void crier_message_join(struct crier_message *m)
{
    g_ptr_array_add(m->target->messages, m);
    g_ptr_array_add(m->gen->late_messages, m);
    m->gen->added += !m->of;
}

void crier_message_leave(struct crier_message *m)
{
    m->gone = true;
    g_ptr_array_remove(m->target->messages, m);
    if (!m->late)
        return;
    m->gen->added -= !m->of;
    g_ptr_array_remove(m->gen->late_messages, m); /* with its reference */
}

/* --- guilds of a pattern -------------------------------------------------------------------- */

struct crier_target *crier_target_instance(struct crier_target *pattern, uint64_t id,
                                           const char *name)
{
    struct crier_target *t = crier_calloc(1, sizeof *t);
    t->refs = 1;
    t->type = CRIER_GUILD;
    t->id = id;
    t->of = crier_target_ref(pattern);
    t->seen = crier_strdup(name);
    t->logging = pattern->logging;
    t->logs = pattern->logs;
    t->bot = pattern->bot;
    t->invite_track = pattern->invite_track;
    t->messages = g_ptr_array_new();
    t->where = crier_strdup(pattern->where);
    return t;
}

struct crier_message *crier_message_instance(struct crier_message *of, struct crier_target *guild)
{
    struct crier_message *m = crier_malloc(sizeof *m);
    const char *colon = strrchr(of->key, ':');
    *m = *of;
    m->refs = 1;
    m->timer = (struct crier_timer){0};
    m->of = crier_message_ref(of);
    m->late = true;
    m->gone = false;
    m->target = crier_target_ref(guild);
    m->key = crier_message_key(m, colon ? atoi(colon + 1) : 1);
    m->ctx = 0;
    m->logger = m->where = NULL;
    m->state = NULL;
    if (m->content)
        crier_content_ref(m->content);
    if (m->match)
        crier_pattern_ref(m->match);
    if (m->data_args)
        m->data_args = crier_data_copy_args(m->gen->vm, m->data_args);
    return m;
}
