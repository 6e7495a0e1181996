#!/bin/bash
# Checks that every C and C++ file is formatted as .clang-format says. To mend it: tests/checks/format.sh --fix
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mode=(--dry-run -Werror)
[ "${1-}" != --fix ] || mode=(-i)
tests/checks/files.sh '*.c' '*.h' '*.cc' | xargs -0 --no-run-if-empty clang-format --style=file "${mode[@]}"
