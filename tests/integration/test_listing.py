"""Listings of many objects: complete, in byte order, over many pages, with prefix and delimiter."""

from __future__ import annotations

import random

from trove_test import LONG, SANITIZE, SEED, TroveTest, main, say

COUNT = 100_000 if LONG or not SANITIZE else 10_000
SHARED = "shared/" + "s" * 593  # 600 bytes


def make_keys() -> list[str]:
    """A tenth shares 600 bytes, a tenth isn't ASCII, the rest lies in folders."""
    chance = random.Random(f"{SEED}/keys")
    keys = set()
    while len(keys) < COUNT:
        number = chance.randrange(10**9)
        kind = number % 10
        if kind == 0:
            keys.add(f"{SHARED}{number}")
        elif kind == 1:
            keys.add(f"{chance.choice('äß漢🎞~')}{number}")
        else:
            keys.add(f"folder-{number % 97}/{number % 7}/{number}")
    listed = list(keys)
    chance.shuffle(listed)
    return listed


class ListingTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.start_server()
        self.trove("mb", "bucket")

    def tearDown(self) -> None:
        self.server.stop()

    def list(self, *arguments: str) -> list[str]:
        entries = self.trove("--json", "ls", *arguments, timeout_s=300).objects()
        return [entry["key"] if "key" in entry else entry["prefix"] for entry in entries]

    def below(self, keys: list[str], prefix: str) -> list[str]:
        """What `ls` without --recursive shows: keys, and what they share up to the next slash."""
        found = set()
        for key in keys:
            if key.startswith(prefix):
                first, slash, _ = key[len(prefix) :].partition("/")
                found.add(prefix + first + slash)
        return sorted(found, key=str.encode)

    def test_many_objects(self) -> None:
        keys = make_keys()
        self.put_many("bucket", keys)
        keys.sort(key=str.encode)
        self.assertTrue(self.list("--recursive", "bucket") == keys, "not all of them in byte order")

        for prefix in ("folder-1", "folder-10/", "folder-96/6/", SHARED, SHARED[:300], "🎞", "nothing", ""):
            with self.subTest(prefix=prefix[:20]):
                wanted = [key for key in keys if key.startswith(prefix)]
                self.assertTrue(self.list("--recursive", f"bucket/{prefix}") == wanted)
                self.assertEqual(self.list(f"bucket/{prefix}"), self.below(keys, prefix))
        for limit in (1, 999, 1000, 1001, 2500):
            self.assertEqual(self.list("--recursive", "--limit", str(limit), "bucket"), keys[:limit])

        bucket = self.trove("--json", "ls").objects()[0]
        self.assertEqual(bucket["objects"], COUNT)
        self.assertEqual(bucket["bytes"], sum(len(key.encode()) for key in keys), "each contains its key")
        for key in random.Random(SEED).sample(keys, 5):
            self.assertEqual(self.trove("cat", f"bucket/{key}").out, key.encode())

        best_ms, median_ms = self.many_objects("bucket", "first-page").split()
        say(f"first page of {COUNT} objects: best {best_ms} ms, median {median_ms} ms")

        server = self.server
        server.stop()
        self.start_server()
        self.assertTrue(self.list("--recursive", "bucket") == keys, "not the same after a restart")

    def test_removing_while_listing(self) -> None:
        """`rm --recursive` deletes each page while it goes on to the next."""
        self.put_many("bucket", [f"{'keep' if index % 2 else 'remove'}/{index}" for index in range(5000)])
        self.trove("--quiet", "rm", "--recursive", "bucket/remove", timeout_s=300)
        left = self.list("--recursive", "bucket")
        self.assertEqual(len(left), 2500)
        self.assertTrue(all(key.startswith("keep/") for key in left))
        self.trove("--quiet", "rm", "--recursive", "bucket", timeout_s=300)
        self.trove("rb", "bucket")


if __name__ == "__main__":
    main()
