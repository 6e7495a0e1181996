"""Objects that lossy uploads left with gaps, as the command shows and fetches them."""

from __future__ import annotations

import subprocess

from trove_test import BLOCK, DATA_LOSS, MIB, TroveTest, content, main, program

BUCKET = "lossy"
SMALL = [(0, 10), (100, 50)]
LARGE = [(1000, 2 * BLOCK), (3 * BLOCK, BLOCK), (2 * MIB - 7, 7)]
MANY = [(i * 1000 + 5, 300) for i in range(1300)]

# Key: size, gaps.
OBJECTS = {
    "small": (1000, SMALL),
    "large": (2 * MIB, LARGE),
    "many": (1300 * 1000, MANY),
    "nothing": (3 * BLOCK, [(0, 3 * BLOCK)]),
    "whole": (5000, []),
}


def zeroed(key: str) -> bytes:
    """The object's bytes as they read with gaps allowed."""
    size, gaps = OBJECTS[key]
    data = bytearray(content(key, size))
    for offset, length in gaps:
        data[offset : offset + length] = bytes(length)
    return bytes(data)


def lost(key: str) -> int:
    return sum(length for _, length in OBJECTS[key][1])


def listed(key: str) -> list[dict[str, int]]:
    """What the server lists: of more than 1,000 gaps the last one covers the rest."""
    gaps = OBJECTS[key][1]
    if len(gaps) > 1000:
        end = gaps[-1][0] + gaps[-1][1]
        gaps = [*gaps[:999], (gaps[999][0], end - gaps[999][0])]
    return [{"offset": offset, "length": length} for offset, length in gaps]


class GapsTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        for key, (size, gaps) in OBJECTS.items():
            ranges = [f"{offset}-{length}" for offset, length in gaps]
            command = [program("TROVE_LOSSY_OBJECT"), str(self.folder / "store"), BUCKET, key, *ranges]
            done = subprocess.run(command, input=content(key, size), capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.start_server()

    def tearDown(self) -> None:
        self.server.stop()

    def check_stat(self, name: str, key: str) -> None:
        info = self.stat(name)
        size, gaps = OBJECTS[key]
        self.assertEqual((info["size"], info["gap_count"], info["gap_bytes"]), (size, len(gaps), lost(key)))
        self.assertEqual(info.get("gaps", []), listed(key))

    def test_stat(self) -> None:
        for key in OBJECTS:
            with self.subTest(key=key):
                self.check_stat(f"{BUCKET}/{key}", key)
        text = self.trove("stat", f"{BUCKET}/small").text
        self.assertIn("Gaps          2, 60 bytes lost (60 B)\nLost          0+10\nLost          100+50\n", text)
        text = self.trove("stat", f"{BUCKET}/many").text
        self.assertIn("Gaps          1300, 390000 bytes lost", text)
        self.assertIn("and 1290 more\n", text)
        self.assertNotIn("Gaps", self.trove("stat", f"{BUCKET}/whole").text)

    def test_ls(self) -> None:
        entries = self.trove("--json", "ls", BUCKET).objects()
        self.assertEqual({entry["key"]: entry["gap_bytes"] for entry in entries}, {key: lost(key) for key in OBJECTS})
        info = self.stat(f"{BUCKET}/small")
        line = next(line for line in self.trove("ls", "-l", BUCKET).text.split("\n") if line.endswith(" small"))
        self.assertEqual(line.split()[2:], ["1000", info["etag"], str(info["generation"]), "60", "small"])
        self.assertEqual(len(self.trove("ls", BUCKET).text.split("\n")[0].split()), 4, "without --long as ever")

    def test_allowed(self) -> None:
        for key in OBJECTS:
            with self.subTest(key=key):
                got = self.trove("cat", "--allow-gaps", f"{BUCKET}/{key}")
                self.check_content(got.out, zeroed(key), key)
                self.assertEqual(f"{lost(key)} of its" in got.errors, key != "whole", got.errors)
                target = self.folder / key
                self.trove("get", "--allow-gaps", f"{BUCKET}/{key}", target)
                self.check_content(target.read_bytes(), zeroed(key), key)
        self.trove("get", "--allow-gaps", "--recursive", BUCKET, self.folder / "all")
        self.check_content((self.folder / "all" / "large").read_bytes(), zeroed("large"), "with all others")

    def test_refused(self) -> None:
        """Reading across a gap fails before a byte comes, says what is lost and what to do, and leaves no file."""
        for key, first in [("small", "0 to 10"), ("large", f"1000 to {1000 + 2 * BLOCK}"), ("many", "5 to 305")]:
            with self.subTest(key=key):
                refused = self.trove("cat", f"{BUCKET}/{key}", expect=DATA_LOSS)
                self.assertEqual(refused.out, b"")
                for word in (f"{BUCKET}/{key}", f"bytes from {first} were lost", "--allow-gaps"):
                    self.assertIn(word, refused.errors)
                self.trove("get", f"{BUCKET}/{key}", self.folder / "target", expect=DATA_LOSS)
                self.assertFalse((self.folder / "target").exists())
        self.trove("get", f"{BUCKET}/small", "-", "--range", "149+1", expect=DATA_LOSS)
        refused = self.trove("get", f"{BUCKET}/many", "-", "--range", "1298400+10", expect=DATA_LOSS)
        self.assertIn("in part", refused.errors, "the list doesn't tell each of them any more")
        self.trove("get", "--recursive", BUCKET, self.folder / "all", expect=DATA_LOSS)
        self.assertEqual([path.name for path in (self.folder / "all").iterdir()], ["whole"], "the others are fetched")

    def test_ranges_outside(self) -> None:
        """What isn't lost is read like anything else, next to a gap and in a block with it."""
        for key, offset, length in [("small", 10, 90), ("small", 150, 850), ("large", 0, 1000), ("large", 4 * BLOCK, 9)]:
            with self.subTest(key=key, offset=offset):
                got = self.trove("get", f"{BUCKET}/{key}", "-", "--range", f"{offset}+{length}").out
                self.check_content(got, zeroed(key)[offset : offset + length], key)

    def test_copies_and_restarts(self) -> None:
        for key in OBJECTS:
            result = self.trove("--json", "cp", f"{BUCKET}/{key}", f"{BUCKET}/copy/{key}").objects()[0]
            self.assertEqual((result["gap_count"], result["gap_bytes"]), (len(OBJECTS[key][1]), lost(key)))
            self.trove("rm", f"{BUCKET}/{key}")
        self.server.kill()
        self.start_server(self.folder)
        for key in OBJECTS:
            with self.subTest(key=key):
                self.check_stat(f"{BUCKET}/copy/{key}", key)
                self.check_content(self.trove("cat", "--allow-gaps", f"{BUCKET}/copy/{key}").out, zeroed(key), key)

    def test_put_again(self) -> None:
        """A whole object in the place of one with gaps has none, and the same etag as the same zeros."""
        for key in OBJECTS:
            etag = self.stat(f"{BUCKET}/{key}")["etag"]
            self.trove("put", "-", f"{BUCKET}/{key}", data=zeroed(key))
            info = self.stat(f"{BUCKET}/{key}")
            self.assertEqual((info["etag"], info["gap_count"], info["gap_bytes"]), (etag, 0, 0))
            self.check_content(self.trove("cat", f"{BUCKET}/{key}").out, zeroed(key), key)


if __name__ == "__main__":
    main()
