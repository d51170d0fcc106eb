/* SPDX-License-Identifier: MIT
 *
 * The sql sink on MariaDB.
 */
#include "sink_sql_cases.h"

int main(void)
{
    return run_sql_cases(MARIADB, "MariaDB", NULL, 0);
}
