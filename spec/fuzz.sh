#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Fuzzes every parser with libFuzzer, AddressSanitizer and UBSan: spec/fuzz/*.c. Needs clang.
#   spec/fuzz.sh [--seconds N] [--build-dir DIR] [TARGET...]
# N seconds each (CRIER_FUZZ_SECONDS, else 10); an input that breaks something is left in the corpus
# folder and named; `BUILD/fuzz/TARGET FILE` runs it again. The last line is `N passed, N failed`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
seconds=${CRIER_FUZZ_SECONDS:-10} build=$root/build-fuzz
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --build-dir) build=$(realpath -m "$2"); shift 2 ;;
    -h | --help) sed -n '4,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) echo "unknown option '$1'" >&2; exit 64 ;;
    *) break ;;
    esac
done
case $seconds in '' | *[!0-9]*) echo "--seconds takes a whole number, not '$seconds'" >&2; exit 64 ;; esac
command -v clang >/dev/null || { echo "no clang: nothing is fuzzed"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
generator=()
if command -v ninja >/dev/null && [ ! -e "$build/CMakeCache.txt" ]; then generator=(-G Ninja); fi
cmake -S "$root" -B "$build" "${generator[@]}" -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DCRIER_FUZZ=ON -DCRIER_SANITIZE=address -DCRIER_TESTS=OFF >/dev/null
cmake --build "$build" --target fuzz -j "${JOBS:-2}" >"$build/fuzz.log" 2>&1 || { tail -30 "$build/fuzz.log"; exit 1; }
targets=("$@")
[ $# -gt 0 ] || for c in "$root"/spec/fuzz/*.c; do targets+=("$(basename "$c" .c)"); done
[ ${#targets[@]} -gt 0 ] || { echo "no targets" >&2; exit 1; }
passed=0 failed=0
for name in "${targets[@]}"; do
    corpus=$build/fuzz/corpus/$name n=0
    mkdir -p "$corpus"
    if [ -e "$root/spec/fuzz/seeds/$name.txt" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            n=$((n + 1))
            printf '%b' "$line" >"$corpus/seed$n"
        done <"$root/spec/fuzz/seeds/$name.txt"
    fi
    if ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=16 LSAN_OPTIONS=suppressions=$root/spec/fuzz/lsan.txt:print_suppressions=0 \
        "$build/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
        -artifact_prefix="$build/fuzz/corpus/$name-" -verbosity=1 "$corpus" >"$build/fuzz/$name.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok $name: $(grep -a '^Done\|stat::number_of_executed_units' "$build/fuzz/$name.log" | tail -1)"
    else
        failed=$((failed + 1))
        echo "not ok $name: see $build/fuzz/$name.log"
        grep -a 'ERROR\|MUST\|runtime error\|Test unit written\|\.c:[0-9]*:' "$build/fuzz/$name.log" | head -12
    fi
    rm -rf /dev/shm/crier-fuzz-?????? 2>/dev/null || true
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
