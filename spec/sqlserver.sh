#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The sql sink's tests against a SQL Server: spec/sqlserver.sh DSN [BUILD_FOLDER]
#
# DSN is a connection string of a database that is empty and may be emptied, such as
# "Driver=FreeTDS;Server=127.0.0.1;Port=1433;Database=bot;UID=sa;PWD=...". SQL Server 2019 or newer.
# Every test empties it first. The kills are left out: the server is not ours.
set -euo pipefail

if [ $# -lt 1 ] || [ "${1:0:1}" = - ]; then
    sed -n '4,8s/^# \{0,1\}//p' "$0"
    exit 64
fi
build=${2:-build}
[ -x "$build/unit/sink_sql_sqlserver_test" ] || {
    echo "$build/unit/sink_sql_sqlserver_test is not built" >&2
    exit 66
}
CRIER_SQLSERVER_DSN=$1 exec "$build/unit/sink_sql_sqlserver_test"
