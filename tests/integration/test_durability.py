"""What was acknowledged is there after a crash: kill -9 in the middle of many puts, again and again."""

from __future__ import annotations

import json
import random
import subprocess
import threading

from trove_test import (
    INLINE_MAX,
    KIB,
    LONG,
    MIB,
    OK,
    PATIENCE_S,
    SANITIZE,
    SEED,
    TroveTest,
    UNAVAILABLE,
    content,
    main,
    run_together,
    say,
)

CYCLES = 100 if LONG else 10
WRITERS = 8
SIZES = [0, 1, 1000, INLINE_MAX, INLINE_MAX + 1, 300 * KIB, MIB, 3 * MIB + 1]


class Key:
    """A key that one writer puts again and again. After a crash it has the version that was acknowledged last, or one that
    was tried since."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tried = 0  # versions begin at 1; 0 stands for none
        self.possible = {0}

    def data(self, version: int) -> bytes:
        size = random.Random(f"{SEED}/{self.name}/{version}").choice(SIZES)
        return content(f"{self.name}/{version}", size)


class DurabilityTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.chance = random.Random(f"{SEED}/crashes")
        self.keys_of = [[Key(f"writer-{writer}/{index}") for index in range(6)] for writer in range(WRITERS)]
        self.acknowledged = 0
        self.enough = threading.Condition()

    def write_until_crash(self, writer: int) -> None:
        chance = random.Random(f"{SEED}/{writer}/{self.acknowledged}")
        while True:
            key = chance.choice(self.keys_of[writer])
            key.tried += 1
            version = key.tried
            key.possible.add(version)
            result = self.trove(
                "put", "--no-resume", "--retry-for", "0", "-", f"bucket/{key.name}", data=key.data(version), expect=None
            )
            if result.code != OK:
                self.assertEqual(result.code, UNAVAILABLE, result.errors)
                return
            key.possible = {version}
            with self.enough:
                self.acknowledged += 1
                self.enough.notify()

    def crash_after(self, acknowledged: int) -> None:
        try:
            with self.enough:
                enough = self.enough.wait_for(lambda: self.acknowledged >= acknowledged, PATIENCE_S)
        finally:
            self.server.kill()
        self.assertTrue(enough, f"{self.acknowledged} puts were acknowledged, where there should be {acknowledged}")

    def check_objects(self) -> None:
        back = self.folder / "back"
        listed = {entry["key"]: entry["size"] for entry in self.trove("--json", "ls", "-r", "bucket").objects()}
        if listed:
            self.trove("--quiet", "get", "--recursive", "bucket", back)
        for keys in self.keys_of:
            for key in keys:
                path = back / key.name
                data = path.read_bytes() if path.exists() else None
                found = [version for version in key.possible if data == (key.data(version) if version else None)]
                if not found:
                    has = "is missing" if data is None else f"has {len(data)} other bytes"
                    self.fail(f"{key.name} {has}; it should have one of the versions {sorted(key.possible)}")
                key.possible = {max(found)}
                path.unlink(missing_ok=True)

    def test_acknowledged_objects_survive_crashes(self) -> None:
        self.start_server()
        self.trove("mb", "bucket")
        for cycle in range(CYCLES):
            wanted = self.acknowledged + self.chance.randrange(1, 60)
            run_together(
                [lambda writer=writer: self.write_until_crash(writer) for writer in range(WRITERS)]
                + [lambda: self.crash_after(wanted)]
            )
            self.start_server()
            self.check_objects()
            self.check_store("bucket")
        say(f"{CYCLES} crashes, {self.acknowledged} acknowledged puts")
        self.server.stop()

    def test_deletes_and_copies_survive_a_crash(self) -> None:
        self.start_server()
        self.trove("mb", "bucket", "gone")
        for name in ("small", "large"):
            data = content(name, 100 if name == "small" else MIB)
            self.trove("put", "-", f"bucket/{name}", data=data)
            self.trove("cp", f"bucket/{name}", f"bucket/{name}-copy")
            self.trove("rm", f"bucket/{name}")
        self.trove("rb", "gone")
        self.server.kill()
        self.start_server()
        self.assertEqual(self.keys("bucket"), ["large-copy", "small-copy"])
        self.assertEqual([entry["bucket"] for entry in self.trove("--json", "ls").objects()], ["bucket"])
        self.check_content(self.trove("cat", "bucket/large-copy").out, content("large", MIB), "the copy")
        self.check_store("bucket")
        self.server.stop()

    def test_many_small_puts_on_one_connection(self) -> None:
        """Each line of the command's output is a put that was acknowledged."""
        files = self.folder / "files"
        files.mkdir()
        count = 300 if SANITIZE else 2000
        for index in range(count):
            (files / f"{index:05}").write_bytes(content(f"small-{index}", index % 5000))
        self.start_server()
        self.trove("mb", "bucket")
        putting = self.start_trove(
            "--json", "put", "--retry-for", "0", "--recursive", "--parallel", str(WRITERS), files, "bucket", stderr=subprocess.DEVNULL
        )
        assert putting.stdout is not None
        first = putting.stdout.readline()  # of a full buffer, so there are many
        self.server.kill()
        lines = [first, *putting.stdout.read().splitlines()]
        self.assertIn(putting.wait(), (OK, UNAVAILABLE))
        self.start_server()
        present = set(self.keys("bucket"))
        missing = [key for key in (json.loads(line)["key"] for line in lines) if key not in present]
        self.assertEqual(missing, [])
        back = self.folder / "back"
        self.trove("--quiet", "get", "--recursive", "bucket", back)
        for key in present:
            self.check_content((back / key).read_bytes(), (files / key).read_bytes(), key)
        self.server.stop()


if __name__ == "__main__":
    main()
