/* SPDX-License-Identifier: MIT */
#include "record/value_json.h"

#include <stdio.h>

#include "base/duration.h"
#include "base/json.h"

/* The members of an object, or the items of an array, without the brackets. */
static void put_members(struct crier_buf *b, const struct crier_value *v)
{
    struct crier_iter it = crier_values(v);
    struct crier_value member;
    while (crier_next(&it, &member)) {
        if (v->type == CRIER_OBJECT)
            crier_json_keyn(b, member.key.data, member.key.len);
        crier_value_json(b, &member);
    }
}

void crier_value_json(struct crier_buf *b, const struct crier_value *v)
{
    char text[32];
    switch (v->type) {
    case CRIER_NULL:
        crier_json_null(b);
        break;
    case CRIER_FALSE:
    case CRIER_TRUE:
        crier_json_bool(b, v->type == CRIER_TRUE);
        break;
    case CRIER_INT:
        crier_json_int(b, v->i);
        break;
    case CRIER_NUM:
        crier_json_num(b, v->n);
        break;
    case CRIER_STR:
        crier_json_strn(b, v->s.data, v->s.len);
        break;
    case CRIER_SNOWFLAKE:
        snprintf(text, sizeof text, "%llu", (unsigned long long)v->u);
        crier_json_str(b, text);
        break;
    case CRIER_TIME:
        crier_json_str(b, crier_time_rfc3339(v->i, text));
        break;
    case CRIER_ARRAY:
    case CRIER_OBJECT:
        crier_json_open(b, v->type == CRIER_OBJECT ? '{' : '[');
        put_members(b, v);
        crier_json_close(b, v->type == CRIER_OBJECT ? '}' : ']');
        break;
    }
}
