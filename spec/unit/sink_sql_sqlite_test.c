/* SPDX-License-Identifier: MIT
 *
 * The sql sink on SQLite.
 */
#include "sink_sql_cases.h"

/* The driver says nothing but that it failed. */
static void test_no_folder(void **state)
{
    (void)state;
    struct rig rig;
    struct maker m;
    struct crier_err err;
    size_t done;
    maker_init(&m, 8);
    struct crier_record *r = post_of(&m, 1);
    strcpy(dsn, "Driver=SQLite3;Database=deep/er/log.db");
    sql_open(&rig);
    assert_int_equal(try_write(&rig, &r, 1, &done, &err), CRIER_RETRY_LATER);
    if (!strstr(err.text, "/deep/er': make it") || !strstr(err.text, "there is no folder '"))
        fail_msg("%s", err.text);
    shell("mkdir -p %s/deep/er", folder);
    assert_int_equal(try_write(&rig, &r, 1, &done, &err), CRIER_WRITTEN);
    rig_close(&rig);
    crier_record_unref(r);
    maker_fini(&m);
}

int main(void)
{
    const struct CMUnitTest more[] = {SQL_CASE(test_no_folder)};
    return run_sql_cases(SQLITE, "SQLite", more, CRIER_COUNT(more));
}
