#!/bin/bash
# The benchmark: ours and its peers side by side in one run. bench.py says what is measured and how.
#
#   tests/bench/run.sh [--quick] [--json FILE] [--disk FOLDER] [--only REGEX] [--rounds N] [--calibrate]
#   tests/bench/run.sh --against COMMIT [the same options]
#
# Installs the Debian packages that are missing (as root or through sudo), builds a release with the peers into
# $TROVE_BENCH_BUILD (build/bench by default), and runs. With --against COMMIT that commit is built as well, in a temporary
# folder that is removed at the end, and ours as it is now runs beside ours as it was then, in alternating pairs: did a row
# get worse?
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${TROVE_BENCH_BUILD:-$root/build/bench}

# From the source in $1 into $2; the rest are names of targets, none: all.
build_release() {
    local source=$1 folder=$2 generator=() targets=()
    shift 2
    [ -e "$folder/CMakeCache.txt" ] || generator=(-G Ninja)
    [ "$#" -eq 0 ] || targets=(--target "$@")
    cmake "${generator[@]}" -S "$source" -B "$folder" -DCMAKE_BUILD_TYPE=Release -DTROVE_BENCH=ON -DTROVE_TESTS=OFF
    cmake --build "$folder" "${targets[@]}"
}

build_against() {
    then=$(mktemp -d "${TMPDIR:-/tmp}/trove-bench-then-XXXXXX")
    trap remove_then EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    git -C "$root" worktree add --quiet --detach "$then/source" "$1"
    # What is compared is ours: the peers of then needn't be built, and what the commit hasn't got yet isn't compared.
    local targets=(troved trove trove_bench)
    [ ! -e "$then/source/tests/bench/trove_crowd.c" ] || targets+=(trove_crowd)
    build_release "$then/source" "$then/build" "${targets[@]}"
}

remove_then() {
    git -C "$root" worktree remove --force "$then/source" 2>/dev/null || true
    rm -rf "$then"
    git -C "$root" worktree prune
}

against=
arguments=()
while [ "$#" -gt 0 ]; do
    case $1 in
    --against)
        against=${2:?--against needs a commit}
        shift 2
        ;;
    --against=*)
        against=${1#*=}
        shift
        ;;
    *)
        arguments+=("$1")
        shift
        ;;
    esac
done
if [ -n "$against" ]; then
    against=$(git -C "$root" rev-parse --verify --quiet "$against^{commit}") || {
        echo "$0: --against: there is no such commit" >&2
        exit 2
    }
fi

"$root/deploy/install-packages.sh" --bench
build_release "$root" "$build"
if [ -z "$against" ]; then
    exec python3 -B "$here/bench.py" --build "$build" "${arguments[@]}"
fi
build_against "$against"
python3 -B "$here/bench.py" --build "$build" --against "$then/build" "${arguments[@]}"
