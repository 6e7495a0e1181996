#!/bin/bash
# Runs the example in another language, client/examples/node, against a real troved over tcp and a unix socket.
#
#   node.sh TROVED EXAMPLE_FOLDER
#
# Exit code 77: skipped, for node, npm or the packages of the example can't be had here.
set -euo pipefail

troved=$1
example=$2
readonly skipped=77

skip() {
    echo "node example skipped: $1"
    exit "$skipped"
}

command -v node >/dev/null || skip "there is no node"
command -v npm >/dev/null || skip "there is no npm"

folder=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT

# The packages stay outside of the source.
cp "$example/package.json" "$folder"
(cd "$folder" && npm install --no-package-lock --no-audit --no-fund --loglevel=error) >"$folder/npm.log" 2>&1 || {
    tail -n 5 "$folder/npm.log"
    skip "npm couldn't install its packages"
}
export NODE_PATH=$folder/node_modules

mkfifo "$folder/log"
"$troved" --listen tcp://127.0.0.1:0 --listen "ipc://$folder/socket" --store mem:// --insecure 2>"$folder/log" &
server=$!
exec 3<"$folder/log"
urls=
while [ -z "$urls" ] && IFS= read -r -t 60 line <&3; do
    echo "$line"
    case $line in
    *msg=ready*)
        urls=${line#*listen=}
        urls=${urls%% *}
        urls=${urls//\"/}
        ;;
    esac
done
[ -n "$urls" ] || {
    echo "troved didn't get ready" >&2
    exit 1
}
cat <&3 >"$folder/rest" &
reader=$!

client() {
    node "$example/trove.js" "$@"
}

for size in 0 1 262144 262145 1048577 9000001; do
    head -c "$size" /dev/urandom >"$folder/$size"
done

IFS=, read -r -a list <<<"$urls"
for url in "${list[@]}"; do
    export TROVE_SERVER=$url
    bucket=node-${url%%:*}
    client mb "$bucket"
    for size in 0 1 262144 262145 1048577 9000001; do
        put=$(client put "$folder/$size" "$bucket/sizes/$size")
        got=$(client get "$bucket/sizes/$size" "$folder/back")
        cmp "$folder/$size" "$folder/back"
        [ "$put" = "$got" ] # name, size and etag
        echo "$got"
    done
    # What goes wrong is told and ends with 1.
    if client get "$bucket/nothing" "$folder/nothing" 2>"$folder/error"; then
        echo "an object that doesn't exist was got" >&2
        exit 1
    fi
    grep NOT_FOUND "$folder/error"
    [ ! -e "$folder/nothing" ]
done

kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
wait "$reader"
cat "$folder/rest"
[ "$status" -eq 0 ]
echo "the example in node works"
