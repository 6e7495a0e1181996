#!/usr/bin/env python3
"""Who may do what: rights of users over the unix socket, checked at every verb, as they are changed by SIGHUP, and what they leave unsaid.

The server's own user has all rights unless the config says otherwise of it: so one user is enough for most of this. Whoever comes over tcp
with --insecure is the other one, who may do everything.
"""
from __future__ import annotations

import os
import signal
import socket
import subprocess
import unittest
from pathlib import Path

from trove_test import (
    CANCELLED,
    DENIED,
    FAILURE,
    MIB,
    NOT_FOUND,
    OK,
    TroveTest,
    content,
    main,
    program,
    wait_for,
)

KEY = "A" * 43 + "="
IS_ROOT = os.geteuid() == 0
ROOT_ONLY = unittest.skipUnless(IS_ROOT, "only root can be several users")


def users(rights: str, uid: int | None = None) -> str:
    return f'users:\n  - uid: {os.geteuid() if uid is None else uid}\n    rights: "{rights}"\n'


class RightsTest(TroveTest):
    """A server on which this user may do what the test says, and whoever comes over tcp everything."""

    def start(self, config: str, **options: object) -> None:
        self.config = self.folder / "troved.yaml"
        self.start_server(schemes=("ipc", "tcp"), store="mem://", config=config, **options)

    def admin(self, *arguments: str | Path, **options: object):
        return self.trove(*arguments, server=self.server.url("tcp"), **options)

    def reload(self, config: str) -> None:
        before = self.server.log.text().count("msg=reloaded")
        self.config.write_text(config)
        self.server.signal(signal.SIGHUP)
        wait_for(lambda: self.server.log.text().count("msg=reloaded") > before, "reloaded")

    def ended(self, process: subprocess.Popen[bytes], expect: int) -> str:
        """Waits until it ends by itself, while its input is still open; and returns what it says."""
        wait_for(lambda: process.poll() is not None, "the command ends")
        return self.finish(process, expect).errors

    def refused(self, right: str, place: str, *arguments: str | Path, **options: object) -> None:
        """By its right and place, whatever there is."""
        errors = self.trove(*arguments, expect=DENIED, **options).errors
        self.assertIn(f"uid:{os.geteuid()} doesn't have the right `{right}` on {place}", errors)


class Verbs(RightsTest):
    def setUp(self) -> None:
        super().setUp()
        self.small = self.write("small", b"small")
        self.large = self.write("large", content("large", 3 * MIB))

    def test_owner_has_all_rights(self) -> None:
        self.start("")
        self.trove("mb", "media")
        self.trove("put", self.small, "media/a")
        self.trove("pools")
        self.trove("rb", "--force", "media", expect=None)

    def test_each_verb_needs_its_right(self) -> None:
        self.start(users("read:media/r/ write:media/w/ delete:media/d/ list:media/l/"))
        self.admin("mb", "media")
        for key in ("r/x", "w/x", "d/x", "l/x", "secret"):
            self.admin("put", self.small, f"media/{key}")
        self.refused("write", "the whole of bucket other", "mb", "other")
        self.refused("delete", "the whole of bucket media", "rb", "media")
        self.refused("admin", "the whole server", "pools")
        self.trove("cat", "media/r/x")
        self.trove("stat", "media/r/x")
        self.refused("read", "media/w/x", "cat", "media/w/x")
        self.refused("read", "media/w/x", "stat", "media/w/x")
        self.refused("read", "media/secret", "get", "media/secret", self.folder / "secret")
        self.assertFalse((self.folder / "secret").exists())
        for file in (self.small, self.large):  # one in one flight, one by a stream
            self.trove("put", file, "media/w/y")
            self.trove("put", file, "media/w/y")  # replaced
            self.refused("write", "media/r/y", "put", file, "media/r/y")
        self.trove("rm", "media/d/x")
        self.refused("delete", "media/r/x", "rm", "media/r/x")
        self.assertEqual(self.keys_of("media/l/"), ["l/x"])
        self.refused("list", "the whole of bucket media", "ls", "media")
        self.refused("list", "media/r/", "ls", "media/r/")
        self.trove("cp", "media/r/x", "media/w/z")
        self.refused("read", "media/w/z", "cp", "media/w/z", "media/w/zz")
        self.refused("write", "media/r/z", "cp", "media/r/x", "media/r/z")
        self.assertEqual(self.admin("cat", "media/w/z").text, "small")

    def keys_of(self, name: str) -> list[str]:
        return [entry["key"] for entry in self.trove("--json", "ls", "-r", name).objects()]

    def test_two_way_needs_both(self) -> None:
        self.start(users("read:media"))
        self.admin("mb", "media")
        self.refused("write", "media/log", "put", "--follow", self.small, "media/log")
        self.refused("write", "media/log", "cat", "--follow", "media/log")  # nobody writes it: it would be the writer
        writer = self.start_trove(
            "put", "--follow", "-", "media/log", server=self.server.url("tcp"), stdin=subprocess.PIPE
        )
        assert writer.stdin is not None
        writer.stdin.write(b"x" * MIB)
        writer.stdin.flush()
        self.wait_for_stream("media/log")
        reader = self.start_trove("cat", "--follow", "media/log")
        assert reader.stdout is not None
        self.assertEqual(os.read(reader.stdout.fileno(), 1), b"x")  # it follows with the right to read alone
        self.finish(writer, data=b"end")
        self.assertEqual(len(self.finish(reader).out), MIB + 2)

    def wait_for_stream(self, name: str) -> str:
        def find() -> str | None:
            for stream in self.admin("--json", "streams").objects():
                if f"{stream['bucket']}/{stream['key']}" == name and stream["bytes"] > 0:
                    return str(stream["stream"])
            return None

        return wait_for(find, f"a stream of {name}")

    def test_nothing_is_told_of_what_may_not_be_seen(self) -> None:
        """The same words whether bucket and object exist or not."""
        self.start(users("read,write,delete,list:mine"))
        self.admin("mb", "theirs")
        self.admin("put", self.small, "theirs/there")
        verbs = (
            ("stat", "{}"),
            ("cat", "{}"),
            ("put", str(self.small), "{}"),
            ("put", str(self.large), "{}"),
            ("put", "--if-none-match", str(self.small), "{}"),
            ("rm", "{}"),
            ("cp", "{}", "mine/x"),
            ("ls", "{}"),
        )
        for verb in verbs:
            told = set()
            for name in ("theirs/there", "theirs/gone", "nothing/there"):
                errors = self.trove(*(word.format(name) for word in verb), expect=DENIED).errors
                told.add(errors.replace(name, "NAME").replace(name.split("/")[0], "BUCKET"))
            self.assertEqual(len(told), 1, told)
        for verb in ("mb", "rb"):
            told = {
                self.trove(verb, name, expect=DENIED).errors.replace(name, "NAME") for name in ("theirs", "nothing")
            }
            self.assertEqual(len(told), 1, told)

    def test_buckets_that_may_be_read_are_listed(self) -> None:
        self.start(users("read:one/a list:three write,admin:two"))
        for bucket in ("one", "two", "three"):
            self.admin("mb", bucket)
            self.admin("put", self.small, f"{bucket}/x")
        buckets = {entry["bucket"]: entry for entry in self.trove("--json", "ls").objects()}
        self.assertEqual(sorted(buckets), ["one", "three"])
        text = self.trove("--json", "ls").text
        self.assertEqual(len(self.admin("--json", "ls").objects()), 3)
        self.assertNotIn("two", text)


class Streams(RightsTest):
    def hold(self, name: str, **options: object) -> subprocess.Popen[bytes]:
        """A put that has begun and waits for more."""
        process = self.start_trove("put", "-", name, stdin=subprocess.PIPE, **options)
        assert process.stdin is not None
        process.stdin.write(b"x" * 2 * MIB)
        process.stdin.flush()
        wait_for(lambda: self.stream_ids(name, self.server.url("tcp")), f"a stream of {name}")
        return process

    def stream_ids(self, name: str, server: str | None = None) -> list[str]:
        return [
            str(stream["stream"])
            for stream in self.trove("--json", "streams", server=server).objects()
            if f"{stream['bucket']}/{stream['key']}" == name
        ]

    def test_others_streams_are_an_admins_business(self) -> None:
        self.start(users("write:media admin:media/public/"))
        self.admin("mb", "media")
        own = self.hold("media/own")
        public = self.hold("media/public/x", server=self.server.url("tcp"))
        private = self.hold("media/private", server=self.server.url("tcp"))
        self.assertEqual(len(self.stream_ids("media/own")), 1)
        self.assertEqual(len(self.stream_ids("media/public/x")), 1)
        self.assertEqual(self.stream_ids("media/private"), [])
        (secret,) = self.stream_ids("media/private", self.server.url("tcp"))
        hidden = self.trove("streams", "cancel", secret, expect=NOT_FOUND).errors
        missing = self.trove("streams", "cancel", "999999", expect=NOT_FOUND).errors
        self.assertEqual(hidden.replace(secret, "N"), missing.replace("999999", "N"))
        self.assertIn("doesn't exist", self.trove("streams", "seek", secret, "0", expect=NOT_FOUND).errors)
        self.trove("streams", "cancel", *self.stream_ids("media/own"))
        self.trove("streams", "cancel", *self.stream_ids("media/public/x"))
        self.ended(own, CANCELLED)
        self.ended(public, CANCELLED)
        self.finish(private, data=b"")

    def test_rights_that_are_taken_end_streams_and_no_others(self) -> None:
        self.start(users("read,write:media"))
        self.admin("mb", "media")
        lost = self.hold("media/a/lost")
        kept = self.hold("media/b/kept")
        self.reload(users("write:media/b/"))
        self.assertIn("doesn't have the right `write` on media/a/lost", self.ended(lost, DENIED))
        self.finish(kept, data=b"the end")
        self.assertEqual(len(self.admin("cat", "media/b/kept").out), 2 * MIB + 7)
        self.refused("write", "media/a/x", "put", self.write("x", b"x"), "media/a/x")
        self.reload(users("write:media"))
        self.trove("put", self.folder / "x", "media/a/x")

    def test_a_mistake_changes_nothing(self) -> None:
        self.start(users("read:media"))
        self.admin("mb", "media")
        self.admin("put", self.write("x", b"x"), "media/x")
        for text, message in (
            (users("raed:media"), r"troved.yaml line 3: `users\[0\].rights`: grant \\\"raed:media\\\""),
            ("authorized_keys: /nowhere/keys\n", "opening /nowhere/keys"),
        ):
            self.config.write_text(text)
            self.server.signal(signal.SIGHUP)
            self.server.log.wait_for(r"can't reload, nothing has changed.*" + message)
        self.trove("cat", "media/x")
        self.refused("write", "media/x", "put", self.folder / "x", "media/x")


    def test_a_right_on_a_folder_is_none_on_what_begins_like_it(self) -> None:
        self.start(users("list:media/ana/"))
        self.admin("mb", "media")
        self.admin("put", self.write("x", b"x"), "media/ana/x")
        errors = self.trove("ls", "-r", "media/ana", expect=DENIED).errors
        self.assertIn("doesn't have the right `list` on media/ana", errors)
        self.assertIn("'trove ls -r media/ana/' lists", errors)
        self.assertEqual(self.trove("--json", "ls", "-r", "media/ana/").objects()[0]["key"], "ana/x")


class Others(RightsTest):
    """Users other than the server's own. The socket lies where they get to it."""

    def start_for_others(self, config: str) -> None:
        self.folder.chmod(0o755)
        (self.folder / "socket").mkdir()
        (self.folder / "socket").chmod(0o755)
        self.start(config + "socket_mode: 0666\n")

    def as_user(self, uid: int, *arguments: str | Path, expect: int) -> str:
        self.finish(self.start_as(uid, *arguments), expect)
        return self.last_errors

    def start_as(self, uid: int, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return self.start_trove(*arguments, user=uid, group=uid, extra_groups=[])

    def finish(self, *arguments, **options):  # type: ignore[no-untyped-def]
        result = super().finish(*arguments, **options)
        self.last_errors = result.errors
        return result

    @ROOT_ONLY
    def test_a_user_is_who_the_kernel_says(self) -> None:
        self.start_for_others(users("read:media", 4711))
        self.admin("mb", "media")
        self.admin("put", self.write("x", b"x"), "media/x")
        self.as_user(4711, "cat", "media/x", expect=OK)
        self.assertIn("uid:4711 doesn't have the right `delete`", self.as_user(4711, "rm", "media/x", expect=DENIED))
        errors = self.as_user(4712, "ping", expect=DENIED)
        self.assertIn("uid:4712 has no rights here", errors)
        self.assertNotIn("only the user that troved runs as", errors)
        self.trove("rm", "media/x")  # root is listed by default

    @ROOT_ONLY
    def test_the_overflow_uid_is_nobody(self) -> None:
        overflow = int(Path("/proc/sys/kernel/overflowuid").read_text())
        self.start_for_others(users("all", overflow))
        self.assertIn("it can't be let in", self.as_user(overflow, "ping", expect=DENIED))

    @ROOT_ONLY
    def test_who_is_taken_out_is_told_to_go(self) -> None:
        both = users("read,write:media", 4711) + "".join(users("read,write:media", 4712).splitlines(True)[1:])
        self.start_for_others(both)
        self.admin("mb", "media")
        processes = []
        for uid in (4711, 4712):
            process = self.start_trove(
                "put", "-", f"media/{uid}", user=uid, group=uid, extra_groups=[], stdin=subprocess.PIPE
            )
            assert process.stdin is not None
            process.stdin.write(b"x" * MIB)
            process.stdin.flush()
            processes.append(process)
        wait_for(lambda: len(self.admin("--json", "streams").objects()) == 2, "two streams")
        self.reload(users("write:media", 4712) + "socket_mode: 0666\n")
        self.assertIn("uid:4711 has no rights here", self.ended(processes[0], DENIED))
        self.finish(processes[1], data=b"")

    def test_only_its_user_reaches_the_socket(self) -> None:
        self.start("")
        self.assertEqual(self.server.socket.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.server.socket.parent.stat().st_mode & 0o777, 0o700)


class Network(RightsTest):
    def keys(self, text: str = f"ops {KEY} all\n", mode: int = 0o600) -> str:
        keys = self.write("authorized_keys", text.encode())
        keys.chmod(mode)
        key = self.folder / "server.key"
        key.unlink(missing_ok=True)
        subprocess.run([program("TROVE"), "keygen", "-o", str(key)], check=True, capture_output=True, timeout=60)
        return f"key_file: {key}\nauthorized_keys: {keys}\n"

    def test_nobody_gets_in_without_a_key(self) -> None:
        self.start_server(
            schemes=("ipc",), store="mem://", config=self.keys(), arguments=("--listen", "tcp://127.0.0.1:0")
        )
        self.assertNotIn("INSECURE", self.server.log.text())
        errors = self.trove("ping", server=self.server.url("tcp"), expect=DENIED).errors
        self.assertIn("lets nobody in here without a key", errors)
        self.trove("ping")

    def upgrade(self, origin: str) -> socket.socket:
        """A WebSocket connection as a page of `origin` would have it."""
        host, port = self.server.url("ws").split("/")[2].split(":")
        connection = socket.create_connection((host, int(port)), timeout=60)
        self.addCleanup(connection.close)
        lines = [
            "GET /trove HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: pair.sp.nanomsg.org",
            *([f"Origin: {origin}"] if origin else []),
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection

    def hello(self, connection: socket.socket) -> bytes:
        """Says hello in one masked message, and returns what comes until the server says something of its own."""
        hello = bytes([0x12, 2, 8, 1])  # Frame.hello with version 1
        connection.sendall(bytes([0x82, 0x80 | len(hello), 0, 0, 0, 0]) + hello)
        got = b""
        while b"troved" not in got and b"may not" not in got:
            more = connection.recv(4096)
            if not more:
                break
            got += more
        return got

    def test_web_pages_have_to_be_listed(self) -> None:
        config = "allow_origins:\n  - https://console.example\n"
        self.start_server(schemes=("ipc", "ws"), store="mem://", config=config)
        for origin in ("https://evil.example", "null", "https://console.example.evil", "http://console.example"):
            told = self.hello(self.upgrade(origin))
            self.assertIn(f"web pages of {origin} may not connect".encode(), told)
            self.assertNotIn(b"troved", told)
        for origin in ("https://console.example", ""):
            self.assertIn(b"troved", self.hello(self.upgrade(origin)))
        self.trove("ping", server=self.server.url("ws"))

    def check(self, config: str, expect: int) -> str:
        file = self.write("check.yaml", config.encode())
        line = [program("TROVED"), "--check-config", "--config", str(file), "--store", "mem://"]
        line += ["--listen", "tcp://127.0.0.1:0"]
        done = subprocess.run(line, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stderr.decode() + done.stdout.decode()

    def test_check_config_looks_at_the_keys(self) -> None:
        self.assertIn("fine", self.check(self.keys(), OK))
        self.assertIn("give the config `key_file` and `authorized_keys`", self.check("", FAILURE))
        self.assertIn("`authorized_keys`", self.check(f"key_file: {self.folder}/server.key\n", FAILURE))
        self.assertIn("authorized_keys line 2: ", self.check(self.keys(f"ops {KEY} all\nx\n"), FAILURE))
        self.assertIn("chmod go-w", self.check(self.keys(mode=0o620), FAILURE))
        text = self.keys()
        (self.folder / "server.key").chmod(0o640)
        self.assertIn("chmod 600", self.check(text, FAILURE))
        (self.folder / "server.key").unlink()
        self.assertIn("`key_file`: opening", self.check(text, FAILURE))
        self.assertIn("fine", self.check("insecure: true\n", OK))


if __name__ == "__main__":
    main()
