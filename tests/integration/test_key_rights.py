#!/usr/bin/env python3
"""What keys may do: rights on a prefix, an expiry date that comes, a quota and a pool of their own, handshakes that are too many, and who
is named in the audit log."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

from trove_test import BLOCK, DENIED, EXHAUSTED, MIB, OK, Result, TroveTest, content, main, wait_for


class KeyRightsTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.server_key = self.keygen("server")
        self.keys = {name: self.keygen(name) for name in ("one", "two")}
        self.small = self.write("small", b"small")
        self.large = self.write("large", b"x" * 2 * MIB)

    def keygen(self, name: str) -> str:
        return self.trove("keygen", "-o", self.folder / f"{name}.key", server="ipc:///nowhere").text.split()[-1]

    def authorize(self, one: str, two: str = "all") -> None:
        lines = f"one {self.keys['one']} {one}\ntwo {self.keys['two']} {two}\n"
        self.write("authorized_keys", lines.encode()).chmod(0o600)

    def start(self, one: str, config: str = "") -> None:
        self.authorize(one)
        config += f"key_file: {self.folder}/server.key\nauthorized_keys: {self.folder}/authorized_keys\n"
        config += f"audit_log: {self.folder}/audit.log\n"
        self.start_server(store="mem://", config=config, arguments=("--listen", "tcp://127.0.0.1:0"))
        self.by("two", "mb", "media")

    def reload(self) -> None:
        before = self.server.log.text().count("msg=reloaded")
        self.server.signal(signal.SIGHUP)
        wait_for(lambda: self.server.log.text().count("msg=reloaded") > before, "reloaded")

    def words(self, name: str, *arguments: str | Path) -> list[str | Path]:
        return ["--server-key", self.server_key, "--key-file", self.folder / f"{name}.key", *arguments]

    def by(self, name: str, *arguments: str | Path, **options: Any) -> Result:
        return self.trove(*self.words(name, *arguments), server=self.server.url("tcp"), **options)

    def hold(self, name: str, object_name: str) -> subprocess.Popen[bytes]:
        """A put that has begun and waits for more."""
        put = self.start_trove(
            *self.words(name, "put", "-", object_name), server=self.server.url("tcp"), stdin=subprocess.PIPE
        )
        assert put.stdin is not None
        put.stdin.write(b"x" * MIB)
        put.stdin.flush()
        wait_for(lambda: f"/{object_name.split('/', 1)[1]}" in self.streams(), f"a stream of {object_name}")
        return put

    def ended(self, process: subprocess.Popen[bytes], expect: int) -> str:
        """Waits until it ends by itself, while its input is still open; and returns what it says."""
        wait_for(lambda: process.poll() is not None, "the command ends")
        return self.finish(process, expect).errors

    def streams(self) -> list[str]:
        return [f"/{stream['key']}" for stream in self.trove("--json", "streams").objects()]

    def test_a_right_ends_at_its_prefix(self) -> None:
        self.start("read,write:media/mine/")
        for file in (self.small, self.large):
            self.by("one", "put", file, "media/mine/x")
            told = self.by("one", "put", file, "media/other", expect=DENIED).errors
            self.assertIn("key:one doesn't have the right `write` on media/other", told)
        audit = (self.folder / "audit.log").read_text()
        self.assertRegex(audit, r"event=put principal=key:one peer=127\.0\.0\.1:\d+ .*key=mine/x .*status=OK")

    def test_an_expired_key_loses_its_streams_and_its_connection(self) -> None:
        self.start("all")
        self.authorize(f"all expires={datetime.fromtimestamp(time.time() + 8, timezone.utc):%Y-%m-%dT%H:%M:%SZ}")
        self.reload()
        held = self.hold("one", "media/expires")
        kept = self.hold("two", "media/stays")
        self.assertIn("key:one has expired", self.ended(held, DENIED))
        self.assertIn("has expired", self.by("one", "ping", expect=DENIED).errors)
        self.finish(kept, data=b"")

    def test_who_stays_is_not_dropped(self) -> None:
        self.start("all")
        lost = self.hold("one", "media/lost")
        kept = self.hold("two", "media/kept")
        self.authorize("read", "write:media/k")
        self.reload()
        self.assertIn("doesn't have the right `write` on media/lost", self.ended(lost, DENIED))
        self.finish(kept, data=b"")

    def test_a_quota_and_a_pool_of_its_own(self) -> None:
        self.start("all quota=3MiB pool=narrow", "pools:\n  - name: narrow\n")
        self.by("one", "put", self.large, "media/a")
        self.assertIn("the quota of key:one", self.by("one", "put", self.large, "media/b", expect=EXHAUSTED).errors)
        told = self.by("one", "put", "-", "media/b", data=self.large.read_bytes(), expect=EXHAUSTED).errors
        self.assertNotIn("kept as upload", told)  # nobody can go on with a pipe
        self.assertEqual(self.by("one", "--json", "uploads", "ls").objects(), [])
        self.by("two", "put", self.large, "media/b")
        told = self.by("one", "cat", "--pool", "default", "media/a", expect=DENIED).errors
        self.assertIn('has its streams in pool "narrow"', told)

    def test_a_bandwidth_that_changes(self) -> None:
        """For streams that are under way, too: it goes, and it comes; and it is that key's alone."""
        self.start("all bandwidth=32KiB")
        file = self.write("file", b"x" * 16 * MIB)
        slow = self.start_trove(*self.words("one", "put", file, "media/a"), server=self.server.url("tcp"))  # for minutes
        wait_for(lambda: "/a" in self.streams(), "a stream")
        self.by("two", "put", file, "media/b")
        self.authorize("all")
        self.reload()
        self.finish(slow)
        quick = self.hold("one", "media/c")
        self.authorize("all bandwidth=8MiB")
        self.reload()
        begun = time.monotonic()
        self.finish(quick, data=b"x" * 24 * MIB)
        self.assertGreater(time.monotonic() - begun, 2)

    def put_in_parts(self, cut_off: Callable[[], None], *, name: str = "media/x") -> dict[str, Any]:
        """A large file's put that `cut_off` ends, which stays denied until the key is let in as before; then it goes on."""
        source = self.write("source", content("source", 24 * MIB))
        put = self.start_trove(*self.words("one", "put", "--bwlimit", "8M", source, name), server=self.server.url("tcp"))

        def is_durable() -> bool:
            uploads = self.by("one", "--json", "uploads", "ls").objects()
            return any(upload["durable_bytes"] >= 4 * MIB for upload in uploads)

        wait_for(lambda: put.poll() is not None or is_durable(), "a part of it is durable")
        cut_off()
        self.assertIn("run the same command again, and it goes on", self.ended(put, DENIED))
        self.by("one", "put", source, name, expect=DENIED)
        self.authorize("all")
        self.reload()
        done = self.by("one", "--json", "put", source, name).objects()[0]
        self.check_content(self.by("two", "cat", name).out, source.read_bytes(), "the object")
        self.assertEqual(self.by("two", "--json", "uploads", "ls").objects(), [])
        return done["transfer"]

    def let_in(self, text: str) -> None:
        self.write("authorized_keys", text.encode()).chmod(0o600)
        self.reload()

    def test_a_key_that_is_let_in_again_goes_on(self) -> None:
        """Revoked, without the right for a while, and by another name: what it has sent isn't lost, nor left behind."""
        self.start("all")
        two = f"two {self.keys['two']} all\n"
        rows = {
            "revoked": two,
            "read alone": f"{two}one {self.keys['one']} read\n",
        }
        for name, text in rows.items():
            with self.subTest(name):
                transfer = self.put_in_parts(lambda text=text: self.let_in(text))
                self.assertGreaterEqual(transfer["resumed_bytes"], 4 * MIB)

    def test_a_get_of_a_key_that_is_let_in_again_goes_on(self) -> None:
        self.start("all")
        source = self.write("source", content("source", 24 * MIB))
        self.by("two", "put", source, "media/x")
        two = f"two {self.keys['two']} all\n"
        rows = {
            "revoked": two,
            "write alone": f"{two}one {self.keys['one']} write\n",
        }
        for name, text in rows.items():
            with self.subTest(name):
                target = self.folder / name / "got"
                target.parent.mkdir()
                words = self.words("one", "get", "--bwlimit", "8M", "media/x", target)
                get = self.start_trove(*words, server=self.server.url("tcp"))

                def has_come(folder: Path = target.parent) -> bool:
                    return any(part.stat().st_size >= 4 * MIB for part in folder.glob(".trove-*.part"))

                wait_for(lambda: get.poll() is not None or has_come(), "a part of it has come")
                self.let_in(text)
                self.assertIn("when you may (again); run the same command again", self.ended(get, DENIED))
                self.by("one", "get", "media/x", target, expect=DENIED)
                self.assertTrue(has_come())
                self.let_in(f"{two}one {self.keys['one']} all\n")
                got = self.by("one", "--json", "get", "media/x", target).objects()[0]
                self.assertGreaterEqual(got["transfer"]["resumed_bytes"], 4 * MIB - BLOCK)
                self.check_content(target.read_bytes(), source.read_bytes(), "the file")

    def test_an_upload_of_another_name_is_left_alone(self) -> None:
        self.start("all")
        two = f"two {self.keys['two']} all\n"

        def cut_off_and_rename() -> None:
            self.let_in(two)
            self.let_in(f"{two}uno {self.keys['one']} all\n")

        transfer = self.put_in_parts(cut_off_and_rename)
        self.assertGreaterEqual(transfer["resumed_bytes"], 4 * MIB)

    def test_another_key_of_ones_own_begins_anew_and_spoils_nothing(self) -> None:
        self.start("all")
        source = self.write("source", content("source", 24 * MIB))
        put = self.start_trove(*self.words("one", "put", "--bwlimit", "8M", source, "media/x"), server=self.server.url("tcp"))

        def uploads() -> list[dict[str, Any]]:
            return self.by("one", "--json", "uploads", "ls").objects()

        wait_for(lambda: put.poll() is not None or any(upload["durable_bytes"] > 0 for upload in uploads()), "it has begun")
        put.kill()
        put.wait()
        self.assertEqual(self.by("two", "--json", "put", source, "media/x").objects()[0]["transfer"]["resumed_bytes"], 0)
        self.assertGreater(self.by("one", "--json", "put", source, "media/x").objects()[0]["transfer"]["resumed_bytes"], 0)
        self.assertEqual(self.by("two", "--json", "uploads", "ls").objects(), [])

    def test_who_may_only_write_stores_again_what_was_complete(self) -> None:
        """It may not ask whether its object is still there."""
        self.start("write:media")
        source = self.write("source", content("source", 24 * MIB))
        records = Path(os.environ["XDG_STATE_HOME"]) / "trove" / "uploads"
        put = self.start_trove(*self.words("one", "put", "--bwlimit", "16M", source, "media/x"), server=self.server.url("tcp"))
        wait_for(lambda: put.poll() is not None or (list(records.glob("*")) and self.streams()), "it is remembered")
        kept = {path: path.read_bytes() for path in records.glob("*")}
        self.finish(put)
        for path, record in kept.items():
            path.write_bytes(record)
        self.by("one", "put", source, "media/x")
        self.check_content(self.by("two", "cat", "media/x").out, source.read_bytes(), "the object")
        self.assertEqual(list(records.glob("*")), [])

    def test_handshakes_are_limited(self) -> None:
        self.start("all", "connections:\n  handshakes_per_address: 2\n")  # of which the bucket took one
        results = [self.by("one", "ping", expect=None) for _ in range(2)]
        self.assertEqual(results[0].code, OK)
        self.assertIn("more than 2 handshakes a minute from this address", results[1].errors)


if __name__ == "__main__":
    main()
