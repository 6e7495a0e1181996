#!/bin/bash
# The benchmark: ours and its peers side by side in one run. bench.py says what is measured and how.
#
#   tests/bench/run.sh [--quick] [--json FILE] [--disk FOLDER] [--only REGEX] [--rounds N] [--calibrate]
#
# Installs the Debian packages that are missing (as root or through sudo), builds a release with the peers into
# $TROVE_BENCH_BUILD (build/bench by default), and runs.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${TROVE_BENCH_BUILD:-$root/build/bench}

"$root/deploy/install-packages.sh" --bench

generator=()
[ -e "$build/CMakeCache.txt" ] || generator=(-G Ninja)
cmake "${generator[@]}" -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DTROVE_BENCH=ON -DTROVE_TESTS=OFF
cmake --build "$build"

exec python3 -B "$here/bench.py" --build "$build" "$@"
