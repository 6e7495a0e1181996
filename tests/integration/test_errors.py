"""What goes wrong is told clearly, costs its own call and nothing else, and leaves nothing behind.

Missing things, full disks, crashes, servers in each other's way, configs with mistakes, the end of a server with work under way.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import unittest
from pathlib import Path

from trove_test import (
    BLOCK,
    CONFLICT,
    DENIED,
    EXHAUSTED,
    FAILURE,
    INLINE_MAX,
    INVALID,
    KIB,
    MIB,
    NOT_FOUND,
    OK,
    PATIENCE_S,
    ServerTest,
    TroveTest,
    UNAVAILABLE,
    check_report,
    content,
    main,
    program,
    wait_for,
)

TROVED_USAGE = 64


class RequestTest(ServerTest):
    """Mistakes of who calls: the message names what it is about and what to do."""

    def refuse(self, expect: int, said: str, *arguments: str | Path, **options) -> None:
        result = self.trove(*arguments, expect=expect, **options)
        self.assertIn(said, result.errors)
        self.assertEqual(result.out, b"")

    def test_missing_bucket(self) -> None:
        missing = "no-such-bucket"
        source = self.write("source", content("source", 100_000))
        self.refuse(NOT_FOUND, f"trove mb {missing}", "put", source, f"{missing}/key")
        self.refuse(NOT_FOUND, f"trove mb {missing}", "put", "-", f"{missing}/key", data=b"small")
        for verb in ("cat", "stat", "rm"):
            self.refuse(NOT_FOUND, f"bucket {missing}", verb, f"{missing}/key")
        self.refuse(NOT_FOUND, "trove ls", "ls", missing)
        self.refuse(NOT_FOUND, missing, "rb", missing)
        self.refuse(NOT_FOUND, missing, "cp", f"{missing}/key", self.name("key"))
        self.trove("put", source, self.name("key"))
        self.refuse(NOT_FOUND, missing, "cp", self.name("key"), f"{missing}/key")
        self.refuse(NOT_FOUND, missing, "get", "--recursive", missing, self.folder / "out")

    def test_missing_object(self) -> None:
        name = self.name("no-such-key")
        target = self.folder / "target"
        for verb, *more in (["get", target], ["cat"], ["stat"], ["rm"], ["cp", self.name("copy")]):
            self.refuse(NOT_FOUND, "no-such-key", verb, name, *more)
        self.refuse(NOT_FOUND, "no-such-folder/", "rm", "--recursive", self.name("no-such-folder"))
        self.assertFalse(target.exists(), "a get that fails makes no file")

    def test_a_failed_get_keeps_the_old_file(self) -> None:
        target = self.write("target", b"old")
        self.refuse(NOT_FOUND, "missing", "get", self.name("missing"), target)
        self.assertEqual(target.read_bytes(), b"old")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["target"])

    def test_sources_that_cant_be_read(self) -> None:
        self.refuse(NOT_FOUND, "/no/such/file", "put", "/no/such/file", self.name("key"))
        for path, flags, code, said in (
            ("/", os.O_RDONLY, INVALID, "directory"),
            ("/dev/null", os.O_WRONLY, FAILURE, "read"),
        ):
            fd = os.open(path, flags)
            self.addCleanup(os.close, fd)
            self.refuse(code, said, "put", "-", self.name("key"), stdin=fd)
        loop = self.folder / "loop"
        loop.symlink_to(loop)
        self.refuse(CONFLICT, str(loop), "put", loop, self.name("key"))
        self.assertEqual(self.keys(self.bucket), [])

    @unittest.skipIf(os.geteuid() == 0, "root reads and writes everything")
    def test_permissions(self) -> None:
        source = self.write("secret", b"x")
        source.chmod(0)
        self.refuse(DENIED, str(source), "put", source, self.name("key"))
        self.trove("put", "-", self.name("key"), data=b"x")
        closed = self.folder / "closed"
        closed.mkdir(0o500)
        self.refuse(DENIED, "closed", "get", self.name("key"), closed / "target")

    def test_targets_that_cant_be_written(self) -> None:
        self.trove("put", "-", self.name("key"), data=b"x")
        folder = self.folder / "folder"
        (folder / "key").mkdir(parents=True)
        self.refuse(NOT_FOUND, "/no/such/folder", "get", self.name("key"), "/no/such/folder/target")
        self.refuse(CONFLICT, "folder already", "get", self.name("key"), folder)
        self.refuse(CONFLICT, "file", "get", self.name("key"), self.write("file", b"x") / "below")
        self.refuse(NOT_FOUND, "new/", "get", self.name("key"), f"{self.folder}/new/")
        self.refuse(INVALID, "too long", "get", self.name("key"), self.folder / ("x" * 256))
        self.refuse(EXHAUSTED, "writing to /dev/full: ", "get", self.name("key"), "/dev/full")
        with open("/dev/full", "wb") as full:
            self.refuse(EXHAUSTED, "standard output", "get", self.name("key"), "-", stdout=full)

    def test_file_that_grows_while_it_is_read(self) -> None:
        """Refused, or stored as it was at one moment: never with other bytes in it."""
        data = content("growing", 8 * MIB)
        source = self.write("source", data)
        process = self.start_trove("put", source, self.name("key"))
        with source.open("ab") as file:
            while process.poll() is None:
                file.write(bytes(KIB))
                file.flush()
        result = self.finish(process, expect=None)
        if result.code == OK:
            got = self.trove("cat", self.name("key")).out
            self.check_content(got, (data + bytes(len(got)))[: len(got)], "what was stored")
        else:
            self.assertEqual(result.code, CONFLICT, result.errors)
            self.assertIn("while it was read", result.errors)
            self.assertEqual(self.keys(self.bucket), [])


class AddressTest(TroveTest):
    """No server, a wrong one, and several that want the same."""

    def test_no_server(self) -> None:
        with socket.socket() as taken:  # bound and not listening: nobody else can be there
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            for url in (f"tcp://127.0.0.1:{port}", f"ipc://{self.folder}/none.sock", f"ws://127.0.0.1:{port}/trove"):
                with self.subTest(url=url):
                    result = self.trove("ls", server=url, expect=UNAVAILABLE)
                    self.assertIn(url, result.errors)
                    self.assertIn("troved", result.errors, "what to do")

    def refuse(self, code: int, said: str, *arguments: str | Path) -> None:
        line = [program("TROVED"), *map(str, arguments)]
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
        errors = done.stderr.decode()
        check_report(errors, "troved")
        self.assertEqual(done.returncode, code, errors)
        self.assertIn(said, errors)

    def test_second_server_on_the_same_store(self) -> None:
        server = self.start_server()
        other = f"ipc://{self.folder}/other.sock"
        self.refuse(FAILURE, "is in use by process", "--store", f"local://{server.store}", "--listen", other)
        self.assertFalse((self.folder / "other.sock").exists(), "it hasn't listened")
        self.trove("mb", "bucket")
        server.stop()

    def test_second_server_on_the_same_socket(self) -> None:
        server = self.start_server()
        self.refuse(FAILURE, "another server", "--store", "mem://", "--listen", server.url())
        self.assertEqual(self.ping()["driver"], "local", "the first one goes on")
        server.stop()

    def test_a_stale_socket_is_replaced(self) -> None:
        server = self.start_server()
        server.kill()
        self.assertTrue(server.socket.is_socket())
        self.trove("ls", expect=UNAVAILABLE)
        again = self.start_server()
        self.assertEqual(self.ping()["driver"], "local")
        again.stop()

    def test_a_file_at_the_sockets_path_is_left_alone(self) -> None:
        path = self.write("precious", b"data")
        self.refuse(FAILURE, "precious", "--store", "mem://", "--listen", f"ipc://{path}")
        self.assertEqual(path.read_bytes(), b"data")
        link = self.folder / "link"
        link.symlink_to(path)
        self.refuse(FAILURE, "link", "--store", "mem://", "--listen", f"ipc://{link}")
        self.assertEqual(path.read_bytes(), b"data")

    def test_network_needs_to_be_insecure(self) -> None:
        for url in ("tcp://127.0.0.1:0", "ws://127.0.0.1:0/trove"):
            self.refuse(FAILURE, "--insecure", "--store", "mem://", "--listen", url)
        server = self.start_server(schemes=("tcp",), store="mem://")
        self.assertIn("INSECURE", server.log.text())
        self.trove("mb", "bucket", server=server.url("tcp"))
        server.stop()

    def test_the_socket_is_for_its_owner_alone(self) -> None:
        server = self.start_server()
        self.assertEqual(server.socket.stat().st_mode & 0o777, 0o600)
        self.assertEqual(server.socket.parent.stat().st_mode & 0o777, 0o700)
        self.trove("mb", "bucket")
        self.trove("put", "-", "bucket/key", data=content("private", 100_000))
        for path in server.store.rglob("*"):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)
        server.stop()

    def test_folders_that_are_no_store(self) -> None:
        self.write("notes.txt", b"mine")
        socket_url = f"ipc://{self.folder}/troved.sock"
        self.refuse(FAILURE, "isn't a store of Trove's", "--store", f"local://{self.folder}", "--listen", socket_url)
        self.refuse(FAILURE, "/no/such", "--store", "local:///no/such/folder", "--listen", socket_url)
        self.refuse(FAILURE, "absolute path", "--store", "local://relative", "--listen", socket_url)
        self.refuse(FAILURE, "nonsense", "--store", "nonsense://", "--listen", socket_url)
        self.assertEqual((self.folder / "notes.txt").read_bytes(), b"mine")

    def test_config_mistakes_are_told_with_their_line(self) -> None:
        path = self.folder / "troved.yaml"
        for text, line, said in [
            ("memory: 64MiB\nmemroy: 1GiB\n", 2, "unknown key `memroy`"),
            ("pool:\n  chunk_size: 1MiB\n  bogus: 1\n", 3, "pool.bogus"),
            ("\n\nworkers: many\n", 3, "digits"),
            ("workers: 257\n", 1, "1 to 256"),
            ("memory: 1MiB\n", 1, "8MiB to"),
            ("memory: 256\n", 1, "is no size"),
            ("drain_timeout: 10\n", 1, "is no time"),
            ("insecure: perhaps\n", 1, "true, false"),
            ("log:\n  level: loud\n", 2, "debug, info, warn, error"),
            ("listen: ipc:///x\n", 1, "a list"),
            ("pool: big\n", 1, "a section"),
            ("workers: 1\nworkers: 2\n", 2, "workers"),
            ("memory: [\n", 2, ""),
        ]:
            with self.subTest(text=text):
                path.write_text(text)
                self.refuse(FAILURE, said, "--config", path, "--check-config")
                self.refuse(FAILURE, f"line {line}", "--config", path, "--check-config")
        self.refuse(FAILURE, "no/such.yaml", "--config", "/no/such.yaml")
        path.write_text("memory: 8MiB\npool:\n  chunk_size: 16MiB\n")
        self.refuse(FAILURE, "doesn't fit into a quarter of `memory`", "--config", path, "--check-config")

    def test_check_config(self) -> None:
        """Nothing is started, made or touched."""
        path = self.folder / "troved.yaml"
        path.write_text(f"store: local://{self.folder}/store\nlisten:\n  - ipc://{self.folder}/s/troved.sock\n")
        line = [program("TROVED"), "--config", path, "--check-config"]
        done = subprocess.run(line, capture_output=True, timeout=PATIENCE_S)
        self.assertEqual((done.returncode, done.stdout), (0, b"config and options are fine\n"))
        self.assertEqual([found.name for found in self.folder.iterdir()], ["troved.yaml"])
        self.refuse(TROVED_USAGE, "nonsense", "--nonsense")


class CrashTest(TroveTest):
    """Either end dies in the middle of a put that isn't resumable; for others see test_resume.py."""

    def put_half(self, name: str, size: int = 4 * MIB) -> subprocess.Popen[bytes]:
        """A put that has sent something and waits for the rest of its input."""
        process = self.start_trove("put", "--no-resume", "-", name, stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(content("half", size))
        process.stdin.flush()
        wait_for(lambda: self.ping()["streams_active"] > 0, "the upload has begun")
        return process

    def test_server_is_killed_in_the_middle_of_a_put(self) -> None:
        old = content("old", 2 * MIB)
        server = self.start_server()
        self.trove("mb", "bucket")
        self.trove("put", "-", "bucket/key", data=old)
        process = self.put_half("bucket/key")
        wait_for(lambda: len(server.object_files()) == 2, "a file of the object that is being put")
        server.kill()
        result = self.finish(process, expect=UNAVAILABLE)
        self.assertIn("bucket/key", result.errors)
        self.assertIn("UNAVAILABLE", result.errors)
        server = self.start_server()
        self.check_content(self.trove("cat", "bucket/key").out, old, "the old object")
        self.check_store("bucket")
        server.stop()

    def test_server_is_killed_in_the_middle_of_a_get(self) -> None:
        server = self.start_server()
        self.trove("mb", "bucket")
        self.trove("put", "-", "bucket/key", data=content("get", 64 * MIB))
        target = self.write("target", b"old")
        process = self.start_trove("get", "--retry-for", "0", "bucket/key", "-")
        assert process.stdout is not None
        process.stdout.read(MIB)
        server.kill()
        self.finish(process, expect=UNAVAILABLE)
        self.trove("get", "bucket/key", target, expect=UNAVAILABLE)
        self.assertEqual(target.read_bytes(), b"old")

    def test_client_is_killed_in_the_middle_of_a_put(self) -> None:
        old = content("old", 2 * MIB)
        server = self.start_server()
        self.trove("mb", "bucket")
        self.trove("put", "-", "bucket/key", data=old)
        process = self.put_half("bucket/key")
        wait_for(lambda: len(server.object_files()) == 2, "a file of the object that is being put")
        process.kill()
        self.wait_until_idle()
        self.check_store("bucket")
        self.check_content(self.trove("cat", "bucket/key").out, old, "the old object")
        server.stop()

    def test_damaged_file_in_the_store(self) -> None:
        """A flipped bit on the disk is found by who reads it, and the rest can be read."""
        server = self.start_server()
        self.trove("mb", "bucket")
        data = content("damaged", MIB)
        self.trove("put", "-", "bucket/key", data=data)
        [path] = server.object_files()
        stored = bytearray(path.read_bytes())
        stored[2 * BLOCK + 5] ^= 1
        path.write_bytes(stored)
        target = self.folder / "target"
        result = self.trove("get", "bucket/key", target, expect=9)
        self.assertIn("bucket/key", result.errors)
        self.assertFalse(target.exists())
        self.assertEqual(self.trove("get", "bucket/key", "-", "--range", f"0+{2 * BLOCK}").out, data[: 2 * BLOCK])
        self.trove("get", "bucket/key", "-", "--range", f"{2 * BLOCK}+1", expect=9)
        server.stop()


class FullDiskTest(TroveTest):
    """A small tmpfs, mounted where only the program that is tested sees it."""

    SIZE = 24 * MIB

    def setUp(self) -> None:
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        if shutil.which("unshare") is None or not self.can_mount():
            self.skipTest("no file system can be mounted here (unshare -rm isn't there or isn't permitted)")

    def command(self, *line: str | Path) -> list[str]:
        script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
        return ["unshare", "-rm", "sh", "-c", script, "sh", str(self.SIZE), str(self.disk), *map(str, line)]

    def can_mount(self) -> bool:
        return subprocess.run(self.command("true"), stderr=subprocess.DEVNULL, timeout=PATIENCE_S).returncode == 0

    def test_full_disk_of_the_server(self) -> None:
        server = self.start_server(store=f"local://{self.disk}/store", command=self.command())
        self.trove("mb", "bucket")
        kept = content("kept", 3 * MIB)
        self.trove("put", "-", "bucket/kept", data=kept)
        for data in (content("too-large", self.SIZE), content("overwriting", self.SIZE)):
            result = self.trove("put", "-", "bucket/kept", data=data, expect=EXHAUSTED)
            self.assertIn("bucket/kept", result.errors)
            self.assertRegex(result.errors, "(?i)no space|full|space")
        self.wait_until_idle()
        # Small ones until they are refused, too; what was acknowledged stays, and what is deleted makes room again.
        stored = []
        for index in range(2 * self.SIZE // INLINE_MAX):
            key = f"small-{index:05}"
            result = self.trove("put", "-", f"bucket/{key}", data=content(key, INLINE_MAX), expect=None)
            if result.code != OK:
                self.assertEqual(result.code, EXHAUSTED, result.errors)
                break
            stored.append(key)
        else:
            self.fail(f"{len(stored)} objects of {INLINE_MAX} bytes were stored on a disk of {self.SIZE}")
        self.assertEqual(self.keys("bucket"), ["kept", *stored])
        back = self.folder / "back"
        self.trove("--quiet", "get", "--recursive", "bucket", back)
        for key in stored:
            self.check_content((back / key).read_bytes(), content(key, INLINE_MAX), key)
        self.check_content((back / "kept").read_bytes(), kept, "what was acknowledged")
        self.trove("rm", "bucket/kept")
        again = lambda: self.trove("put", "-", "bucket/kept", data=kept[:MIB], expect=None).code == OK
        wait_for(again, "there is room for what is smaller than what was deleted")
        kept = kept[:MIB]
        self.check_content(self.trove("cat", "bucket/kept").out, kept, "what was stored again")
        server.stop()

    def test_full_disk_of_the_client(self) -> None:
        server = self.start_server(store="mem://")
        self.trove("mb", "bucket")
        self.trove("put", "-", "bucket/large", data=content("large", self.SIZE + MIB))
        script = (
            '"$1" --server "$2" get --no-resume bucket/large "$3/target"; code=$?; '
            'left=$(ls -A "$3"); [ -z "$left" ] || exit 99; exit $code'
        )
        line = self.command("sh", "-c", script, "sh", program("TROVE"), server.url(), self.disk)
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
        self.assertEqual(done.returncode, EXHAUSTED, done.stderr)
        self.assertIn(b"bucket/large", done.stderr)
        self.assertIn(b"No space left", done.stderr)
        self.wait_until_idle()
        server.stop()


class EndTest(TroveTest):
    """SIGTERM: what is under way is finished if it can be, and the end comes in time in any case."""

    def begin_put(self, drain_timeout: str) -> subprocess.Popen[bytes]:
        self.start_server(config=f"drain_timeout: {drain_timeout}\n")
        self.trove("mb", "bucket")
        process = self.start_trove("put", "--no-resume", "-", "bucket/key", stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(content("begun", 4 * MIB))
        process.stdin.flush()
        wait_for(lambda: self.ping()["streams_active"] == 1, "the upload has begun")
        return process

    def test_a_transfer_under_way_is_finished(self) -> None:
        process = self.begin_put("1h")
        self.server.signal(signal.SIGTERM)
        self.server.log.wait_for("draining")
        self.trove("ls", expect=UNAVAILABLE)
        rest = content("rest", 2 * MIB)
        self.finish(process, data=rest)
        self.assertEqual(self.server.wait(), 0)
        server = self.start_server()
        self.check_content(self.trove("cat", "bucket/key").out, content("begun", 4 * MIB) + rest, "what was finished")
        server.stop()

    def test_a_transfer_that_doesnt_go_on_is_given_up(self) -> None:
        process = self.begin_put("200ms")
        self.server.stop()
        self.assertIn("drain_timeout is over", self.server.log.text())
        result = self.finish(process, data=b"rest", expect=UNAVAILABLE)
        self.assertIn("bucket/key", result.errors)
        self.start_server()
        self.assertEqual(self.keys("bucket"), [])
        self.check_store("bucket")
        self.server.stop()

    def test_a_client_that_stands_still_is_given_up(self) -> None:
        process = self.begin_put("200ms")
        process.send_signal(signal.SIGSTOP)
        self.server.stop()
        process.send_signal(signal.SIGCONT)
        self.finish(process, expect=UNAVAILABLE)

    def test_a_reader_that_stands_still_is_given_up(self) -> None:
        self.start_server(config="drain_timeout: 200ms\n")
        self.trove("mb", "bucket")
        self.trove("put", "-", "bucket/key", data=content("key", 40 * MIB))
        process = self.start_trove("get", "--retry-for", "0", "bucket/key", "-")
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGSTOP)
        self.server.stop()
        process.send_signal(signal.SIGCONT)
        self.finish(process, expect=UNAVAILABLE)

    def test_a_second_signal_ends_at_once(self) -> None:
        self.begin_put("1h")
        self.server.signal(signal.SIGTERM)
        self.server.log.wait_for("draining")
        self.server.signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(), FAILURE)
        self.start_server()
        self.assertEqual(self.keys("bucket"), [])
        self.check_store("bucket")
        self.server.stop()

    def test_an_idle_server_ends_at_once(self) -> None:
        """Connections without work don't hold it up, whatever the timeout."""
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.start_server(config="drain_timeout: 1h\n")
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(server.socket))
                server.signal(number)
                self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    main()
