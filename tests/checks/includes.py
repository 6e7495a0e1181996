#!/usr/bin/env python3
"""Checks the directions of includes: trove.h <- common <- client <- cli, common <- server <- drivers.

    includes.py [ROOT]     checks the C files of the project
    includes.py --self-test

A quoted include must name a file of a folder that the including one may look into. System headers of libraries that only one
module may know are checked by name. Exit code 1 and a line per offence if there is one.
"""
import os
import re
import sys

# Folder: (folders that its quoted includes may come from, in the order of search). The longest prefix of a file's path counts.
MAY_SEE = {
    "client/include": ["client/include"],
    "common": ["common", "client/include"],
    "client/src": ["client/src", "common", "client/include"],
    "client/cli": ["client/cli", "client/include"],
    "client/examples": ["client/examples", "client/include"],
    "server": ["server", "common", "client/include"],
    "server/drivers": ["server/drivers", "common", "client/include"],
}

# Of the drivers the server sees the one interface alone.
SERVER_SEES_OF_DRIVERS = {"drivers/driver.h", "driver.h"}

# The wire's modules, unknown to drivers.
WIRE = {"conn.h", "frame.h", "receiver.h", "sender.h", "transport.h", "stream_state.h"}

# Beginning of a system header: pattern of the files that may include it.
CONFINED = {
    "nng/": r"common/(transport\w*|listener)\.[ch]",
    "trove/v1/": r"common/frame\.h",
    "protobuf-c/": r"common/(arena|frame)\.[ch]|server/(rpc|call|services)\.[ch]|client/src/call\w*\.[ch]",
    "rocksdb/": r"server/drivers/(local\w*|store_io)\.[ch]",
    "cyaml/": r"server/config_schema\.c",
    "yaml.h": r"server/config_lines\.c",
    "jansson.h": r"client/cli/\w+\.[ch]",
    "argp.h": r"client/cli/\w+\.[ch]|server/command_line\.c",
    "curl/": r"server/drivers/s3\w*\.[ch]",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def folder_rule(path):
    fitting = [folder for folder in MAY_SEE if path.startswith(folder + "/")]
    return max(fitting, key=len) if fitting else None


def check_quoted(path, rule, name, exists):
    if ".." in name.split("/"):
        return 'climbs out of its folder; include paths begin at a module\'s root'
    if rule == "server" and (name in SERVER_SEES_OF_DRIVERS) and exists("server/drivers/driver.h"):
        return None
    if rule == "server/drivers" and name in WIRE:
        return "drivers know nothing of the wire"
    if rule == "server" and name.startswith("drivers/"):
        return "of the drivers the server may include drivers/driver.h alone"
    for folder in MAY_SEE[rule]:
        if exists(f"{folder}/{name}"):
            return None
    elsewhere = [folder for folder in MAY_SEE if exists(f"{folder}/{name}")]
    if elsewhere:
        return f"is in {' and '.join(elsewhere)}, which {rule} may not see (only {', '.join(MAY_SEE[rule])})"
    return "isn't there"


def check_system(path, name):
    for beginning, allowed in CONFINED.items():
        if name.startswith(beginning) and not re.fullmatch(allowed, path):
            return f"may be included by {allowed} alone"
    if re.fullmatch(r"trove(_\w+)?\.h", name) and not path.startswith("client/examples/"):
        return f'belongs to us: write "{name}"'
    return None


def check(path, text, exists):
    rule = folder_rule(path)
    if rule is None:
        return []
    offences = []
    for match in INCLUDE.finditer(text):
        kind, name = match.groups()
        line = text.count("\n", 0, match.start(1)) + 1
        why = check_system(path, name) if kind == "<" else check_quoted(path, rule, name, exists)
        if why:
            offences.append(f"{path}:{line}: {name} {why}")
    return offences


def check_project(root):
    offences = []
    count = 0
    for top in ("common", "client", "server"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if not name.endswith((".c", ".h")):
                    continue
                full = os.path.join(folder, name)
                with open(full, encoding="utf-8") as file:
                    text = file.read()
                count += 1
                offences += check(os.path.relpath(full, root), text, lambda p: os.path.exists(os.path.join(root, p)))
    return count, offences


def self_test():
    files = {"client/include/trove.h", "client/src/stream.h", "client/cli/text.h", "common/conn.h", "common/data.h", "server/stream.h",
             "server/drivers/driver.h", "server/drivers/local.h"}
    rows = [
        ("common/x.c", '#include "data.h"\n#include "trove.h"\n', 0),
        ("common/x.c", '#include "session.h"', 1),
        ("common/x.c", '#include "../server/stream.h"', 1),
        ("common/x.c", '#include <nng/nng.h>', 1),
        ("common/transport.c", '#include <nng/nng.h>', 0),
        ("common/listener.c", '#  include <nng/nng.h>', 0),
        ("client/src/x.c", '#include "stream.h"\n#include "conn.h"', 0),
        ("client/src/x.c", '#include "drivers/driver.h"', 1),
        ("client/cli/x.c", '#include "text.h"\n#include "trove.h"', 0),
        ("client/cli/x.c", '#include "data.h"', 1),
        ("client/cli/x.c", '#include "stream.h"', 1),
        ("server/x.c", '#include "stream.h"\n#include "drivers/driver.h"\n#include "conn.h"', 0),
        ("server/x.c", '#include "drivers/local.h"', 1),
        ("server/x.c", '#include "local.h"', 1),
        ("server/x.c", '#include "text.h"', 1),
        ("server/drivers/x.c", '#include "driver.h"\n#include "data.h"', 0),
        ("server/drivers/x.c", '#include "stream.h"', 1),
        ("server/drivers/x.c", '#include "conn.h"', 1),
        ("server/drivers/local_x.c", '#include <rocksdb/c.h>', 0),
        ("server/drivers/mem.c", '#include <rocksdb/c.h>', 1),
        ("client/cli/x.c", '#include <trove.h>', 1),
        ("client/examples/x.c", '#include <trove.h>', 0),
        ("server/x.c", '#include <trove/v1/trove.pb-c.h>', 1),
        ("tests/unit/x.c", '#include "anything.h"', 0),
    ]
    for path, text, expected in rows:
        found = check(path, text, lambda p: p in files)
        assert len(found) == expected, (path, text, found)


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    count, offences = check_project(root)
    for offence in offences:
        print(offence)
    print(f"{count} files, {len(offences)} offences")
    return 1 if offences or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
