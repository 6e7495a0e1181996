#!/bin/bash
# troved's own manners: exit codes, refusals, the ready line, signals. What it serves is tested elsewhere.
#
#   tests/checks/troved.sh TROVED EXAMPLE_CONFIG
set -euo pipefail
troved=$1
example=$2
work=$(mktemp -d)
pid=
cleanup() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
log=$work/log

fail() {
    echo "FAILED: $*" >&2
    cat "$log" >&2
    exit 1
}

# run CODE PATTERN ARGUMENT...: troved ends by itself with this code and says something that fits the pattern.
run() {
    local code=$1 pattern=$2 got=0
    shift 2
    "$troved" "$@" >"$log" 2>&1 </dev/null || got=$?
    [ "$got" -eq "$code" ] || fail "troved $*: exit code $got instead of $code"
    grep -qE -- "$pattern" "$log" || fail "troved $*: nothing like '$pattern'"
}

# Starts it in the background and waits for its ready line.
start() {
    : >"$log" # now: the background job does it when it gets to run, and until then the line of the run before is there
    "$troved" "$@" 2>"$log" </dev/null &
    pid=$!
    for _ in $(seq 300); do
        if grep -qE 'msg=ready|"msg":"ready"' "$log"; then
            return 0
        fi
        kill -0 "$pid" 2>/dev/null || fail "troved $*: ended before it was ready"
        sleep 0.1
    done
    fail "troved $*: isn't ready after 30 s"
}

# ended CODE: waits for it and checks its exit code.
ended() {
    local got=0
    wait "$pid" || got=$?
    pid=
    [ "$got" -eq "$1" ] || fail "exit code $got instead of $1"
}

socket=ipc://$work/socket/troved.sock
quiet=(--store mem:// --listen "$socket")

run 0 '^troved [0-9]+\.[0-9]+\.[0-9]+$' --version
run 0 'Exit codes: 0' --help
run 64 'unrecognized option' --nonsense
run 64 'Too many arguments' nonsense
run 64 'not .loud.' --log-level loud
run 0 'fine' --config "$example" --check-config
run 1 'status=NOT_FOUND error="opening the config' --config "$work/none.yaml"
printf 'memory: 64MiB\nmemroy: 1GiB\n' >"$work/bad.yaml"
run 1 'bad.yaml line 2: unknown key .memroy.' --config "$work/bad.yaml" --check-config
run 1 'status=INVALID_ARGUMENT .*nonsense' --store nonsense:// --listen "$socket"
run 1 'status=FAILED_PRECONDITION .*--insecure' --store mem:// --listen tcp://127.0.0.1:0
run 1 '"status":"FAILED_PRECONDITION"' --store mem:// --listen ws://127.0.0.1:0/x --log-format json
run 1 'level=error' --store mem:// --listen "ipc://$work/missing/folder/troved.sock"
mkdir "$work/plain" && touch "$work/plain/file"
run 1 'level=error .*plain/file' --store mem:// --listen "ipc://$work/plain/file"
[ -f "$work/plain/file" ] || fail "a file that was in the way of the socket is gone"

start "${quiet[@]}"
grep -qE "level=info msg=ready listen=$socket store=mem:// version=[0-9.]+ pid=$pid\$" "$log" || fail "the ready line"
[ "$(stat -c %a "$work/socket")" = 700 ] || fail "the socket's folder is open to others"
[ "$(stat -c %a "$work/socket/troved.sock")" = 600 ] || fail "the socket is open to others"
run_log=$log
log=$work/second
run 1 'level=error' "${quiet[@]}" # the address is taken
log=$run_log
kill -HUP "$pid"
kill -PIPE "$pid"
kill -TERM "$pid"
ended 0
grep -q 'SIGHUP: there is nothing to read' "$log" || fail "nothing is said about SIGHUP"
grep -q 'msg=stopped' "$log" || fail "nothing is said at the end"

# The command line beats the config file; port 0 becomes a real one; the network is warned of.
printf 'listen: [ipc:///nowhere/at/all]\nstore: "null://"\nlog: {format: json}\n' >"$work/good.yaml"
start --config "$work/good.yaml" --store mem:// --listen tcp://127.0.0.1:0 --listen "$socket" --insecure
grep -q '"level":"warn","msg":"INSECURE: ' "$log" || fail "no warning"
jq -e -s --arg socket "$socket" 'map(select(.msg == "ready"))[0] |
    (.listen | test("^tcp://127.0.0.1:[1-9][0-9]*,ipc://")) and (.listen | endswith($socket)) and .store == "mem://"' \
    "$log" >/dev/null || fail "the ready line in JSON"
kill -INT "$pid"
ended 0

# Without an idea of where to go it goes where its user may.
if [ "$(id -u)" -ne 0 ]; then
    mkdir "$work/home" "$work/run"
    HOME=$work/home XDG_RUNTIME_DIR=$work/run XDG_DATA_HOME='' start
    grep -qE "listen=ipc://$work/run/trove/troved.sock store=local://$work/home/.local/share/trove " "$log" || fail "default places"
    kill -TERM "$pid"
    ended 0
fi
echo "troved behaves"
