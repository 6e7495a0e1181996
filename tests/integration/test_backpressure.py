"""--backpressure of put and get: what each mode keeps, and what "drop" says it lost."""

from __future__ import annotations

import json
import os
import re

from trove_test import BLOCK, CONFLICT, DATA_LOSS, KIB, MIB, USAGE, TroveTest, content, main

WAITING = ("block", "buffer", "adaptive")
SIZE = 8 * MIB + 77


class BackpressureTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.start_server()
        self.trove("mb", "media")
        self.data = content("backpressure", SIZE)

    def tearDown(self) -> None:
        self.server.stop()

    def zeroed(self, gaps: list[tuple[int, int]]) -> bytes:
        data = bytearray(self.data)
        for offset, length in gaps:
            data[offset : offset + length] = bytes(length)
        return bytes(data)

    def check_lossy(self, got: bytes, dropped_bytes: int, chunk_bytes: int) -> None:
        """As much is zeros as was told, in whole chunks; the rest is right and in its place."""
        lost = 0
        for at in range(0, SIZE, chunk_bytes):
            part = got[at : at + chunk_bytes]
            if part != self.data[at : at + chunk_bytes]:
                self.assertEqual(part, bytes(len(part)), f"at {at}")
                lost += len(part)
        self.assertEqual((len(got), lost), (SIZE, dropped_bytes))

    def test_nothing_is_lost(self) -> None:
        for mode in WAITING:
            with self.subTest(mode=mode):
                source = self.write("source", self.data)
                options = ("--backpressure", mode, "--bwlimit", "16M", "--chunk-size", "256K")
                for way in (str(source), "-"):
                    result = self.trove("--json", "put", *options, way, "media/whole", data=self.data).objects()[0]
                    transfer = result["transfer"]
                    self.assertEqual((transfer["dropped_bytes"], transfer["dropped_chunks"]), (0, 0))
                    self.assertEqual(transfer["spilled_bytes"] > 0, mode == "buffer", transfer)
                    self.check_content(self.trove("cat", "media/whole").out, self.data, f"put {way}")
                got = self.trove("get", *options, "media/whole", "-")
                self.check_content(got.out, self.data, "got")
                self.assertEqual(got.errors, "")

    def test_a_put_that_drops(self) -> None:
        options = ("--backpressure", "drop", "--bwlimit", "2M", "--chunk-size", "64K")
        put = self.trove("--json", "put", *options, "-", "media/lossy", data=self.data).objects()[0]
        dropped = put["transfer"]["dropped_bytes"]
        self.assertGreater(dropped, 0)
        self.assertEqual(put["gap_bytes"], dropped)
        self.assertEqual(put["transfer"]["dropped_chunks"], dropped // (64 * KIB))
        self.trove("get", "media/lossy", "-", expect=DATA_LOSS)
        self.check_lossy(self.trove("get", "--allow-gaps", "media/lossy", "-").out, dropped, 64 * KIB)
        gaps = [(gap["offset"], gap["length"]) for gap in self.stat("media/lossy")["gaps"]]
        self.check_content(self.trove("cat", "--allow-gaps", "media/lossy").out, self.zeroed(gaps), "the gaps as listed")
        again = self.trove("put", *options, "-", "media/lossy", data=self.data)
        self.assertRegex(again.errors, r"media/lossy: \d+ bytes in \d+ chunks were dropped on the way")

    def test_a_get_that_drops(self) -> None:
        self.trove("put", "-", "media/live", data=self.data)
        options = ("--backpressure", "drop", "--bwlimit", "2M", "--chunk-size", "256K")
        target = self.folder / "target"
        got = self.trove("--json", "get", *options, "--allow-gaps", "media/live", target).objects()[0]
        dropped = got["transfer"]["dropped_bytes"]
        self.assertGreater(dropped, 0)
        self.assertEqual(got["gap_bytes"], 0)  # the object is whole
        self.check_lossy(target.read_bytes(), dropped, BLOCK)
        got = self.trove("get", *options, "media/live", "-")
        told = re.search(r"media/live: (\d+) bytes in \d+ chunks were dropped on the way", got.errors)
        assert told is not None, got.errors
        self.check_lossy(got.out, int(told[1]), BLOCK)
        got = self.trove("--json", "get", *options, "media/live", "-")
        note = json.loads(got.errors)
        self.assertEqual(note["object"], "media/live")
        self.check_lossy(got.out, note["transfer"]["dropped_bytes"], BLOCK)

    def test_a_file_can_wait(self) -> None:
        """Nothing of one is dropped on the way to the server; and on the way back only who asks for it has zeros in it."""
        source = self.write("source", self.data)
        folder = self.folder / "files"
        folder.mkdir()
        drop = ("--backpressure", "drop")
        for options in (
            ("put", *drop, source, "media/x"),
            ("put", *drop, source, source, "media/x"),
            ("put", *drop, "-r", folder, "media/x"),
        ):
            self.assertIn("is for live sources, such as a pipe", self.trove(*options, expect=USAGE).errors)
        with source.open("rb") as opened:
            self.trove("put", *drop, "-", "media/x", stdin=opened, expect=USAGE)
        self.assertEqual(self.keys("media"), [])
        self.trove("put", source, "media/x")
        target = self.folder / "target"
        for place in ((target,), (folder,), (source,)):
            refused = self.trove("get", *drop, "media/x", *place, expect=USAGE)
            self.assertIn("that takes --allow-gaps", refused.errors)
        self.trove("get", *drop, "-r", "media", folder, expect=USAGE)
        with target.open("wb") as opened:
            self.trove("get", *drop, "media/x", "-", stdout=opened, expect=USAGE)
        self.assertEqual((target.read_bytes(), list(folder.iterdir())), (b"", []))
        self.trove("get", *drop, "media/x", "/dev/null")

    def test_folders(self) -> None:
        for mode in WAITING:
            with self.subTest(mode=mode):
                folder = self.folder / f"files-{mode}"
                folder.mkdir()
                for index in range(5):
                    (folder / str(index)).write_bytes(self.data[: 300 * KIB * index])
                self.trove("put", "--backpressure", mode, "-r", folder, f"media/{mode}")
                self.trove("get", "--backpressure", mode, "--allow-gaps", "-r", f"media/{mode}", self.folder / f"back-{mode}")
                for index in range(5):
                    got = (self.folder / f"back-{mode}" / str(index)).read_bytes()
                    self.assertEqual(len(got), 300 * KIB * index)
                    self.check_content(got, self.data[: 300 * KIB * index], f"file {index}")

    def test_the_overflow_is_in_tmpdir(self) -> None:
        """A folder that isn't there is found out when the file is needed, and fails the put."""
        nowhere = str(self.folder / "nowhere")
        options = ("--backpressure", "buffer", "--bwlimit", "1M", "--chunk-size", "256K")
        data = self.data * 4  # more than the overflow has in memory
        refused = self.trove(
            "put", *options, "-", "media/nowhere", data=data, env={**os.environ, "TMPDIR": nowhere}, expect=CONFLICT
        )
        self.assertIn(nowhere, refused.errors)
        self.assertNotIn("trove mb", refused.errors)
        self.assertEqual(self.keys("media"), [])

    def test_slow_is_not_standing_still(self) -> None:
        """--timeout is for steps in which nothing moves, also where one chunk takes longer, or all that is queued at the end."""
        options = ("--bwlimit", "30K", "--chunk-size", "1MiB", "--timeout", "2")
        data = self.data[: 90 * KIB]
        self.trove("put", *options, "-", "media/slow", data=data)
        self.check_content(self.trove("get", *options, "media/slow", "-").out, data, "slowly there and back")

    def test_modes_that_are_none(self) -> None:
        for mode in ("", "wait", "DROP"):
            with self.subTest(mode=mode):
                refused = self.trove("put", "--backpressure", mode, "-", "media/none", expect=USAGE)
                self.assertIn("block, drop, buffer or adaptive", refused.errors)


if __name__ == "__main__":
    main()
