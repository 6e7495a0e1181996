#!/bin/bash
# Builds Trove in every way that matters and runs every test. Needs a Debian 12 and nothing else: packages are installed if missing.
#
#   tests/run.sh [--long]
#
# --long adds large sizes and long loops (tests see TROVE_TEST_LONG=1). The first failure ends it, with its output at the end.
# Everything is built below build/; compiler output of a stage that succeeds stays in build/logs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-}" in
'') ;;
--long) export TROVE_TEST_LONG=1 ;;
*)
    echo "usage: $0 [--long]" >&2
    exit 64
    ;;
esac

deploy/install-packages.sh --tests

# What tests leave behind goes with this folder. It isn't below build/, for a unix socket's path may have 107 bytes only.
TMPDIR=$(mktemp -d /tmp/trove-tests.XXXXXX)
export TMPDIR
chmod 711 "$TMPDIR" # some tests are other users, who have to come to a socket in it
trap 'rm -rf "$TMPDIR"' EXIT
export npm_config_cache=$TMPDIR/npm
mkdir -p build/logs

jobs=$(nproc)
waiting_jobs=$((4 * jobs)) # most tests of whole programs wait more than they compute

if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi
# Address randomisation can put things where ThreadSanitizer's map of memory doesn't expect them.
fixed_addresses=()
if setarch "$(uname -m)" --addr-no-randomize true 2>/dev/null; then
    fixed_addresses=(setarch "$(uname -m)" --addr-no-randomize)
fi

say() {
    printf '\n== %s (%d s)\n' "$*" "$SECONDS"
}

# build NAME CONFIGURE_ARGUMENT...
build() {
    local name=$1 log=build/logs/$1.log
    shift
    if ! { cmake "$@" && cmake --build "build/$name"; } >"$log" 2>&1; then
        grep -E -A 12 'CMake Error|error:|FAILED|undefined reference' "$log" || tail -n 60 "$log"
        echo "building $name failed; all of its output is in $log" >&2
        exit 1
    fi
}

say "gcc: building, warnings are errors"
build dev --preset dev

say "clang: fuzzing"
build fuzz --preset fuzz
ctest --preset fuzz -j"$jobs"

say "address, leak and undefined behaviour sanitizers"
build asan --preset asan
ctest --preset asan -j"$waiting_jobs"

say "thread sanitizer, by clang: warnings are errors here, too"
build tsan --preset tsan
"${fixed_addresses[@]}" ctest --preset tsan -j"$waiting_jobs"

# Tests skip what a machine can't do, and what isn't said would be taken for tested. (Before the last stage: its closing lines are ctest's.)
skipped=$(grep -hE ' \.\.\. skipped |example skipped: ' build/{asan,tsan}/Testing/Temporary/LastTest.log | sort -u || true)
if [ -n "$skipped" ]; then
    say "skipped, for this machine can't do it"
    printf '%s\n' "$skipped"
fi

say "gcc: all tests"
ctest --preset dev -j"$waiting_jobs"
