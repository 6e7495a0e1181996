"""trove scrub: the server verifies what it has stored; and what readers are told of damaged objects."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from trove_test import (
    BLOCK,
    DATA_LOSS,
    FAILURE,
    INLINE_MAX,
    MIB,
    NOT_FOUND,
    OK,
    UNAVAILABLE,
    USAGE,
    ServerTest,
    TroveTest,
    content,
    main,
    run_together,
)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


class ScrubTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.start_server()
        self.trove("mb", "bucket")

    def put(self, key: str, size: int) -> Path:
        """Returns the file that it has in the store."""
        before = set(self.server.object_files())
        self.trove("put", "-", f"bucket/{key}", data=content(key, size))
        new = set(self.server.object_files()) - before
        return new.pop() if new else Path()

    def test_a_store_that_is_whole(self) -> None:
        sizes = {"empty": 0, "small": INLINE_MAX, "a/large": 3 * MIB + 5}
        for key, size in sizes.items():
            self.put(key, size)
        result = self.trove("scrub", "bucket")
        self.assertEqual((result.text, result.errors), ("bucket: 3 objects, 3.1 MiB, 0 damaged\n", ""))
        self.assertEqual(
            self.trove("--json", "scrub", "bucket").objects(),
            [{"bucket": "bucket", "objects": 3, "bytes": sum(sizes.values()), "damaged_objects": 0, "damaged_bytes": 0}],
        )  # fmt: skip
        for prefix, objects in (("a/", 1), ("s", 1), ("x", 0), ("", 3)):
            with self.subTest(prefix=prefix):
                self.assertEqual(self.trove("--json", "scrub", "bucket", "--prefix", prefix).objects()[0]["objects"], objects)
        self.assertEqual(self.trove("--quiet", "scrub", "bucket").text, "")

    def test_damage_is_told(self) -> None:
        file = self.put("b/film", 9 * MIB + 7)
        self.put("a", 100)
        lost = self.put("c", MIB)
        for offset in (BLOCK + 3, 2 * BLOCK, 9 * MIB + 6):
            flip(file, offset)
        lost.unlink()
        result = self.trove("scrub", "bucket", expect=DATA_LOSS)
        self.assertIn(f"bucket/b/film: {2 * BLOCK} bytes from {BLOCK} on: ", result.text)
        self.assertIn(f"bucket/c: {MIB} bytes from 0 on: ", result.text)
        self.assertIn("bucket: 3 objects, 9.0 MiB, 2 damaged", result.text)
        self.assertIn("2 of 3 objects are damaged (DATA_LOSS); put them again", result.errors)
        found = self.trove("--json", "scrub", "bucket", expect=DATA_LOSS).objects()
        self.assertEqual(
            [(line["key"], line["offset"], line["length"]) for line in found[:-1]],
            [("b/film", BLOCK, 2 * BLOCK), ("b/film", 9 * MIB, 7), ("c", 0, MIB)],
        )
        self.assertEqual(found[0]["generation"], self.stat("bucket/b/film")["generation"])
        self.assertEqual(found[-1]["damaged_objects"], 2)
        self.assertEqual(found[-1]["damaged_bytes"], 2 * BLOCK + 7 + MIB)
        self.trove("scrub", "bucket", "--prefix", "a")
        for key in ("b/film", "c"):
            self.trove("put", "-", f"bucket/{key}", data=b"whole again")
        self.trove("scrub", "bucket")

    def test_more_damage_than_fits_an_answer(self) -> None:
        """Every second block of an object with a long key, and some hundred objects without a file."""
        long_key = "k" * 1000
        file = self.put(long_key, 32 * MIB)
        for offset in range(0, 32 * MIB, 2 * BLOCK):
            flip(file, offset)
        for index in range(150):
            self.put(f"m{index:03}", INLINE_MAX + 1).unlink()
        found = self.trove("--json", "scrub", "bucket", expect=DATA_LOSS).objects()
        wanted = [(long_key, offset, BLOCK) for offset in range(0, 32 * MIB, 2 * BLOCK)]
        wanted += [(f"m{index:03}", 0, INLINE_MAX + 1) for index in range(150)]
        self.assertEqual([(line["key"], line["offset"], line["length"]) for line in found[:-1]], wanted)
        self.assertEqual(found[-1]["damaged_objects"], 151)

    def test_readers_are_told_of_damage(self) -> None:
        """The object and the bytes, whichever way they are read; what comes before them is right, what isn't damaged as well."""
        data = content("film", 5 * MIB)
        file = self.put("film", 5 * MIB)
        flip(file, 3 * BLOCK)
        where = f"bytes from {3 * BLOCK} to {4 * BLOCK}"
        target = self.folder / "target"
        for verb, *more in (["get", target], ["get", "-"], ["cat"], ["cp", "bucket/copy"]):
            with self.subTest(verb=verb):
                result = self.trove(verb, "bucket/film", *more, expect=DATA_LOSS)
                self.assertIn("bucket/film", result.errors)
                self.assertIn(where, result.errors)
                self.check_content(result.out, data[: len(result.out)], "what came before the damage")
                self.assertLessEqual(len(result.out), 3 * BLOCK)
        self.assertFalse(target.exists())
        self.trove("stat", "bucket/copy", expect=NOT_FOUND)
        rest = self.trove("get", "bucket/film", "--range", f"{4 * BLOCK}-", "-").out
        self.check_content(rest, data[4 * BLOCK :], "what lies behind it")

    def test_a_client_that_goes_away_leaves_nothing_behind(self) -> None:
        for index in range(4):
            self.put(f"{index}", 16 * MIB)
        running = [self.start_trove("scrub", "bucket") for _ in range(4)]
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.assertEqual(self.trove("--json", "scrub", "bucket").objects()[0]["objects"], 4)
        self.server.stop()

    def test_a_server_that_ends_meanwhile(self) -> None:
        for index in range(2):
            self.put(f"{index}", 16 * MIB)
        running = self.start_trove("scrub", "bucket")
        self.server.stop()
        self.assertIn(self.finish(running, expect=None).code, (OK, UNAVAILABLE))


class ManyTest(TroveTest):
    def test_nobody_waits_for_it(self) -> None:
        """With one worker: scrubs take turns with each other, and everything else gets in between their steps."""
        self.start_server(config="workers: 1\n")
        self.trove("mb", "bucket", "other")
        for index in range(8):
            self.trove("put", "-", f"bucket/{index}", data=os.urandom(8 * MIB))

        def scrub() -> None:
            self.assertEqual(self.trove("--json", "scrub", "bucket").objects()[-1]["objects"], 8)

        def put() -> None:
            for index in range(10):
                self.trove("put", "-", "other/key", data=content(f"{index}", 2 * MIB))
                self.check_content(self.trove("cat", "other/key").out, content(f"{index}", 2 * MIB), "what was put")

        run_together([scrub, scrub, scrub, put])
        self.server.stop()

    def test_mem(self) -> None:
        self.start_server(store="mem://")
        self.trove("mb", "bucket")
        self.trove("put", "-", "bucket/key", data=content("key", 3 * MIB))
        self.assertEqual(self.trove("--json", "scrub", "bucket").objects()[0]["bytes"], 3 * MIB)

    def test_null(self) -> None:
        self.start_server(store="null://")
        result = self.trove("scrub", "bucket", expect=FAILURE)
        self.assertIn("UNIMPLEMENTED", result.errors)


class WrongTest(ServerTest):
    def test_wrong_usage(self) -> None:
        for arguments in ([], ["one", "two"], [f"{self.bucket}/key"], ["--prefix"]):
            with self.subTest(arguments=arguments):
                self.trove("scrub", *arguments, expect=USAGE)
        self.assertIn("no-such-bucket", self.trove("scrub", "no-such-bucket", expect=NOT_FOUND).errors)


if __name__ == "__main__":
    main()
