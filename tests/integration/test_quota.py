#!/usr/bin/env python3
"""What a user may have: stored bytes, bandwidth and a pool of their own. Each is refused with its name and numbers, early, and others have
no part in it."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

from trove_test import DENIED, EXHAUSTED, MIB, TroveTest, main, wait_for


class Quota(TroveTest):
    def start(self, config: str) -> None:
        self.start_server(schemes=("ipc", "tcp"), store="mem://", config=config)

    def reload(self, config: str) -> None:
        before = self.server.log.text().count("msg=reloaded")
        self.write("troved.yaml", config.encode())
        self.server.signal(signal.SIGHUP)
        wait_for(lambda: self.server.log.text().count("msg=reloaded") > before, "reloaded")

    def wait_for_stream(self, key: str) -> None:
        def is_there() -> bool:
            streams = self.trove("--json", "streams", server=self.server.url("tcp")).objects()
            return any(stream["key"] == key for stream in streams)

        wait_for(is_there, f"a stream of {key}")

    def test_what_may_be_stored(self) -> None:
        user = f'users:\n  - uid: {os.geteuid()}\n    rights: "all:media read"\n    quota: 5MiB\n'
        self.start(user)
        tcp = self.server.url("tcp")
        for bucket in ("media", "other"):
            self.trove("mb", bucket, server=tcp)
        large = self.write("large", b"x" * 2 * MIB)
        self.trove("put", large, "other/not-counted", server=tcp)
        self.trove("put", large, "media/a")
        self.trove("put", large, "media/b")
        for source in (large, "-"):  # of a known size, and not
            told = self.trove("put", source, "media/c", data=b"x" * 2 * MIB, expect=EXHAUSTED).errors
            self.assertIn(f"the quota of uid:{os.geteuid()} is {5 * MIB} bytes", told)
        self.assertIn("quota", self.trove("cp", "media/a", "media/c", expect=EXHAUSTED).errors)
        self.trove("put", self.write("small", b"small"), "media/small")
        self.trove("rm", "media/a")
        self.trove("put", large, "media/c")
        self.assertIn("quota", self.trove("put", self.write("fits", b"x" * MIB), "media/d", expect=EXHAUSTED).errors)
        self.trove("put", large, "media/d", server=tcp)  # others have no quota

    def quota(self) -> None:
        self.start(f'users:\n  - uid: {os.geteuid()}\n    rights: all\n    quota: 12MiB\n')
        self.trove("mb", "media")

    def test_what_cannot_fit_is_not_begun(self) -> None:
        """Its size is known: not one byte goes, and no upload is left behind."""
        self.quota()
        large = self.write("large", b"x" * 16 * MIB)  # of a size that is uploaded resumably
        told = self.trove("put", large, "media/x", expect=EXHAUSTED).errors
        self.assertIn(f"the quota of uid:{os.geteuid()} is {12 * MIB} bytes", told)
        self.assertIn(f"{16 * MIB} more don't fit", told)
        self.assertEqual(self.trove("--json", "uploads", "ls").objects(), [])
        self.assertEqual({pool["total_bytes"] for pool in self.trove("--json", "pools").objects()}, {0})

    def test_what_grows_too_large_is_stopped(self) -> None:
        """Nobody said how large it would be: it ends when it has passed what is left, and not when all of it has come."""
        self.quota()
        self.trove("put", self.write("small", b"x" * 4 * MIB), "media/small")
        put = self.start_trove("put", "-", "media/x", stdin=subprocess.PIPE)
        assert put.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            for _ in range(64):
                put.stdin.write(b"x" * MIB)
                put.stdin.flush()
        wait_for(lambda: put.poll() is not None, "the command ends, though its input is open")
        self.assertIn("the quota of", self.finish(put, EXHAUSTED).errors)
        self.trove("put", self.write("fits", b"x" * 8 * MIB), "media/x")

    def test_what_is_not_complete_counts(self) -> None:
        self.quota()
        half = self.start_trove("put", "--bwlimit", "4MiB", self.write("large", b"x" * 10 * MIB), "media/half")

        def durable() -> int:
            return max([upload["durable_bytes"] for upload in self.trove("--json", "uploads", "ls").objects()], default=0)

        wait_for(lambda: durable() >= 3 * MIB, "some of it is durable")
        half.kill()
        half.wait()
        other = self.write("other", b"y" * 10 * MIB)
        self.assertIn("the quota of", self.trove("put", other, "media/other", expect=EXHAUSTED).errors)
        self.trove("put", self.folder / "large", "media/half")  # it doesn't count besides itself
        self.assertEqual(self.trove("cat", "media/half").out, b"x" * 10 * MIB)

    def test_a_bandwidth_for_each(self) -> None:
        """All connections of a user have it together, in both directions."""
        self.start(f'users:\n  - uid: {os.geteuid()}\n    rights: all\n    bandwidth: 1MiB\n')
        self.trove("mb", "media")
        file = self.write("file", b"x" * MIB)
        for verb in (("put", file), ("cat",)):
            begun = time.monotonic()
            both = [self.start_trove(*verb, f"media/{name}") for name in "ab"]
            for process in both:
                self.finish(process)
            self.assertGreater(time.monotonic() - begun, 1.5)  # 2 MiB, less what may go at once
        large = self.write("large", b"x" * 16 * MIB)
        self.trove("put", large, "media/c", server=self.server.url("tcp"))  # nobody else's, so this takes no 16 s

    def test_a_bandwidth_that_changes(self) -> None:
        """For streams that are under way, too: it goes, and it comes."""
        user = f"users:\n  - uid: {os.geteuid()}\n    rights: all\n"
        self.start(user + "    bandwidth: 32KiB\n")
        self.trove("mb", "media", server=self.server.url("tcp"))
        slow = self.start_trove("put", self.write("large", b"x" * 16 * MIB), "media/a")  # for more than eight minutes
        self.wait_for_stream("a")
        self.reload(user)
        self.finish(slow)
        quick = self.start_trove("put", "-", "media/b", stdin=subprocess.PIPE)
        assert quick.stdin is not None
        quick.stdin.write(b"x" * MIB)
        quick.stdin.flush()
        self.wait_for_stream("b")
        self.reload(user + "    bandwidth: 8MiB\n")
        begun = time.monotonic()
        self.finish(quick, data=b"x" * 24 * MIB)
        self.assertGreater(time.monotonic() - begun, 2)

    def test_a_pool_for_each(self) -> None:
        """Whoever is bound to a pool has its limits, whatever they ask for."""
        user = f"users:\n  - uid: {os.geteuid()}\n    rights: all\n    pool: narrow\n"
        self.start("pools:\n  - name: narrow\n    streams: 1\n  - name: wide\n" + user)
        self.trove("mb", "media")
        large = self.write("large", b"x" * 2 * MIB)
        for file in (large, self.write("small", b"small")):
            self.trove("put", file, "media/a")
            self.trove("put", "--pool", "narrow", file, "media/a")
            told = self.trove("put", "--pool", "wide", file, "media/a", expect=DENIED).errors
            self.assertIn('has its streams in pool "narrow", and none in "wide"', told)
        pools = {pool["pool"]: pool for pool in self.trove("--json", "pools").objects()}
        self.assertEqual(pools["narrow"]["total_streams"], 2)
        self.assertEqual(pools["default"]["total_streams"], 0)
        self.trove("put", "--pool", "wide", large, "media/a", server=self.server.url("tcp"))


if __name__ == "__main__":
    main()
