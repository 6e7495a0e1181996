#!/bin/bash
# Installs the Debian 12 packages that Trove needs, those that are missing.
#
#   deploy/install-packages.sh           to build and run it
#   deploy/install-packages.sh --tests   to run every test as well
#   deploy/install-packages.sh --bench   to run the benchmark as well
#
# Needs root or sudo, but only if something is missing; then the package lists are refreshed first. Says nothing if all is there.
set -euo pipefail

packages=(
    gcc libc6-dev cmake ninja-build pkg-config
    protobuf-c-compiler libprotobuf-c-dev libnng-dev libsodium-dev libxxhash-dev librocksdb-dev
    libcyaml-dev libyaml-dev libjansson-dev
)
test_packages=(
    g++ clang clang-format clang-tidy libclang-rt-14-dev llvm libcmocka-dev
    ca-certificates git jq python3 shellcheck nodejs npm
)

# What the benchmark compares with.
bench_packages=(
    g++ libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
    redis-server redis-tools nginx-light rsync curl openssl python3
)

case "${1-}" in
'') ;;
--tests) packages+=("${test_packages[@]}") ;;
--bench) packages+=("${bench_packages[@]}") ;;
*)
    echo "usage: $0 [--tests|--bench]" >&2
    exit 64
    ;;
esac

installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Node from elsewhere brings npm along, and then Debian's package of it can't be installed.
present() {
    installed "$1" || { [ "$1" = npm ] && command -v npm >/dev/null; }
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "$0: these packages are missing: ${missing[*]}" >&2
        echo "$0: installing them needs root or sudo; run it as root once, then go on as yourself" >&2
        exit 1
    fi
}

# apt's output is of interest only if it fails.
quietly() {
    local output status=0
    output=$("$@" 2>&1) || status=$?
    [ "$status" -eq 0 ] || printf '%s\n' "$output" >&2
    return "$status"
}

# redis and nginx bring services that would start on their default ports: a policy keeps them from starting now, and what this run
# installed is disabled afterwards. Services that were there before stay as they are, and so does a policy.
install_all() {
    local policy=/usr/sbin/policy-rc.d own_policy=0 status=0 service
    if [ ! -e "$policy" ]; then
        own_policy=1
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    quietly as_root apt-get update -q && quietly as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes -q --no-install-recommends "$@" </dev/null || status=$?
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
    present "$package" || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "$0: this is for Debian 12; elsewhere install the equivalents of: ${missing[*]}" >&2
    exit 1
fi
echo "installing ${#missing[@]} Debian packages: ${missing[*]}"
install_all "${missing[@]}"
