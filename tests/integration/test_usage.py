"""What is said of wrong usage and of what can't be reached: the right exit code, what it is about, and advice that helps."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Sequence

from trove_test import (
    CANCELLED,
    DEADLINE,
    MIB,
    NOT_FOUND,
    OK,
    PATIENCE_S,
    TroveTest,
    UNAVAILABLE,
    USAGE,
    check_report,
    content,
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
            self.assertIn("see that host and port", errors)
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


class HintTest(TroveTest):
    """What the server says and the advice that the command adds go together: the advice is found by how the message begins."""

    def setUp(self) -> None:
        super().setUp()
        self.start_server(store="mem://")
        self.trove("mb", "bucket")

    def tearDown(self) -> None:
        self.server.stop()

    def test_what_is_missing(self) -> None:
        file = self.write("file", b"x")
        buckets, keys, pools = "'trove ls' lists the buckets", "'trove ls bucket' lists what is there", "'trove pools' lists them"
        for arguments, advice in (
            (["put", file, "none/key"], "make it with 'trove mb none'"),
            (["put", "--pool", "none", file, "bucket/key"], pools),
            (["put", "--pool", "default", file, "none/key"], "make it with 'trove mb none'"),
            (["get", "none/key", file], buckets),
            (["get", "bucket/none", file], keys),
            (["get", "--pool", "none", "bucket/key", "-"], pools),
            (["get", "--recursive", "none", self.folder], buckets),
            (["get", "--recursive", "bucket/none", self.folder], keys),
            (["cat", "none/key"], buckets),
            (["cat", "bucket/none"], keys),
            (["cat", "--pool", "none", "bucket/key"], pools),
            (["stat", "none/key"], buckets),
            (["stat", "bucket/none"], keys),
            (["rm", "none/key"], buckets),
            (["rm", "bucket/none"], keys),
            (["rm", "--recursive", "none"], buckets),
            (["rm", "--recursive", "bucket/none"], keys),
            (["cp", "bucket/none", "bucket/new"], keys),
            (["cp", "none/key", "bucket/new"], buckets),
            (["ls", "none"], buckets),
            (["rb", "none"], buckets),
            (["streams", "--pool", "none"], pools),
            (["streams", "cancel", "999"], "'trove streams' lists them"),
            (["uploads", "ls", "none"], buckets),
            (["uploads", "abort", "0123456789abcdef0123456789abcdef"], "'trove uploads ls' lists them"),
            (["put", self.folder / "none", "bucket/key"], None),
        ):
            with self.subTest(arguments=arguments):
                errors = self.trove(*arguments, expect=NOT_FOUND).errors
                self.assertEqual(errors.rsplit("; ", 1)[1].strip() if advice else errors.count("; "), advice or 0)

    def test_a_server_that_goes_away(self) -> None:
        self.trove("put", "-", "bucket/key", data=content("away", 16 * MIB))
        process = self.start_trove("get", "--retry-for", "0", "bucket/key", "-")
        assert process.stdout is not None
        process.stdout.read(1)
        self.server.kill()
        self.assertIn("'trove ping --wait 30' waits", self.finish(process, UNAVAILABLE).errors)
        self.start_server(store="mem://")

    def test_a_reader_that_has_gone_hides_no_failure(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        self.assertIn("bucket/none", self.trove("cat", "bucket/none", stdout=writing, expect=NOT_FOUND).errors)
        os.close(writing)


class PatienceTest(TroveTest):
    """Pipes on which nothing moves: the one that is waited for is named, and the limit is the command's."""

    def setUp(self) -> None:
        super().setUp()
        self.start_server(store="mem://", config="pool: {idle_timeout: 6s}\n")
        self.trove("mb", "bucket")

    def tearDown(self) -> None:
        self.server.stop()

    def test_a_quiet_input(self) -> None:
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        for source, named in (("-", "standard input"), (fifo, str(fifo))):
            process = self.start_trove("--timeout", "2", "put", source, "bucket/key", stdin=subprocess.PIPE)
            process.wait(PATIENCE_S)
            errors = self.finish(process, DEADLINE).errors
            self.assertIn(named, errors)
            self.assertIn("has given nothing for 2 s", errors)
            self.assertIn("--timeout 0", errors)
            self.assertNotIn("trove ping", errors)

    def test_an_input_that_is_waited_for_without_a_limit(self) -> None:
        for none in ("0", "none"):
            patient = self.start_trove("--timeout", none, "put", "-", f"bucket/{none}", stdin=subprocess.PIPE)
            clock = self.start_trove("--timeout", "2", "put", "-", "bucket/clock", stdin=subprocess.PIPE)
            clock.wait(PATIENCE_S)
            self.assertIsNone(patient.poll())
            self.finish(patient, data=b"late")
            self.assertEqual(self.trove("cat", f"bucket/{none}").out, b"late")

    def test_an_output_that_nobody_reads(self) -> None:
        self.trove("put", "-", "bucket/key", data=content("unread", 8 * MIB))
        for arguments in (["get", "bucket/key", "-"], ["cat", "bucket/key"]):
            process = self.start_trove("--timeout", "2", *arguments)
            process.wait(PATIENCE_S)
            errors = self.finish(process, DEADLINE).errors
            self.assertIn("standard output has taken nothing for 2 s", errors)
            self.assertIn("--timeout 0", errors)
            self.assertNotIn("trove ping", errors)

    def test_the_servers_limit_holds_without_one_of_ones_own(self) -> None:
        self.trove("put", "-", "bucket/key", data=content("unread", 8 * MIB))
        process = self.start_trove("--timeout", "0", "cat", "bucket/key")
        process.wait(PATIENCE_S)
        self.assertIn("(idle_timeout)", self.finish(process, DEADLINE).errors)

    def test_a_named_pipe_that_nobody_reads(self) -> None:
        self.trove("put", "-", "bucket/key", data=b"0123456789")
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        errors = self.trove("--timeout", "2", "get", "bucket/key", fifo, expect=DEADLINE).errors
        self.assertIn(f"nobody has read {fifo} for 2 s", errors)
        process = self.start_trove("get", "bucket/key", fifo)
        self.assertEqual(fifo.read_bytes(), b"0123456789", "somebody comes in time")
        self.finish(process)

    def test_the_output_blocks_for_others_as_before(self) -> None:
        """Who shares the pipe, as a shell does, must not find it in non-blocking mode afterwards."""
        self.trove("put", "-", "bucket/key", data=content("shared", 100_000))
        reading, writing = os.pipe()
        process = self.start_trove("cat", "bucket/key", stdout=writing)
        got = b""
        while len(got) < 100_000:
            got += os.read(reading, 65536)
        self.finish(process)
        self.assertTrue(os.get_blocking(writing))
        os.close(reading)
        os.close(writing)


class PlaceTest(TroveTest):
    """A pool with one place, which an upload has that doesn't end."""

    def setUp(self) -> None:
        super().setUp()
        self.start_server(store="mem://", config="pools:\n  - {name: one, streams: 1}\n")
        self.trove("mb", "bucket")
        self.first = self.start_put("first")
        wait_for(lambda: self.stream("first"), "the first has its place")

    def tearDown(self) -> None:
        self.finish(self.first, None)
        self.server.stop()

    def start_put(self, key: str, *options: str) -> subprocess.Popen[bytes]:
        """Its beginning is there, and the rest comes when it is finished."""
        process = self.start_trove("put", "--pool", "one", *options, "-", f"bucket/{key}", stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(content(key, 100_000))
        process.stdin.flush()
        return process

    def stream(self, key: str) -> dict[str, Any] | None:
        return next((stream for stream in self.trove("--json", "streams").objects() if stream["key"] == key), None)

    def test_a_place_is_waited_for(self) -> None:
        second = self.start_put("second", "--timeout", "2", "--acquire-timeout", str(PATIENCE_S))
        wait_for(lambda: self.stream("second"), "the second waits")
        for option in ("--timeout", "--acquire-timeout"):
            for arguments in (["get", "bucket/none", self.folder / "none"], ["cat", "bucket/none"]):
                errors = self.trove(*arguments, "--pool", "one", option, "0.5", expect=DEADLINE).errors
                self.assertIn('pool "one" has as many streams open as it may have, 1 (streams)', errors)
                self.assertIn("wait longer with --acquire-timeout SECONDS", errors)
        self.finish(self.first)
        second.wait(PATIENCE_S)
        self.assertIn("has given nothing for 2 s", self.finish(second, DEADLINE).errors, "it has waited longer for its place")

    def test_who_waits_is_shown_with_state_and_place(self) -> None:
        waiting = [self.start_put("second")]
        wait_for(lambda: self.stream("second"), "the second waits")
        waiting.append(self.start_put("third"))
        second = wait_for(lambda: self.stream("third") and self.stream("second"), "the third waits")
        self.trove("streams", "pause", str(second["stream"]))
        shown = self.trove("streams", "--pool", "one").text
        for state, place, key in (("active", "-", "first"), ("paused", "1", "second"), ("waiting", "2", "third")):
            self.assertRegex(shown, rf"(?m)^ *\d+ up +{state} +{place} one .* bucket/{key}$")
        self.trove("streams", "resume", str(second["stream"]))
        for process in (self.first, *waiting):
            self.finish(process)

    def test_a_cancelled_stream_has_an_exit_code_of_its_own(self) -> None:
        self.trove("streams", "cancel", str(self.stream("first")["stream"]))
        self.first.wait(PATIENCE_S)
        self.assertRegex(self.finish(self.first, CANCELLED).errors, r"was cancelled by uid:\d+ \(CANCELLED\)$")


class CheckConfigTest(TroveTest):
    """`troved --check-config` looks at the places that a config names, and makes, locks and changes nothing."""

    def check(self, store: str, listen: str = "", command: Sequence[str | Path] = (), environment: dict[str, str] = {}) -> str:
        """What it says: "" if all is well."""
        before = sorted(self.folder.rglob("*"))
        line = [*map(str, command), program("TROVED"), "--check-config", "--insecure"]
        line += ["--store", store] if store else []
        line += ["--listen", listen or f"ipc://{self.folder}/socket/troved.sock"]
        done = subprocess.run(line, capture_output=True, timeout=PATIENCE_S, env={**os.environ, **environment})
        errors = done.stderr.decode()
        check_report(errors, "troved")
        self.assertEqual(done.returncode, 1 if errors else 0, errors)
        self.assertEqual(done.stdout, b"" if errors else b"config and options are fine\n")
        self.assertEqual(sorted(self.folder.rglob("*")), before)
        return errors

    def refuse(self, key: str, said: str, *arguments: Any, **options: Any) -> None:
        errors = self.check(*arguments, **options)
        self.assertIn(f"`{key}`: ", errors)
        self.assertIn(said, errors)

    def test_stores(self) -> None:
        self.assertEqual(self.check(f"local://{self.folder}/new"), "")
        (self.folder / "empty").mkdir()
        self.assertEqual(self.check(f"local://{self.folder}/empty"), "")
        for store in ("mem://", "null://"):
            self.assertEqual(self.check(store), "")
        self.refuse("store", f"the folder {self.folder}/no doesn't exist; make it first", f"local://{self.folder}/no/such/")
        file = self.write("file", b"x")
        self.refuse("store", f"{file} is no folder", f"local://{file}")
        self.refuse("store", f"{file} is no folder", f"local://{file}/below")
        self.refuse("store", "isn't a store of Trove's", f"local://{self.folder}")
        self.refuse("store", "absolute path", "local://relative")
        other = self.folder / "other"
        other.mkdir()
        (other / "FORMAT").write_text("trove-local 999\n")
        self.refuse("store", "trove-local 999", f"local://{other}")

    def test_a_server_that_runs_isnt_disturbed(self) -> None:
        server = self.start_server()
        self.assertEqual(self.check(f"local://{server.store}", server.url()), "")
        self.ping()
        server.stop()

    def test_the_default_place_may_be_new_altogether(self) -> None:
        if os.geteuid() != 0:
            self.assertEqual(self.check("", environment={"XDG_DATA_HOME": f"{self.folder}/a/b/c"}), "")
            file = self.write("file", b"x")
            self.refuse("store", "is no folder", "", environment={"XDG_DATA_HOME": f"{file}/a"})

    def test_addresses(self) -> None:
        file = self.write("file", b"x")
        for listen, said in (
            (f"ipc://{self.folder}/no/such/troved.sock", f"the folder {self.folder}/no doesn't exist"),
            (f"ipc://{file}/troved.sock", f"{file} is no folder"),
            (f"ipc://{file}", "is no socket"),
            ("ipc://relative", "absolute path"),
            ("tcp://localhost", ":PORT is missing"),
            ("http://localhost:1", "begins with none of"),
        ):
            with self.subTest(listen=listen):
                self.refuse("listen", said, "mem://", listen)
        self.assertEqual(self.check("mem://", "tcp://127.0.0.1:0"), "")

    def test_what_cant_be_written_to(self) -> None:
        script = 'mount -t tmpfs tmpfs "$1" && mkdir "$1/store" && mount -o remount,ro "$1" && shift && exec "$@"'
        disk = self.folder / "disk"
        disk.mkdir()
        command = ["unshare", "-rm", "sh", "-c", script, "sh", disk]
        if shutil.which("unshare") is None or subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode != OK:
            self.skipTest("no file system can be mounted here (unshare -rm isn't there or isn't permitted)")
        for store in ("store", "new"):
            self.refuse("store", "mounted read-only", f"local://{disk}/{store}", command=command)
        self.refuse("listen", "mounted read-only", "mem://", f"ipc://{disk}/new/troved.sock", command=command)


class CommandLineTest(TroveTest):
    """Usage that is wrong is told before anything is done."""

    def setUp(self) -> None:
        super().setUp()
        self.start_server(store="mem://")
        self.trove("mb", "bucket")

    def tearDown(self) -> None:
        self.assertEqual(self.keys("bucket"), [])
        self.server.stop()

    def test_wrong_usage(self) -> None:
        file = self.write("file", b"x")
        for arguments, said in (
            (["put", self.folder, "bucket/key"], "is a folder; --recursive takes folders"),
            (["put", file, self.folder, "bucket"], "is a folder; --recursive takes folders"),
            (["put", "--pool", "", file, "bucket/key"], "--pool takes the name of a pool"),
            (["get", "--pool", "", "bucket/key"], "--pool takes the name of a pool"),
            (["cat", "--pool=", "bucket/key"], "--pool takes the name of a pool"),
            (["streams", "--pool", ""], "--pool takes the name of a pool"),
            (["uploads"], "an argument is missing"),
            (["uploads", "rm"], "'rm' is neither ls nor abort"),
            (["uploads", "abort"], "the upload's ID is missing"),
            (["uploads", "abort", "12"], "'12' is no upload's id"),
            (["uploads", "ls", "bucket", "more"], "'more' is one argument too many"),
            (["put", "--acquire-timeout", "soon", file, "bucket/key"], "--acquire-timeout takes seconds"),
            (["get", "--retry-for", "soon", "bucket/key"], "--retry-for takes seconds"),
            (["put", "--bwlimit", "1023", file, "bucket/key"], "from 1KiB on"),
            (["put", "--if-match", "abc", file, "bucket/key"], "--if-match takes an etag"),
            (["get", "bucket/key", ""], "name is empty"),
            (["--timeout", "never", "ls"], "--timeout takes seconds"),
            (["ls", "--no-such-option"], "unrecognized option '--no-such-option'"),
            (["--no-such-option", "ls"], "unrecognized option '--no-such-option'"),
            (["nonsense"], "'nonsense' is no verb"),
            (["cp", "bucket"], "another argument is missing"),
            (["put", "--meta", "x", file, "bucket/key"], "--meta takes NAME=VALUE"),
            (["cat", "--range", "0-9", "bucket/key"], "by 'trove get --range 0-9 BUCKET/KEY -'"),
        ):
            with self.subTest(arguments=arguments):
                result = self.trove(*arguments, expect=USAGE)
                self.assertIn(said, result.errors)
                self.assertEqual(result.out, b"")
                as_json = self.trove(*arguments, "--json", expect=USAGE)
                error = json.loads(as_json.errors)["error"]
                self.assertIn(said, error["message"])
                self.assertEqual((error["status"], error["exit"]), ("INVALID_ARGUMENT", USAGE))
                self.assertIn("--help' tells more", error["hint"])
                self.assertEqual(as_json.out, b"")

    def test_help_is_no_mistake(self) -> None:
        for arguments in (["--json", "--help"], ["--json", "--version"], ["put", "--json", "--help"]):
            result = self.trove(*arguments)
            self.assertEqual(result.errors, "")
            self.assertNotEqual(result.out, b"")

    def test_help_names_what_is_said_of_it(self) -> None:
        self.assertIn("--meta=NAME=VALUE", self.trove("put", "--help").text)
        self.assertNotIn("--range", self.trove("cat", "--help").text)

    def test_help_tells_of_seek(self) -> None:
        self.assertIn("streams [pause|resume|cancel|seek ID...]", self.trove("--help").text)
        told = " ".join(self.trove("streams", "seek", "--help").text.split())
        self.assertIn("an upload at what the server has received at most, and not below what is durable", told)

    def test_no_table_where_there_is_none(self) -> None:
        self.assertEqual(self.trove("streams", "--pool", "none", expect=NOT_FOUND).out, b"")
        self.assertEqual(len(self.trove("streams").text.splitlines()), 1, "nothing but the head")


if __name__ == "__main__":
    main()
