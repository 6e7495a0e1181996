"""Conditions: puts, gets, copies and deletions that happen only if the server's object is what it is thought to be."""

from __future__ import annotations

from trove_test import CONFLICT, MIB, NOT_FOUND, USAGE, ServerTest, content, main

OTHER = "0" * 32

# Below and above what goes up in one flight: two ways through client, server and store.
SIZES = (5, 2 * MIB)


class ConditionsTest(ServerTest):
    def refused(self, *arguments: str, has: str, **options: object) -> None:
        """A conflict whose message names the object, says what it has, and where to look."""
        result = self.trove(*arguments, expect=CONFLICT, **options)
        self.assertIn(self.name("key"), result.errors)
        self.assertIn(has, result.errors)
        self.assertIn(f"trove stat {self.name('key')}", result.errors)
        self.assertIn("FAILED_PRECONDITION", result.errors)

    def test_put_if_match(self) -> None:
        for size in SIZES:
            first, second = content("first", size), content("second", size)
            with self.subTest(size=size):
                self.trove("put", "-", self.name("key"), data=first)
                etag = self.stat(self.name("key"))["etag"]
                self.trove("put", "-", self.name("key"), "--if-match", etag, data=second)
                now = self.stat(self.name("key"))["etag"]
                self.refused("put", "-", self.name("key"), "--if-match", etag, data=first, has=now)
                self.check_content(self.trove("cat", self.name("key")).out, second, "the one that matched")
                self.trove("rm", self.name("key"))
                self.refused("put", "-", self.name("key"), "--if-match", etag, data=first, has="doesn't exist")

    def test_put_if_none_match(self) -> None:
        for size in SIZES:
            first = content("first", size)
            with self.subTest(size=size):
                self.trove("put", "-", self.name("key"), "--if-none-match", data=first)
                info = self.stat(self.name("key"))
                self.refused("put", "-", self.name("key"), "--if-none-match", data=b"other", has=info["etag"])
                self.assertEqual(self.stat(self.name("key")), info)
                self.trove("rm", self.name("key"))
                self.trove("put", "-", self.name("key"), "--if-none-match", data=first)
                self.trove("rm", self.name("key"))

    def test_put_if_generation(self) -> None:
        for size in SIZES:
            first = content("first", size)
            with self.subTest(size=size):
                self.trove("put", "-", self.name("key"), data=first)
                generation = self.stat(self.name("key"))["generation"]
                self.trove("put", "-", self.name("key"), "--if-generation", str(generation), data=first)
                now = self.stat(self.name("key"))["generation"]
                self.refused(
                    "put", "-", self.name("key"), "--if-generation", str(generation), data=b"x", has=f"generation {now}"
                )  # fmt: skip

    def test_put_many_if_none_match(self) -> None:
        """What is there stays, the rest is stored."""
        folder = self.folder / "folder"
        folder.mkdir()
        for name in ("a", "b", "c"):
            (folder / name).write_bytes(name.encode())
        self.trove("put", "-", self.name("b"), data=b"was here")
        self.trove("put", "--recursive", "--if-none-match", folder, self.bucket, expect=CONFLICT)
        self.assertEqual(self.trove("cat", *map(self.name, "abc")).out, b"awas herec")

    def test_get(self) -> None:
        self.trove("put", "-", self.name("key"), data=b"first")
        info = self.stat(self.name("key"))
        right = [("--if-match", info["etag"]), ("--if-generation", str(info["generation"]))]
        for option, value in right:
            self.assertEqual(self.trove("get", self.name("key"), "-", option, value).out, b"first")
        self.trove("put", "-", self.name("key"), data=b"second")
        for option, value in right:
            self.refused("get", self.name("key"), "-", option, value, has=f"{option[5:].replace('match', 'etag')} ")

    def test_rm(self) -> None:
        self.trove("put", "-", self.name("key"), data=b"first")
        info = self.stat(self.name("key"))
        self.refused("rm", self.name("key"), "--if-match", OTHER, has=info["etag"])
        self.refused("rm", self.name("key"), "--if-generation", "99999999", has=f"generation {info['generation']}")
        self.trove("rm", self.name("key"), "--if-match", info["etag"], "--if-generation", str(info["generation"]))
        self.trove("stat", self.name("key"), expect=NOT_FOUND)
        self.trove("rm", self.name("key"), "--if-match", info["etag"], expect=NOT_FOUND)

    def test_cp(self) -> None:
        """The conditions are the target's."""
        self.trove("put", "-", self.name("source"), data=b"source")
        self.refused("cp", self.name("source"), self.name("key"), "--if-match", OTHER, has="doesn't exist")
        self.trove("cp", self.name("source"), self.name("key"), "--if-none-match")
        etag = self.stat(self.name("key"))["etag"]
        self.refused("cp", self.name("source"), self.name("key"), "--if-none-match", has=etag)
        self.trove("put", "-", self.name("source"), data=b"another")
        self.trove("cp", self.name("source"), self.name("key"), "--if-match", etag)
        self.refused("cp", self.name("source"), self.name("key"), "--if-match", etag, has="has the etag")
        self.refused("cp", self.name("source"), self.name("key"), "--if-generation", "1", has="has generation")
        self.assertEqual(self.trove("cat", self.name("key")).out, b"another")

    def test_wrong_usage(self) -> None:
        self.trove("put", "-", self.name("key"), data=b"kept")
        source = str(self.write("source", b"new"))
        for arguments in (
            ("put", source, self.name("key"), "--if-none-match", "--if-match", OTHER),
            ("put", source, self.name("key"), "--if-none-match", "--if-generation", "1"),
            ("put", source, source, self.bucket, "--if-match", OTHER),
            ("put", "--recursive", str(self.folder), self.bucket, "--if-generation", "1"),
            ("put", source, self.name("key"), "--if-generation", "0"),
            ("put", source, self.name("key"), "--if-generation", "x"),
            ("cp", self.name("key"), self.name("to"), "--if-none-match", "--if-match", OTHER),
            ("get", "--recursive", self.bucket, str(self.folder / "to"), "--if-match", OTHER),
            ("get", self.name("key"), "-", "--if-none-match"),
            ("rm", self.name("key"), "--if-none-match"),
            ("rm", "--recursive", self.bucket, "--if-match", OTHER),
            ("rm", self.name("key"), self.name("key"), "--if-generation", "1"),
        ):
            with self.subTest(arguments=arguments):
                self.assertIn("--if-", self.trove(*arguments, expect=USAGE).errors)
        for etag in ("", "123", OTHER + "0", "g" * 32):
            with self.subTest(etag=etag):
                refused = self.trove("rm", self.name("key"), "--if-match", etag, expect=USAGE)
                self.assertIn("--if-match takes an etag", refused.errors)
        self.assertEqual(self.trove("cat", self.name("key")).out, b"kept")


if __name__ == "__main__":
    main()
