"""Names: any UTF-8 is just a key, buckets follow S3's rules, and no key leads anywhere it shouldn't on the client's side."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from trove_test import CONFLICT, INVALID, KIB, NOT_FOUND, ServerTest, Terminal, USAGE, content, main

STRANGE_KEYS = [
    "a",
    "a/b",
    "a/b/c",
    "a//b",
    "../../etc/passwd",
    "..",
    ".",
    "./a",
    "/x",
    "//x",
    "x/../y",
    "-",
    "--help",
    " ",
    " leading and trailing ",
    "*?[]{}$(id)`id`;&|<>'\"\\",
    "%2e%2e%2f",
    "CON",
    "new\nline",
    "tab\t",
    "\x1b[31mred\x1b[0m",
    "\x7f",
    "\x01",
    "\u0085\u2028\u202e",
    "😀/🎞️",
    "ünïcödé",
    "u\u0308nicode",  # the same to the eye as ü, another key
    "\U0010ffff",
    "\ufeffmark",
    "k" * 1024,
    "é" * 512,
]

# Invalid UTF-8; the command takes its arguments as bytes.
BROKEN_KEYS = [
    b"\xff",
    b"a\x80b",
    b"\xc3",
    b"\xc0\xaf",  # a slash in two bytes
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",  # half of a surrogate pair
    b"\xf4\x90\x80\x80",  # beyond the last character
    b"\xf8\x88\x80\x80\x80",
]


class KeyTest(ServerTest):
    def test_strange_keys_are_just_keys(self) -> None:
        contents = {key: content(repr(key), 70 * KIB if index % 8 == 0 else 100) for index, key in enumerate(STRANGE_KEYS)}
        for key, data in contents.items():
            self.trove("put", "-", self.name(key), data=data)
        # The command puts a file's name behind a slash at the end; the library doesn't. Such an object contains its key.
        folders = ["a/", "/", "//", "🗀/"]
        self.put_many(self.bucket, folders)
        contents.update({key: key.encode() for key in folders})
        self.assertEqual(self.keys(self.bucket), sorted(contents, key=str.encode), "all of them, in byte order")
        for key, data in contents.items():
            self.check_content(self.trove("cat", self.name(key)).out, data, repr(key))
            self.assertEqual(self.stat(self.name(key))["key"], key)
            self.assertEqual(self.trove("--json", "rm", self.name(key)).objects()[0]["key"], key)
        self.assertEqual(self.keys(self.bucket), [])

    def test_trailing_slash_takes_the_files_name(self) -> None:
        source = self.write("report.txt", b"text")
        for target in (self.bucket, f"{self.bucket}/", f"{self.bucket}/a/", f"{self.bucket}/a//"):
            self.trove("put", source, target)
        self.assertEqual(self.keys(self.bucket), ["a//report.txt", "a/report.txt", "report.txt"])
        refused = self.trove("put", "-", f"{self.bucket}/a/", data=b"x", expect=USAGE)
        self.assertIn("no name", refused.errors)

    def test_keys_of_the_greatest_length(self) -> None:
        source = self.write("source", content("source", 100_000))
        for key in ("k" * 1025, "é" * 512 + "k"):
            for arguments in (["put", source, self.name(key)], ["put", "-", self.name(key)], ["get", self.name(key), "-"]):
                refused = self.trove(*arguments, data=b"small", expect=INVALID)
                self.assertIn("1025 bytes", refused.errors)
                self.assertIn("at most 1024", refused.errors)
        self.assertEqual(self.keys(self.bucket), [])

    def test_invalid_utf_8_is_refused(self) -> None:
        for key in BROKEN_KEYS:
            with self.subTest(key=key):
                name = os.fsdecode(f"{self.bucket}/".encode() + key)
                for size in (10, 100_000):
                    refused = self.trove("put", "-", name, data=content("x", size), expect=INVALID)
                    self.assertIn("not valid UTF-8", refused.errors)
                for verb in ("cat", "stat", "rm"):
                    self.assertIn("not valid UTF-8", self.trove(verb, name, expect=INVALID).errors, verb)
                failure = json.loads(self.trove("--json", "stat", name, expect=INVALID).errors)
                self.assertEqual(failure["error"]["status"], "INVALID_ARGUMENT", "JSON all the same")
        self.assertEqual(self.keys(self.bucket), [])

    def test_a_terminal_gets_no_control_characters(self) -> None:
        for key in ("\x1b[31mred", "bell\x07", "c1\x9b31m", "two\nlines", "right-to-left\u202e", "folder\x1b[2J/key"):
            self.trove("put", "-", self.name(key), data=b"x", stderr=subprocess.DEVNULL)
        dangerous = self.name("\x1b[31mred")
        for arguments in (
            ["ls", self.bucket],
            ["ls", "--recursive", self.bucket],
            ["--json", "ls", "--recursive", self.bucket],
            ["stat", dangerous],
            ["--json", "stat", dangerous],
            ["cp", dangerous, self.name("copy\x1b[31m")],
            ["rm", self.name("copy\x1b[31m")],
            ["stat", self.name("missing\x1b]0;title\x07")],
            ["get", self.name("missing\x1b[31m"), "/nowhere/\x1b[31m"],
            ["put", "/nowhere/\x1b[31m", self.bucket],
            ["mb", "no\x1b[31mbucket"],
        ):
            with self.subTest(arguments=arguments):
                shown = self.on_terminal(*arguments)
                self.assertNotEqual(shown, "")
                for character in shown:
                    self.assertFalse(character not in "\r\n" and not character.isprintable(), repr(shown))

    def on_terminal(self, *arguments: str) -> str:
        """What a terminal would get as both output and errors."""
        terminal = Terminal()
        environment = {**os.environ, "TERM": "xterm"}
        process = terminal.start(lambda inner: self.start_trove(*arguments, stdout=inner, stderr=inner, env=environment))
        shown = terminal.join()
        self.finish(process, expect=None)
        return shown

    def test_bucket_rules(self) -> None:
        good = ["abc", "a-b.c", "1abc9", "x" * 63, "a.b-c.d"]
        bad = ["ab", "x" * 64, "Upper", "under_score", "-abc", "abc-", ".abc", "abc.", "a..b", "10.0.0.1", "bücket", "a b"]
        for bucket in good:
            self.trove("mb", bucket)
            self.assertIn(bucket, [entry["bucket"] for entry in self.trove("--json", "ls").objects()])
            refused = self.trove("mb", bucket, expect=CONFLICT)
            self.assertIn(bucket, refused.errors)
            self.trove("rb", bucket)
        for bucket in bad:
            with self.subTest(bucket=bucket):
                refused = self.trove("mb", "--", bucket, expect=INVALID)
                self.assertIn("bucket name", refused.errors)
                self.trove("put", "--", "-", f"{bucket}/key", data=b"x", expect=INVALID)
        for bucket in ("", "/", "a/b"):
            self.trove("mb", bucket, expect=USAGE)
        self.assertIn("--recursive", self.refuse_to_remove_a_full_bucket())

    def refuse_to_remove_a_full_bucket(self) -> str:
        self.trove("put", "-", self.name("key"), data=b"x")
        return self.trove("rb", self.bucket, expect=CONFLICT).errors


class PathTest(ServerTest):
    """Keys and files: recursive put and get, links, and nothing outside the target's folder."""

    def snapshot(self, folder: Path) -> dict[str, bytes | str | None]:
        """Every path below a folder: a file's bytes, a link's target, None for a folder."""
        found: dict[str, bytes | str | None] = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_symlink():
                found[name] = os.readlink(path)
            else:
                found[name] = None if path.is_dir() else path.read_bytes()
        return found

    def make_tree(self, root: Path) -> dict[str, bytes]:
        files = {
            "top": b"top",
            "empty": b"",
            "a/b/c/deep": b"deep",
            "a/b.txt": content("b", 100_000),
            "a/b/with space": b"space",
            "a/😀": b"emoji",
            ".hidden/.file": b"hidden",
            "control\x1b[31m": b"control",
        }
        for name, data in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (root / "no files here").mkdir()
        return files

    def test_recursive_put_and_get(self) -> None:
        tree = self.folder / "tree"
        files = self.make_tree(tree)
        self.trove("put", "--recursive", tree, self.bucket)
        self.trove("put", "--recursive", f"{tree}/", self.name("below/it"))
        keys = [*files, *(f"below/it/{name}" for name in files)]
        self.assertEqual(self.keys(self.bucket), sorted(keys, key=str.encode))
        back = self.folder / "made/on/the/way"
        self.trove("get", "--recursive", self.name("below/it"), back)
        got = {str(path.relative_to(back)): path.read_bytes() for path in back.rglob("*") if path.is_file()}
        self.assertEqual(got, files)
        self.trove("get", "--recursive", self.name("below/it/"), back)
        self.trove("get", "--recursive", self.name("below/i"), back, expect=NOT_FOUND)

    def test_several_folders_keep_their_names(self) -> None:
        for name in ("one", "two"):
            (self.folder / name).mkdir()
            (self.folder / name / "same").write_text(name)
        sources = [self.folder / "one", self.folder / "two/", self.write("same", b"file")]
        self.trove("put", "--recursive", *sources, self.name("p"))
        self.assertEqual(self.keys(self.bucket), ["p/one/same", "p/same", "p/two/same"])
        refused = self.trove("put", self.folder / "one/same", self.folder / "two/same", self.name("q"), expect=CONFLICT)
        self.assertIn("and so would", refused.errors)
        refused = self.trove("put", self.folder / "one/same", self.folder / "one/same", self.name("q"), expect=CONFLICT)
        self.assertIn(f"it is named more than once, and would become {self.name('q/same')} each time", refused.errors)
        self.assertEqual(len(self.keys(self.bucket)), 3, "neither of two that would become the same")

    def test_links_in_a_tree(self) -> None:
        tree = self.folder / "tree"
        tree.mkdir()
        (tree / "file").write_text("file")
        (self.folder / "outside").write_text("outside")
        (tree / "to-file").symlink_to("file")
        (tree / "to-outside").symlink_to(self.folder / "outside")
        (tree / "to-folder").symlink_to(self.folder)
        (tree / "to-nothing").symlink_to("nothing")
        noted = self.trove("put", "--recursive", tree, self.name("plain"))
        self.assertEqual(self.keys(self.bucket), ["plain/file"])
        self.assertEqual(noted.errors.count("symbolic link"), 4, noted.errors)
        (tree / "to-folder").unlink()
        (tree / "loop").symlink_to(tree)
        followed = self.trove("put", "--recursive", "--follow-links", tree, self.name("followed"), expect=CONFLICT)
        self.assertIn("points to nothing", followed.errors)
        self.assertIn("leads back", followed.errors)
        keys = [key for key in self.keys(self.bucket) if key.startswith("followed")]
        self.assertEqual(keys, ["followed/file", "followed/to-file", "followed/to-outside"])
        # A link that is named is meant.
        self.trove("put", tree / "to-outside", self.name("named"))
        self.assertEqual(self.trove("cat", self.name("named")).out, b"outside")

    def test_get_never_writes_outside_its_folder(self) -> None:
        """Keys that lead out of it, and links that lie in it."""
        leading_out = ["../up", "../../etc/passwd", "/absolute", "//two", "a/../../up", "a//b", "./a", "dir/.", "link/x", ".."]
        for key in ("ok", "file-link", *leading_out):
            self.trove("put", "-", self.name(key), data=b"overwritten")
        outer = self.folder / "outer"
        target = outer / "target"
        outside = outer / "outside"
        target.mkdir(parents=True)
        outside.mkdir()
        (outer / "victim").write_text("untouched")
        (target / "link").symlink_to(outside)
        (target / "file-link").symlink_to(outer / "victim")
        result = self.trove("get", "--recursive", self.bucket, target, expect=CONFLICT)
        for key in leading_out:
            self.assertIn(f"{self.bucket}/{key}", result.errors, "each is told")
        after = self.snapshot(outer)
        self.assertEqual(after.pop("target/file-link"), b"overwritten", "the link was replaced, not followed")
        self.assertEqual(after.pop("victim"), b"untouched")
        self.assertEqual(after.pop("target/ok"), b"overwritten")
        self.assertEqual(after, {"target": None, "target/link": str(outside), "outside": None})

    def test_get_without_a_file_stays_in_the_current_folder(self) -> None:
        for key in ("plain", "deep/er", "../../etc/passwd", "x/..", "x/.", "x/-"):
            self.trove("put", "-", self.name(key), data=b"here")
        (self.folder / "victim").write_text("untouched")
        here = self.folder / "here"
        here.mkdir()
        (here / "er").symlink_to(self.folder / "victim")
        for key in ("plain", "deep/er", "../../etc/passwd", "x/-"):
            self.trove("get", self.name(key), cwd=here)
        for key in ("x/..", "x/."):
            refused = self.trove("get", self.name(key), cwd=here, expect=CONFLICT)
            self.assertIn("can't be a file's name", refused.errors)
        found = self.snapshot(self.folder)
        self.assertEqual(found.pop("victim"), b"untouched")
        self.assertEqual(found, {"here": None, **{f"here/{name}": b"here" for name in ("plain", "er", "passwd", "-")}})

    def test_keys_that_are_file_and_folder_at_once(self) -> None:
        """Both are fine in a bucket; a file system holds one of them."""
        for key in ("a", "a/b", "c"):
            self.trove("put", "-", self.name(key), data=key.encode())
        result = self.trove("get", "--recursive", self.bucket, self.folder / "out", expect=CONFLICT)
        self.assertIn(f"{self.bucket}/a", result.errors)
        self.assertEqual((self.folder / "out/c").read_text(), "c", "the others come all the same")
        self.assertEqual(list((self.folder / "out").rglob("*.part")), [])

    def test_a_replaced_file_keeps_its_mode(self) -> None:
        self.trove("put", "-", self.name("key"), data=b"secret")
        private = self.write("private", b"old")
        private.chmod(0o600)
        self.trove("get", self.name("key"), private)
        self.assertEqual(private.stat().st_mode & 0o777, 0o600)
        (self.folder / "link").symlink_to(private)
        self.trove("get", self.name("key"), self.folder / "link")
        self.assertTrue((self.folder / "link").is_symlink(), "what a named link points to is replaced, not the link")

    def test_links_in_a_files_place(self) -> None:
        """As the help of get has it: a named link is followed to a file, and replaced where there is none, or it wasn't named."""
        self.trove("put", "-", self.name("key"), data=b"new")
        victim = self.write("victim", b"old")
        nowhere = self.folder / "nowhere"
        dangling = self.folder / "dangling"
        dangling.symlink_to(nowhere)
        self.trove("get", self.name("key"), dangling)
        folder = self.folder / "folder"
        folder.mkdir()
        (folder / "key").symlink_to(victim)
        self.trove("get", self.name("key"), folder)
        for path in (dangling, folder / "key"):
            self.assertFalse(path.is_symlink())
            self.assertEqual(path.read_bytes(), b"new")
        self.assertEqual((victim.read_bytes(), nowhere.exists()), (b"old", False))
        told = " ".join(self.trove("get", "--help").text.split())
        self.assertIn("one that points to nothing is replaced itself", told)


class JsonTest(ServerTest):
    def test_every_verb(self) -> None:
        source = self.write("source", b"0123456789")
        other = "json-other-bucket"

        def run(*arguments: str | Path) -> list[dict]:
            return self.trove("--json", *arguments).objects()

        self.assertEqual(run("mb", other), [{"bucket": other, "action": "made"}])
        stored = run("put", source, self.name("a/key"), "--meta", "k=v", "--content-type", "text/plain")[0]
        self.assertEqual({key: stored[key] for key in ("bucket", "key", "size", "content_type", "metadata", "source")}, {
            "bucket": self.bucket, "key": "a/key", "size": 10, "content_type": "text/plain", "metadata": {"k": "v"},
            "source": str(source),
        })  # fmt: skip
        self.assertRegex(stored["etag"], "^[0-9a-f]{32}$")
        self.assertRegex(stored["modified"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
        transfer = stored.pop("transfer")
        self.assertEqual(list(transfer), [
            "p50_ns", "p90_ns", "p99_ns", "resumed_bytes", "sent_bytes", "received_bytes",
            "reconnects", "retries", "dropped_chunks", "dropped_bytes", "spilled_bytes",
        ])  # fmt: skip
        self.assertGreater(transfer["p50_ns"], 0)
        info = run("stat", self.name("a/key"))[0]
        self.assertEqual({**info, "source": str(source)}, stored)
        fetched = run("get", self.name("a/key"), self.folder / "target")[0]
        self.assertLessEqual(fetched["transfer"]["p50_ns"], fetched["transfer"]["p99_ns"])
        self.assertEqual(fetched.pop("transfer")["retries"], 0)
        self.assertEqual(fetched, {**info, "file": str(self.folder / "target"), "offset": 0, "bytes": 10})
        copied = run("cp", self.name("a/key"), f"{other}/")[0]
        self.assertEqual((copied["bucket"], copied["key"], copied["etag"]), (other, "key", stored["etag"]))
        self.assertEqual(run("ls", self.bucket), [{"prefix": "a/"}])
        listed = run("ls", "--recursive", self.bucket)[0]
        self.assertEqual(
            listed, {key: stored[key] for key in ("key", "size", "etag", "generation", "modified", "gap_bytes")}
        )
        bucket = next(entry for entry in run("ls") if entry["bucket"] == self.bucket)
        self.assertEqual((bucket["objects"], bucket["bytes"]), (1, 10))
        self.assertEqual(run("ping", "--count", "3")[0]["count"], 3)
        self.assertEqual(self.trove("--json", "cat", self.name("a/key")).out, b"0123456789", "bytes stay bytes")
        self.assertEqual(self.trove("--json", "get", self.name("a/key"), "-").out, b"0123456789")
        self.assertEqual(run("rm", self.name("a/key")), [{"bucket": self.bucket, "key": "a/key", "action": "deleted"}])
        run("rm", "--recursive", other)
        self.assertEqual(run("rb", other), [{"bucket": other, "action": "removed"}])

    def test_failures(self) -> None:
        self.trove("put", "-", self.name("key"), data=b"x")
        missing = "no-such-bucket"
        for arguments, status, code in [
            (["mb", self.bucket], "ALREADY_EXISTS", CONFLICT),
            (["rb", self.bucket], "FAILED_PRECONDITION", CONFLICT),
            (["rb", missing], "NOT_FOUND", NOT_FOUND),
            (["ls", missing], "NOT_FOUND", NOT_FOUND),
            (["put", self.write("source", b"x"), f"{missing}/key"], "NOT_FOUND", NOT_FOUND),
            (["put", "/no/such/file", self.name("key")], "NOT_FOUND", NOT_FOUND),
            (["get", self.name("missing"), "-"], "NOT_FOUND", NOT_FOUND),
            (["cat", self.name("missing")], "NOT_FOUND", NOT_FOUND),
            (["stat", self.name("missing")], "NOT_FOUND", NOT_FOUND),
            (["cp", self.name("missing"), self.name("copy")], "NOT_FOUND", NOT_FOUND),
            (["rm", self.name("missing")], "NOT_FOUND", NOT_FOUND),
            (["get", self.name("key"), "-", "--range", "5+1"], "OUT_OF_RANGE", INVALID),
        ]:
            with self.subTest(arguments=arguments):
                result = self.trove("--json", *arguments, expect=code)
                self.assertEqual(result.out, b"")
                error = json.loads(result.errors)["error"]
                self.assertEqual((error["status"], error["exit"], error["action"]), (status, code, arguments[0]))
                self.assertNotEqual(error["message"], "")


if __name__ == "__main__":
    main()
