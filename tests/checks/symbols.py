#!/usr/bin/env python3
"""Checks that the shared libtrove exports exactly the functions that trove.h and its like declare with TROVE_API, and that its
soname stands for the ABI that trove.h promises: that of a major version, before 1.0 of a minor one.

    symbols.py LIBTROVE.so TROVE.H [HEADER...]
"""
import re
import subprocess
import sys


def declared_in(header):
    with open(header, encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(r"^[ \t]*#(?:\\\n|.)*$", "", text, flags=re.MULTILINE)
    return set(re.findall(r"\bTROVE_API\b[^;(]*?\b(trove_\w+)\s*\(", text))


def exported_by(library):
    lines = subprocess.run(["nm", "--dynamic", "--defined-only", "--format=posix", library], check=True, capture_output=True, text=True)
    return {line.split()[0].split("@")[0] for line in lines.stdout.splitlines()}


def soname_of(library):
    text = subprocess.run(["readelf", "--dynamic", "--wide", library], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\(SONAME\).*\[(.*)\]", text)
    return found[1] if found else None


def soname_for(header):
    with open(header, encoding="utf-8") as file:
        major, minor, _ = re.findall(r"^#define TROVE_VERSION_\w+ +(\d+)$", file.read(), re.MULTILINE)
    return f"libtrove.so.{major}" if int(major) > 0 else f"libtrove.so.{major}.{minor}"


def main():
    library, *headers = sys.argv[1:]
    soname, wanted = soname_of(library), soname_for(headers[0])
    if soname != wanted:
        print(f"the soname is {soname}; it should be {wanted}")
    declared, exported = set().union(*map(declared_in, headers)), exported_by(library)
    for name in sorted(declared - exported):
        print(f"declared, but not exported: {name}")
    for name in sorted(exported - declared):
        print(f"exported, but not declared: {name}")
    print(f"{len(declared)} functions declared, {len(exported)} exported")
    return 0 if declared and declared == exported and soname == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
