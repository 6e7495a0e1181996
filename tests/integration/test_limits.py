#!/usr/bin/env python3
"""Limits of the config that keep one peer from having all of the server: each is refused with its name, and others are served on."""
from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import time

from trove_test import DENIED, EXHAUSTED, MIB, OK, PATIENCE_S, TroveTest, main, wait_for


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(tag: int, value: int | bytes) -> bytes:
    """A protobuf field."""
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    return varint(tag << 3 | 2) + varint(len(value)) + value


class Limits(TroveTest):
    def start(self, config: str, schemes: tuple[str, ...] = ("ipc", "tcp")) -> None:
        self.start_server(schemes=schemes, store="mem://", config=config)

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        """A connection that says nothing; from another address of this machine where that is asked for."""
        port = int(self.server.url("tcp").rsplit(":", 1)[1])
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S, source_address=(host, 0))
        self.addCleanup(connection.close)
        return connection

    def connections(self) -> int:
        return int(self.ping()["connections"])

    def test_connections_of_an_address(self) -> None:
        self.start("connections:\n  per_address: 4\n  handshake_timeout: 1m\n")
        held = [self.connect() for _ in range(4)]
        wait_for(lambda: self.connections() == 5, "four connections, and that of who asks")
        errors = self.trove("ping", server=self.server.url("tcp"), expect=None).errors
        self.assertIn("4 connections from this address, which is the limit (connections.per_address)", errors)
        wait_for(lambda: b"per_address" in self.all_of(self.connect()), "the reason")
        other = self.connect("127.0.0.2")
        wait_for(lambda: self.connections() >= 6, "that of another address")
        other.close()
        held.pop().close()
        wait_for(lambda: self.trove("ping", server=self.server.url("tcp"), expect=None).code == OK, "room again")

    @staticmethod
    def all_of(connection: socket.socket) -> bytes:
        """What comes until the server has said why. It waits for us to close."""
        got = b""
        deadline = time.monotonic() + PATIENCE_S
        while b"per_address" not in got and time.monotonic() < deadline:
            more = connection.recv(4096)
            if not more:
                break
            got += more
        return got

    def test_a_flood_from_an_address_takes_nobodys_place(self) -> None:
        self.start("connections:\n  max: 64\n  per_address: 4\n  handshake_timeout: 1m\n")
        flood = [self.connect() for _ in range(200)]
        self.trove("ping")
        self.trove("mb", "media")
        wait_for(lambda: self.connections() < 64, "those that were refused are gone")
        for connection in flood:
            connection.close()

    def send(self, connection: socket.socket, *messages: bytes) -> None:
        connection.sendall(b"".join(struct.pack(">Q", len(message)) + message for message in messages))

    def receive_until(self, connection: socket.socket, words: bytes) -> bytes:
        got = b""
        while words not in got:
            more = connection.recv(65536)
            self.assertTrue(more, f"closed before {words!r}: {got!r}")
            got += more
        return got

    def test_streams_of_a_connection(self) -> None:
        """The welcome tells it; who opens more all the same is told so, and what is open goes on."""
        self.start("connections:\n  streams: 2\n")
        self.trove("mb", "media")
        connection = self.connect()
        connection.sendall(b"\0SP\0\0\x10\0\0")
        self.send(connection, field(2, field(1, 1)))  # hello
        self.assertIn(field(7, 2), self.receive_until(connection, b"troved"))  # welcome.streams_max
        opens = [field(1, i) + field(20, field(2, 1) + field(3, b"media") + field(4, b"k%d" % i)) for i in (1, 2, 3)]
        self.send(connection, *opens)
        self.receive_until(connection, b"this connection has 2 streams open, which is the limit")
        wait_for(lambda: len(self.trove("--json", "streams").objects()) == 2, "the other two")

    def test_calls_of_a_connection(self) -> None:
        self.start("connections:\n  calls: 1\n", schemes=("ipc",))
        self.trove("mb", "media")
        self.trove("put", self.write("large", b"x" * 2 * MIB), "media/x")
        self.assertEqual(len(self.trove("cat", "media/x").out), 2 * MIB)

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
        self.start(f'users:\n  - uid: {os.geteuid()}\n    rights: all\n    bandwidth: 2MiB\n')
        self.trove("mb", "media")
        file = self.write("file", b"x" * 2 * MIB)
        for verb in (("put", file), ("cat",)):
            begun = time.monotonic()
            both = [self.start_trove(*verb, f"media/{name}") for name in "ab"]
            for process in both:
                self.finish(process)
            self.assertGreater(time.monotonic() - begun, 1.5)  # 4 MiB, less what may go at once
        large = self.write("large", b"x" * 32 * MIB)
        self.trove("put", large, "media/c", server=self.server.url("tcp"))  # nobody else's, so this takes no 16 s

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

    def test_who_is_slow_makes_room(self) -> None:
        """In either direction; and who is fast isn't ended."""
        self.start("pools:\n  - name: fast\n    chunk_size: 16KiB\n    min_rate: 256KiB\n    idle_timeout: 2s\n", schemes=("ipc",))
        self.trove("mb", "media")
        large = self.write("large", b"x" * 4 * MIB)
        self.trove("put", large, "media/x")
        slowly = ("--pool", "fast", "--bwlimit", "32KiB")
        for verb in (("put", *slowly, large, "media/y"), ("cat", *slowly, "media/x")):
            told = self.trove(*verb, expect=EXHAUSTED).errors
            self.assertIn("has moved fewer than 262144 bytes a second for 2000 ms", told)
            self.assertIn("(min_rate)", told)
        self.trove("put", "--pool", "fast", large, "media/y")
        self.assertEqual(len(self.trove("cat", "--pool", "fast", "media/y").out), 4 * MIB)

    def test_handshakes_of_an_address(self) -> None:
        keys = self.write("authorized_keys", b"")
        self.start(f"authorized_keys: {keys}\nconnections:\n  handshakes_per_address: 2\n")
        results = [self.trove("ping", server=self.server.url("tcp"), expect=None) for _ in range(3)]
        self.assertEqual([result.code for result in results[:2]], [OK] * 2)
        self.assertIn("more than 2 handshakes a minute from this address", results[2].errors)
        for _ in range(3):
            self.trove("ping")  # over the unix socket nobody shakes hands


if __name__ == "__main__":
    main()
