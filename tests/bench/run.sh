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
packages=(cmake ninja-build gcc g++ pkg-config libxxhash-dev libgrpc++-dev libprotobuf-dev protobuf-compiler
    protobuf-compiler-grpc redis-server redis-tools nginx-light rsync curl python3)

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# redis and nginx bring services that would start on their default ports: a policy keeps them from starting now, and what
# this run installed is disabled afterwards. Services that were there before stay as they are.
install_packages() {
    local policy=/usr/sbin/policy-rc.d own_policy=0 status=0 service
    if [ ! -e "$policy" ]; then
        own_policy=1
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@" || status=$?
    [ "$own_policy" -eq 0 ] || as_root rm -f "$policy"
    [ "$status" -eq 0 ] || return "$status"
    for service in redis-server nginx rsync; do
        if [[ " $* " == *" $service"* ]] && [ -d /run/systemd/system ]; then
            as_root systemctl disable --now "$service" >/dev/null 2>&1 || true
        fi
    done
}

missing=()
for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
fi

generator=()
[ -e "$build/CMakeCache.txt" ] || generator=(-G Ninja)
cmake "${generator[@]}" -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DTROVE_BENCH=ON -DTROVE_TESTS=OFF
cmake --build "$build"

exec python3 -B "$here/bench.py" --build "$build" "$@"
