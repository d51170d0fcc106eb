#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# From nothing to a bot at work: installs what is missing, builds crier, runs a demo bot against the
# built-in simulator and shows what it has done.
set -euo pipefail

usage() {
    cat <<'END'
examples/quickstart.sh [--yes] [--dir DIR] [--for T] [--no-install] [--no-run]

  --yes          do not ask before sudo
  --dir DIR      where the demo bot lives (./crier-demo); files that are there stay as they are
  --for T        how long it runs (12s)
  --no-install   leave the machine's packages alone
  --no-run       build only
JOBS (2) is the number of compilers at once.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
demo=crier-demo how_long=12s install=1 run=1 yes=()
while [ $# -gt 0 ]; do
    case $1 in
    --dir | --for)
        [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 64; }
        if [ "$1" = --dir ]; then demo=$2; else how_long=$2; fi
        shift
        ;;
    --yes | -y) yes=(--yes) ;;
    --no-install) install=0 ;;
    --no-run) run=0 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "unknown option '$1'" >&2; usage >&2; exit 64 ;;
    esac
    shift
done

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi
step() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

# --- packages -------------------------------------------------------------------------------------

step '1. What building takes'
if [ "$install" -eq 1 ]; then
    # shellcheck source=SCRIPTDIR/../spec/support/packages.sh
    . "$root/spec/support/packages.sh"
    packages_ensure "${yes[@]}" "${PACKAGES_BUILD[@]}"
    echo 'All packages are there.'
else
    echo 'Packages are left alone.'
fi

# --- build ----------------------------------------------------------------------------------------

build=$root/build
step "2. Building in $build"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
configure=()
[ -f "$build/CMakeCache.txt" ] || configure=(-G Ninja -DCRIER_TESTS=OFF)
failed() {
    # What compiled is of no interest.
    grep -Ev '^\[[ 0-9/%]+\] (Building|Linking|Generating)' "$log" >&2 || true
    echo "Building has failed; what the tools said is above." >&2
    exit 70
}
started=$SECONDS
cmake -S "$root" -B "$build" "${configure[@]}" >"$log" 2>&1 || failed
if [ -t 1 ]; then
    # Ninja's "[12/80] ..." and make's "[ 15%] ..." on one line that moves on.
    cmake --build "$build" --target crier -j "${JOBS:-2}" 2>&1 | tee "$log" | awk '
        /^\[[ 0-9\/%]+\]/ { sub(/\].*/, "]"); printf "\r  %s ", $0; fflush(); n++ }
        END { if (n) printf "\r                    \r" }' || failed
else
    cmake --build "$build" --target crier -j "${JOBS:-2}" >"$log" 2>&1 || failed
fi
crier=$build/crier
echo "Done in $((SECONDS - started)) seconds: $("$crier" version)"
[ "$run" -eq 1 ] || exit 0

# --- the demo -------------------------------------------------------------------------------------

# Beside whoever runs this, so that they can go on with it; elsewhere where nothing can be written.
if ! mkdir -p "$demo" 2>/dev/null || [ ! -w "$demo" ]; then
    echo "Cannot write to $demo: the demo goes to a temporary folder." >&2
    demo=$(mktemp -d)
fi
[ -e "$demo/.gitignore" ] || echo '*' >"$demo/.gitignore"
put() {
    if [ -e "$demo/$2" ]; then
        cmp -s "$demo/$2" "$log" || echo "$demo/$2 is there already and stays as it is."
    else
        cp "$log" "$demo/$2"
    fi
}
sed -e 's#examples/quickstart\.world\.json#world.json#; s#examples/quickstart\.lua#bot.lua#' \
    "$root/examples/quickstart.lua" >"$log"
put quickstart.lua bot.lua
cat "$root/examples/quickstart.world.json" >"$log"
put quickstart.world.json world.json

step "3. A bot at work for $how_long, then what its channels show: $demo/bot.lua"
echo "crier run bot.lua --sim --world world.json --for $how_long --transcript"
echo
# The simulator takes any token; a real one has no business here.
(cd "$demo" && DISCORD_TOKEN=simulated "$crier" run bot.lua --sim --world world.json \
    --for "$how_long" --transcript)

history=$(find "$demo/History" -name '*.json' -exec stat -c '%s %n' {} + 2>/dev/null |
    sort -rn | head -n 1 | cut -d ' ' -f 2-)
if [ -n "$history" ]; then
    step "4. Its history, newest first: $history"
    sed '/^        }/q' "$history"
    echo '        ...'
fi

# --- and now --------------------------------------------------------------------------------------

here=$crier
case $PWD in
"$root") here=build/crier ;;
esac
step 'What to try next'
cat <<END
  $here run $demo/bot.lua --sim --watch --world $demo/world.json
      While it runs, change a text in $demo/bot.lua and save: it goes on with the new one.
  $here status $demo/bot.lua
      How it is doing; from another terminal.
  $here check $demo/bot.lua
      What is wrong in it. Write perod for period and see.
  $here plan $demo/bot.lua
      What will be sent, and when.
  $here help TextMESSAGE
      What a message can say.

  $root/examples: more scripts, one idea each
  $root/lua/README.md: all that a script can say

With a bot of your own (https://discord.com/developers/applications) put its guilds and channels
into $demo/bot.lua, then:  DISCORD_TOKEN=... $here run $demo/bot.lua
END
