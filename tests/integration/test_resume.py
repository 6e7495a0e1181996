"""Puts that are cut off: the same command goes on, and what comes out is right. (Gets: test_resume_get.py.)"""

from __future__ import annotations

import filecmp
import json
import os
import pty
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from trove_test import (
    DATA_LOSS,
    GIB,
    LONG,
    MIB,
    NOT_FOUND,
    OK,
    PATIENCE_S,
    TERMINATED,
    TroveTest,
    UNAVAILABLE,
    content,
    main,
    say,
    wait_for,
    write_large,
)

SIZE = 24 * MIB + 4321
ENOUGH = 4 * MIB  # of what is moved before it is cut off
SLOWLY = ("--bwlimit", "16M")
AGAIN = "run the same command again"


class ResumedPutTest(TroveTest):
    """A large file, whose put is remembered in a folder of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.state = self.folder / "state"
        self.environment = {**os.environ, "XDG_STATE_HOME": str(self.state)}
        self.start_server()
        self.trove("mb", "bucket")
        self.data = content("put", SIZE)
        self.source = self.write("source", self.data)

    def records(self) -> list[Path]:
        return list((self.state / "trove" / "uploads").glob("*"))

    def uploads(self) -> list[dict[str, Any]]:
        return self.trove("--json", "uploads", "ls").objects()

    def durable(self) -> int:
        return max((upload["durable_bytes"] for upload in self.uploads()), default=0)

    def start_put(self, *options: str, source: Path | str | None = None, **more: Any) -> subprocess.Popen[bytes]:
        more = {"env": self.environment, **more}
        return self.start_trove("put", *SLOWLY, *options, source or self.source, "bucket/key", **more)

    def put_a_part(self, *options: str, enough: int = ENOUGH, **more: Any) -> subprocess.Popen[bytes]:
        """A put that goes on, and of which so much is durable."""
        process = self.start_put(*options, **more)
        wait_for(lambda: self.durable() >= enough or process.poll() is not None, "a part of it is durable")
        self.assertIsNone(process.poll())
        return process

    def cut_off(self, number: signal.Signals = signal.SIGKILL, *options: str, enough: int = ENOUGH) -> int:
        """Returns what is durable."""
        process = self.put_a_part(*options, enough=enough)
        process.send_signal(number)
        process.wait(PATIENCE_S)
        wait_for(lambda: self.ping()["streams_active"] == 0, "the server has parked it")
        return self.durable()

    def put(self, *options: str, expect: int = OK, **more: Any) -> Any:
        more = {"env": self.environment, **more}
        result = self.trove("--json", "put", *options, self.source, "bucket/key", expect=expect, **more)
        return result.objects()[0] if expect == OK else result

    def check(self, result: dict[str, Any], data: bytes, resumed: int | None = None) -> None:
        self.check_content(self.trove("cat", "bucket/key").out, data, "the object")
        self.assertEqual(result["size"], len(data))
        if resumed is not None:
            self.assertEqual(result["transfer"]["resumed_bytes"], resumed)
            self.assertEqual(result["transfer"]["sent_bytes"], len(data) - resumed)
        self.assertEqual(self.uploads(), [])
        self.assertEqual(self.records(), [])

    def test_killed_and_run_again(self) -> None:
        durable = self.cut_off()
        self.assertEqual(len(self.records()), 1)
        self.assertEqual(stat.S_IMODE(self.records()[0].stat().st_mode), 0o600)
        for folder in (self.state, self.state / "trove", self.state / "trove" / "uploads"):
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        self.check(self.put(), self.data, durable)

    def test_people_are_told(self) -> None:
        self.cut_off()
        result = self.trove("put", self.source, "bucket/key", env=self.environment)
        self.assertRegex(result.errors, r"source goes on at \d+\.\d MiB of 24\.0 MiB")

    def test_a_signal_parks_it_and_says_so(self) -> None:
        for options in ((), ("--json",)):
            process = self.put_a_part(*options)
            process.terminate()
            errors = self.finish(process, TERMINATED).errors
            self.assertIn(AGAIN, json.loads(errors)["error"]["message"] if options else errors)
            wait_for(lambda: self.ping()["streams_active"] == 0, "the server has parked it")
            self.check(self.put(), self.data, None)

    def test_again_and_again(self) -> None:
        for step in range(1, 4):
            self.cut_off(enough=step * 5 * MIB)
        self.check(self.put(), self.data, None)

    def test_a_server_killed_under_it_comes_back(self) -> None:
        process = self.put_a_part("--json")
        self.server.kill()
        self.start_server(self.folder)
        result = self.finish(process).objects()[0]
        self.check(result, self.data)
        self.assertEqual(result["transfer"]["reconnects"], 1)
        self.assertLess(result["transfer"]["sent_bytes"], SIZE + 20 * MIB)

    def test_a_server_killed_again_and_again(self) -> None:
        """In the end no more is sent again than what wasn't durable at each crash."""
        size, kills, limit = (2 * GIB, 5, "200M") if LONG else (48 * MIB, 3, "32M")
        write_large(self.source, size)
        process = self.start_trove("--json", "put", "--bwlimit", limit, self.source, "bucket/key", env=self.environment)
        for kill in range(1, kills + 1):
            enough = size * kill // (kills + 1)

            def goes_on() -> bool:  # again, also where it was as far as that already when it was killed last
                return self.ping()["streams_active"] > 0 and self.durable() >= enough

            wait_for(lambda: goes_on() or process.poll() is not None, f"{enough} bytes are durable")
            self.assertIsNone(process.poll())
            self.server.kill()
            self.start_server(self.folder)
        result = self.finish(process, timeout_s=10 * PATIENCE_S).objects()[0]
        self.assertEqual((result["size"], result["transfer"]["reconnects"]), (size, kills))
        sent = result["transfer"]["sent_bytes"]
        say(f"{sent / size:.3f} times the file was sent")
        self.assertLess(sent, size * 1.2 if LONG else size + kills * 40 * MIB)
        self.trove("get", "bucket/key", self.folder / "got", timeout_s=10 * PATIENCE_S)
        self.assertTrue(filecmp.cmp(self.source, self.folder / "got", shallow=False))

    def test_a_server_stopped_under_it_comes_back(self) -> None:
        process = self.put_a_part("--json")
        self.server.stop()
        self.start_server(self.folder)
        self.check(self.finish(process).objects()[0], self.data)

    def test_a_server_that_doesnt_come_back(self) -> None:
        process = self.put_a_part("--retry-for", "0.2")
        self.server.kill()
        self.assertIn(AGAIN, self.finish(process, UNAVAILABLE).errors)
        self.assertEqual(len(self.records()), 1)
        self.start_server(self.folder)
        durable = self.durable()
        self.assertGreaterEqual(durable, ENOUGH)
        self.check(self.put(), self.data, durable)

    def test_no_retry(self) -> None:
        process = self.put_a_part("--retry-for", "0")
        self.server.kill()
        self.finish(process, UNAVAILABLE)
        self.start_server(self.folder)
        durable = self.durable()
        self.check(self.put(), self.data, durable)

    def test_a_changed_source_begins_anew(self) -> None:
        """Other bytes, and no more than another time: in both cases nothing of the old is used."""
        for data, time_ns in ((content("changed", SIZE), 12345), (self.data, 12346)):
            self.cut_off()
            old = self.uploads()[0]["upload"]
            self.source.write_bytes(data)
            os.utime(self.source, ns=(0, time_ns))
            result = self.trove("put", self.source, "bucket/key", env=self.environment)
            self.assertIn("has changed since an earlier put was cut off", result.errors)
            self.check_content(self.trove("cat", "bucket/key").out, data, "the object")
            self.assertEqual(self.uploads(), [])
            self.trove("uploads", "abort", old, expect=NOT_FOUND)
            self.assertEqual(self.records(), [])

    def test_a_source_replaced_by_its_equal_begins_anew(self) -> None:
        self.cut_off()
        times = self.source.stat()
        other = self.write("other", self.data)
        os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
        other.rename(self.source)
        self.check(self.put(), self.data, 0)

    def test_a_source_changed_unseen_is_refused(self) -> None:
        """Whoever sets the time back deceives the record, but not the checksum of the whole."""
        self.cut_off()
        times = self.source.stat()
        with self.source.open("r+b") as file:
            file.write(b"other")
        os.utime(self.source, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.put(expect=DATA_LOSS)
        self.assertEqual(self.keys("bucket"), [])
        self.assertEqual(self.uploads(), [])
        self.check(self.put(), b"other" + self.data[5:], 0)

    def test_other_options_begin_anew(self) -> None:
        self.cut_off()
        result = self.put("--content-type", "text/plain")
        self.check(result, self.data, 0)
        self.assertEqual(result["content_type"], "text/plain")

    def test_no_resume(self) -> None:
        self.cut_off()
        process = self.start_put("--no-resume")
        wait_for(lambda: self.trove("--json", "streams").objects() or process.poll() is not None, "it has begun")
        process.terminate()
        self.assertIn("nothing half-done is left", self.finish(process, TERMINATED).errors)
        self.assertEqual(self.put("--no-resume")["transfer"]["resumed_bytes"], 0)

    def test_two_at_once(self) -> None:
        """The second is no part of the first, and isn't remembered."""
        first = self.put_a_part()
        second = self.start_put()
        wait_for(lambda: len(self.uploads()) == 2 or second.poll() is not None, "both are going on")
        self.assertEqual(len(self.records()), 1)
        self.finish(first)
        self.assertIn("another put of this file to this object is under way", self.finish(second).errors)
        self.check(self.stat("bucket/key") | {"transfer": {}}, self.data)

    def test_an_upload_that_is_gone_begins_anew(self) -> None:
        self.cut_off()
        self.trove("uploads", "abort", self.uploads()[0]["upload"])
        self.check(self.put(), self.data, 0)

    def test_a_damaged_record(self) -> None:
        for damage in (b"", b"{}", b"\0" * 100, b"x" * 5000):
            self.cut_off()
            record = self.records()[0]
            record.write_bytes(damage or record.read_bytes()[:-30])
            result = self.trove("put", self.source, "bucket/key", env=self.environment)
            self.assertIn("damaged", result.errors)
            self.assertEqual(self.records(), [])
            self.check_content(self.trove("cat", "bucket/key").out, self.data, "the object")
            self.trove("uploads", "abort", self.uploads()[0]["upload"])  # nobody knows it any more

    def test_complete_already(self) -> None:
        """The put was killed after its object was published, and before its record was removed."""
        self.cut_off()
        record = self.records()[0]
        kept = record.read_bytes()
        stored = self.put()
        self.check(stored, self.data, None)
        record.write_bytes(kept)
        again = self.put()
        self.assertEqual((again["generation"], again["transfer"]["sent_bytes"]), (stored["generation"], 0))
        record.write_bytes(kept)
        self.trove("rm", "bucket/key")
        self.check(self.put(), self.data, 0)

    def test_no_home(self) -> None:
        environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_STATE_HOME")}
        result = self.trove("put", self.source, "bucket/key", env=environment)
        self.assertIn("won't be gone on with after a crash: neither XDG_STATE_HOME nor HOME is set", result.errors)
        self.check_content(self.trove("cat", "bucket/key").out, self.data, "the object")

    def test_home_alone(self) -> None:
        environment = {**os.environ, "HOME": str(self.folder), "XDG_STATE_HOME": "relative: it doesn't count"}
        process = self.put_a_part(env=environment)
        process.kill()
        process.wait()
        self.assertEqual(len(list((self.folder / ".local/state/trove/uploads").glob("*.json"))), 1)
        self.put(env=environment)

    def test_a_state_folder_that_cant_be_made(self) -> None:
        self.state.write_bytes(b"a file")
        result = self.trove("put", self.source, "bucket/key", env=self.environment)
        self.assertIn("won't be gone on with after a crash", result.errors)
        self.check_content(self.trove("cat", "bucket/key").out, self.data, "the object")

    def test_a_state_folder_that_others_may_read_is_corrected(self) -> None:
        folder = self.state / "trove" / "uploads"
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.cut_off()
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        self.put()

    def test_a_state_folder_of_somebody_else_is_refused(self) -> None:
        folder = self.state / "trove" / "uploads"
        folder.mkdir(parents=True)
        if os.geteuid() != 0:
            self.skipTest("only root can give a folder away")
        os.chown(folder, 12345, 12345)
        result = self.trove("put", self.source, "bucket/key", env=self.environment)
        self.assertIn("belongs to somebody else", result.errors)
        self.assertEqual(self.records(), [])

    def test_old_records_go(self) -> None:
        folder = self.state / "trove" / "uploads"
        folder.mkdir(parents=True, mode=0o700)
        for name, age in (("old.json", 31), ("young.json", 29)):
            (folder / name).write_bytes(b"x")
            os.utime(folder / name, (time.time() - age * 86400,) * 2)
        self.put()
        self.assertEqual([path.name for path in self.records()], ["young.json"])

    def test_a_small_file_isnt_remembered(self) -> None:
        self.source.write_bytes(content("small", 8 * MIB - 1))
        process = self.start_put()
        wait_for(lambda: self.trove("--json", "streams").objects() or process.poll() is not None, "it has begun")
        self.assertEqual(self.records(), [])
        self.assertEqual(self.uploads(), [])
        self.finish(process)

    def test_a_small_file_is_put_once_more(self) -> None:
        self.data = content("small", 6 * MIB)
        self.source.write_bytes(self.data)
        process = self.start_put("--bwlimit", "4M")
        wait_for(lambda: self.trove("--json", "streams").objects() or process.poll() is not None, "it has begun")
        self.server.kill()
        self.start_server(self.folder)
        self.finish(process)
        self.check_content(self.trove("cat", "bucket/key").out, self.data, "the object")

    def test_a_pipe_outlives_the_server(self) -> None:
        process = self.start_put("--json", source="-", stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(self.data[: SIZE // 2])
        process.stdin.flush()
        wait_for(lambda: self.durable() >= ENOUGH or process.poll() is not None, "a part of it is durable")
        self.server.kill()
        self.start_server(self.folder)
        result = self.finish(process, data=self.data[SIZE // 2 :]).objects()[0]
        self.check(result, self.data)

    def test_a_pipe_that_is_given_up_leaves_nothing(self) -> None:
        process = self.start_put(source="-", stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(self.data[: SIZE // 2])
        process.stdin.flush()
        wait_for(lambda: self.durable() > 0 or process.poll() is not None, "a part of it is durable")
        process.terminate()
        process.wait(PATIENCE_S)
        self.assertIn("nothing half-done is left", self.finish(process, TERMINATED).errors)
        wait_for(lambda: self.uploads() == [], "it is thrown away")

    def test_the_progress_line_tells_of_a_lost_connection(self) -> None:
        outer, inner = pty.openpty()
        process = self.put_a_part(stderr=inner, env={**self.environment, "TERM": "xterm"})
        os.close(inner)
        self.server.kill()
        shown = b""
        while b"reconnecting" not in shown:
            shown += os.read(outer, 65536)
        self.start_server(self.folder)
        reader = threading.Thread(target=read_away, args=(outer,))
        reader.start()
        self.finish(process)
        reader.join()
        os.close(outer)
        self.check_content(self.trove("cat", "bucket/key").out, self.data, "the object")


def read_away(fd: int) -> None:
    try:
        while os.read(fd, 65536):
            pass
    except OSError:  # Linux's way to say that the other side is closed
        pass


if __name__ == "__main__":
    main()
