/* SPDX-License-Identifier: MIT
 *
 * The sql sink on SQL Server, where there is one: spec/sqlserver.sh.
 */
#include "sink_sql_cases.h"

int main(void)
{
    return run_sql_cases(SQLSERVER, "SQL Server");
}
