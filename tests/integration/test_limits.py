#!/usr/bin/env python3
"""Limits of the config that keep one peer from having all of the server: each is refused with its name, and others are served on."""
from __future__ import annotations

import socket
import struct
import time

from trove_test import MIB, OK, PATIENCE_S, TroveTest, main, wait_for


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

    def test_too_many_calls_at_once(self) -> None:
        """Those that are too many are refused, each with the limit; the others are answered."""
        self.start("workers: 1\nconnections:\n  calls: 1\n")
        connection = self.hello()
        call = field(10, field(1, b"trove.v1.Buckets/List"))
        self.send(connection, *[field(1, i) + call for i in range(1, 201)])
        self.receive_until(connection, b"as many calls under way as are allowed, 1 of together")
        self.trove("ping")
        wait_for(lambda: self.trove("ping", expect=None).code == OK, "others are served")

    def hello(self) -> socket.socket:
        connection = self.connect()
        connection.sendall(b"\0SP\0\0\x10\0\0")
        self.send(connection, field(2, field(1, 1)))  # hello
        self.receive_until(connection, b"troved")
        return connection

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
