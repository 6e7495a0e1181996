"""Objects go up and come down byte for byte: sizes, transports, files and pipes, chunk sizes, ranges, many at once."""

from __future__ import annotations

import filecmp
import os
import subprocess
import time
import unittest

from trove_test import (
    BLOCK,
    CONFLICT,
    EXHAUSTED,
    GIB,
    INVALID,
    KIB,
    LONG,
    MIB,
    NOT_FOUND,
    SANITIZE,
    SCHEMES,
    USAGE,
    ServerTest,
    TroveTest,
    content,
    main,
    run_together,
    write_large,
)

SIZES = [0, 1, 4095, 65535, 65536, 65537, 262143, 262144, 262145, MIB - 1, MIB, MIB + 1, 20 * MIB + 7]


class TransferTest(ServerTest):
    def check_round_trip(self, scheme: str, size: int) -> None:
        """Up from a file and from a pipe, each down into a file and into a pipe."""
        url = self.server.url(scheme)
        data = content(f"{scheme}-{size}", size)
        source = self.write(f"source-{scheme}-{size}", data)
        from_file = self.name(f"{scheme}/{size}/file")
        from_pipe = self.name(f"{scheme}/{size}/pipe")
        self.trove("put", source, from_file, server=url)
        self.trove("put", "-", from_pipe, server=url, data=data)
        target = self.folder / f"target-{scheme}-{size}"
        for name in (from_file, from_pipe):
            self.trove("get", name, target, server=url)
            self.check_content(target.read_bytes(), data, f"{name} in a file")
            self.check_content(self.trove("get", name, "-", server=url).out, data, f"{name} from a pipe")
        self.assertEqual(self.stat(from_file)["size"], size)
        self.assertEqual(self.stat(from_file)["etag"], self.stat(from_pipe)["etag"], "the same bytes have the same etag")

    def test_sizes_over_tcp(self) -> None:
        for size in SIZES:
            with self.subTest(size=size):
                self.check_round_trip("tcp", size)

    def test_sizes_over_ipc(self) -> None:
        for size in SIZES:
            with self.subTest(size=size):
                self.check_round_trip("ipc", size)

    def test_sizes_over_ws(self) -> None:
        for size in SIZES:
            with self.subTest(size=size):
                self.check_round_trip("ws", size)

    def check_large_file(self, scheme: str, size: int) -> None:
        url = self.server.url(scheme)
        source, target = self.folder / "large", self.folder / "large-again"
        write_large(source, size)
        timeout_s = 1800
        self.trove("put", source, self.name("file"), server=url, timeout_s=timeout_s)
        self.trove("get", self.name("file"), target, server=url, timeout_s=timeout_s)
        self.assertTrue(filecmp.cmp(source, target, shallow=False), f"{size} bytes over {scheme} through files")
        target.unlink()
        with source.open("rb") as file, subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as cat:
            self.trove("put", "-", self.name("pipe"), server=url, stdin=cat.stdout, timeout_s=timeout_s)
        with target.open("wb") as file, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as cat:
            self.trove("get", self.name("pipe"), "-", server=url, stdout=cat.stdin, timeout_s=timeout_s)
        self.assertTrue(filecmp.cmp(source, target, shallow=False), f"{size} bytes over {scheme} through pipes")
        self.assertEqual(self.stat(self.name("file"))["etag"], self.stat(self.name("pipe"))["etag"])
        self.trove("rm", "--recursive", self.bucket)
        source.unlink()
        target.unlink()

    @unittest.skipUnless(LONG, "300 MiB are for the long form")
    def test_300_mib(self) -> None:
        for scheme in SCHEMES:
            with self.subTest(scheme=scheme):
                self.check_large_file(scheme, 300 * MIB)

    @unittest.skipUnless(LONG and not SANITIZE, "4 GiB are for the long form, without sanitizers")
    def test_4_gib(self) -> None:
        for scheme in SCHEMES:
            with self.subTest(scheme=scheme):
                self.check_large_file(scheme, 4 * GIB)

    def test_eight_at_once(self) -> None:
        def transfer(index: int) -> None:
            url = self.server.url(SCHEMES[index % 3])
            data = content(f"one-of-eight-{index}", 3 * MIB + index)
            if index % 2 == 0:
                self.trove("put", self.write(f"source-{index}", data), self.name(str(index)), server=url)
            else:
                self.trove("put", "-", self.name(str(index)), server=url, data=data)
            self.check_content(self.trove("cat", self.name(str(index)), server=url).out, data, f"object {index}")

        run_together([lambda index=index: transfer(index) for index in range(8)])

    def test_eight_commands_at_once_write_one_key(self) -> None:
        versions = [content(f"version-{index}", 2 * MIB + index) for index in range(8)]
        run_together([lambda data=data: self.trove("put", "-", self.name("key"), data=data) for data in versions])
        self.assertTrue(self.trove("cat", self.name("key")).out in versions, "not one of them, whole")
        self.assertEqual(self.keys(self.bucket), ["key"])

    def test_many_files_in_one_command(self) -> None:
        files = {f"file-{index}": content(f"many-{index}", 40 * KIB * index) for index in range(20)}
        paths = [self.write(name, data) for name, data in files.items()]
        self.trove("put", "--parallel", "8", *paths, self.name("many"))
        self.trove("get", "--parallel", "8", "--recursive", self.name("many"), self.folder / "back")
        for name, data in files.items():
            self.check_content((self.folder / "back" / name).read_bytes(), data, name)

    def test_odd_chunk_sizes(self) -> None:
        for size, chunk_size in [(65537, "1"), (MIB + 1, "4097"), (3 * MIB + 5, "100000"), (70 * MIB + 1, "64MiB")]:
            if SANITIZE and size > 8 * MIB:
                size = 65 * MIB
            with self.subTest(chunk_size=chunk_size):
                data = content(f"chunks-of-{chunk_size}", size)
                name = self.name(chunk_size)
                self.trove("put", "--chunk-size", chunk_size, self.write("source", data), name)
                self.check_content(self.trove("cat", name).out, data, f"put in chunks of {chunk_size}")
                got = self.trove("get", "--chunk-size", chunk_size, name, "-").out
                self.check_content(got, data, f"got in chunks of {chunk_size}")
                self.trove("put", "-", self.name("usual"), data=data)
                self.assertEqual(self.stat(name)["etag"], self.stat(self.name("usual"))["etag"], "whatever the chunks")

    def test_chunk_sizes_out_of_range(self) -> None:
        source = self.write("source", content("source", 100_000))
        for chunk_size in ("0", "65MiB", "-1", "many"):
            with self.subTest(chunk_size=chunk_size):
                refused = self.trove("put", "--chunk-size", chunk_size, source, self.name("key"), expect=USAGE)
                self.assertIn("1 to 64MiB", refused.errors)
        self.assertEqual(self.keys(self.bucket), [])

    def check_limited(self, size: int, rate: int, *arguments: str | Path, data: bytes | None = None) -> bytes:
        """Runs a command that moves `size` bytes at `rate`: less time than that takes, but for the burst, it mustn't need."""
        began = time.monotonic()
        out = self.trove(*arguments, data=data).out
        self.assertGreater(time.monotonic() - began, size / rate - 0.2)
        return out

    def test_bandwidth(self) -> None:
        data = content("limited", MIB)
        name = self.name("limited")
        self.check_limited(MIB, 2 * MIB, "put", "--bwlimit", "2M", self.write("source", data), name)
        self.check_limited(MIB, 2_000_000, "put", "--bwlimit", "2MB", "-", self.name("pipe"), data=data)
        self.assertEqual(self.stat(name)["etag"], self.stat(self.name("pipe"))["etag"])
        self.check_limited(MIB, 2 * MIB, "get", "--bwlimit", "2MiB", name, self.folder / "target")
        self.check_content((self.folder / "target").read_bytes(), data, "got")
        out = self.check_limited(2 * MIB, 3 * MIB, "cat", "--bwlimit", "3M", name, self.name("pipe"))
        self.check_content(out, data + data, "two objects under one limit")

    def test_bandwidth_of_many(self) -> None:
        """Files that go at the same time keep the limit together, small ones included."""
        paths = [self.write(f"file-{index}", content(f"limited-{index}", 50 * KIB * index)) for index in range(8)]
        size = sum(path.stat().st_size for path in paths)
        self.check_limited(size, MIB, "put", "--bwlimit", "1M", "--parallel", "8", *paths, self.name("many"))
        self.check_limited(
            size, MIB, "get", "--bwlimit", "1M", "--parallel", "3", "-r", self.name("many"), self.folder / "back"
        )
        for path in paths:
            self.check_content((self.folder / "back" / path.name).read_bytes(), path.read_bytes(), path.name)

    def test_bandwidths_that_are_none(self) -> None:
        for rate in ("0", "-1", "fast", "1M/s"):
            with self.subTest(rate=rate):
                refused = self.trove("get", "--bwlimit", rate, self.name("key"), "-", expect=USAGE)
                self.assertIn("bytes a second", refused.errors)

    def test_part_of_standard_input(self) -> None:
        """What was read before is not part of the object."""
        data = content("input", 200_000)
        with self.write("input", data).open("rb") as file:
            os.lseek(file.fileno(), 100_001, os.SEEK_SET)
            self.trove("put", "-", self.name("rest"), stdin=file)
        self.check_content(self.trove("cat", self.name("rest")).out, data[100_001:], "the rest")

    def test_named_pipes(self) -> None:
        data = content("fifo", 300_000)
        up, down = self.folder / "up", self.folder / "down"
        os.mkfifo(up)
        os.mkfifo(down)
        with subprocess.Popen(["cp", self.write("source", data), up]):
            self.trove("put", up, self.name("key"))
        with subprocess.Popen(["cat", down], stdout=subprocess.PIPE) as cat:
            getting = self.start_trove("get", self.name("key"), down)
            self.check_content(cat.communicate()[0], data, "through a named pipe")
            self.finish(getting)
        self.assertTrue(down.is_fifo(), "the pipe is still one")

    def test_content_type_and_metadata(self) -> None:
        for size in (10, 100_000):
            with self.subTest(size=size):
                source = self.write("source", content("typed", size))
                metadata = {"author": "Zoë", "empty": "", "sum": "1+1=2", "with spaces": " x ", "emoji": "🎞"}
                arguments = [f"--meta={key}={value}" for key, value in metadata.items()]
                self.trove("put", source, self.name("key"), "--content-type", "video/x-matroska; a=b", *arguments)
                info = self.stat(self.name("key"))
                self.assertEqual(info["content_type"], "video/x-matroska; a=b")
                self.assertEqual(info["metadata"], metadata)
                self.trove("cp", self.name("key"), self.name("copy"))
                copy = self.stat(self.name("copy"))
                for field in ("content_type", "metadata", "etag", "size"):
                    self.assertEqual(copy[field], info[field], field)
                self.trove("put", source, self.name("key"))
                info = self.stat(self.name("key"))
                self.assertEqual((info["content_type"], info["metadata"]), ("", {}), "replaced with the object")

    def test_content_type_and_metadata_out_of_bounds(self) -> None:
        source = self.write("source", b"x")
        for arguments, said in [
            (["--content-type", "a\nb"], "content type"),
            (["--content-type", "x" * 256], "at most 255"),
            (["--meta", "a=1", "--meta", "a=2"], "given twice"),
            ([f"--meta=key{index}=x" for index in range(65)], "at most 64"),
            (["--meta=a=" + "x" * 9000], "metadata"),
        ]:
            with self.subTest(said=said):
                refused = self.trove("put", source, self.name("key"), *arguments, expect=INVALID)
                self.assertIn(said, refused.errors)
        self.trove("put", source, self.name("key"), "--meta", "=x", expect=USAGE)
        self.assertEqual(self.keys(self.bucket), [])

    def test_overwriting(self) -> None:
        name = self.name("key")
        generation = 0
        for index, size in enumerate([100_000, 5, 3 * MIB, 0, 65536, 65537]):
            data = content(f"overwriting-{index}", size)
            self.trove("put", "-", name, data=data)
            self.check_content(self.trove("cat", name).out, data, f"version {index}")
            info = self.stat(name)
            self.assertGreater(info["generation"], generation)
            generation = info["generation"]
        self.assertEqual(self.keys(self.bucket), ["key"])

    def test_readers_see_old_or_new(self) -> None:
        versions = [content(f"seen-{index}", size) for index, size in enumerate([3 * MIB, 1000, 2 * MIB + 1])]
        self.trove("put", "-", self.name("key"), data=versions[0])

        def write() -> None:
            for index in range(9):
                self.trove("put", "-", self.name("key"), data=versions[index % 3])

        def read() -> None:
            for _ in range(9):
                self.assertTrue(self.trove("cat", self.name("key")).out in versions, "neither old nor new")

        run_together([write, read, read])

    def test_ranges(self) -> None:
        size = MIB + 2 * BLOCK + 3
        data = content("ranges", size)
        self.trove("put", "-", self.name("large"), data=data)
        borders = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, MIB - 1, MIB, MIB + 1, size - 1, size]
        url = self.server.url("tcp")
        for offset in borders:
            for length in (1, 2, BLOCK, MIB, size):
                got = self.trove("get", self.name("large"), "-", "--range", f"{offset}+{length}", server=url).out
                self.check_content(got, data[offset : offset + length], f"range {offset}+{length}")
            got = self.trove("get", self.name("large"), "-", "--range", f"{offset}-").out
            self.check_content(got, data[offset:], f"range {offset}-")

    def test_ranges_of_small_objects_and_with_units(self) -> None:
        data = content("small", 5000)
        self.trove("put", "-", self.name("small"), data=data)
        self.trove("put", "-", self.name("empty"), data=b"")
        for text, begin, end in [
            ("0-0", 0, 1),
            ("0+1", 0, 1),
            ("0-499", 0, 500),
            ("4999-9999", 4999, 5000),
            ("5000+7", 5000, 5000),
            ("1K+2K", 1024, 3072),
            ("1KB-2KB", 1000, 2001),
            ("-1", 4999, 5000),
            ("-2KB", 3000, 5000),
            ("-5000", 0, 5000),
            ("-1G", 0, 5000),
        ]:
            with self.subTest(range=text):
                got = self.trove("get", self.name("small"), "-", f"--range={text}", server=self.server.url("ws")).out
                self.check_content(got, data[begin:end], text)
        self.assertEqual(self.trove("get", self.name("empty"), "-", "--range", "0-").out, b"")
        self.assertEqual(self.trove("get", self.name("empty"), "-", "--range=-5").out, b"")
        missing = self.trove("get", self.name("none"), "-", "--range=-5", expect=NOT_FOUND)
        self.assertIn(f"'trove ls {self.bucket}' lists what is there", missing.errors)

    def test_what_is_said_of_a_range(self) -> None:
        """How much came, not how large the object is."""
        target = self.folder / "target"
        self.trove("put", "-", self.name("key"), data=content("said", 3000))
        for text, offset, count, said in [
            ("1K+512", 1024, 512, "512 B of 2.9 KiB, from byte 1024 on"),
            ("2990-3089", 2990, 10, "10 B of 2.9 KiB, from byte 2990 on"),
            ("-10", 2990, 10, "10 B of 2.9 KiB, from byte 2990 on"),
            ("3000-", 3000, 0, "0 B of 2.9 KiB, from byte 3000 on"),
            ("0-", 0, 3000, "2.9 KiB"),
        ]:
            with self.subTest(range=text):
                line = self.trove("get", self.name("key"), target, f"--range={text}").text
                self.assertEqual(line, f"{self.name('key')} -> {target} ({said})\n")
                self.assertEqual(target.stat().st_size, count)
                result = self.trove("--json", "get", self.name("key"), target, f"--range={text}").objects()[0]
                self.assertEqual((result["size"], result["offset"], result["bytes"]), (3000, offset, count))

    def test_ranges_that_are_none(self) -> None:
        self.trove("put", "-", self.name("key"), data=b"0123456789")
        for text, why in {
            "5": "there is no '-' or '+' in it",
            "a-b": "FROM is no size",
            "5-4": "TO is before FROM",
            "5+0": "it has no bytes",
            "3--1": "TO is no size",
            "18446744073709551615+2": "it ends beyond 64 bits",
        }.items():
            with self.subTest(range=text):
                refused = self.trove("get", self.name("key"), "-", f"--range={text}", expect=USAGE)
                self.assertIn("FROM-TO, such as 0-499, FROM-, -SUFFIX or FROM+LENGTH", refused.errors)
                self.assertIn(why, refused.errors)
        refused = self.trove("get", self.name("key"), "-", "--range", "11-20", expect=INVALID)
        self.assertIn("has 10 bytes", refused.errors)
        self.assertEqual(refused.out, b"")


class SmallBudgetTest(TroveTest):
    def test_chunks_that_the_budget_cant_carry_are_refused(self) -> None:
        server = self.start_server(config="memory: 8MiB\n")
        self.trove("mb", "bucket")
        data = content("refused", 5 * MIB)
        refused = self.trove("put", "--chunk-size", "3MiB", "-", "bucket/key", data=data, expect=EXHAUSTED)
        self.assertIn("2097152", refused.errors, "the message tells what would be taken")
        self.trove("put", "--chunk-size", "2MiB", "-", "bucket/key", data=data)
        self.trove("get", "--chunk-size", "3MiB", "bucket/key", "-", expect=EXHAUSTED)
        self.check_content(self.trove("get", "--chunk-size", "2MiB", "bucket/key", "-").out, data, "the largest chunks")
        self.wait_until_idle()
        server.stop()


if __name__ == "__main__":
    main()
