#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Measures: a header and one tab-separated line a figure: name, value, unit, peer, the peer's value
# on the same work in the same run, ratio (above 1: crier is better). A peer that is not installed is
# `-`, and said on stderr; so is a target that was missed. README.md here says what is measured.
set -euo pipefail

groups=(dayfile start memory idle scheduled reload timers tasks sched record_encode lua_call sink_push sink_module sink_lines sink_redis query embed sql discord limits log_lua transform gateway virtual)

usage() {
    cat <<END
spec/bench/run.sh [--build-dir DIR] [NAME...]

  --build-dir DIR   where to build, and what to measure (build)
  NAME              all of: ${groups[*]}
JOBS (2) is the number of compilers at once.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/spec/bench
build=$root/build
names=()
while [ $# -gt 0 ]; do
    case $1 in
    --build-dir)
        [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 64; }
        build=$(realpath -m "$2")
        shift
        ;;
    -h | --help) usage; exit 0 ;;
    *)
        [[ " ${groups[*]} " == *" $1 "* ]] || { echo "unknown name '$1'" >&2; usage >&2; exit 64; }
        names+=("$1")
        ;;
    esac
    shift
done
[ ${#names[@]} -gt 0 ] || names=("${groups[@]}")

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

if ! { cmake -S "$root" -B "$build" -DCRIER_BENCH=ON -DCRIER_SANITIZE= \
        -DCMAKE_BUILD_TYPE=RelWithDebInfo && cmake --build "$build" -j"${JOBS:-2}"; } >"$tmp/build" 2>&1; then
    tail -n 40 "$tmp/build" >&2
    exit 1
fi

has() { command -v "$1" >/dev/null 2>&1; }
for tool in python3 node lua5.4; do
    has "$tool" || echo "$tool is not installed: its figures are -" >&2
done

# The upper end of what is allowed, or with > the lower.
declare -A target=(
    [dayfile_record_10000_to_100]='<1.3' [dayfile_batched]='>150000' [start_first_request]='<25'
    [quickstart_peak_memory]='<20' [idle_wake_ups]='<0' [scheduled_load]='<3'
    [scheduled_peak_memory]='<150' [scheduled_late_median]='<5' [tasks_late_median]='<5' [tasks_runs]='>99000' [timer_insert_live]='<1'
    [timer_fire_live]='<1' [restore_board]='<300' [reload_blocked]='<100'
    [reload_all_changed_blocked]='<100'
    [query_memory_text]='<15' [query_memory_number]='<15' [query_memory_time]='<15'
    [query_jsonl_text]='<150' [query_jsonl_number]='<150' [query_jsonl_time]='<150'
    [query_csv_text]='<150' [query_csv_number]='<150' [query_csv_time]='<150'
    [sql_sqlite_write]='>40000' [sql_postgres_write]='>30000' [sql_mariadb_write]='>20000'
    [sql_sqlite_filter]='<50'
    [sink_module_counting]='>700000' [redis.write]='>400000'
    [calendar_daily]='<2000' [cron_workdays]='<2000'
    [reload_lost]='<0' [reload_doubled]='<0' [log_lua]='>1000000' [transform]='>600000'
    [gateway_absorb]='<3' [gateway_memory]='<80'
    [virtual_year]='<10' [virtual_day]='<60' [virtual_day_memory]='<300'
    [discord_create_cpu]='<70'
    [limits_global_20ms_0]='>0.95' [limits_global_60ms_0]='>0.95' [limits_global_150ms_0]='>0.95'
    [limits_global_20ms_50]='>0.95' [limits_global_60ms_50]='>0.95' [limits_global_150ms_50]='>0.95'
    [limits_buckets_40ms]='>0.95'
)

# Runs benchmark and peer of one name. $tmp/ours: name value unit; $tmp/peers: name value what.
measure() {
    : >"$tmp/ours"
    : >"$tmp/peers"
    case $1 in
    dayfile)
        "$build/bench/dayfile" >"$tmp/ours"
        if has python3; then
            python3 "$here/dayfile_naive.py" | awk -F'\t' -v OFS='\t' '{ print $1, $2, "python, rewrite" }' >"$tmp/peers"
        fi
        ;;
    start | memory | idle | scheduled | reload)
        has python3 || { echo "$1 is measured from outside, with python3" >&2; return 0; }
        python3 "$here/bot.py" "$build/crier" "$1" >"$tmp/all"
        awk -F'\t' -v OFS='\t' '$3 == "peer" { print $1, $2, $4 }' "$tmp/all" >"$tmp/peers"
        awk -F'\t' '$3 != "peer"' "$tmp/all" >"$tmp/ours"
        ;;
    virtual)
        has python3 || { echo "virtual is measured from outside, with python3" >&2; return 0; }
        python3 "$here/virtual.py" "$build/crier" >"$tmp/ours"
        ;;
    tasks | gateway | limits)
        "$build/bench/$1" >"$tmp/ours"
        ;;
    embed)
        "$build/bench/embed" >"$tmp/ours"
        if has g++ && pkg-config --exists spdlog; then
            # shellcheck disable=SC2046
            g++ -O2 -std=c++17 "$here/embed_peer.cc" -o "$tmp/embed_peer" \
                $(pkg-config --cflags --libs spdlog) -pthread
            "$tmp/embed_peer" | awk -F'\t' -v OFS='\t' '{ print $1, $2, "spdlog, synchronous" }' >"$tmp/peers"
        else
            echo "spdlog's figures need g++ and libspdlog-dev: they are -" >&2
        fi
        ;;
    sink_redis)
        has redis-server || { echo "sink_redis is measured with redis-server" >&2; return 0; }
        "$build/bench/sink_redis" >"$tmp/all"
        awk -F'\t' -v OFS='\t' '$1 == "redis.hiredis" { print "redis.write", $2, "hiredis, pipelined" }' "$tmp/all" >"$tmp/peers"
        grep -v '^redis.hiredis' "$tmp/all" >"$tmp/ours"
        if /usr/bin/python3 -c 'import redis' 2>/dev/null; then
            /usr/bin/python3 "$here/redis_peer.py" >>"$tmp/peers"
        else
            echo "redis-py's figures need python3-redis: they are -" >&2
        fi
        ;;
    discord)
        # The simulator in a process of its own, on any port; discord.js where spec/discordjs_spec.lua has put it.
        awk 'BEGIN { printf "{\"bots\":[{\"token\":\"good.bot.token\"}],\"guilds\":[{\"id\":\"100\",\"name\":\"g\",\"channels\":["
            for (i = 1000; i < 1064; i++) printf("%s{\"id\":\"%d\",\"name\":\"c%d\",\"type\":0}", (i > 1000 ? "," : ""), i, i)
            print "]}]}" }' >"$tmp/world.json"
        "$build/crier" discord-sim --no-limits --world "$tmp/world.json" >"$tmp/sim" 2>&1 &
        local sim=$! url="" modules
        for _ in $(seq 100); do
            url=$(grep -o 'http://[^ ]*' "$tmp/sim" || true)
            [ -n "$url" ] && break
            sleep 0.05
        done
        "$build/bench/discord" "$url" 20000 >"$tmp/ours" || true
        modules=$(find "${XDG_CACHE_HOME:-$HOME/.cache}/crier-spec" -maxdepth 2 -name node_modules 2>/dev/null | head -n 1)
        if has node && [ -n "$modules" ]; then
            node "$here/discord_peer.mjs" "$url" 5000 "${modules%/node_modules}" >"$tmp/peers" || true
        else
            echo "discord.js is installed by busted spec/discordjs_spec.lua: its figures are -" >&2
        fi
        kill "$sim"
        wait "$sim" 2>/dev/null || true
        ;;
    log_lua | transform)
        has python3 || { echo "$1 is measured from outside, with python3" >&2; return 0; }
        python3 "$here/log_lua.py" "$build/crier" "$1" "$tmp" >"$tmp/all"
        awk -F'\t' -v OFS='\t' '$3 == "peer" { print $1, $2, $4 }' "$tmp/all" >"$tmp/peers"
        awk -F'\t' '$3 != "peer"' "$tmp/all" >"$tmp/ours"
        ;;
    lua_call)
        "$build/bench/lua_call" >"$tmp/ours"
        if has lua5.4; then
            lua5.4 "$here/lua_call_peer.lua" | awk -F'\t' -v OFS='\t' '{ print $1, $2, "lua5.4" }' >"$tmp/peers"
        fi
        ;;
    sql)
        has lua5.4 || { echo "sql is measured with servers that lua5.4 starts" >&2; return 0; }
        (cd "$root" && lua5.4 "$here/sql.lua" "$build") >"$tmp/all"
        awk -F'\t' -v OFS='\t' '$4 == "peer" { sub(/bare/, "write", $1); print $1, $2, "bare ODBC, row by row" }' "$tmp/all" >"$tmp/peers"
        awk -F'\t' '$4 != "peer"' "$tmp/all" >"$tmp/ours"
        ;;
    *)
        "$build/bench/${1/#timers/loop_timers}" >"$tmp/ours"
        if has python3 && [ "$1" != sink_lines ] && [ "$1" != sink_module ]; then
            python3 "$here/peers.py" "$1" |
                awk -F'\t' -v OFS='\t' '{ print $1, $2, $1 ~ /^query_memory/ ? "sqlite" : "python" }' >"$tmp/peers"
        fi
        ;;
    esac
}

# ours + peers -> lines. Of rates more is better, of all else less.
merge() {
    awk -F'\t' -v OFS='\t' '
        FILENAME ~ /peers$/ { value[$1] = $2; what[$1] = $3; next }
        !($1 in value) { print $1, $2, $3, "-", "-", "-"; next }
        {
            better = $3 ~ /\/s$|a second/ ? value[$1] : $2
            worse = $3 ~ /\/s$|a second/ ? $2 : value[$1]
            print $1, $2, $3, what[$1], value[$1], (better > 0 ? sprintf("%.3g", worse / better) : "-")
        }' "$tmp/peers" "$tmp/ours"
}

judge() {
    local name value rest want words
    while IFS=$'\t' read -r name value rest; do
        want=${target[$name]:-}
        [ -n "$want" ] || continue
        case $want in
        '<'*) words="at most" ;;
        *) words="at least" ;;
        esac
        awk -v v="$value" -v t="${want:1}" -v most="$words" \
            'BEGIN { exit !(most == "at most" ? v + 0 <= t + 0 : v + 0 >= t + 0) }' ||
            echo "missed: $name is $value, the target is $words ${want:1}" >&2
    done
}

printf 'name\tvalue\tunit\tpeer\tpeer_value\tratio\n'
for name in "${names[@]}"; do
    measure "$name"
    merge | tee "$tmp/lines"
    judge <"$tmp/lines"
done
