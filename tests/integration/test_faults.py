"""What the system can't give any more: descriptors, room on a disk, for objects and for the index. It is told early and clearly, and what
was acknowledged is there, then and at the next start.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Sequence

from trove_test import (
    EXHAUSTED,
    KIB,
    MIB,
    OK,
    PATIENCE_S,
    Server,
    TroveTest,
    UNAVAILABLE,
    content,
    main,
    run_together,
    wait_for,
)

LARGE = content("large", 300 * KIB)


def limited(option: str, value: int) -> list[str]:
    """A command line that runs what is behind it with a limit of the shell's."""
    return ["sh", "-c", f"ulimit {option} {value} && exec \"$@\"", "sh"]


class DescriptorsTest(TroveTest):
    LIMIT = 160
    SMALL = 8000

    def start(self) -> Server:
        server = self.start_server(command=limited("-n", self.LIMIT), config="store_memory: 16MiB\n")
        self.trove("mb", "bucket")
        self.trove("put", "-", "bucket/kept", data=LARGE)
        self.trove("put", "-", "bucket/kept-small", data=b"small")
        return server

    def open_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def check_kept(self) -> None:
        self.check_content(self.trove("cat", "bucket/kept").out, LARGE, "what was acknowledged")
        self.assertEqual(self.trove("cat", "bucket/kept-small").out, b"small")

    def small_puts(self, name: str) -> list[str]:
        """So many that the index has to make new files. Returns the keys."""
        keys = [f"{name}-{index:05}-" + "k" * 990 for index in range(self.SMALL)]
        self.put_many("bucket", keys)
        return keys

    def crowd(self) -> list[socket.socket]:
        """Connections that say nothing, as many as the system has room for."""
        connections = []
        for _ in range(3 * self.LIMIT):
            connection = socket.socket(socket.AF_UNIX)
            self.addCleanup(connection.close)
            connection.setblocking(False)
            try:
                connection.connect(str(self.server.socket))
            except BlockingIOError:  # the queue of those that wait to be accepted is full
                connection.close()
                break
            connections.append(connection)
        return connections

    def test_connections(self) -> None:
        """A crowd of them doesn't take the last descriptors from the store; whoever was there before goes on."""
        server = self.start()
        ended = threading.Event()

        def put_small_ones() -> None:
            try:
                self.small_puts("small")
            finally:
                ended.set()

        def come_in_crowds() -> None:
            wait_for(lambda: "small-00000" in self.trove("ls", "bucket/small-00000").text, "puts are under way")
            while not ended.is_set():
                connections = self.crowd()
                ended.wait(0.2)
                for connection in connections:
                    connection.close()

        run_together([put_small_ones, come_in_crowds])
        wait_for(lambda: self.trove("ping", expect=None).code == OK, "the crowd has left")
        self.check_kept()
        server.stop()
        self.start_server()
        self.check_kept()
        self.assertEqual(len(self.keys("bucket")), self.SMALL + 2)

    def test_files(self) -> None:
        """As many uploads at once as there are descriptors for: the others are told why, and the index still gets its own."""
        server = self.start()
        folder = self.folder / "files"
        folder.mkdir()
        names = [f"{index:03}" for index in range(self.LIMIT)]
        for name in names:
            (folder / name).write_bytes(content(name, 300 * KIB))
        putting = self.start_trove("put", "--recursive", "--parallel", "64", "--bwlimit", "2MiB", folder, "bucket")
        more = self.start_trove("put", "--recursive", "--parallel", "64", "--bwlimit", "2MiB", folder, "bucket/more")
        wait_for(lambda: self.open_descriptors() > self.LIMIT * 2 / 3, "many files are open")
        wait_for(lambda: self.trove("ping", expect=None).code == OK, "there is room for connections all the same")
        keys = self.small_puts("meanwhile")
        for process in (putting, more):
            process.kill()  # which leaves the server alone to clear up
            self.finish(process, expect=None)
        self.assertLess(self.open_descriptors(), self.LIMIT)
        self.wait_until_idle()
        present = set(self.keys("bucket"))
        self.assertLessEqual(set(keys), present)
        self.check_kept()
        server.stop()
        self.start_server()
        self.assertEqual(set(self.keys("bucket")), present)
        for name in names:
            if name in present:
                self.check_content(self.trove("cat", f"bucket/{name}").out, content(name, 300 * KIB), name)
        self.check_kept()



class SmallFilesTest(TroveTest):
    """Many small objects, each acknowledged by a line of the command's output."""

    def make_files(self, count: int, size: int) -> Path:
        folder = self.folder / "files"
        folder.mkdir()
        for index in range(count):
            (folder / f"{index:05}").write_bytes(content(f"{index:05}", size))
        return folder

    def put_all(self, folder: Path) -> tuple[set[str], int | None, str]:
        """The keys that were acknowledged, the exit code, what was said."""
        process = self.start_trove("--json", "put", "--retry-for", "0", "--recursive", folder, "bucket")
        result = self.finish(process, expect=None)
        return {line["key"] for line in result.objects()}, result.code, result.errors

    def check_all(self, folder: Path, keys: set[str]) -> None:
        back = self.folder / "back"
        self.trove("--quiet", "get", "--recursive", "bucket", back)
        for key in keys:
            self.check_content((back / key).read_bytes(), (folder / key).read_bytes(), key)
        shutil.rmtree(back)


class FileSizeTest(SmallFilesTest):
    """Files may not grow beyond a limit (ulimit -f). RocksDB meets it with its log; what that leads to is what any of its errors does."""

    LIMIT = 4 * MIB

    def start_limited(self) -> Server:
        server = self.start_server(command=limited("-f", self.LIMIT // 512), config="store_memory: 64MiB\n")
        self.trove("mb", "bucket")
        return server

    def test_an_object_that_is_too_large(self) -> None:
        server = self.start_limited()
        self.trove("put", "-", "bucket/kept", data=LARGE)
        for _ in range(3):
            result = self.trove("put", "-", "bucket/kept", data=content("too-large", 2 * self.LIMIT), expect=EXHAUSTED)
            self.assertIn("bucket/kept", result.errors)
        self.check_content(self.trove("cat", "bucket/kept").out, LARGE, "what was acknowledged")
        self.wait_until_idle()
        self.check_store("bucket")
        server.stop()

    def test_an_index_that_cant_be_written(self) -> None:
        """The server ends rather than to go on with an index of which nobody knows what is on the disk; nothing acknowledged is lost."""
        folder = self.make_files(1500, 8 * KIB)
        server = self.start_limited()
        acknowledged, code, errors = self.put_all(folder)
        self.assertEqual(code, UNAVAILABLE, errors)
        self.assertEqual(server.wait(), -signal.SIGABRT)
        self.assertIn("the store's index can't be written", server.log.text())
        self.assertGreater(len(acknowledged), 100)
        self.assertLess(len(acknowledged), 1500)
        self.start_server()
        self.assertLessEqual(acknowledged, set(self.keys("bucket")))
        self.check_all(folder, acknowledged)
        self.trove("scrub", "bucket")
        self.server.stop()


class FullDiskTest(SmallFilesTest):
    """A small tmpfs in a namespace of its own, which a process keeps while servers come and go in it."""

    SIZE = 64 * MIB

    def setUp(self) -> None:
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && echo mounted && exec sleep 3600'
        line = ["unshare", "-rm", "sh", "-c", script, "sh", str(self.SIZE), str(self.disk)]
        if shutil.which("unshare") is None or shutil.which("nsenter") is None:
            self.skipTest("unshare and nsenter aren't there")
        holder = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end_holder, holder)
        assert holder.stdout is not None
        if holder.stdout.readline() != b"mounted\n":
            self.skipTest("no file system can be mounted here (unshare -rm isn't permitted)")
        self.inside = ["nsenter", "-t", str(holder.pid), "-U", "-m", "--preserve-credentials"]
        self.seen = Path(f"/proc/{holder.pid}/root") / self.disk.relative_to("/")

    @staticmethod
    def end_holder(holder: subprocess.Popen[bytes]) -> None:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()

    def start_inside(self) -> Server:
        return self.start_server(store=f"local://{self.disk}/store", command=self.inside, config="store_memory: 16MiB\n")

    def fill(self) -> None:
        """To the last byte, from outside: the server can't keep anybody from that."""
        with (self.seen / "filler").open("wb", buffering=0) as filler:
            for size in (MIB, 4 * KIB, 1):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError as failure:
                    self.assertEqual(failure.errno, errno.ENOSPC)

    def remove_until_it_ends(self, keys: Sequence[str]) -> tuple[set[str], set[str]]:
        """Deletes one after the other. The keys that are said to be deleted, and those of which nothing was said."""
        gone = set()
        for key in keys:
            result = self.trove("rm", f"bucket/{key}", expect=None)
            if result.code == UNAVAILABLE:
                return gone, {key}
            self.assertIn(result.code, (OK, EXHAUSTED), result.errors)
            if result.code == OK:
                gone.add(key)
        return gone, set()

    def test_small_objects_until_it_is_full(self) -> None:
        folder = self.make_files(2000, 40 * KIB)
        server = self.start_inside()
        self.trove("mb", "bucket")
        acknowledged, code, errors = self.put_all(folder)
        self.assertEqual(code, EXHAUSTED, errors)
        self.assertIn("nearly full", errors)
        self.assertGreater(len(acknowledged), 100)
        self.assertEqual(set(self.keys("bucket")), acknowledged)
        server.kill()
        self.start_inside()
        self.assertEqual(set(self.keys("bucket")), acknowledged)
        self.check_all(folder, acknowledged)

        self.fill()
        self.trove("put", "-", "bucket/new", data=b"new", expect=EXHAUSTED)
        gone, unknown = self.remove_until_it_ends(sorted(acknowledged)[:200])
        self.server.kill()
        (self.seen / "filler").unlink()
        self.start_inside()
        present = set(self.keys("bucket"))
        self.assertLessEqual(acknowledged - gone - unknown, present)
        self.assertEqual(present & gone, set())
        self.check_all(folder, present)
        self.trove("scrub", "bucket")
        self.trove("put", "-", "bucket/new", data=b"new", expect=None)
        self.server.stop()


if __name__ == "__main__":
    main()
