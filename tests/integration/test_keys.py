"""Keys: made and shown by `trove keygen`, files that others can use, and who gets in with which key."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any, Callable

from trove_test import (
    CONFLICT,
    DENIED,
    MIB,
    NOT_FOUND,
    OK,
    PATIENCE_S,
    Result,
    SCHEMES,
    TroveTest,
    UNAVAILABLE,
    check_report,
    content,
    main,
    program,
    run_together,
    wait_for,
)

PRECONDITION = CONFLICT


class KeyTest(TroveTest):
    """Commands that need no server."""

    def command(self, *arguments: str | Path, expect: int = OK, home: Path | None = None) -> Result:
        environment = {name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"}
        environment["HOME"] = str(home or self.folder)
        done = subprocess.run(
            [program("TROVE"), *map(str, arguments)], env=environment, capture_output=True, timeout=PATIENCE_S
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        check_report(result.errors, "trove")
        self.assertEqual(result.code, expect, result.errors)
        return result

    def keygen(self, path: Path) -> str:
        return self.command("keygen", "-o", path).text.strip()


class KeygenTest(KeyTest):
    def test_a_key_is_made_and_shown_again(self) -> None:
        path = self.folder / "key"
        made = self.command("keygen", "--output", path)
        self.assertRegex(made.text, r"\A[A-Za-z0-9+/]{43}=\n\Z")
        self.assertIn(str(path), made.errors)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertNotIn(made.text.strip(), path.read_text().split("private_key")[-1])
        self.assertEqual(self.command("keygen", "--public", "-o", path).text, made.text)
        shown = self.command("--json", "keygen", "--public", "-o", path).objects()
        self.assertEqual(shown, [{"file": str(path), "public_key": made.text.strip()}])

    def test_two_keys_differ(self) -> None:
        self.assertNotEqual(self.keygen(self.folder / "a"), self.keygen(self.folder / "b"))

    def test_a_file_is_never_replaced(self) -> None:
        path = self.write("key", b"precious")
        errors = self.command("keygen", "-o", path, expect=CONFLICT).errors
        self.assertIn("never replaced", errors)
        self.assertEqual(path.read_bytes(), b"precious")

    def test_without_a_name_it_goes_to_the_users_folder(self) -> None:
        made = self.command("keygen")
        path = self.folder / ".config" / "trove" / "key"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(path.parent.stat().st_mode), 0o700)
        self.assertEqual(self.command("keygen", "-p").text, made.text)

    def test_a_file_that_others_can_read_is_refused(self) -> None:
        path = self.folder / "key"
        self.keygen(path)
        path.chmod(0o640)
        errors = self.command("keygen", "-p", "-o", path, expect=PRECONDITION).errors
        self.assertIn(f"chmod 600 {path}", errors)


class ServerKeyTestCase(KeyTest):
    """A server with keys on every transport."""

    def setUp(self) -> None:
        super().setUp()
        self.server_key = self.keygen(self.folder / "server.key")
        self.own = self.folder / "own.key"
        self.own_key = self.keygen(self.own)
        self.authorize(f"me {self.own_key} all\n")
        self.config = f"key_file: {self.folder}/server.key\nauthorized_keys: {self.folder}/authorized_keys\n"

    def authorize(self, text: str) -> None:
        path = self.write("authorized_keys", text.encode())
        path.chmod(0o600)

    def start(self, config: str = "") -> None:
        listen = ("--listen", "tcp://127.0.0.1:0", "--listen", "ws://127.0.0.1:0/trove")
        self.start_server(store="mem://", config=self.config + config, arguments=listen)

    def secure(self, *arguments: str | Path, scheme: str = "tcp", **options: Any) -> Result:
        keys = ("--server-key", self.server_key, "--key-file", self.own)
        return self.trove(*keys, *arguments, server=self.server.url(scheme), **options)


class ServerKeyTest(ServerKeyTestCase):
    def test_bytes_go_up_and_down_on_every_transport(self) -> None:
        self.start()
        self.secure("mb", "media")
        for scheme in SCHEMES:
            for size in (0, 1, 1000, 65536, 65537, 262145, 5 * MIB + 17):
                with self.subTest(scheme=scheme, size=size):
                    data = content(f"{scheme}{size}", size)
                    self.secure("put", "-", "media/x", data=data, scheme=scheme)
                    got = self.secure("cat", "media/x", scheme=scheme).out
                    self.check_content(got, data, "what came back")

    def test_the_key_may_stand_in_the_url(self) -> None:
        self.start()
        url = f"{self.server.url('tcp')}?key={self.server_key}"
        self.trove("--key-file", self.own, "ping", server=url)

    def test_another_servers_key_is_refused(self) -> None:
        self.start()
        other = self.keygen(self.folder / "other.key")
        for scheme in SCHEMES:
            with self.subTest(scheme=scheme):
                keys = ("--server-key", other, "--key-file", self.own)
                errors = self.trove(*keys, "ping", server=self.server.url(scheme), expect=DENIED).errors
                self.assertIn("another server key", errors)
                self.assertIn("see that --server-key", errors)
                self.assertNotIn("authorized_keys", errors)
        self.secure("ping")

    def test_an_unknown_clients_key_is_refused(self) -> None:
        self.start()
        stranger = self.folder / "stranger.key"
        self.keygen(stranger)
        for scheme in SCHEMES:
            with self.subTest(scheme=scheme):
                keys = ("--server-key", self.server_key, "--key-file", stranger)
                errors = self.trove(*keys, "ping", server=self.server.url(scheme), expect=DENIED).errors
                self.assertIn("doesn't know this key", errors)
                self.assertIn(f"'trove keygen --public -o {stranger}' prints", errors)
                self.assertNotIn("--server-key", errors)
        self.secure("ping")

    def test_without_a_key_the_network_is_closed(self) -> None:
        self.start()
        for scheme in ("tcp", "ws"):
            errors = self.trove("ping", server=self.server.url(scheme), expect=DENIED).errors
            self.assertIn("nobody in here without a key", errors)
            self.assertIn("give the server's public key", errors)
        self.trove("ping")  # over the unix socket: it's the server's own user

    def test_a_client_with_the_servers_key_sends_nothing_plain(self) -> None:
        self.start_server(schemes=("ipc", "tcp"), store="mem://")
        for scheme in ("ipc", "tcp"):
            errors = self.secure("ping", scheme=scheme, expect=PRECONDITION).errors
            self.assertIn("has no key of its own", errors)

    def test_wrong_usage_is_said(self) -> None:
        self.start()
        url = self.server.url("tcp")
        rows = (
            (("--server-key", "nonsense"), "this is no public key"),
            (("--server-key", self.server_key, "--key-file", self.folder / "missing"), "'trove keygen' makes a key"),
        )
        for keys, said in rows:
            self.assertIn(said, self.trove("--key-file", self.own, *keys, "ping", server=url, expect=None).errors)
        self.own.chmod(0o644)
        self.assertIn("chmod 600", self.secure("ping", expect=PRECONDITION).errors)

    def test_what_is_wrong_is_named(self) -> None:
        """The option or the variable that it came by, not another one."""
        self.start()
        bad = self.write("bad.key", b"nonsense\n")
        bad.chmod(0o600)
        key = ("--server-key", self.server_key)
        own = ("--key-file", self.own)
        rows: tuple[tuple[tuple[str | Path, ...], dict[str, str], str], ...] = (
            ((*own, "--server-key", "abc"), {}, "--server-key: the server's key"),
            (own, {"TROVE_SERVER_KEY": "abc"}, "TROVE_SERVER_KEY: the server's key"),
            ((*key, "--key-file", bad), {}, f"--key-file: {bad} line 1"),
            (key, {"TROVE_KEY_FILE": str(bad)}, f"TROVE_KEY_FILE: {bad} line 1"),
            ((*own, "--known-servers", bad), {}, f"--known-servers: {bad} line 1"),
            ((*own, "--server", f"{self.server.url('tcp')}?key=abc"), {}, "--server: the server's key, in the URL"),
            ((*own, "--server", f"{self.server.url('tcp')}?foo=x"), {}, "--server: \"tcp://127.0.0.1"),
        )
        for words, variables, said in rows:
            with self.subTest(said=said):
                environment = {**os.environ, **variables}
                errors = self.trove(*words, "ping", server=self.server.url("tcp"), env=environment, expect=2).errors
                self.assertIn(f"trove ping: {said}", errors)
        words = ("--trust-on-first-use", "--known-servers", self.folder / "nowhere" / "known")
        errors = self.trove(*words, "ping", server=self.server.url("tcp"), expect=NOT_FOUND).errors
        self.assertIn("make that folder first", errors)
        self.assertNotIn("keygen", errors)

    def test_the_server_refuses_a_key_file_that_others_can_read(self) -> None:
        (self.folder / "server.key").chmod(0o644)
        with self.assertRaisesRegex(AssertionError, "chmod 600"):
            self.start()

    def test_a_revoked_key_is_told_to_go(self) -> None:
        self.start()
        self.secure("mb", "media")
        put = self.start_trove(
            "--server-key", self.server_key, "--key-file", self.own, "put", "-", "media/x",
            server=self.server.url("tcp"), stdin=subprocess.PIPE,
        )  # fmt: skip
        assert put.stdin is not None
        put.stdin.write(content("part", MIB))
        put.stdin.flush()
        wait_for(lambda: self.trove("--json", "streams").objects(), "a stream")
        self.authorize("")
        self.server.signal(signal.SIGHUP)
        wait_for(lambda: put.poll() is not None, "the command ends")
        self.assertIn("doesn't know this key", self.finish(put, DENIED).errors)
        self.secure("ping", expect=DENIED)


class KnownServersTest(ServerKeyTestCase):
    """Servers whose keys are recorded, on first use where that is asked for."""

    def setUp(self) -> None:
        super().setUp()
        self.known = self.folder / "known_servers"
        self.start()

    def address(self, scheme: str = "tcp") -> str:
        url = self.server.url(scheme).split("://")[1]
        return url.split("/")[0] if scheme == "ws" else url

    def knowing(self, *arguments: str | Path, scheme: str = "tcp", own: Path | None = None, **options: Any) -> Result:
        words = ("--known-servers", self.known, "--key-file", own or self.own)
        return self.trove(*words, *arguments, server=self.server.url(scheme), **options)

    def test_a_server_is_trusted_on_first_use_only_when_asked(self) -> None:
        for scheme in SCHEMES:
            with self.subTest(scheme=scheme):
                if scheme != "ipc":
                    errors = self.knowing("ping", scheme=scheme, expect=DENIED).errors
                    self.assertIn("nobody in here without a key", errors)
                    self.assertIn("--trust-on-first-use", errors)
                said = self.knowing("--trust-on-first-use", "ping", scheme=scheme).errors
                self.assertIn(f"has the key {self.server_key}, which is recorded in {self.known}", said)
                self.assertEqual(self.knowing("--trust-on-first-use", "ping", scheme=scheme).errors, "")
                self.assertEqual(self.knowing("ping", scheme=scheme).errors, "")
        wanted = [f"{self.address(scheme)} {self.server_key}" for scheme in SCHEMES]
        self.assertEqual(self.known.read_text().splitlines(), wanted)
        self.assertEqual(stat.S_IMODE(self.known.stat().st_mode), 0o600)
        self.assertEqual([path.name for path in self.folder.glob("known_servers*")], ["known_servers"])

    def test_it_is_said_in_json(self) -> None:
        said = self.knowing("--json", "--trust-on-first-use", "ping").errors
        wanted = {"server": self.server.url("tcp"), "server_key": self.server_key, "recorded_in": str(self.known)}
        self.assertEqual(json.loads(said), wanted)

    def test_another_key_than_the_recorded_one_is_refused(self) -> None:
        other = self.keygen(self.folder / "other.key")
        self.known.write_text(f"# mine\n\n{self.address()} {other}  the old one\n")
        for options in ((), ("--trust-on-first-use",)):
            errors = self.knowing(*options, "ping", expect=DENIED).errors
            self.assertIn(f"THE SERVER'S KEY ISN'T THE ONE RECORDED in {self.known} line 3: now it is {self.server_key}", errors)
        self.assertIn(other, self.known.read_text())
        self.assertNotIn(self.server_key, self.known.read_text())

    def test_who_says_to_have_the_recorded_key_must_have_it(self) -> None:
        """Somebody on the way has the server tell the recorded key, which it hasn't."""
        other = self.keygen(self.folder / "other.key")
        wrong, right = base64.b64decode(other), base64.b64decode(self.server_key)
        between = Between(self.server.url("tcp"), lambda data, up, at: data if up else data.replace(right, wrong))
        words = ("--known-servers", self.known, "--key-file", self.own)
        self.known.write_text(f"{between.url.split('://')[1]} {other}\n")
        errors = self.trove(*words, "ping", server=between.url, expect=DENIED).errors
        between.join()
        self.assertIn("another server key", errors)

    def test_an_unknown_client_is_told_so(self) -> None:
        stranger = self.folder / "stranger.key"
        self.keygen(stranger)
        errors = self.knowing("--trust-on-first-use", "ping", own=stranger, expect=DENIED).errors
        self.assertIn("doesn't know this key", errors)
        self.assertIn(f"'trove keygen --public -o {stranger}' prints", errors)

    def test_a_given_key_goes_first(self) -> None:
        other = self.keygen(self.folder / "other.key")
        self.known.write_text(f"{self.address()} {other}\n")
        self.knowing("--server-key", self.server_key, "ping")
        self.knowing("--server-key", self.server_key, "--trust-on-first-use", "ping")

    def test_the_users_own_file(self) -> None:
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.folder / "config")}
        words = ("--key-file", self.own, "ping")
        url = self.server.url("tcp")
        self.trove("--trust-on-first-use", *words, server=url, env=environment)
        self.assertEqual(stat.S_IMODE((self.folder / "config" / "trove").stat().st_mode), 0o700)
        self.trove(*words, server=url, env=environment)
        elsewhere = {**environment, "XDG_CONFIG_HOME": "/", "TROVE_KNOWN_SERVERS": f"{self.folder}/config/trove/known_servers"}
        self.trove(*words, server=url, env=elsewhere)

    def test_files_that_wont_do(self) -> None:
        self.known.write_text(f"{self.address()} {self.server_key}\n{self.address()} nonsense\n")
        self.assertIn(f"{self.known} line 2", self.knowing("ping", expect=2).errors)
        self.known.write_text(f"{self.address()} {self.server_key}\n{self.address()} {self.own_key}\n")
        self.assertIn("line 2: another key", self.knowing("ping", expect=2).errors)
        self.known.write_text(f"{self.address()} {self.server_key}\n")
        self.known.chmod(0o622)
        self.assertIn("chmod go-w", self.knowing("ping", expect=PRECONDITION).errors)
        self.known.chmod(0o644)
        self.knowing("ping")

    def test_a_file_that_cant_be_read_lets_nobody_through(self) -> None:
        """With its line unread, another server's key would be believed, or none asked for."""
        config = self.folder / "config"
        known = config / "trove" / "known_servers"
        known.parent.mkdir(parents=True)
        known.symlink_to(known)  # unreadable for root as well
        (self.folder / "plain").mkdir()
        plain = self.start_server(self.folder / "plain", schemes=SCHEMES, store="mem://")
        environment = {**os.environ, "XDG_CONFIG_HOME": str(config)}
        for scheme in ("tcp", "ws"):
            for options in ((), ("--known-servers", known)):
                errors = self.trove(*options, "ping", server=plain.url(scheme), env=environment, expect=None).errors
                self.assertIn(f"opening the file of known servers {known}: Too many levels of symbolic links", errors)
                self.assertIn("nothing is sent", errors)
        self.trove("ping", server=plain.url("ipc"), env=environment)
        self.trove("--known-servers", known, "ping", server=plain.url("ipc"), env=environment, expect=1)
        known.unlink()
        self.trove("ping", server=plain.url("tcp"), env=environment)
        known.parent.rmdir()
        self.trove("ping", server=plain.url("tcp"), env=environment)

    def test_many_at_once_lose_no_line(self) -> None:
        self.known.symlink_to(self.folder / "real")  # what it points to is the file
        (self.folder / "real").write_text("# kept, without a newline")
        run_together([lambda scheme=scheme: self.knowing("--trust-on-first-use", "ping", scheme=scheme) for scheme in 2 * SCHEMES])
        lines = self.known.read_text().splitlines()
        self.assertEqual(lines[0], "# kept, without a newline")
        self.assertEqual(sorted(lines[1:]), sorted(f"{self.address(scheme)} {self.server_key}" for scheme in SCHEMES))
        self.assertTrue(self.known.is_symlink())

    def test_a_server_that_is_just_starting_is_waited_for(self) -> None:
        self.server.stop()
        words = ("--known-servers", self.known, "--key-file", self.own, "--trust-on-first-use")
        waiting = self.start_trove(*words, "ping", "--wait", str(PATIENCE_S), server=self.server.url("ipc"))
        self.start()
        self.assertIn("which is recorded in", self.finish(waiting).errors)

    def test_a_server_without_keys_has_none_to_tell(self) -> None:
        (self.folder / "plain").mkdir()
        self.start_server(self.folder / "plain", schemes=("ipc", "tcp"), store="mem://")
        for scheme in ("ipc", "tcp"):
            errors = self.knowing("--trust-on-first-use", "ping", scheme=scheme, expect=PRECONDITION).errors
            self.assertIn("has no key of its own", errors)
        self.assertFalse(self.known.exists())


class Between:
    """Carries bytes between a client and the server, remembers what the client sent, and may change what goes either way."""

    def __init__(self, url: str, change: Callable[[bytes, bool, int], bytes] = lambda data, up, at: data) -> None:
        host, port = url.removeprefix("tcp://").split(":")
        self.sent = b""
        self._change = change
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._target = (host, int(port))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def _run(self) -> None:
        with self._listener, self._listener.accept()[0] as client, socket.create_connection(self._target) as server:
            ways = [threading.Thread(target=self._carry, args=ends) for ends in ((client, server, True), (server, client, False))]
            for way in ways:
                way.start()
            for way in ways:
                way.join()

    def _carry(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        at = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if up:
                    self.sent += data
                target.sendall(self._change(data, up, at))
                at += len(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        self._thread.join(PATIENCE_S)


class HostileTest(ServerKeyTestCase):
    """What somebody on the way, or without a key, may try."""

    def through(self, change: Callable[[bytes, bool, int], bytes], *arguments: str, **options: Any) -> Result:
        between = Between(self.server.url("tcp"), change)
        keys = ("--server-key", self.server_key, "--key-file", self.own)
        try:
            return self.trove(*keys, *arguments, server=between.url, **options)
        finally:
            between.join()

    def expect_answer(self, data: bytes, wanted: bytes) -> None:
        """The server says that to these bytes, or to the silence behind them."""
        host, port = self.server.url("tcp").removeprefix("tcp://").split(":")
        got = b""
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            connection.sendall(data)
            while wanted not in got:
                more = connection.recv(65536)
                self.assertTrue(more, f"{wanted!r} isn't in {got!r}")
                got += more

    def test_what_a_client_said_once_is_worth_nothing(self) -> None:
        self.start("connections:\n  handshake_timeout: 500ms\n")
        self.secure("mb", "media")
        between = Between(self.server.url("tcp"))
        keys = ("--server-key", self.server_key, "--key-file", self.own)
        self.trove(*keys, "rb", "media", server=between.url)
        between.join()
        self.secure("mb", "media")
        self.expect_answer(between.sent, b"handshake doesn't fit")
        self.assertEqual([bucket["bucket"] for bucket in self.secure("--json", "ls").objects()], ["media"])

    def test_who_stops_in_the_midst_of_a_handshake_is_told_to_go(self) -> None:
        self.start("connections:\n  handshake_timeout: 200ms\n")
        between = Between(self.server.url("tcp"))
        keys = ("--server-key", self.server_key, "--key-file", self.own)
        self.trove(*keys, "ping", server=between.url)
        between.join()
        offer_end = 8 + 8 + int.from_bytes(between.sent[8:16], "big")
        ends = (0, 3, 8, 12, offer_end - 1, offer_end, offer_end + 20)
        run_together([lambda end=end: self.expect_answer(between.sent[:end], b"no hello within 200 ms") for end in ends])
        self.secure("ping")

    def test_a_flipped_bit_ends_the_connection_and_nothing_else(self) -> None:
        self.start()
        self.secure("mb", "media")
        data = content("flipped", 3 * MIB)
        self.secure("put", "-", "media/there", data=data)

        def flip_at(way: bool, offset: int) -> Callable[[bytes, bool, int], bytes]:
            def change(chunk: bytes, up: bool, at: int) -> bytes:
                if up == way and at <= offset < at + len(chunk):
                    where = offset - at
                    return chunk[:where] + bytes([chunk[where] ^ 4]) + chunk[where + 1 :]
                return chunk

            return change

        for offset in (600, 100000, 2 * MIB):
            with self.subTest(way="up", offset=offset):
                done = self.through(
                    flip_at(True, offset), "put", "--retry-for", "0", "-", "media/x", data=data, expect=UNAVAILABLE
                )
                self.assertIn("isn't what was sealed", done.errors)
                self.trove("stat", "media/x", expect=NOT_FOUND)
            with self.subTest(way="down", offset=offset):
                done = self.through(flip_at(False, offset), "cat", "--retry-for", "0", "media/there", expect=None)
                self.assertNotEqual(done.code, OK)
                self.assertEqual(done.out, data[: len(done.out)])  # nothing that wasn't sent
        self.check_content(self.secure("cat", "media/there").out, data, "what is there")


if __name__ == "__main__":
    main()
