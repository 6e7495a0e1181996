#!/bin/bash
# Looks at what BUILD compiles with clang-tidy, as .clang-tidy says; with FILEs at those alone. The static analyzer looks at what
# ships, and takes several times as long as all other checks: it has its turn only with TROVE_TEST_LONG=1.
#
#   tests/checks/tidy.sh BUILD [FILE...]
set -euo pipefail
build=$(realpath "$1")
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fewer=()
[ "${TROVE_TEST_LONG-}" = 1 ] || fewer=('--checks=-clang-analyzer-*')
files=("$@")
if [ "${#files[@]}" -eq 0 ]; then
    mapfile -t files < <(jq -r '.[].file' "$build/compile_commands.json" | grep -F "$PWD/" | grep -vF "$build/" | sort -u)
fi
[ "${#files[@]}" -gt 0 ] || {
    echo "$build compiles nothing of $PWD" >&2
    exit 1
}
# What it says on stderr is how many warnings of system headers it doesn't show.
printf '%s\0' "${files[@]}" |
    xargs -0 -n 8 -P "$(nproc)" clang-tidy -p "$build" --quiet "${fewer[@]}" 2>/dev/null
