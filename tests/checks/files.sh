#!/bin/bash
# Lists the project's files that fit the patterns: those that git knows or, where there is no git or no repository, those on disk
# outside build folders. NUL stands behind each.
#
#   tests/checks/files.sh '*.c' '*.h'
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# In a container the checkout often belongs to another user, and git then refuses to look at it.
if git -c safe.directory="$PWD" ls-files -z -- "$@" 2>/dev/null; then
    exit 0
fi
names=()
for pattern in "$@"; do
    names+=(-o -name "${pattern##*/}")
done
find . \( -name build -o -name node_modules -o -name .git \) -prune -o -type f \( "${names[@]:1}" \) -printf '%P\0'
