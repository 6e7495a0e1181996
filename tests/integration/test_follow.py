"""Follow mode from the command line: `put --follow` writes, `get --follow` and `cat --follow` read what it writes meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import IO

from trove_test import (
    CONFLICT,
    DEADLINE,
    KIB,
    MIB,
    NOT_FOUND,
    PIPE,
    TERMINATED,
    USAGE,
    ServerTest,
    content,
    main,
    wait_for,
)


class FollowTest(ServerTest):
    def start_writer(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """A put from a pipe that is there to be followed."""
        writer = self.start_trove("put", "--follow", *options, "-", name, stdin=subprocess.PIPE)
        wait_for(lambda: self.streams(name), "the writer's stream")
        return writer

    def streams(self, name: str) -> list[dict[str, object]]:
        streams = self.trove("--json", "streams").objects()
        return [stream for stream in streams if f"{stream['bucket']}/{stream['key']}" == name and stream["state"] == "active"]

    def write_on(self, writer: subprocess.Popen[bytes], data: bytes) -> None:
        assert writer.stdin is not None
        writer.stdin.write(data)
        writer.stdin.flush()

    def start_reader(self, name: str, *options: str, verb: str = "cat") -> subprocess.Popen[bytes]:
        target = ["-"] if verb == "get" else []
        return self.start_trove(verb, "--follow", *options, name, *target)

    def read_exactly(self, pipe: IO[bytes] | None, size: int) -> bytes:
        """Waits for so many bytes, as long as they take."""
        assert pipe is not None
        data = b""
        while len(data) < size:
            piece = os.read(pipe.fileno(), size - len(data))
            if not piece:
                break
            data += piece
        return data

    def test_what_is_written_is_read_at_once(self) -> None:
        name = self.name("live")
        writer = self.start_writer(name)
        self.assertEqual(self.streams(name)[0]["direction"], "bidi")
        readers = [self.start_reader(name), self.start_reader(name, verb="get")]
        whole = b""
        for index, size in enumerate([1, 10, 3000, 1, 70 * KIB, 5, 300 * KIB, 2]):
            piece = content(f"piece-{index}", size)
            self.write_on(writer, piece)
            whole += piece
            for reader in readers:
                self.check_content(self.read_exactly(reader.stdout, size), piece, f"piece {index}")
        late = self.start_reader(name)
        self.check_content(self.read_exactly(late.stdout, len(whole)), whole, "all so far, for who comes late")
        self.trove("stat", name, expect=NOT_FOUND)
        self.finish(writer, data=b"the end")
        for reader in [*readers, late]:
            self.assertEqual(self.finish(reader).out, b"the end")
        self.check_content(self.trove("cat", name).out, whole + b"the end", "the object")

    def test_a_file_appears_when_the_object_is_published(self) -> None:
        name = self.name("file")
        target = self.folder / "target"
        writer = self.start_writer(name)
        self.write_on(writer, b"first ")
        reader = self.start_trove("--json", "get", "--follow", name, target)
        wait_for(lambda: len(self.streams(name)) == 2, "the follower's stream")
        self.assertFalse(target.exists())
        result = self.finish(writer, data=b"last")
        got = self.finish(reader).objects()[0]
        self.assertEqual(target.read_bytes(), b"first last")
        self.assertEqual((got["size"], got["file"]), (10, str(target)))
        self.assertEqual(got["etag"], self.stat(name)["etag"])
        self.assertIn("standard input -> " + name, result.text)

    def test_a_large_file(self) -> None:
        data = content("large", 20 * MIB + 7)
        name = self.name("large")
        source = self.write("source", data)
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        with subprocess.Popen(["cp", source, fifo]):
            writer = self.start_trove("--json", "put", "--follow", fifo, name)
            wait_for(lambda: self.streams(name) or writer.poll() is not None, "the writer's stream")
            reader = self.start_reader(name)
            stored = self.finish(writer).objects()[0]
        self.assertEqual(stored["size"], len(data))
        result = self.finish(reader, expect=None)
        if result.code != NOT_FOUND:  # it came after the end
            self.check_content(result.out, data, "followed")
        self.trove("put", "--follow", source, self.name("again"))
        self.check_content(self.trove("cat", self.name("again")).out, data, "a file, followed by nobody")

    def test_nobody_writes(self) -> None:
        name = self.name("nobody")
        for verb in ("cat", "get"):
            refused = self.finish(self.start_reader(name, verb=verb), expect=NOT_FOUND)
            self.assertIn(f"nobody writes {name} now", refused.errors)
        self.trove("put", "-", name, data=b"published")
        self.finish(self.start_reader(name), expect=NOT_FOUND)
        writer = self.start_writer(name)  # the elections were given up
        self.finish(writer, data=b"x")
        self.assertEqual(self.trove("cat", name).out, b"x")

    def test_one_writes(self) -> None:
        name = self.name("one")
        writer = self.start_writer(name)
        refused = self.finish(self.start_trove("put", "--follow", "-", name), expect=CONFLICT)
        self.assertIn(f"another stream writes {name} now", refused.errors)
        self.assertIn("cat --follow", refused.errors)
        self.finish(writer, data=b"by the first")
        self.assertEqual(self.trove("cat", name).out, b"by the first")

    def test_the_writer_is_killed(self) -> None:
        name = self.name("killed")
        target = self.folder / "target"
        self.trove("put", "-", name, data=b"old")
        writer = self.start_writer(name)
        reader = self.start_reader(name)
        filing = self.start_trove("get", "--follow", name, target)
        wait_for(lambda: len(self.streams(name)) == 3, "two followers")
        self.write_on(writer, b"never published")
        self.assertEqual(self.read_exactly(reader.stdout, 15), b"never published")
        writer.kill()
        for process in (reader, filing):
            failed = self.finish(process, expect=CONFLICT)
            self.assertIn("ABORTED", failed.errors)
        self.assertFalse(target.exists())
        self.assertEqual(self.trove("cat", name).out, b"old")
        self.finish(self.start_writer(name), data=b"new")
        self.assertEqual(self.trove("cat", name).out, b"new")

    def test_the_reader_goes(self) -> None:
        name = self.name("gone")
        writer = self.start_writer(name)
        reader = self.start_reader(name)
        interrupted = self.start_reader(name)
        self.write_on(writer, b"x")
        for process in (reader, interrupted):
            self.read_exactly(process.stdout, 1)
        assert reader.stdout is not None
        reader.stdout.close()
        interrupted.send_signal(signal.SIGTERM)
        self.finish(interrupted, expect=TERMINATED)
        self.write_on(writer, b"y")
        self.assertEqual(reader.wait(60), PIPE)
        self.finish(writer, data=b"z")
        self.assertEqual(self.trove("cat", name).out, b"xyz")

    def test_silence(self) -> None:
        name = self.name("silent")
        writer = self.start_writer(name)
        late = self.trove("--timeout", "1", "cat", "--follow", name, expect=DEADLINE)
        self.assertIn(name, late.errors)
        self.finish(writer, data=b"")
        fifo = self.start_trove("--timeout", "1", "put", "--follow", "-", name, stdin=subprocess.PIPE)
        fifo_end = fifo.stdin
        assert fifo_end is not None
        failed = fifo.wait(60)
        self.assertEqual(failed, DEADLINE)
        self.assertEqual(self.trove("cat", name).out, b"")

    def test_wrong_usage(self) -> None:
        name = self.name("usage")
        source = str(self.write("source", b"x"))
        for arguments in (
            ["put", "--follow", source, source, self.bucket],
            ["put", "--follow", "--recursive", str(self.folder), self.bucket],
            ["put", "--follow", "--if-none-match", source, name],
            ["put", "--follow", "--backpressure", "drop", source, name],
            ["get", "--follow", "--recursive", self.bucket, str(self.folder)],
            ["get", "--follow", "--range", "0-1", name, "-"],
            ["get", "--follow", "--if-generation", "1", name, "-"],
        ):
            with self.subTest(arguments=arguments):
                self.assertIn("--follow", self.trove(*arguments, expect=USAGE).errors)
        self.assertEqual(self.keys(self.bucket), [])

    def test_limits_and_modes(self) -> None:
        data = content("modes", MIB)
        for options in (["--backpressure", "buffer"], ["--backpressure", "adaptive"], ["--chunk-size", "1000"]):
            with self.subTest(options=options):
                name = self.name(options[-1])
                writer = self.start_writer(name, *options)
                reader = self.start_reader(name, *(["--bwlimit", "20M"] if options[-1] == "buffer" else []))
                wait_for(lambda: len(self.streams(name)) == 2, "the follower's stream")
                self.finish(writer, data=data)
                self.check_content(self.finish(reader).out, data, options[-1])


if __name__ == "__main__":
    main()
