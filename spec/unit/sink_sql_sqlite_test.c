/* SPDX-License-Identifier: MIT
 *
 * The sql sink on SQLite.
 */
#include "sink_sql_cases.h"

int main(void)
{
    return run_sql_cases(SQLITE, "SQLite", NULL, 0);
}
