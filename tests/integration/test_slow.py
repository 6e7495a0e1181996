#!/usr/bin/env python3
"""Who is slow at what they have begun makes room for others: streams (min_rate of a pool), connections (connections.min_rate)."""
from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import time

from test_limits import field
from trove_test import EXHAUSTED, MIB, PATIENCE_S, TroveTest, main, wait_for

PING = field(4, field(1, 7))


class Slow(TroveTest):
    def start(self, config: str) -> None:
        self.start_server(store="mem://", config=config)
        self.trove("mb", "media")

    @staticmethod
    def message(frame: bytes) -> bytes:
        """As SP over ipc has it."""
        return b"\1" + struct.pack(">Q", len(frame)) + frame

    def connect(self, *frames: bytes) -> socket.socket:
        """Over a unix socket, of which the kernel holds little. It has said hello, and the frames."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE_S)
        self.addCleanup(connection.close)
        connection.connect(str(self.server.socket))
        hello = field(2, field(1, 1))
        connection.sendall(b"\0SP\0\0\x10\0\0" + b"".join(map(self.message, (hello, *frames))))
        return connection

    def test_streams(self) -> None:
        """In either direction; and who is fast isn't ended."""
        self.start("pools:\n  - name: fast\n    chunk_size: 16KiB\n    min_rate: 256KiB\n    idle_timeout: 2s\n")
        large = self.write("large", b"x" * 4 * MIB)
        self.trove("put", large, "media/x")
        slowly = ("--pool", "fast", "--bwlimit", "32KiB")
        both = [self.start_trove("put", *slowly, large, "media/y"), self.start_trove("cat", *slowly, "media/x")]
        for command in both:
            told = self.finish(command, EXHAUSTED).errors
            self.assertIn("has moved fewer than 262144 bytes a second for 2000 ms", told)
            self.assertIn("(min_rate)", told)
        self.trove("put", "--pool", "fast", large, "media/y")
        self.assertEqual(len(self.trove("cat", "--pool", "fast", "media/y").out), 4 * MIB)

    def test_who_lets_a_frame_trickle_in(self) -> None:
        """Each byte is a sign of life, and yet it is too slow. Who has nothing to say isn't, encrypted or not."""
        keys = {name: self.keygen(name) for name in ("server", "client")}
        self.write("authorized_keys", f"client {keys['client']} all\n".encode()).chmod(0o600)
        config = f"key_file: {self.folder}/server.key\nauthorized_keys: {self.folder}/authorized_keys\n"
        self.start(config + "connections:\n  keepalive: 1s\n  min_rate: 1KiB\n")
        secure = ("--server-key", keys["server"], "--key-file", self.folder / "client.key")
        idle = [self.start_trove(*words, "put", "-", "media/idle", stdin=subprocess.PIPE) for words in ((), secure)]
        for put in idle:
            assert put.stdin is not None
            put.stdin.write(b"x" * MIB)
            put.stdin.flush()
        wait_for(lambda: len(self.trove("--json", "streams").objects()) == 2, "two streams that wait for more")
        connection = self.connect()
        connection.sendall(self.message(b"\x12\xe0\x07" + bytes(992))[:12])  # the beginning of a second hello
        connection.settimeout(0.02)
        got = b""
        deadline = time.monotonic() + PATIENCE_S
        while b"connections.min_rate" not in got and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                got += connection.recv(65536)
            connection.sendall(b"\x0a")
        self.assertIn(b"has sent fewer than 1024 bytes a second for 2000 ms, with a frame half sent", got)
        for put in idle:
            self.finish(put, data=b"x")

    def keygen(self, name: str) -> str:
        return self.trove("keygen", "-o", self.folder / f"{name}.key", server="ipc:///nowhere").text.split()[-1]

    def test_who_reads_drop_by_drop(self) -> None:
        self.start("connections:\n  keepalive: 1s\n  min_rate: 1GiB\n")
        self.trove("put", self.write("large", b"x" * 32 * MIB), "media/x")
        download = field(2, 2) + field(3, b"media") + field(4, b"x") + field(21, 1 << 30)
        connection = self.connect(field(1, 1) + field(20, download))
        with contextlib.suppress(OSError):  # it is closed at last
            while connection.recv(8192):
                connection.sendall(self.message(PING))  # somebody is there
                time.sleep(0.01)
        self.server.log.wait_for(r"has read fewer than 1073741824 .* for 2000 ms, with more to read \(connections.min_rate\)")


if __name__ == "__main__":
    main()
