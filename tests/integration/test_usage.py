"""What is said of wrong usage and of what can't be reached: the right exit code, what it is about, and advice that helps."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from trove_test import (
    MIB,
    OK,
    PATIENCE_S,
    TroveTest,
    UNAVAILABLE,
    USAGE,
    check_report,
    main,
    process_bytes_read,
    program,
    wait_for,
)


class AddressTest(TroveTest):
    """Which server is meant."""

    def test_an_address_that_is_none_is_wrong_usage(self) -> None:
        for url, said in (
            ("http://x:1", "begins with none of"),
            ("nonsense", "begins with none of"),
            ("ipc://relative/path", "absolute path"),
            (f"ipc:///{'x' * 120}", "121 bytes"),
            ("tcp://", "is missing"),
            ("tcp://localhost", ":PORT is missing"),
            ("tcp://localhost:seven", "1 to 65535"),
            ("ws://localhost/trove", ":PORT is missing"),
        ):
            with self.subTest(url=url):
                errors = self.trove("ls", server=url, expect=USAGE).errors
                self.assertIn("trove ls: --server: ", errors)
                self.assertIn(said, errors)
                self.assertIn("ipc:///PATH, tcp://HOST:PORT or ws://HOST:PORT/PATH", errors)
        self.trove("ping", "--wait", str(PATIENCE_S), server="tcp://localhost", expect=USAGE)  # at once

    def test_a_variable_that_is_no_address_is_named(self) -> None:
        done = subprocess.run(
            [program("TROVE"), "ls"], env={**os.environ, "TROVE_SERVER": "localhost"}, capture_output=True, timeout=PATIENCE_S
        )
        self.assertEqual(done.returncode, USAGE)
        self.assertIn(b"trove ls: TROVE_SERVER: ", done.stderr)

    def test_what_helps_depends_on_the_kind_of_address(self) -> None:
        with socket.socket() as taken:  # bound and not listening: nobody else can be there
            taken.bind(("127.0.0.1", 0))
            errors = self.trove("ls", server=f"tcp://127.0.0.1:{taken.getsockname()[1]}", expect=UNAVAILABLE).errors
            self.assertIn("host and port are right", errors)
        errors = self.trove("ls", server=f"ipc://{self.folder}/none.sock", expect=UNAVAILABLE).errors
        self.assertIn("start a server with 'troved'", errors)


class NameTest(TroveTest):
    """A host that isn't known: looked up in a table of the test's own, which only the command sees."""

    def setUp(self) -> None:
        super().setUp()
        self.hosts = self.folder / "hosts"
        # So much that reading it can be told from all else that a command reads.
        self.hosts.write_text("# nobody\n" * (MIB // 9))
        (self.folder / "nsswitch.conf").write_text("hosts: files\n")
        if shutil.which("unshare") is None or subprocess.run(self.command("true"), stderr=subprocess.DEVNULL).returncode != OK:
            self.skipTest("no file can be mounted over another one here (unshare -rm isn't there or isn't permitted)")

    def command(self, *line: str | Path) -> list[str]:
        script = 'cd "$1" && for file in hosts nsswitch.conf; do mount --bind $file /etc/$file || exit; done; shift; exec "$@"'
        return ["unshare", "-rm", "sh", "-c", script, "sh", str(self.folder), *map(str, line)]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self.command(program("TROVE"), *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(self._end_command, process)
        return process

    def test_an_unknown_name_is_no_wrong_usage(self) -> None:
        for url in ("tcp://later.example:7000", "ws://later.example:7000/trove"):
            with self.subTest(url=url):
                errors = self.finish(self.start("--server", url, "ls"), UNAVAILABLE).errors
                self.assertIn("no host is known by the name later.example", errors)

    def test_ping_waits_for_a_name(self) -> None:
        server = self.start_server(schemes=("tcp",), store="mem://")
        url = server.url("tcp").replace("127.0.0.1", "later.example")
        waiting = self.start("--quiet", "--server", url, "ping", "--wait", str(PATIENCE_S))
        wait_for(lambda: process_bytes_read(waiting.pid) > 2 * MIB, "it has looked twice")
        with self.hosts.open("a") as file:
            file.write("127.0.0.1 later.example\n")
        self.finish(waiting)
        server.stop()

    def test_a_server_says_which_address_isnt_its_own(self) -> None:
        line = self.command(program("TROVED"), "--store", "mem://", "--insecure", "--listen", "tcp://later.example:0")
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
        errors = done.stderr.decode()
        check_report(errors, "troved")
        self.assertEqual(done.returncode, 1, errors)
        self.assertIn("later.example is no address of this machine", errors)


if __name__ == "__main__":
    main()
