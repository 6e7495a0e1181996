#!/usr/bin/env python3
"""Checks that the test of calls from a hook calls every function of trove.h and its like, but for those that a hook may not call.

    hook_calls.py TEST_CLIENT_HOOKS.C HEADER...
"""
import re
import sys

FORBIDDEN_IN_HOOKS = {"trove_close"}


def without_comments(path):
    with open(path, encoding="utf-8") as file:
        return re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.DOTALL)


def main():
    test, *headers = (without_comments(path) for path in sys.argv[1:])
    declared = set(re.findall(r"^TROVE_API\b[^;(]*?\b(trove_\w+)\s*\(", "\n".join(headers), flags=re.MULTILINE))
    called = set(re.findall(r"\b(trove_\w+)\s*\(", test))
    missing = declared - called - FORBIDDEN_IN_HOOKS
    for name in sorted(missing):
        print(f"no test calls it from a hook: {name}")
    print(f"{len(declared)} functions declared, {len(missing)} missing")
    return 0 if declared and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
