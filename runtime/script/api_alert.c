/* SPDX-License-Identifier: MIT
 *
 * crier.alert: the declaration. What it does is in alert.c, how it is told in alert_send.c.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/alert.h"
#include "script/declare.h"

void crier_alert_free(void *p)
{
    struct crier_alert *a = p;
    crier_query_free(a->match);
    if (a->match_fn)
        crier_match_fn_free(a->match_fn);
    for (size_t i = 0; a->sinks && a->sinks[i]; i++)
        free(a->sinks[i]);
    free(a->sinks);
    g_ptr_array_free(a->targets, TRUE);
    free(a->identity);
    free(a->name);
    free(a->by);
    free(a);
}
