/* SPDX-License-Identifier: MIT
 *
 * What the tests of records share: a builder of one source with a seed.
 */
#ifndef RECORD_SUPPORT_H
#define RECORD_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/build.h"

#define WALL 1763764270123456 /* 2025-11-21T22:31:10.123456Z */

static struct crier_source source;
static struct crier_builder b;

static int setup(void **state)
{
    (void)state;
    uint64_t seed = 7;
    crier_source_init(&source, "web-1", false, &seed);
    crier_builder_init(&b, &source);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crier_builder_fini(&b);
    crier_source_fini(&source);
    return 0;
}

#endif
