#!/bin/bash
# Runs the examples of client/examples against a real troved: what goes up with one comes down with the other.
#
#   examples.sh TROVED UPLOAD DOWNLOAD POOL TWO_WAY [ROUNDTRIP]
set -euo pipefail
troved=$1
upload=$2
download=$3
pool=$4
two_way=$5
roundtrip=${6:-}
work=$(mktemp -d)
server=
cleanup() {
    local status=$?
    if [[ -n $server ]]; then
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    [[ $status == 0 ]] || cat "$work/log" "$work/said" >&2
    rm -rf "$work"
}
trap cleanup EXIT
: >"$work/said"

url=ipc://$work/socket
: >"$work/log"
"$troved" --listen "$url" --store mem:// 2>"$work/log" &
server=$!
for _ in $(seq 300); do
    grep -q msg=ready "$work/log" && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
if ! grep -q msg=ready "$work/log"; then
    echo "troved isn't ready" >&2
    exit 1
fi

head -c 10000001 /dev/urandom >"$work/in"
"$upload" "$url" "$work/in" media/video.mp4 >"$work/said"
grep -q '100%' "$work/said"
grep -q 'upload complete: video.mp4 (10000001 bytes' "$work/said"
"$download" "$url" media/video.mp4 >"$work/out" 2>"$work/said"
cmp "$work/in" "$work/out"
grep -q '^completed: ' "$work/said"

if "$download" "$url" media/missing >"$work/out" 2>"$work/said"; then
    echo "a missing object was downloaded" >&2
    exit 1
fi
grep -q 'NOT_FOUND: .*missing' "$work/said"

for i in 1 2 3 4 5 6 7; do
    head -c $((i * 700001)) /dev/urandom >"$work/file$i"
done
"$pool" "$url" pooled "$work"/file? >"$work/said" 2>/dev/null
[[ $(grep -c '^stored: file' "$work/said") == 7 ]]
grep -q '^total: 7 streams, 19600028 bytes' "$work/said"
"$download" "$url" pooled/file7 >"$work/out" 2>/dev/null
cmp "$work/file7" "$work/out"
if "$pool" "$url" pooled "$work/missing" >"$work/said" 2>/dev/null; then
    echo "a missing file was stored" >&2
    exit 1
fi
mkdir "$work/folder" # can be opened, and not be read
if "$pool" "$url" pooled "$work/folder" >"$work/said" 2>"$work/errors"; then
    echo "a file that can't be read was stored" >&2
    exit 1
fi
[[ $(grep -c "can't be read" "$work/errors") == 1 ]]
if "$download" "$url" pooled/folder >"$work/out" 2>"$work/said"; then
    echo "what a file that can't be read gave was stored" >&2
    exit 1
fi

head -c 6000000 /dev/urandom | base64 >"$work/text"
"$upload" "$url" "$work/text" texts/poem >/dev/null
"$two_way" "$url" texts/poem >"$work/said"
grep -q '^rewritten: poem, [0-9]* bytes' "$work/said"
"$download" "$url" texts/poem >"$work/out" 2>/dev/null
LC_ALL=C tr '[:lower:]' '[:upper:]' <"$work/text" | cmp - "$work/out"
if "$two_way" "$url" texts/missing >/dev/null 2>"$work/said"; then
    echo "a missing object was rewritten" >&2
    exit 1
fi

if [[ -n $roundtrip ]]; then
    [[ $("$roundtrip" "$url" texts/hello 'from C++') == 'from C++' ]]
fi

kill "$server"
status=0
wait "$server" || status=$?
server=
[[ $status == 0 ]]
