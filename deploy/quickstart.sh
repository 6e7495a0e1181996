#!/bin/bash
# Shows Trove at work: builds it, starts a server on a unix socket, sends a file up, fetches it back and compares.
#
#   deploy/quickstart.sh [FILE]     without FILE one of 64 MiB is made up
#
# Needs a Debian 12 and nothing else: packages are installed if missing. Server, store and copy live in a temporary folder and are
# gone at the end; what stays is the build in build/release.
set -euo pipefail

if [ $# -gt 1 ] || [ "${1-}" = --help ] || [ "${1-}" = -h ]; then
    echo "usage: $0 [FILE]" >&2
    exit 64
fi
file=
if [ $# -eq 1 ]; then
    file=$(realpath -e -- "$1") || exit 1
    if [ ! -f "$file" ] || [ ! -r "$file" ]; then
        echo "$0: $1 is no file that can be read" >&2
        exit 1
    fi
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

deploy/install-packages.sh

build=build/release
log=$build/quickstart.log
mkdir -p "$build"
echo "building Trove in $build (the first time takes a minute) ..."
if ! { cmake --preset release && cmake --build --preset release; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "building failed; all of its output is in $log" >&2
    exit 1
fi
trove=$build/bin/trove
troved=$build/bin/troved

# Short, for a unix socket's path may have 107 bytes.
work=$(mktemp -d /tmp/trove.XXXXXX)
server=
cleanup() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "$file" ]; then
    file=$work/made-up
    head -c $((64 * 1024 * 1024)) /dev/urandom >"$file"
fi
name=$(basename -- "$file")
size=$(stat -c %s -- "$file")

export TROVE_SERVER=ipc://$work/troved.sock
"$troved" --listen "$TROVE_SERVER" --store "local://$work/store" 2>"$work/log" &
server=$!
if ! "$trove" ping --wait 30 >/dev/null; then
    cat "$work/log" >&2
    exit 1
fi
"$trove" mb quickstart >/dev/null

# timed COMMAND...: runs it; $seconds is how long that took.
timed() {
    local begin=$EPOCHREALTIME
    "$@"
    seconds=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f", b - a }')
}

rate() {
    awk -v bytes="$size" -v seconds="$seconds" 'BEGIN { printf "%.1f MB/s", bytes / 1e6 / (seconds > 0 ? seconds : 0.001) }'
}

timed "$trove" put "$file" "quickstart/object" >/dev/null
up_seconds=$seconds up_rate=$(rate)
timed "$trove" get quickstart/object "$work/copy" >/dev/null
down_seconds=$seconds down_rate=$(rate)
if ! cmp -- "$file" "$work/copy"; then
    echo "what came back isn't what went up; please report this" >&2
    exit 1
fi
etag=$("$trove" stat quickstart/object | sed -n 's/^ETag *//p')

kill -TERM "$server"
wait "$server"
server=

cat <<END

  $name went up and came back, byte for byte.

    size   $size bytes
    up     $up_seconds s   $up_rate   (durable: it would survive pulling the plug)
    down   $down_seconds s   $down_rate   (every block checked)
    etag   $etag

  These times include starting the command; tests/bench/run.sh measures properly.

  To try next (the server keeps its objects in ${XDG_DATA_HOME:-~/.local/share}/trove, as root in /var/lib/trove):

    export PATH=\$PATH:$PWD/$build/bin
    troved &                                   a server, on a unix socket that only you can reach
    trove mb photos                            a bucket
    trove put --recursive ~/Pictures photos/   many files, four at a time with --parallel 4
    trove ls photos
    tar c . | trove put - photos/backup.tar    pipes work, too
    trove cat photos/backup.tar | tar t
    trove --help
    kill %1

END
