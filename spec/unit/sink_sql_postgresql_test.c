/* SPDX-License-Identifier: MIT
 *
 * The sql sink on PostgreSQL.
 */
#include "sink_sql_cases.h"

int main(void)
{
    return run_sql_cases(POSTGRESQL, "PostgreSQL", NULL, 0);
}
