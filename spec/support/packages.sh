# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The Debian packages that building and testing take, and what installs those that are missing.
# Sourced by examples/quickstart.sh and spec/run.sh:
#
#     . spec/support/packages.sh
#     packages_ensure [--yes] "${PACKAGES_BUILD[@]}" "${PACKAGES_TEST[@]}"
#
# The names are the same in Debian 12 and 13.

# For reading, by those who source this.
# shellcheck disable=SC2034
PACKAGES_BUILD=(
    gcc libc6-dev cmake ninja-build pkg-config
    libuv1-dev liblua5.4-dev libcurl4-openssl-dev libwebsockets-dev libwebsockets-evlib-uv
    libjansson-dev libsqlite3-dev libglib2.0-dev zlib1g-dev libzstd-dev libhiredis-dev libssl-dev
    libpcre2-dev unixodbc-dev libsqliteodbc
    ca-certificates tzdata
)
# shellcheck disable=SC2034
PACKAGES_TEST=(
    libcmocka-dev lua5.4 lua-busted lua-check lua-socket lua-cjson
    python3 python3-jsonschema python3-croniter python3-aiosmtpd openssl curl sqlite3 redis-server redis-tools
    make valgrind g++ odbc-postgresql odbc-mariadb tdsodbc postgresql mariadb-server
)

# Those of the arguments that are not installed, one a line.
packages_missing() {
    local name
    for name; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
            echo "$name"
    done
}

# What apt would say, without doing it: nothing when a name is not in its lists.
_packages_plan() {
    LC_ALL=C apt-get install --assume-no --no-install-recommends -o Debug::NoLocking=1 \
        "$@" 2>/dev/null </dev/null
}

# Fetches the package lists or installs; shows how far it is on a terminal, the log when it fails.
_packages_apt() {
    local total=$1 log rc=0
    shift
    log=$(mktemp)
    if [ -t 1 ]; then
        LC_ALL=C "${PACKAGES_SUDO[@]}" apt-get -o Acquire::Retries=3 "$@" 2>&1 </dev/null |
            tee "$log" | awk -v n="$total" '
                /^Get:/ { got++; printf "\r  fetched %d of %d ", got, n ? n : got; fflush() }
                /^Setting up/ { up++; printf "\r  set up %d of %d  ", up, n; fflush() }
                END { if (got || up) printf "\n" }'
        rc=${PIPESTATUS[0]}
    else
        LC_ALL=C "${PACKAGES_SUDO[@]}" apt-get -o Acquire::Retries=3 "$@" \
            >"$log" 2>&1 </dev/null || rc=$?
    fi
    if [ "$rc" -ne 0 ]; then
        echo "apt-get $* failed:" >&2
        tail -n 40 "$log" >&2
    fi
    rm -f "$log"
    return "$rc"
}

# Root is not asked: who runs this as root has the machine to themselves, often in a container.
_packages_consent() {
    local yes=$1 question=$2 answer
    [ "$(id -u)" -eq 0 ] && return 0
    if ! command -v sudo >/dev/null; then
        echo "Installing takes root: run this as root, or install sudo." >&2
        return 1
    fi
    [ "$yes" -eq 1 ] && return 0
    if [ ! -t 0 ]; then
        echo "Nobody is there to be asked before sudo: run it again with --yes." >&2
        return 1
    fi
    read -r -p "$question [y/N] " answer
    case $answer in
    [yY]*) return 0 ;;
    esac
    echo "Nothing was installed." >&2
    return 1
}

# Says what is missing and how much it is, asks before sudo, installs. Returns 1 when packages are
# missing afterwards.
packages_ensure() {
    local yes=0 missing plan count
    [ "${1-}" = --yes ] && yes=1 && shift
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "This is no Debian, so nothing is installed; needed are: $*" >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -eq 0 ] && return 0

    PACKAGES_SUDO=()
    [ "$(id -u)" -eq 0 ] || PACKAGES_SUDO=(sudo)
    PACKAGES_SUDO+=(env DEBIAN_FRONTEND=noninteractive)
    echo "Debian packages that are missing (${#missing[@]}): ${missing[*]}"
    plan=$(_packages_plan "${missing[@]}") || true
    if ! grep -q '^After this operation\|newly installed' <<<"$plan"; then
        echo "How much that is shows once the package lists are fetched."
        _packages_consent "$yes" "Fetch the lists with sudo apt-get update?" || return 1
        echo "Fetching the package lists ..."
        _packages_apt 0 update -q || return 1
        plan=$(_packages_plan "${missing[@]}") || true
    fi
    sed -n -e 's/^\([0-9]*\) upgraded, \([0-9]*\) newly installed.*/With what they need: \2 packages./p' \
        -e '/^Need to get/p' -e '/^After this operation/p' <<<"$plan"
    count=$(sed -n 's/.* \([0-9]*\) newly installed.*/\1/p' <<<"$plan")
    _packages_consent "$yes" "Install them with sudo apt-get?" || return 1
    echo "Installing ..."
    if ! _packages_apt "${count:-0}" install -y -q --no-install-recommends "${missing[@]}"; then
        # Lists that are old name packages which the mirrors no longer have.
        echo "Trying again with fresh package lists ..."
        _packages_apt 0 update -q || return 1
        _packages_apt "${count:-0}" install -y -q --no-install-recommends "${missing[@]}" ||
            return 1
    fi
    mapfile -t missing < <(packages_missing "$@")
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "Still missing: ${missing[*]}" >&2
        return 1
    fi
}
