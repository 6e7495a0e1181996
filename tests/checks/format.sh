#!/bin/bash
# Checks that every C and C++ file is formatted as .clang-format says. To mend it: tests/checks/format.sh --fix
# clang-format leaves comments alone, or it would take diagrams apart: their width is looked at here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mode=(--dry-run -Werror)
[ "${1-}" != --fix ] || mode=(-i)
tests/checks/files.sh '*.c' '*.h' '*.cc' | xargs -0 --no-run-if-empty clang-format --style=file "${mode[@]}"

if tests/checks/files.sh '*.c' '*.h' '*.cc' | LC_ALL=C.UTF-8 xargs -0 --no-run-if-empty grep -nE '^.{131,}'; then
    echo "lines of more than 130 columns" >&2
    exit 1
fi
