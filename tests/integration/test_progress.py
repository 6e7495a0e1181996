"""What people at a terminal see, and what scripts rely on: progress, `ping --wait`, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess

from trove_test import (
    CONFLICT,
    DATA_LOSS,
    DEADLINE,
    DENIED,
    EXHAUSTED,
    FAILURE,
    INVALID,
    MIB,
    NOT_FOUND,
    OK,
    PATIENCE_S,
    PIPE,
    Server,
    TERMINATED,
    Terminal,
    TroveTest,
    UNAVAILABLE,
    USAGE,
    content,
    main,
    process_bytes_read,
    program,
    wait_for,
)


ENVIRONMENT = {**os.environ, "TERM": "xterm"}
WITH_TOTAL = re.compile(r"\d+%.* [\d.]+ [KMG]?i?B/s +\d[\d:]* left")


class ProgressTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.start_server(store="mem://", config="store_memory: 1GiB\n")
        self.trove("mb", "bucket")

    def tearDown(self) -> None:
        self.server.stop()

    def test_get_shows_percent_speed_and_time_left(self) -> None:
        """The reader of its output takes half, until the bar is there, and then the rest."""
        size = 32 * MIB
        data = content("progress", size)
        self.trove("put", "-", "bucket/key", data=data)
        terminal = Terminal()
        process = terminal.start(
            lambda inner: self.start_trove("get", "bucket/key", "-", stderr=inner, env=ENVIRONMENT)
        )
        assert process.stdout is not None
        got = process.stdout.read(size // 2)
        wait_for(lambda: WITH_TOTAL.search(terminal.shown), "percent, speed and time left on the terminal")
        got += process.stdout.read()
        self.finish(process)
        self.check_content(got, data, "the object")
        shown = terminal.join()
        self.assertIn("32.0 MiB", shown)
        self.assertTrue(shown.endswith("\r\x1b[K"), "the line is gone at the end")
        self.assertNotIn("\n", shown, "it is drawn over itself")

    def test_put_of_a_file_shows_percent_speed_and_time_left(self) -> None:
        """The server stands still in the middle, until the bar is there."""
        source = self.folder / "source"
        source.touch()
        os.truncate(source, 512 * MIB)
        terminal = Terminal()
        process = terminal.start(
            lambda inner: self.start_trove(
                "put", "--bwlimit", "100M", source, "bucket/key", stderr=inner, env=ENVIRONMENT
            )
        )
        wait_for(lambda: process_bytes_read(process.pid) > 40 * MIB, "the command has read some of the file")
        self.server.signal(signal.SIGSTOP)
        try:
            wait_for(lambda: re.search(r" \d?\d%", " " + terminal.shown), "percent on the terminal")
            wait_for(lambda: WITH_TOTAL.search(terminal.shown), "speed and time left on the terminal")
        finally:
            self.server.signal(signal.SIGCONT)
        self.finish(process)
        self.assertIn("512.0 MiB", terminal.join())

    def test_put_from_a_pipe_shows_bytes_and_speed(self) -> None:
        terminal = Terminal()
        process = terminal.start(
            lambda inner: self.start_trove(
                "put", "-", "bucket/key", stdin=subprocess.PIPE, stderr=inner, env=ENVIRONMENT
            )
        )
        assert process.stdin is not None
        process.stdin.write(bytes(4 * MIB))
        process.stdin.flush()
        wait_for(lambda: re.search(r"4\.0 MiB .*/s", terminal.shown), "bytes and speed on the terminal")
        self.finish(process)
        self.assertNotIn("%", terminal.join(), "nothing is known of the end")

    def test_nothing_is_drawn_where_no_terminal_is(self) -> None:
        data = bytes(4 * MIB)
        for options in ([], ["--quiet"], ["--json"]):
            result = self.put_slowly(options, data)
            self.assertEqual(result.errors, "", options)
            self.assertNotIn(b"\r", result.out)
            self.assertNotIn(b"\x1b", result.out)

    def test_nothing_is_drawn_where_it_isnt_wanted(self) -> None:
        for options, variables in ((["--quiet"], {}), (["--json"], {}), ([], {"TERM": "dumb"})):
            terminal = Terminal()
            self.put_slowly(options, bytes(4 * MIB), terminal, {**ENVIRONMENT, **variables})
            self.assertEqual(terminal.join(), "")

    def put_slowly(self, options: list[str], data: bytes, terminal: Terminal | None = None, environment=None):
        """Its input takes longer to end than the bar waits before it is drawn."""

        def start(errors: int) -> subprocess.Popen[bytes]:
            arguments = [*options, "put", "-", "bucket/key"]
            return self.start_trove(*arguments, stdin=subprocess.PIPE, stderr=errors, env=environment)

        process = terminal.start(start) if terminal is not None else start(subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.flush()
        # Another command that does draw tells that enough time has passed.
        clock = Terminal()
        other = clock.start(
            lambda inner: self.start_trove("put", "-", "bucket/clock", stdin=subprocess.PIPE, stderr=inner, env=ENVIRONMENT)
        )
        assert other.stdin is not None
        other.stdin.write(b"x")
        other.stdin.flush()
        wait_for(lambda: clock.shown, "a bar of another command")
        self.finish(other)
        clock.join()
        return self.finish(process)


class WaitTest(TroveTest):
    def test_ping_waits_for_a_server_that_isnt_there_yet(self) -> None:
        path = self.folder / "socket" / "troved.sock"
        path.parent.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as nobody:  # one that takes a connection and says nothing: the first try
            nobody.bind(str(path))
            nobody.listen()
            nobody.settimeout(PATIENCE_S)
            waiting = self.start_trove("--quiet", "ping", "--wait", str(PATIENCE_S), server=f"ipc://{path}")
            nobody.accept()[0].close()
        path.unlink()
        self.assertIsNone(waiting.poll())
        server = self.start_server()
        self.assertEqual(self.finish(waiting).out, b"")
        server.stop()

    def test_ping_gives_up(self) -> None:
        url = f"ipc://{self.folder}/nothing.sock"
        result = self.trove("ping", "--wait", "0.3", server=url, expect=None)
        self.assertIn(result.code, (UNAVAILABLE, DEADLINE))
        self.assertIn(url, result.errors)


class ExitCodeTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.start_server()
        self.trove("mb", "bucket")

    def tearDown(self) -> None:
        self.server.stop()

    def test_help_lists_the_codes_that_are_used(self) -> None:
        said = self.trove("--help").text
        codes = dict(re.findall(r"^ +(\d+)\s+(\S.*)$", said, re.MULTILINE))
        self.assertEqual(sorted(map(int, codes)), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 129, 130, 141, 143])
        for verb in ("mb", "rb", "ls", "put", "get", "cat", "stat", "cp", "rm", "ping"):
            self.assertRegex(said, rf"(?m)^ +{verb}\b")
            self.assertIn(f"trove {verb}", self.trove(verb, "--help").text)

    def test_codes(self) -> None:
        self.trove("put", "-", "bucket/key", data=b"0123456789", expect=OK)
        for arguments, code in [
            ([], USAGE),
            (["nonsense"], USAGE),
            (["ls", "--nonsense"], USAGE),
            (["ls", "a", "b"], USAGE),
            (["get"], USAGE),
            (["put", "file"], USAGE),
            (["--timeout", "soon", "ls"], USAGE),
            (["cat", "bucket/missing"], NOT_FOUND),
            (["ls", "missing"], NOT_FOUND),
            (["mb", "bucket"], CONFLICT),
            (["rb", "bucket"], CONFLICT),
            (["mb", "BUCKET"], INVALID),
            (["get", "bucket/key", "-", "--range", "11+1"], INVALID),
        ]:
            with self.subTest(arguments=arguments):
                self.trove(*arguments, expect=code)

    def test_each_failure_has_its_code(self) -> None:
        """What a server or a file really fails with; those that take longer are CANCELLED and ABORTED (test_usage.py, test_resume.py)
        and DEADLINE_EXCEEDED (below)."""
        folder = self.folder / "keys"
        folder.mkdir()
        self.trove("keygen", "-o", folder / "key")
        (folder / "authorized_keys").touch(0o600)
        keys = f"key_file: {folder}/key\nauthorized_keys: {folder}/authorized_keys\n"
        users = f'users:\n  - uid: {os.geteuid()}\n    rights: "all:media"\n'
        server = Server(folder, store="null://", config=keys + users, arguments=("--listen", "tcp://127.0.0.1:0"))
        self.addCleanup(server.end)
        self.trove("put", "-", "bucket/key", data=b"0123456789")
        for status, code, url, arguments in [
            ("NOT_FOUND", NOT_FOUND, None, ["cat", "bucket/missing"]),
            ("ALREADY_EXISTS", CONFLICT, None, ["mb", "bucket"]),
            ("FAILED_PRECONDITION", CONFLICT, None, ["rm", "--if-generation", "9999", "bucket/key"]),
            ("PERMISSION_DENIED", DENIED, server.url(), ["mb", "other"]),
            ("UNAUTHENTICATED", DENIED, server.url("tcp"), ["ping"]),
            ("UNAVAILABLE", UNAVAILABLE, f"ipc://{self.folder}/nobody", ["ping"]),
            ("DATA_LOSS", DATA_LOSS, None, ["put", "--digest", f"sha256:{'0' * 64}", folder / "key", "bucket/new"]),
            ("INVALID_ARGUMENT", INVALID, None, ["mb", "BUCKET"]),
            ("OUT_OF_RANGE", INVALID, None, ["get", "bucket/key", "-", "--range", "11-20"]),
            ("UNIMPLEMENTED", FAILURE, server.url(), ["uploads", "ls"]),
        ]:
            with self.subTest(status):
                failed = json.loads(self.trove("--json", *arguments, server=url, expect=code).errors)["error"]
                self.assertEqual((failed["status"], failed["exit"]), (status, code))
        with open("/dev/full", "wb") as full:
            failed = json.loads(self.trove("--json", "ls", "bucket", stdout=full, expect=EXHAUSTED).errors)["error"]
            self.assertEqual((failed["status"], failed["exit"]), ("RESOURCE_EXHAUSTED", EXHAUSTED))

    def test_the_gravest_of_several_failures_counts(self) -> None:
        self.trove("put", "-", "bucket/key", data=b"x")
        refused = self.trove("cat", "bucket/key", "bucket/missing", "BUCKET/key", expect=INVALID)
        self.assertEqual(refused.out, b"x", "what is there comes all the same")
        self.trove("put", self.write("here", b"x"), "/not/here", "bucket/folder", expect=NOT_FOUND)
        self.assertEqual(self.keys("bucket"), ["folder/here", "key"])

    def test_a_server_that_doesnt_answer(self) -> None:
        """It takes the connection and says nothing."""
        with socket.socket(socket.AF_UNIX) as listener:
            path = str(self.folder / "silent.sock")
            listener.bind(path)
            listener.listen()
            result = self.trove("--timeout", "0.3", "ls", server=f"ipc://{path}", expect=DEADLINE)
            self.assertIn(path, result.errors)

    def test_reader_of_the_output_goes_away(self) -> None:
        self.trove("put", "-", "bucket/key", data=content("pipe", 8 * MIB))
        process = self.start_trove("cat", "bucket/key")
        assert process.stdout is not None
        process.stdout.read(100_000)
        process.stdout.close()
        process.stdout = None
        self.assertEqual(self.finish(process, expect=PIPE).errors, "", "as quiet as other commands about that")

    def test_output_that_cant_be_written(self) -> None:
        with open("/dev/full", "wb") as full:
            for arguments in (["ls", "bucket"], ["--json", "ping"]):
                self.trove("put", "-", "bucket/key", data=b"x")
                self.assertIn("standard output", self.trove(*arguments, stdout=full, expect=6).errors)

    def test_signals_end_a_put_and_nothing_is_stored(self) -> None:
        for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGINT, 130), (signal.SIGHUP, 129)):
            process = self.start_trove("put", "-", "bucket/key", stdin=subprocess.PIPE)
            assert process.stdin is not None
            process.stdin.write(bytes(MIB))
            process.stdin.flush()
            wait_for(lambda: self.ping()["streams_active"] == 1, "the upload has begun")
            process.send_signal(number)
            process.wait(PATIENCE_S)
            self.assertEqual(process.returncode, code)
            self.wait_until_idle()
        self.assertEqual(self.keys("bucket"), [])
        self.check_store("bucket")

    def test_signals_end_a_get_and_no_file_is_left(self) -> None:
        """Unless it may be gone on with: see test_resume_get.py."""
        data = content("get", 80 * MIB)
        target = self.folder / "target"
        self.trove("put", "-", "bucket/key", data=data)
        for _ in range(3):
            process = self.start_trove("get", "--no-resume", "bucket/key", target)
            wait_for(lambda: self.ping()["streams_active"] == 1 or process.poll() is not None, "a file that is being written")
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
            self.assertIn(process.returncode, (TERMINATED, OK))
            if process.returncode == OK or target.exists():  # the signal may come when all is done
                self.check_content(target.read_bytes(), data, "whole or not at all")
                target.unlink()
            self.assertEqual(list(self.folder.glob(".*.part")), [])

    def test_default_server_is_named(self) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "TROVE_SERVER"}
        environment["TROVE_SERVER"] = self.server.url()
        done = subprocess.run([program("TROVE"), "ls"], env=environment, capture_output=True, timeout=PATIENCE_S)
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertIn(b"bucket/", done.stdout)


if __name__ == "__main__":
    main()
