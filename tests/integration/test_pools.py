"""Stream pools from the command line: the verbs streams, pools and top, --pool, and a config that is read again.

(What pools do, frame by frame and call by call, is tested in test_client_server_pools.c and tests/interop/waiting.c.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import termios
from typing import Any

from trove_test import (
    CANCELLED,
    CONFLICT,
    DEADLINE,
    INLINE_MAX,
    KIB,
    MIB,
    NOT_FOUND,
    OK,
    TERMINATED,
    Terminal,
    UNAVAILABLE,
    USAGE,
    TroveTest,
    content,
    main,
    wait_for,
)

HELD_BYTES = INLINE_MAX + 4 * KIB  # too many for one flight, so that a stream is opened; a pipe takes them all


class PoolTest(TroveTest):
    config = """
drain_timeout: 1s
pools:
  - {name: one, streams: 1, bandwidth: 4MiB}
  - {name: slow, bandwidth: 1MiB}
"""

    def setUp(self) -> None:
        super().setUp()
        self.start_server(config=self.config)
        self.trove("mb", "media")

    def streams(self, *arguments: str) -> list[dict[str, Any]]:
        return self.trove("--json", "streams", *arguments).objects()

    def stream(self, key: str) -> dict[str, Any] | None:
        return next((stream for stream in self.streams() if stream["key"] == key), None)

    def pool(self, name: str) -> dict[str, Any]:
        return next(pool for pool in self.trove("--json", "pools").objects() if pool["pool"] == name)

    def start_put(self, key: str, pool: str, size: int = 32 * MIB, retry: str = "60", **options: Any) -> subprocess.Popen[bytes]:
        """An upload that is under way, or waits, when this returns. It would go on for half a minute in the pool \"slow\"."""
        path = self.folder / key
        if not path.exists():
            path.write_bytes(content(key, size))
        process = self.start_trove("put", "--pool", pool, "--retry-for", retry, path, f"media/{key}", **options)
        wait_for(lambda: self.stream(key), f"{key} is listed")
        return process

    def start_held(self, key: str, pool: str, retry: str = "60") -> subprocess.Popen[bytes]:
        """Likewise, and it isn't done before it is finished: most of its input comes then."""
        data = content(key, 3 * MIB)
        (self.folder / key).write_bytes(data)
        process = self.start_trove(
            "--timeout", "0", "put", "--pool", pool, "--retry-for", retry, "-", f"media/{key}", stdin=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(data[:HELD_BYTES])
        process.stdin.flush()
        wait_for(lambda: self.stream(key), f"{key} is listed")
        return process

    def pause(self, key: str) -> str:
        """Pauses a stream that has its place in its pool, and returns its id."""
        stream = wait_for(lambda: (s := self.stream(key)) and s["state"] == "active" and s, f"{key} is active")
        self.trove("streams", "pause", str(stream["stream"]))
        return str(stream["stream"])

    def finish_held(self, process: subprocess.Popen[bytes], key: str) -> None:
        self.finish(process, data=(self.folder / key).read_bytes()[HELD_BYTES:])
        self.check_stored(key)

    def check_stored(self, key: str) -> None:
        self.check_content(self.trove("cat", f"media/{key}").out, (self.folder / key).read_bytes(), key)


class VerbsTest(PoolTest):
    def test_streams_are_listed_paused_resumed_and_cancelled(self) -> None:
        put = self.start_put("up", "slow")
        stream = wait_for(lambda: (s := self.stream("up")) and s["bytes"] > 0 and s, "bytes move")
        self.assertEqual(stream["pool"], "slow")
        self.assertEqual(stream["bucket"], "media")
        self.assertEqual(stream["direction"], "upload")
        self.assertEqual(stream["state"], "active")
        self.assertEqual(stream["size"], 32 * MIB)
        self.assertEqual(stream["principal"], f"uid:{os.getuid()}")
        self.assertEqual(self.streams("--pool", "one"), [])
        identity = str(stream["stream"])

        self.assertEqual(self.trove("streams", "pause", identity).text, f"stream {identity} is paused\n")
        paused = wait_for(lambda: (s := self.stream("up")) and s["state"] == "paused" and s, "it is paused")
        self.assertIn("paused", self.trove("streams").text)
        self.assertEqual(
            self.trove("--json", "streams", "resume", identity).objects(), [{"stream": int(identity), "state": "active"}]
        )
        wait_for(lambda: (s := self.stream("up")) and s["bytes"] > paused["bytes"], "it goes on")
        self.trove("streams", "cancel", identity)
        ended = self.finish(put, CANCELLED)
        self.assertIn(f"was cancelled by uid:{os.getuid()} (CANCELLED)", ended.errors)
        wait_for(lambda: not self.streams(), "it is listed no more")
        self.trove("stat", "media/up", expect=NOT_FOUND)
        self.assertEqual(self.pool("slow")["cancelled_streams"], 1)

    def test_a_download_is_paused_and_goes_on(self) -> None:
        data = content("down", 40 * MIB)  # more than client and pipe hold
        self.trove("put", self.write("down", data), "media/down")
        # A reader that doesn't read yet, so that there is something to pause.
        cat = self.start_trove("cat", "media/down")
        identity = self.pause("down")
        self.trove("streams", "resume", identity)
        self.check_content(self.finish(cat).out, data, "down")

    def test_a_put_is_moved_and_goes_on(self) -> None:
        """Its file is read again from there; a program that reads, or writes a pipe, isn't moved."""
        put = self.start_put("up", "slow", size=4 * MIB)
        wait_for(lambda: (s := self.stream("up")) and s["bytes"] > 1024, "bytes move")
        identity = self.pause("up")
        self.assertEqual(
            self.trove("streams", "seek", identity, "1KiB").text, f"stream {identity} is paused, and goes on at byte 1024\n"
        )
        wait_for(lambda: (s := self.stream("up")) and s["offset"] == 1024, "it is there")
        moved = [{"stream": int(identity), "state": "paused", "offset": 0}]
        move = lambda: self.trove("--json", "streams", "seek", identity, "0", expect=None)
        wait_for(lambda: move().objects() == moved, "it is moved again, when its client has heard of the first time")
        beyond = self.trove("streams", "seek", identity, "1TiB", expect=CONFLICT).errors
        self.assertIn("it has received 0 bytes", beyond)
        self.trove("streams", "resume", identity)
        held = self.start_held("pipe", "one")
        pipe = str(wait_for(lambda: self.stream("pipe"), "it is there")["stream"])
        wait_for(lambda: self.stream("pipe")["state"] == "active", "it is open")
        self.assertIn("can't be moved", self.trove("streams", "seek", pipe, "0", expect=CONFLICT).errors)
        self.finish_held(held, "pipe")
        self.finish(put)
        self.check_stored("up")

    def test_wrong_usage(self) -> None:
        self.trove("streams", "seek", "1", expect=USAGE)
        self.trove("streams", "seek", "1", "2", "3", expect=USAGE)
        self.trove("streams", "seek", "1", "-1", expect=USAGE)
        self.trove("streams", "seek", "1", "here", expect=USAGE)
        self.trove("streams", "seek", "one", "1", expect=USAGE)
        self.assertIn("stream 999 doesn't exist", self.trove("streams", "seek", "999", "0", expect=NOT_FOUND).errors)
        self.trove("streams", "pause", expect=USAGE)
        self.trove("streams", "stop", "1", expect=USAGE)
        self.trove("streams", "pause", "one", expect=USAGE)
        self.trove("pools", "one", expect=USAGE)
        self.trove("top", "one", expect=USAGE)
        self.assertIn("stream 999 doesn't exist", self.trove("streams", "pause", "999", expect=NOT_FOUND).errors)
        self.assertIn("default, one, slow", self.trove("streams", "--pool", "none", expect=NOT_FOUND).errors)
        path = self.write("small", b"small")
        self.assertIn("default, one, slow", self.trove("put", "--pool", "none", path, "media/small", expect=NOT_FOUND).errors)

    def test_what_is_asked_for_in_vain_is_no_warning(self) -> None:
        self.trove("get", "media/none", "-", expect=NOT_FOUND)
        self.trove("get", "nobucket/none", "-", expect=NOT_FOUND)
        self.trove("put", "-", "media/there", data=b"x" * KIB)
        self.trove("put", "--if-none-match", "-", "media/there", data=b"x" * 100 * KIB, expect=CONFLICT)
        self.assertNotIn("stream ended", self.server.log.text())
        self.assertEqual(self.pool("default")["failed_streams"], 0)

    def test_a_full_pool(self) -> None:
        """One goes up after the other, in their order; who can't wait is told which pool is full."""
        first = self.start_held("first", "one")
        identity = self.pause("first")
        second = self.start_held("second", "one")
        third = self.start_held("third", "one")
        self.assertEqual(self.stream("second")["acquire_place"], 1)
        self.assertEqual(self.stream("third")["acquire_place"], 2)
        self.assertEqual(self.pool("one")["acquires_waiting"], 2)
        late = self.trove("--timeout", "0.3", "get", "--pool", "one", "media/none", self.folder / "none", expect=DEADLINE)
        self.assertIn('pool "one" has as many streams open as it may have, 1 (streams)', late.errors)
        self.trove("streams", "resume", identity)
        self.finish_held(first, "first")
        self.finish_held(second, "second")
        self.finish_held(third, "third")
        self.assertEqual(self.pool("one")["total_streams"], 3)

    def test_pools_and_top(self) -> None:
        put = self.start_put("up", "slow")
        pools = self.trove("pools").text
        for name in ("default", "one", "slow", "1.0 MiB/s"):
            self.assertIn(name, pools)
        top = self.trove("top").text  # no terminal: once
        self.assertIn("media/up", top)
        look = self.trove("--json", "top", "--once").objects()
        self.assertEqual([pool["pool"] for pool in look[0]["pools"]], ["default", "one", "slow"])
        self.assertEqual([stream["key"] for stream in look[0]["streams"]], ["up"])
        shown = self.folder / "top"
        with shown.open("wb") as out:
            live = self.start_trove("--json", "top", stdout=out)
        wait_for(lambda: shown.read_bytes().count(b'"pools"') >= 2, "it looks again and again")
        live.send_signal(signal.SIGTERM)
        self.finish(live, TERMINATED)
        put.kill()
        self.finish(put, None)

    def test_top_on_a_terminal(self) -> None:
        for key in (b"q", b"\x03"):
            terminal = Terminal(columns=200)  # nothing is cut, however long the server's address is
            ours = os.dup(terminal.inner)
            before = termios.tcgetattr(ours)
            top = terminal.start(lambda inner: self.start_trove("top", stdin=inner, stdout=inner, stderr=inner))
            try:
                wait_for(lambda: "POOL" in terminal.shown and "\x1b[J" in terminal.shown, "it is drawn")
                self.assertIn("q ends", terminal.shown)
                terminal.type(key)
                wait_for(lambda: top.poll() is not None, "it ends")
                self.assertEqual(top.returncode, OK)
                self.assertEqual(termios.tcgetattr(ours), before)
            finally:
                os.close(ours)  # or the terminal never ends
            terminal.join()

    def test_top_on_a_narrow_terminal_shows_the_objects(self) -> None:
        put = self.start_put("a-key-of-some-length", "slow")
        for columns, shown_columns in ((60, "ID"), (80, "OF"), (100, "PLACE"), (130, "WHO")):
            terminal = Terminal(columns=columns)
            top = terminal.start(lambda inner: self.start_trove("top", stdin=inner, stdout=inner, stderr=inner))
            wait_for(lambda: "OBJECT" in terminal.shown and "\x1b[J" in terminal.shown, "it is drawn")
            self.assertIn("media/a-key-of-som", terminal.shown, columns)
            self.assertIn(shown_columns, terminal.shown.split("OBJECT")[0].split("\n")[-1], columns)
            terminal.type(b"q")
            wait_for(lambda: top.poll() is not None, "it ends")
            terminal.join()
        put.kill()
        self.finish(put, None)


class ReloadTest(PoolTest):
    def reload(self, config: str, said: str = "msg=reloaded") -> None:
        before = self.server.log.text().count(said)
        (self.folder / "troved.yaml").write_text(config)
        self.server.signal(signal.SIGHUP)
        wait_for(lambda: self.server.log.text().count(said) > before, said)

    def test_new_pools_and_limits(self) -> None:
        first = self.start_held("first", "one")
        identity = self.pause("first")
        second = self.start_held("second", "one")
        self.assertEqual(self.stream("second")["acquire_place"], 1)
        self.reload("pools:\n  - {name: one, streams: 2}\n  - {name: new, buffers: 16}\n  - {name: slow, bandwidth: 512MiB}\n")
        self.finish_held(second, "second")  # there is room for it now
        self.assertEqual(self.pool("one")["streams_max"], 2)
        self.assertEqual(self.pool("new")["memory_budget_bytes"], 16 * MIB)
        self.assertEqual(self.pool("slow")["bandwidth_bytes_per_second"], 512 * MIB)
        self.finish(self.start_put_small("new"))
        self.trove("streams", "resume", identity)
        self.finish_held(first, "first")

    def start_put_small(self, pool: str) -> subprocess.Popen[bytes]:
        path = self.write("small", content("small", 300 * KIB))
        return self.start_trove("put", "--pool", pool, path, "media/small")

    def test_live_streams_keep_their_limits(self) -> None:
        first = self.start_held("first", "slow")
        self.pause("first")
        self.reload("pools:\n  - {name: slow, bandwidth: 1MiB, paused_timeout: 1s}\n")
        self.assertEqual(self.pool("slow")["paused_timeout_ms"], 1000)
        second = self.start_put("second", "slow")
        self.pause("second")
        self.assertIn("(paused_timeout)", self.finish(second, DEADLINE).errors)
        self.assertEqual(self.stream("first")["state"], "paused")  # for longer than that
        self.trove("streams", "resume", str(self.stream("first")["stream"]))
        self.finish_held(first, "first")

    def test_a_pool_that_is_gone_closes(self) -> None:
        first = self.start_held("first", "one")
        self.pause("first")
        second = self.start_held("second", "one", retry="0")
        wait_for(lambda: self.stream("second")["acquire_place"] == 1, "the second waits")
        self.reload("drain_timeout: 2s\npools:\n  - {name: slow, bandwidth: 1MiB}\n")
        refused = self.finish(second, UNAVAILABLE)  # at once
        self.assertIn('pool "one" is closing: it was taken out of the server', refused.errors)
        self.assertTrue(self.pool("one")["closing"])
        self.trove("put", "--pool", "one", self.write("x", content("x", MIB)), "media/x", expect=NOT_FOUND)
        cancelled = self.finish(first, CANCELLED)  # after drain_timeout
        self.assertIn("drain_timeout is over (CANCELLED)", cancelled.errors)
        names = lambda: [pool["pool"] for pool in self.trove("--json", "pools").objects()]
        wait_for(lambda: names() == ["default", "slow"], "the pool is gone")
        self.reload(self.config)
        self.assertEqual(names(), ["default", "slow", "one"])
        self.assertFalse(self.pool("one")["closing"])

    def test_a_mistake_changes_nothing(self) -> None:
        before = self.trove("--json", "pools").objects()
        for config, said in (
            ("pools:\n  - {name: one, streams: 7}\n  - {name: one}\n", "troved.yaml line 3: `pools\\[1\\].name`: there is a pool"),
            ("pool: {streams: 7}\npoolz: 5\n", "troved.yaml line 2: unknown key `poolz`"),
            ("pools:\n  - {name: big, chunk_size: 64MiB, memory: 8MiB}\n", 'pool ."big.": its chunk_size is 64MiB'),
        ):
            self.reload(config, "can't reload, nothing has changed")
            self.server.log.wait_for(said)
        self.assertEqual(self.trove("--json", "pools").objects(), before)

    def test_what_needs_a_new_start_is_said(self) -> None:
        self.reload(self.config + "insecure: true\n")
        self.server.log.wait_for("the rest needs a new start")
        self.reload(self.config + "workers: 2\n")
        wait_for(lambda: self.server.log.text().count("the rest needs a new start") == 2, "said for workers as well")

    def test_drain_timeout_is_the_last_one_read(self) -> None:
        self.reload(self.config.replace("drain_timeout: 1s", "drain_timeout: 3s"))
        self.server.stop()
        self.assertIn("timeout_ms=3000", self.server.log.text())
        self.assertNotIn("needs a new start", self.server.log.text())

    def test_draining_refuses_who_waits(self) -> None:
        first = self.start_held("first", "one", retry="0")
        self.pause("first")
        second = self.start_held("second", "one", retry="0")
        self.server.signal(signal.SIGTERM)
        self.assertIn("shutting down", self.finish(second, UNAVAILABLE).errors)
        self.finish(first, UNAVAILABLE)
        self.assertEqual(self.server.wait(), 0)


if __name__ == "__main__":
    main()
