#!/bin/bash
# Installs a build into a folder of its own and uses libtrove from outside: by CMake's package and by pkg-config, in C and in C++, and
# with the program that README.md shows.
#
#   tests/checks/consumer.sh BUILD
set -euo pipefail
build=$1
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/consumer" && pwd)
readme=$project/../../../README.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

cmake --install "$build" --prefix "$prefix" >/dev/null

awk '/^```$/ { code = 0 } code; /^```c$/ { code = 1 }' "$readme" >"$work/readme.c"
[ -s "$work/readme.c" ] || {
    echo "README.md shows no program in C" >&2
    exit 1
}

cmake -G Ninja -S "$project" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DREADME_PROGRAM="$work/readme.c" >/dev/null
cmake --build "$work/cmake" >/dev/null
"$work/cmake/consumer_c"
"$work/cmake/consumer_cxx"

pc=$(find "$prefix" -name trove.pc)
library_folder=$(dirname "$(dirname "$pc")")
read -ra flags <<<"$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --cflags --libs trove)"
gcc -Wall -Wextra -pedantic -Werror -o "$work/pc_c" "$project/consumer.c" "${flags[@]}"
g++ -Wall -Wextra -pedantic -Werror -o "$work/pc_cxx" "$project/consumer.cc" "${flags[@]}"
gcc -Wall -Wextra -Werror -o "$work/pc_readme" "$work/readme.c" "${flags[@]}"
LD_LIBRARY_PATH=$library_folder "$work/pc_c"
LD_LIBRARY_PATH=$library_folder "$work/pc_cxx"

for program in trove troved; do
    "$prefix/bin/$program" --version
done

# Where libraries lie deeper, as Debian has them; what is installed is found wherever that was moved to.
cmake -G Ninja -S "$project/../../.." -B "$work/deeper" -DTROVE_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr \
    -DCMAKE_INSTALL_LIBDIR=lib/some-machine >/dev/null
mkdir -p "$work/usr/lib/some-machine/pkgconfig" "$work/usr/include"
cp "$work/deeper/client/trove.pc" "$work/usr/lib/some-machine/pkgconfig"
for variable in prefix=. libdir=lib/some-machine includedir=include; do
    found=$(PKG_CONFIG_PATH=$work/usr/lib/some-machine/pkgconfig pkg-config --variable="${variable%=*}" trove)
    [[ $(realpath -- "$found") == $(realpath -- "$work/usr/${variable#*=}") ]] || {
        echo "pkg-config's ${variable%=*} is $found" >&2
        exit 1
    }
done
