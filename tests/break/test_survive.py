"""Transfers that outlive everything: the command is killed again and again, the server is, the connection is cut and damaged.

Long form (TROVE_TEST_LONG): 2 GiB, and more rounds. TROVE_PROXY is tests/support/proxy_main.c.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))

from trove_test import (  # noqa: E402
    GIB,
    LONG,
    MIB,
    OK,
    SANITIZE,
    SEED,
    TroveTest,
    main,
    process_bytes_read,
    program,
    say,
    wait_for,
    write_large,
)

KILLS = 5
# What a kill of the server may cost: what isn't durable (that happens every 16 MiB) and what was on its way.
LOST_MAX = (16 + 16) * MIB
PATIENCE_S = 600 if SANITIZE or LONG else 120


class SurviveTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.random = random.Random(f"{SEED}/{self._testMethodName}")
        os.environ["XDG_STATE_HOME"] = str(self.folder / "state")
        self.start_server()
        self.trove("mb", "bucket")

    def tearDown(self) -> None:
        self.server.stop()

    def source(self, name: str, size: int) -> Path:
        path = self.folder / name
        write_large(path, size)
        return path

    def check_same(self, one: Path, other: Path) -> None:
        with one.open("rb") as a, other.open("rb") as b:
            while True:
                left, right = a.read(MIB), b.read(MIB)
                self.assertEqual(left == right, True, f"{one} and {other} differ before byte {a.tell()}")
                if not left:
                    return

    def check_stored(self, source: Path, name: str) -> None:
        """The object is the file, and nothing is left of what it took."""
        self.trove("get", name, self.folder / "back", timeout_s=PATIENCE_S)
        self.check_same(source, self.folder / "back")
        self.assertEqual(self.trove("--json", "uploads", "ls").objects(), [])
        self.assertEqual([path for path in (self.folder / "state").rglob("*") if path.is_file() and path.stat().st_size], [])
        self.check_store("bucket")

    def kill_server(self) -> None:
        self.server.kill()
        self.start_server()

    def await_read(self, process: subprocess.Popen[bytes], count: int) -> None:
        wait_for(
            lambda: process_bytes_read(process.pid) >= count or process.poll() is not None, f"{count} bytes read", PATIENCE_S
        )

    def test_a_client_killed_again_and_again(self) -> None:
        source = self.source("client", 48 * MIB + 12345)
        command = ("--json", "put", "--bwlimit", "80M", source, "bucket/client")
        for _ in range(40 if LONG else 5):
            process = self.start_trove(*command)
            self.await_read(process, self.random.randrange(16 * MIB))
            process.kill()
            process.wait()
        result = self.trove(*command, timeout_s=PATIENCE_S).objects()[0]
        say(f"the last one has sent {result['transfer']['sent_bytes'] / MIB:.1f} MiB of {source.stat().st_size / MIB:.1f}")
        self.check_stored(source, "bucket/client")

    def put_with_kills(self, source: Path, name: str, **options: Any) -> dict[str, Any]:
        """The server is killed on the way, at moments that are spread over all of it."""
        size = (self.folder / "server").stat().st_size
        process = self.start_trove("--json", "put", "--retry-for", "60", source, name, **options)
        for kill in range(KILLS):
            self.await_read(process, int(size * (kill + self.random.random()) / (KILLS + 1)))
            self.assertIsNone(process.poll(), "put has ended before the server was killed often enough")
            self.kill_server()
        return self.finish(process, timeout_s=PATIENCE_S).objects()[0]["transfer"]

    def test_a_server_killed_five_times(self) -> None:
        size = 2 * GIB if LONG else 96 * MIB
        source = self.source("server", size)
        transfer = self.put_with_kills(source, "bucket/server")
        sent = transfer["sent_bytes"]
        say(f"{sent / MIB:.1f} MiB were sent of {size / MIB:.1f}, {sent / size:.2f} times; {transfer['reconnects']} reconnects")
        self.assertGreaterEqual(transfer["reconnects"], 1)
        self.assertLess(sent, min(1.2 * size, size + KILLS * LOST_MAX) if LONG else size + KILLS * LOST_MAX)
        self.check_stored(source, "bucket/server")

    def test_a_server_killed_under_a_pipe(self) -> None:
        source = self.source("server", 64 * MIB + 321)
        with source.open("rb") as file:
            cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
        self.addCleanup(cat.wait)
        assert cat.stdout is not None
        self.addCleanup(cat.stdout.close)
        self.put_with_kills("-", "bucket/pipe", stdin=cat.stdout)
        self.check_stored(source, "bucket/pipe")

    def test_a_server_killed_under_a_get(self) -> None:
        source = self.source("got", 64 * MIB + 99)
        self.trove("put", source, "bucket/got")
        target = self.folder / "target"
        process = self.start_trove("get", "--retry-for", "60", "--bwlimit", "80M", "bucket/got", target)
        for kill in range(3):
            self.await_read(process, int(64 * MIB * (kill + self.random.random()) / 4))
            self.kill_server()
        self.finish(process, timeout_s=PATIENCE_S)
        self.check_same(source, target)

    def start_proxy(self, seed: int, span: int, flips: int, cuts: int) -> str:
        line = [program("TROVE_PROXY"), self.server.url(), self.folder, seed, span, flips, cuts, 3, 20]
        process = subprocess.Popen(list(map(str, line)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        url = process.stdout.readline().decode().strip()
        self.assertTrue(url, "the proxy hasn't begun")
        return url

    def until_done(self, *arguments: str | Path, **options: Any) -> dict[str, Any]:
        """The command again and again: the first connection may be lost, too, and that isn't tried again by itself."""
        for _ in range(30):
            result = self.trove("--json", *arguments, expect=None, timeout_s=PATIENCE_S, **options)
            if result.code == OK:
                return result.objects()[0]["transfer"]
            say(f"    {result.code}: {result.errors.strip()}")
            self.assertIn('"action":"connect"', result.errors)
        self.fail(f"{arguments} isn't done after 30 tries")

    def test_connections_that_are_cut_and_damaged(self) -> None:
        source = self.source("cut", 24 * MIB + 7)
        for round in range(100 if LONG else 3):
            seed = self.random.randrange(2**32)
            span, flips, cuts = self.random.choice([(4, 0, 1), (16, 0, 1), (16, 1, 1), (16, 1, 0)])
            say(f"round {round}: seed {seed}, {span} MiB, {flips} flips, {cuts} cuts")
            url = self.start_proxy(seed, span * MIB, flips, cuts)
            put = self.until_done("put", "--timeout", "10", source, "bucket/cut", server=url)
            target = self.folder / f"cut-{round}"
            got = self.until_done("get", "--timeout", "10", "bucket/cut", target, server=url)
            say(f"    {put['reconnects']} and {got['reconnects']} reconnects")
            self.check_same(source, target)
            target.unlink()
        self.check_stored(source, "bucket/cut")


if __name__ == "__main__":
    main()
