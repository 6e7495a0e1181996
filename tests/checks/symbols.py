#!/usr/bin/env python3
"""Checks that the shared libtrove exports exactly the functions that trove.h declares with TROVE_API.

    symbols.py LIBTROVE.so TROVE.H
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


def main():
    library, header = sys.argv[1:]
    declared, exported = declared_in(header), exported_by(library)
    for name in sorted(declared - exported):
        print(f"declared, but not exported: {name}")
    for name in sorted(exported - declared):
        print(f"exported, but not declared: {name}")
    print(f"{len(declared)} functions declared, {len(exported)} exported")
    return 0 if declared and declared == exported else 1


if __name__ == "__main__":
    sys.exit(main())
