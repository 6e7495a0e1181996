#!/bin/bash
# troved runs as a user without privileges where nothing can be written to but its own two folders: in a user and a mount namespace of its
# own, with the root remounted read-only.
#
#   tests/checks/readonly.sh TROVED TROVE
set -euo pipefail
uid=1000

skip() {
    echo "skipped: $*"
    exit 77
}

# ---- inside: as $uid, without capabilities ----
if [ "${1-}" = --inside ]; then
    troved=$2 trove=$3 work=$4
    fail() {
        echo "FAILED: $*" >&2
        cat "$work/log" >&2 || true
        exit 1
    }
    [ "$(id -u)" -eq "$uid" ] || fail "this isn't user $uid"
    grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status || fail "there are capabilities left"
    for place in "$(dirname "$troved")" / "$(dirname "$work")"; do
        ! touch "$place/written" 2>/dev/null || fail "$place can be written to"
    done
    export XDG_RUNTIME_DIR=$work/run XDG_DATA_HOME=$work/state HOME=/nonexistent
    mkdir "$work/run" "$work/state"
    "$troved" 2>"$work/log" </dev/null &
    pid=$!
    trap 'kill -KILL $pid 2>/dev/null || true' EXIT
    for _ in $(seq 300); do
        grep -q msg=ready "$work/log" && break
        kill -0 "$pid" 2>/dev/null || fail "troved has ended"
        sleep 0.1
    done
    grep -q "listen=ipc://$work/run/trove/troved.sock store=local://$work/state/trove " "$work/log" || fail "it isn't where it should be"
    export TROVE_SERVER=ipc://$work/run/trove/troved.sock
    head -c 3000000 /dev/urandom >"$work/file"
    "$trove" mb media || fail "no bucket can be made"
    "$trove" put "$work/file" media/file || fail "nothing can be put"
    "$trove" cat media/file | cmp - "$work/file" || fail "what was put doesn't come back"
    kill -TERM "$pid"
    wait "$pid" || fail "troved ended with $?"
    echo "troved serves with a read-only root, as user $uid"
    exit 0
fi

# ---- in between: root of a namespace, which takes the rest away ----
if [ "${1-}" = --between ]; then
    work=$4
    mount -t tmpfs -o mode=0700 none "$work"
    # Each of them, for a remount concerns one alone; what the kernel has locked keeps its options.
    findmnt --noheadings --list --output TARGET,OPTIONS | while read -r place options; do
        case $place in
        "$work" | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) continue ;;
        esac
        locked=$(tr , '\n' <<<"$options" | grep -xE 'nosuid|nodev|noexec|noatime|nodiratime|relatime' | paste -sd, || true)
        mount -o "remount,bind,ro${locked:+,$locked}" "$place" || exit 77
    done || exit 77
    shift
    exec unshare --user --map-user="$uid" --map-group="$uid" "$0" --inside "$@"
fi

troved=$(realpath "$1") trove=$(realpath "$2")
unshare --user --map-root-user --mount true 2>/dev/null || skip "no user namespaces can be made here"
work=$(mktemp -d)
trap 'rmdir "$work"' EXIT
code=0
unshare --user --map-root-user --mount "$0" --between "$troved" "$trove" "$work" || code=$?
[ "$code" -ne 77 ] || skip "file systems can't be remounted read-only here"
exit "$code"
