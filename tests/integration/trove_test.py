"""What the end-to-end tests share: a real troved in a temporary folder, the command trove, contents that can be made again.

Environment (ctest sets the first two lines):
  TROVED, TROVE         the programs; TROVE_MANY_OBJECTS is many_objects.c, TROVE_LOSSY_OBJECT lossy_object.c
  TROVE_TEST_SANITIZE   the sanitizers they were built with, as in CMake's TROVE_SANITIZE; slower, and sizes are smaller
  TROVE_TEST_LONG       anything but empty: large sizes and long loops as well (tests/run.sh --long)
  TROVE_TEST_SEED       contents and moments of a run before, to see the same again

Nothing here sleeps for things to happen: there is an event (a line of the log, the end of a process), or a condition that is
looked at again and again until a deadline. Processes are ended by their id when a test ends, however it ends.
"""

from __future__ import annotations

import fcntl
import atexit
import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Callable, IO, Iterable, Sequence

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
BLOCK = 256 * KIB  # objects are checksummed in blocks of this size
INLINE_MAX = 64 * KIB  # objects up to this lie in the store's index; larger ones are files

SANITIZE = os.environ.get("TROVE_TEST_SANITIZE", "")
LONG = bool(os.environ.get("TROVE_TEST_LONG"))
SEED = os.environ.get("TROVE_TEST_SEED") or str(random.SystemRandom().randrange(10**9))

# How long anything may take that should be done in a moment.
PATIENCE_S = 180 if SANITIZE else 60

# ThreadSanitizer lets a process sleep for a second when it ends; there are hundreds of them here.
if "thread" in SANITIZE:
    os.environ["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + ":atexit_sleep_ms=0"

# The exit codes of `trove`, as `trove --help` tells them.
OK, FAILURE, USAGE, NOT_FOUND, CONFLICT, DENIED, EXHAUSTED, UNAVAILABLE, DEADLINE, DATA_LOSS, INVALID, CANCELLED = range(12)
PIPE = 141
TERMINATED = 143

# What the command remembers of uploads under way is of no use to who runs the tests.
_state = tempfile.mkdtemp(prefix="trove-state-")
os.environ["XDG_STATE_HOME"] = _state
atexit.register(shutil.rmtree, _state)

SCHEMES = ("tcp", "ipc", "ws")


def program(name: str) -> str:
    path = os.environ.get(name)
    if not path:
        sys.exit(f"{name} isn't set; it is the path of {name.lower()}")
    return path


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    say(f"TROVE_TEST_SEED={SEED}")
    unittest.main(verbosity=2)


def content(name: str, size: int) -> bytes:
    """Random bytes; the same in every run with the same seed."""
    return random.Random(f"{SEED}/{name}").randbytes(size)


def write_large(path: Path, size: int) -> None:
    """A large file in which no two blocks are alike, made faster than random bytes are."""
    base = bytearray(content(path.name, MIB))
    with path.open("wb") as file:
        for index in range(0, size, MIB):
            base[:8] = index.to_bytes(8, "big")
            base[BLOCK : BLOCK + 8] = base[:8]
            file.write(base[: min(MIB, size - index)])


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Returns the first value of `condition` that counts as true."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_s:g} s still not: {what}")
        time.sleep(0.005)


def process_bytes_read(pid: int) -> int:
    """What a process has read so far, from files, pipes and sockets alike; 0 once it has ended."""
    try:
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("rchar:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def check_report(text: str, who: str) -> None:
    """A sanitizer's report is a failure, whatever the exit code."""
    if re.search(r"Sanitizer|runtime error:", text):
        raise AssertionError(f"{who} has a sanitizer's report:\n{text}")


def run_together(actions: Sequence[Callable[[], None]]) -> None:
    """Runs each in a thread of its own and raises the first failure when all have ended."""
    failures: list[BaseException] = []

    def run(action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as failure:  # the caller gets it
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Log:
    """Collects what a process writes to a pipe, line by line, on a thread of its own."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            with self._changed:
                self._lines.append(line.decode(errors="replace").rstrip("\n"))
                self._changed.notify_all()
        self._pipe.close()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def text(self) -> str:
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str, timeout_s: float = PATIENCE_S) -> re.Match[str]:
        """The first match in a line; there may be one already."""
        deadline = time.monotonic() + timeout_s
        looked_at = 0
        with self._changed:
            while True:
                for line in self._lines[looked_at:]:
                    match = re.search(pattern, line)
                    if match:
                        return match
                looked_at = len(self._lines)
                if self._ended or not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no line like {pattern!r} in:\n" + "\n".join(self._lines))

    def join(self) -> str:
        self._thread.join()
        return self.text()


class Terminal:
    """A pseudo terminal, and all that was written to it."""

    def __init__(self, columns: int = 100) -> None:
        self.outer, self.inner = pty.openpty()
        fcntl.ioctl(self.inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._shown = b""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self, start: Callable[[int], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """`start` is given the inner end, which is the process's alone then."""
        process = start(self.inner)
        os.close(self.inner)
        self._thread.start()
        return process

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self.outer, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not piece:
                break
            self._shown += piece
        os.close(self.outer)

    @property
    def shown(self) -> str:
        return self._shown.decode(errors="replace")

    def type(self, keys: bytes) -> None:
        os.write(self.outer, keys)

    def join(self) -> str:
        """All of it, once nothing has the inner end open any more."""
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            raise AssertionError(f"the terminal is still in use; so far: {self.shown!r}")
        return self.shown


class Server:
    """A troved of our own. Its store and socket lie in `folder`, which may be that of a server before it."""

    def __init__(
        self,
        folder: Path,
        *,
        schemes: Iterable[str] = ("ipc",),
        store: str = "",
        config: str = "",
        arguments: Sequence[str] = (),
        command: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.socket = folder / "socket" / "troved.sock"
        self.store = folder / "store"
        addresses = {"ipc": f"ipc://{self.socket}", "tcp": "tcp://127.0.0.1:0", "ws": "ws://127.0.0.1:0/trove"}
        line = [*command, program("TROVED"), "--store", store or f"local://{self.store}"]
        for scheme in schemes:
            line += ["--listen", addresses[scheme]]
        if set(schemes) - {"ipc"}:
            line.append("--insecure")
        if config:
            file = folder / "troved.yaml"
            file.write_text(config)
            line += ["--config", str(file)]
        line += arguments
        self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        self.log = Log(self.process.stderr)
        try:
            ready = self.log.wait_for(r"msg=ready listen=(\S+) .* pid=(\d+)")
        except AssertionError:
            self.kill()
            raise
        self.pid = int(ready[2])
        self._urls = {url.split(":")[0]: url for url in ready[1].split(",")}

    def url(self, scheme: str = "ipc") -> str:
        return self._urls[scheme]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        code = self.process.wait(timeout_s)
        check_report(self.log.join(), "troved")
        return code

    def stop(self) -> None:
        """Ends it as an operator does, and sees that it ends well and leaves nothing behind but its store."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        if code != 0:
            raise AssertionError(f"troved ended with {code}:\n{self.log.text()}")
        if self.socket.exists():
            raise AssertionError(f"troved has left its socket {self.socket} behind")

    def kill(self) -> None:
        """Ends it as a crash does. Does nothing to one that has ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.join()

    def end(self) -> None:
        """For the end of a test, however it ended: one that still runs is stopped in order, so that nothing that a sanitizer
        has to say is lost."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGCONT)
                self.stop()
        finally:
            self.kill()

    def memory_high_water(self) -> int:
        """The most memory that it has had so far, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * KIB

    def object_files(self) -> list[Path]:
        return [path for path in (self.store / "objects").glob("*/*") if path.is_file()]


class Result:
    """How a command ended."""

    def __init__(self, code: int, out: bytes, errors: bytes) -> None:
        self.code = code
        self.out = out
        self.errors = errors.decode(errors="replace")

    @property
    def text(self) -> str:
        return self.out.decode()

    def objects(self) -> list[dict[str, Any]]:
        """The output of a command with --json: one object a line."""
        return [json.loads(line) for line in self.text.split("\n") if line]  # splitlines also splits at U+2028


class TroveTest(unittest.TestCase):
    """Has a folder of its own in each test, and ends what it has started."""

    server: Server

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trove-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def start_server(self, folder: Path | None = None, **options: Any) -> Server:
        """A troved that `self.trove` talks to from now on."""
        self.server = server = Server(folder or self.folder, **options)
        self.addCleanup(lambda: check_report(server.log.text(), "troved"))  # of one that was killed, too
        self.addCleanup(server.end)
        return server

    def start_trove(self, *arguments: str | Path, server: str | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """Starts the command and doesn't wait; it is killed if it still runs when the test ends."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(
            [program("TROVE"), "--server", server or self.server.url(), *map(str, arguments)], **options
        )
        self.addCleanup(self._end_command, process)
        return process

    @staticmethod
    def _end_command(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # what was still to be written
                    pass

    def finish(
        self,
        process: subprocess.Popen[bytes],
        expect: int | None = OK,
        data: bytes | None = None,
        timeout_s: float = PATIENCE_S,
    ) -> Result:
        """Waits for a command's end, and checks its exit code unless `expect` is None."""
        out, errors = process.communicate(data, timeout_s)
        result = Result(process.returncode, out or b"", errors or b"")
        check_report(result.errors, "trove")
        if expect is not None and result.code != expect:
            self.fail(f"{process.args} ended with {result.code} instead of {expect}: {result.errors}")
        return result

    def trove(
        self,
        *arguments: str | Path,
        expect: int | None = OK,
        data: bytes | None = None,
        timeout_s: float = PATIENCE_S,
        **options: Any,
    ) -> Result:
        """Runs the command; `data` comes through a pipe."""
        if data is not None:
            options["stdin"] = subprocess.PIPE
        return self.finish(self.start_trove(*arguments, **options), expect, data, timeout_s)

    def stat(self, name: str) -> dict[str, Any]:
        return self.trove("--json", "stat", name).objects()[0]

    def many_objects(self, bucket: str, verb: str, data: bytes = b"") -> str:
        command = [program("TROVE_MANY_OBJECTS"), self.server.url(), bucket, verb]
        done = subprocess.run(command, input=data, capture_output=True, timeout=10 * PATIENCE_S)
        errors = done.stderr.decode()
        check_report(errors, "many_objects")
        self.assertEqual(done.returncode, 0, errors)
        return done.stdout.decode()

    def put_many(self, bucket: str, keys: Sequence[str]) -> None:
        """Stores small objects fast. Each contains its key."""
        stored = self.many_objects(bucket, "put", b"".join(key.encode() + b"\0" for key in keys))
        self.assertEqual(int(stored), len(keys))

    def keys(self, bucket: str) -> list[str]:
        return [entry["key"] for entry in self.trove("--json", "ls", "--recursive", bucket).objects()]

    def ping(self, server: str | None = None) -> dict[str, Any]:
        return self.trove("--json", "ping", server=server).objects()[0]

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def check_content(self, got: bytes, wanted: bytes, what: str) -> None:
        """Equal, or a message that says where they differ; unittest's would show megabytes."""
        if got == wanted:
            return
        where = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
        self.fail(f"{what}: {len(got)} bytes instead of {len(wanted)}, different from byte {where} on")

    def wait_until_idle(self) -> None:
        """The server has let go of all streams and of all their memory."""

        def is_idle() -> bool:
            state = self.ping()
            return state["streams_active"] == 0 and state["memory_in_use_bytes"] == 0

        wait_for(is_idle, "no streams and no memory in use")

    def check_store(self, *buckets: str) -> None:
        """Every large object has its file and there is no other: nothing unfinished or replaced is left."""
        large = 0
        for bucket in buckets:
            large += sum(entry["size"] > INLINE_MAX for entry in self.trove("--json", "ls", "-r", bucket).objects())
        wait_for(lambda: len(self.server.object_files()) == large, f"exactly {large} files in the store")


class ServerTest(TroveTest):
    """One troved on every transport for all tests of a class; each test has a bucket of its own."""

    config = ""
    shared: Server
    shared_folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        cls.shared_folder = Path(tempfile.mkdtemp(prefix="trove-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared_folder)
        cls.shared = Server(cls.shared_folder, schemes=SCHEMES, config=cls.config)
        cls.addClassCleanup(cls.shared.end)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.shared.stop()

    def setUp(self) -> None:
        super().setUp()
        self.server = self.shared
        self.bucket = re.sub("[^a-z0-9]+", "-", self._testMethodName.lower())[:63].strip("-")
        self.trove("mb", self.bucket)

    def name(self, key: str) -> str:
        return f"{self.bucket}/{key}"
