#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds, runs all tests. The last line is `N passed, N failed, N skipped`.
set -euo pipefail

usage() {
    cat <<'END'
spec/run.sh [--build-dir DIR] [--sanitize address|thread] [--filter TEXT] [--unit] [--no-install] [--yes]

  --build-dir DIR   where to build (build; with --sanitize build-asan or build-tsan)
  --sanitize KIND   build with AddressSanitizer and UBSan, or with ThreadSanitizer
  --filter TEXT     only unit tests and spec files with TEXT in their names; no lint
  --unit            only the C unit tests
  --no-install      leave the machine's packages alone
  --yes             do not ask before sudo
JOBS (2) is the number of compilers, and of tests, at once.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build='' sanitize='' filter='' install=1 unit_only=0 yes=()
while [ $# -gt 0 ]; do
    case $1 in
    --build-dir | --sanitize | --filter)
        [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 64; }
        case $1 in
        --build-dir) build=$(realpath -m "$2") ;;
        --sanitize) sanitize=$2 ;;
        --filter) filter=$2 ;;
        esac
        shift
        ;;
    --unit) unit_only=1 ;;
    --no-install) install=0 ;;
    --yes) yes=(--yes) ;;
    -h | --help) usage; exit 0 ;;
    *) echo "unknown option '$1'" >&2; usage >&2; exit 64 ;;
    esac
    shift
done
case $sanitize in
'') default=build type=RelWithDebInfo ;;
address) default=build-asan type=Debug ;;
thread) default=build-tsan type=Debug ;;
*) echo "--sanitize takes address or thread, not '$sanitize'" >&2; exit 64 ;;
esac
build=${build:-$root/$default}
cd "$root"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM # what runs beside us hears nothing of Ctrl-C
passed=0 failed=0 skipped=0
: >"$tmp/skips"
: >"$tmp/failures"

# ran NAME RC: counts the TAP in $tmp/out. A run that ends badly without a failed test, that ends
# before its plan does, or that has no test at all, is a failure of its own.
ran() {
    local ok bad skip planned
    read -r ok bad skip planned < <(awk -v name="$1" -v skips="$tmp/skips" '
        /^# .* @ [0-9]+: / { full = $0; sub(/^# .* @ [0-9]+: /, "", full); next }
        /^1\.\.0 # SKIP / { # the whole of it
            skip++
            sub(/^.*# SKIP */, "")
            print name ": " $0 >>skips
            next
        }
        /^[ \t]*1\.\.[0-9]+$/ { sub(/.*\.\./, ""); planned += $0; next }
        /^(not )?ok [0-9]+.*# SKIP/ { # "not ok" is what some cmockas say of a skipped test
            skip++
            why = $0
            sub(/^.*# SKIP */, "", why)
            print name ": " (full != "" && full != why ? full ": " why : why) >>skips
            full = ""
            next
        }
        /^ok [0-9]+/ { ok++; full = ""; next }
        /^not ok [0-9]+/ { bad++; full = "" }
        END { print ok + 0, bad + 0, skip + 0, planned + 0 }' "$tmp/out")
    local why=''
    if [ "$((ok + bad + skip))" -eq 0 ]; then
        why="ran no test (exit code $2)"
    elif [ "$((ok + bad + skip))" -lt "$planned" ]; then
        why="ended after $((ok + bad + skip)) of $planned tests (exit code $2)"
    elif [ "$2" -ne 0 ] && [ "$bad" -eq 0 ]; then
        why="exit code $2"
    fi
    [ -z "$why" ] || bad=$((bad + 1))
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    printf '%-44s %4d passed' "$1" "$ok"
    [ "$bad" -eq 0 ] || printf ', %d FAILED' "$bad"
    [ "$skip" -eq 0 ] || printf ', %d skipped' "$skip"
    printf '\n'
    if [ "$bad" -gt 0 ]; then
        echo "--- $1${why:+: $why}"
        # What passed is counted above; busted names a test in a comment before it.
        grep -Ev '^ok [0-9]+|^# .* @ [0-9]+: ' "$tmp/out" || true
    fi >>"$tmp/failures"
}

# One failure without TAP: NAME, and its output in $tmp/out.
broke() {
    failed=$((failed + 1))
    printf '%-44s FAILED\n' "$1"
    {
        echo "--- $1"
        grep -Ev '^\[[ 0-9/%]+\] (Building|Linking|Generating)' "$tmp/out" || true
    } >>"$tmp/failures"
}

finish() {
    if [ -s "$tmp/failures" ]; then
        echo
        cat "$tmp/failures"
    fi
    if [ -s "$tmp/skips" ]; then
        echo
        sed 's/^/skipped: /' "$tmp/skips"
    fi
    echo
    echo "$passed passed, $failed failed, $skipped skipped"
    exit $((failed > 0))
}

if [ "$install" -eq 1 ]; then
    . spec/support/packages.sh
    if ! packages_ensure "${yes[@]}" "${PACKAGES_BUILD[@]}" "${PACKAGES_TEST[@]}"; then
        : >"$tmp/out"
        broke 'installing packages'
        finish
    fi
fi

echo "Building in $build ..."
generator=(-G Ninja)
[ -f "$build/CMakeCache.txt" ] && generator=()
if ! { cmake -S . -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE="$type" -DCRIER_TESTS=ON \
    -DCRIER_SANITIZE="$sanitize" && cmake --build "$build" -j "${JOBS:-2}"; } >"$tmp/out" 2>&1; then
    broke build
    finish
fi

# A sanitizer costs time; ThreadSanitizer of older compilers does not know where new kernels map.
limit=600 wrap=()
if [ -n "$sanitize" ]; then
    limit=1500
    if [ "$sanitize" = thread ] && setarch -R true 2>/dev/null; then
        wrap=(setarch -R)
    fi
fi

units=()
for source in spec/unit/*_test.c; do
    name=$(basename "$source" .c)
    [[ $name == *"$filter"* ]] && units+=("$name")
done
specs=()
if [ "$unit_only" -eq 0 ]; then
    for file in spec/*_spec.lua; do
        [ -e "$file" ] && [[ $(basename "$file") == *"$filter"* ]] && specs+=("$file")
    done
fi
tests=("${units[@]}" "${specs[@]}")

# one I: test I of all, into $tmp/I.out and $tmp/I.rc.
one() {
    local test=${tests[$1]} rc=0 run
    run=("${wrap[@]}" "$build/unit/$test")
    # Not `busted --lua=lua5.4`, which hands its arguments to a shell without quotes.
    [[ $test != *_spec.lua ]] ||
        run=(lua5.4 "$(command -v busted)" --verbose --output=TAP "$test")
    CRIER_BIN="$build/crier" CRIER_SANITIZED="$sanitize" LUA_PATH='./spec/?.lua;./spec/?/init.lua;;' CMOCKA_MESSAGE_OUTPUT=TAP \
        timeout -k 5 "$limit" "${run[@]}" >"$tmp/$1.out" 2>&1 </dev/null &
    trap 'kill $!; exit' TERM
    wait $! || rc=$?
    echo "$rc" >"$tmp/$1.rc.new"
    mv "$tmp/$1.rc.new" "$tmp/$1.rc"
}

# Several at once, told in their order.
told=0
tell() {
    while [ "$told" -lt "${#tests[@]}" ] && [ -e "$tmp/$told.rc" ]; do
        mv "$tmp/$told.out" "$tmp/out"
        ran "${tests[$told]}" "$(<"$tmp/$told.rc")"
        told=$((told + 1))
    done
}
running=0
for i in "${!tests[@]}"; do
    if [ "$running" -ge "${JOBS:-2}" ]; then
        wait -n
        running=$((running - 1))
        tell
    fi
    one "$i" &
    running=$((running + 1))
done
wait
tell

if [ -z "$filter" ] && [ "$unit_only" -eq 0 ]; then
    if luacheck --no-color -q lua examples spec >"$tmp/out" 2>&1; then
        passed=$((passed + 1))
        printf '%-44s %4d passed\n' luacheck 1
    else
        broke luacheck
    fi
fi

# A set of tests that finds itself empty has lost its tests.
if [ -n "$filter" ]; then
    if [ "$((${#units[@]} + ${#specs[@]}))" -eq 0 ]; then
        echo "no test has '$filter' in its name" >"$tmp/out"
        broke filter
    fi
else
    : >"$tmp/out"
    [ "${#units[@]}" -gt 0 ] || broke "spec/unit/*_test.c: none found"
    [ "$unit_only" -eq 1 ] || [ "${#specs[@]}" -gt 0 ] || broke "spec/*_spec.lua: none found"
fi
finish
