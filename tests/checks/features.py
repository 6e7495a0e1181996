#!/usr/bin/env python3
"""Checks that the tests which a table of features names exist, and that ctest runs them.

    features.py TABLE.MD BUILD_FOLDER     files are named from the table's folder
    features.py --self-test

A row is | feature | ways | tests |; one without ways and tests is a heading. Tests are `file` test, test; `file` test. A C
file's test is one that it hands to cmocka (also by a macro TEST), a Python file's a method; the program that ctest runs is
named like the file. Exit code 1 and a line per row that is wrong.
"""
import json
import os
import re
import subprocess
import sys

WAYS = {"up", "down", "two-way"}
FILE = re.compile(r"`([\w./]+\.(?:c|py))` (.+)")
DEFINED = {
    ".c": r"\n(?:static )?void {0}\(void \*\*state\) \{{(?s:.*)\b(?:cmocka_unit_test\w*|TEST)\({0}\b",
    ".py": r"\n    def {0}\(self\b",
}


def rows(table):
    """(line, feature, ways, tests) of each row that isn't a heading."""
    for number, line in enumerate(table.splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        is_rule = set(line) <= set("|-: ")
        if not line.startswith("|") or is_rule or cells[0] == "Feature":
            continue
        if len(cells) != 3:
            yield number, line, "", ""
        elif cells[1] or cells[2]:
            yield number, *cells


def check_row(ways, tests, source, programs):
    """What is wrong with a row; `source` gives the text of a file, or None."""
    if not ways or not set(ways.split(", ")) <= WAYS:
        yield f"ways are {', '.join(sorted(WAYS))}, and not {ways!r}"
    for part in tests.split("; "):
        found = FILE.fullmatch(part)
        if found is None:
            yield f"tests are `file` test, test; and not {part!r}"
            continue
        name, wanted = found.groups()
        text = source(name)
        stem, kind = os.path.splitext(os.path.basename(name))
        if text is None:
            yield f"{name} doesn't exist"
            continue
        if (stem if kind == ".c" else stem + kind) not in programs:
            yield f"ctest doesn't run {name}"
        for test in wanted.split(", "):
            if not re.fullmatch(r"\w+", test) or re.search(DEFINED[kind].format(test), text) is None:
                yield f"{name} has no test {test}"


def programs_of(build):
    """Names of all programs and scripts that ctest runs."""
    shown = subprocess.run(
        ["ctest", "--test-dir", build, "--show-only=json-v1"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return {os.path.basename(word) for test in json.loads(shown.stdout)["tests"] for word in test.get("command", [])}


def check_table(path, build):
    folder = os.path.dirname(os.path.abspath(path))
    programs = programs_of(build)
    texts = {}

    def source(name):
        file = os.path.join(folder, name)
        if name not in texts:
            texts[name] = open(file, encoding="utf-8").read() if os.path.isfile(file) else None
        return texts[name]

    count = wrong = 0
    with open(path, encoding="utf-8") as table:
        for number, feature, ways, tests in rows(table.read()):
            count += 1
            for why in check_row(ways, tests, source, programs):
                wrong += 1
                print(f"{path}:{number}: {feature}: {why}")
    print(f"{count} rows, {wrong} wrong")
    return 0 if count > 0 and wrong == 0 else 1


def self_test():
    one = "\nstatic void test_one(void **state) {\n}"
    texts = {
        "test_a.c": f"{one}\nstatic void test_two(void **state) {{\n}}\ncmocka_unit_test(test_one)",
        "test_b.py": "\n    def test_three(self) -> None:\n",
        "test_c.c": f"{one}\ncmocka_unit_test(test_one)",
    }
    programs = {"test_a", "test_b.py", "test_b"}
    cases = [
        ("up", "`test_a.c` test_one", 0),
        ("up, two-way", "`test_a.c` test_one; `test_b.py` test_three", 0),
        ("", "`test_a.c` test_one", 1),
        ("sideways", "`test_a.c` test_one", 1),
        ("up", "", 1),
        ("up", "test_a.c test_one", 1),
        ("up", "`test_a.c` test_two", 1),  # isn't handed to cmocka
        ("up", "`test_a.c` test_one, test_three", 1),
        ("up", "`test_b.py` test_thre", 1),
        ("up", "`test_c.c` test_one", 1),  # isn't run
        ("up", "`test_d.c` test_one", 1),  # doesn't exist
    ]
    for ways, tests, wrong in cases:
        found = list(check_row(ways, tests, texts.get, programs))
        assert len(found) == wrong, (ways, tests, found)
    table = "| Feature | Way | Shown by |\n|---|---|---|\n| **A** | | |\ntext\n| x | up | `test_a.c` test_one |\n| y | up |\n"
    assert [row[:2] for row in rows(table)] == [(5, "x"), (6, "| y | up |")], list(rows(table))
    return 0


if __name__ == "__main__":
    sys.exit(self_test() if sys.argv[1:] == ["--self-test"] else check_table(*sys.argv[1:]))
