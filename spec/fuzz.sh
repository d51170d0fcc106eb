#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Fuzzes every parser with libFuzzer, AddressSanitizer and UBSan. spec/fuzz/README.md says more. The last
# line is `N passed, N failed, N skipped`.
set -euo pipefail

usage() {
    cat <<'END'
spec/fuzz.sh [--seconds N] [--seed N] [--repeatable] [--build-dir DIR] [TARGET...]

  --seconds N       how long each target runs (CRIER_FUZZ_SECONDS, else 10)
  --seed N          of libFuzzer's choices (1)
  --repeatable      without a corpus, and no further than spec/fuzz/runs.txt says: the same each time
  --build-dir DIR   where to build (build-fuzz); logs, corpus and findings are in DIR/fuzz
  TARGET            a file of spec/fuzz without its .c; none: all of them
JOBS (2) is the number of compilers, and of targets, at once. CC names the clang to take (clang).
An input that breaks something is kept and named; `DIR/fuzz/TARGET FILE` runs it again.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
seconds=${CRIER_FUZZ_SECONDS:-10} seed=1 build=$root/build-fuzz jobs=${JOBS:-2} cc=${CC:-clang}
repeatable=0 wrap=()
case $cc in *clang*) ;; *) cc=clang ;; esac
while [ $# -gt 0 ]; do
    case $1 in
    --seconds | --seed | --build-dir)
        [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 64; }
        case $1 in
        --seconds) seconds=$2 ;;
        --seed) seed=$2 ;;
        --build-dir) build=$(realpath -m "$2") ;;
        esac
        shift 2
        ;;
    --repeatable) repeatable=1; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "unknown option '$1'" >&2; usage >&2; exit 64 ;;
    *) break ;;
    esac
done
for n in "$seconds" "$seed" "$jobs"; do
    [[ $n =~ ^[1-9][0-9]{0,8}$ ]] ||
        { echo "--seconds, --seed and JOBS take a whole number above 0, not '$n'" >&2; exit 64; }
done

all=()
for c in "$root"/spec/fuzz/*.c; do
    [ ! -e "$c" ] || all+=("$(basename "$c" .c)")
done
[ ${#all[@]} -gt 0 ] || { echo "spec/fuzz/*.c: none found"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
targets=("$@")
[ $# -gt 0 ] || targets=("${all[@]}")
for name in "${targets[@]}"; do
    [ -e "$root/spec/fuzz/$name.c" ] || { echo "no target '$name'; there are: ${all[*]}" >&2; exit 64; }
    [ -s "$root/spec/fuzz/seeds/$name.txt" ] ||
        { echo "spec/fuzz/seeds/$name.txt is missing"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
    [ "$repeatable" -eq 0 ] || grep -q "^$name [1-9][0-9]*$" "$root/spec/fuzz/runs.txt" ||
        { echo "spec/fuzz/runs.txt does not name $name"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
done

# What goes by addresses differs from run to run, where they do.
if [ "$repeatable" -eq 1 ] && setarch -R true 2>/dev/null; then wrap=(setarch -R); fi

# What targets write goes into memory where there is such a place, and into a folder of this run.
place=${TMPDIR:-/tmp}
if [ -w /dev/shm ] && [ "$(df -Pm /dev/shm | awk 'END { print $4 }')" -ge 32 ]; then place=/dev/shm; fi
tmp=$(mktemp -d "$place/crier-fuzz-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM # what runs beside us hears nothing of Ctrl-C

# Sanitizers and libFuzzer come with a package of their own, which not every clang brings.
echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return n > 9 && *p; }' >"$tmp/try.c"
if ! "$cc" -fsanitize=fuzzer,address,undefined "$tmp/try.c" -o "$tmp/try" >"$tmp/out" 2>&1; then
    echo "skipped: fuzzing: no clang with libFuzzer here (packages clang and libclang-rt-dev)"
    echo
    echo "0 passed, 0 failed, ${#targets[@]} skipped"
    exit 0
fi

echo "Building in $build ..."
generator=()
[ -e "$build/CMakeCache.txt" ] || ! command -v ninja >/dev/null || generator=(-G Ninja)
if ! { cmake -S "$root" -B "$build" "${generator[@]}" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCRIER_FUZZ=ON -DCRIER_SANITIZE=address -DCRIER_TESTS=OFF &&
    cmake --build "$build" --target fuzz -j "$jobs"; } >"$tmp/out" 2>&1; then
    grep -Ev '^\[[ 0-9/%]+\] (Building|Linking|Generating)' "$tmp/out" || true
    echo
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi

# one NAME: runs a target, its exit code in $tmp/NAME.rc. The corpus stays from run to run; seeds and
# what the target writes are made anew.
one() {
    local name=$1 rc=0 n=0 line
    local corpus=$build/fuzz/corpus/$name seeds=$tmp/$name.seeds dictionary=() runs=()
    if [ "$repeatable" -eq 1 ]; then
        corpus=$tmp/$name.corpus
        runs=(-runs="$(sed -n "s/^$name //p" "$root/spec/fuzz/runs.txt")")
    fi
    mkdir -p "$corpus" "$seeds" "$build/fuzz/findings" "$tmp/$name.scratch"
    while IFS= read -r line || [ -n "$line" ]; do
        n=$((n + 1))
        printf '%b' "$line" >"$seeds/$(printf '%04d' "$n")"
    done <"$root/spec/fuzz/seeds/$name.txt"
    [ ! -e "$root/spec/fuzz/seeds/$name.dict" ] || dictionary=(-dict="$root/spec/fuzz/seeds/$name.dict")
    # The bounds are for what never ends, not for a slow machine.
    ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=16 \
        UBSAN_OPTIONS=print_stacktrace=1 \
        LSAN_OPTIONS="suppressions=$root/spec/fuzz/lsan.txt:print_suppressions=0" \
        CRIER_FUZZ_SCRATCH="$tmp/$name.scratch" XDG_RUNTIME_DIR="$tmp/$name.scratch" \
        timeout -k 10 $((seconds * 2 + 600)) \
        "${wrap[@]}" "$build/fuzz/$name" -seed="$seed" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 \
        "${runs[@]}" -max_len=4096 -print_final_stats=1 -artifact_prefix="$build/fuzz/findings/$name-" \
        "${dictionary[@]}" "$corpus" "$seeds" >"$build/fuzz/$name.log" 2>&1 </dev/null &
    trap 'kill $!; wait $!; exit' TERM
    wait $! || rc=$?
    echo "$rc" >"$tmp/$name.rc.new"
    mv "$tmp/$name.rc.new" "$tmp/$name.rc"
}

# figure NAME WHAT: one of the run.
figure() {
    sed -n "s/^stat::$2: *//p" "$build/fuzz/$1.log" | tail -n 1
}

passed=0 failed=0 told=0
# Several at once, told in their order.
tell() {
    local name rc runs log
    while [ "$told" -lt "${#targets[@]}" ] && [ -e "$tmp/${targets[$told]}.rc" ]; do
        name=${targets[$told]} log=$build/fuzz/${targets[$told]}.log
        rc=$(<"$tmp/$name.rc")
        runs=$(figure "$name" number_of_executed_units)
        told=$((told + 1))
        # A target that has run next to nothing has shown nothing.
        if [ "$rc" -eq 0 ] && [ "${runs:-0}" -ge 100 ]; then
            passed=$((passed + 1))
            printf '%-12s passed  %10s runs, %5s/s, coverage %s, %s MiB\n' "$name" "$runs" \
                "$(figure "$name" average_exec_per_sec)" \
                "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" \
                "$(figure "$name" peak_rss_mb)"
        else
            failed=$((failed + 1))
            printf '%-12s FAILED  exit code %s after %s runs; %s has all of it\n' "$name" "$rc" \
                "${runs:-no}" "$log"
            grep -aE 'ERROR|runtime error|Test unit written|^[^ ]*\.c:[0-9]+: |^ +#[0-9]+ .*/(runtime|spec)/' \
                "$log" | head -n 30 || true
        fi
    done
}

running=0
for name in "${targets[@]}"; do
    if [ "$running" -ge "$jobs" ]; then
        wait -n || true
        running=$((running - 1))
        tell
    fi
    one "$name" &
    running=$((running + 1))
done
wait
tell
failed=$((failed + ${#targets[@]} - told))
echo
echo "$passed passed, $failed failed, 0 skipped"
exit $((failed > 0))
