"""Puts that are cut off: the same command goes on, and what comes out is right. (What is remembered of them: test_resume_state.py; gets:
test_resume_get.py.)"""

from __future__ import annotations

import filecmp
import json
import os
import pty
import signal
import stat
import subprocess
import threading

from resumed_put import AGAIN, ENOUGH, ResumedPut, SIZE
from trove_test import (
    CONFLICT,
    GIB,
    LONG,
    MIB,
    NOT_FOUND,
    PATIENCE_S,
    TERMINATED,
    UNAVAILABLE,
    content,
    main,
    say,
    wait_for,
    write_large,
)


class ResumedPutTest(ResumedPut):
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
            if options:
                error = json.loads(errors)["error"]
                self.assertEqual((error["action"], error["exit"]), ("put", 128 + signal.SIGTERM))
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
        size, kills, limit = (2 * GIB, 5, "200M") if LONG else (96 * MIB, 3, "32M")
        write_large(self.source, size)
        process = self.start_trove("--json", "put", "--bwlimit", limit, self.source, "bucket/key", env=self.environment)
        for kill in range(1, kills + 1):
            enough = size * kill // (2 * kills)  # in its first half: looking takes a busy machine as long as a part of the rest

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

    def test_no_resume(self) -> None:
        self.cut_off()
        process = self.start_put("--no-resume")
        wait_for(lambda: self.trove("--json", "streams").objects() or process.poll() is not None, "it has begun")
        process.terminate()
        self.assertIn("nothing half-done is left", self.finish(process, TERMINATED).errors)
        self.assertEqual(self.put("--no-resume")["transfer"]["resumed_bytes"], 0)

    def test_an_upload_that_is_gone_begins_anew(self) -> None:
        self.cut_off()
        self.trove("uploads", "abort", self.uploads()[0]["upload"])
        self.check(self.put(), self.data, 0)

    def lose(self, process: subprocess.Popen[bytes]) -> None:
        """The server has another life, and in it no such upload, before the command comes back to it."""
        process.send_signal(signal.SIGSTOP)
        self.server.kill()
        self.start_server(self.folder)
        self.trove("uploads", "abort", self.uploads()[0]["upload"])
        process.send_signal(signal.SIGCONT)

    def test_an_upload_that_is_lost_on_the_way_begins_anew(self) -> None:
        for options in ((), ("--json",)):
            process = self.put_a_part(*options)
            self.lose(process)
            result = self.finish(process)
            if options:
                self.assertEqual(result.objects()[0]["transfer"]["reconnects"], 1)
                self.check(result.objects()[0], self.data)
            else:
                self.assertIn("the server has lost what it had of", result.errors)

    def test_a_pipe_that_is_lost_on_the_way_fails(self) -> None:
        process = self.start_put("--json", source="-", stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(self.data[: 8 * MIB])
        process.stdin.flush()
        wait_for(lambda: self.durable() >= ENOUGH or process.poll() is not None, "a part of it is durable")
        self.lose(process)
        self.assertIn("can't be read again", self.finish(process, NOT_FOUND).errors)
        self.assertEqual(self.uploads(), [])

    def test_an_upload_that_is_aborted_under_it_doesnt_go_on(self) -> None:
        process = self.put_a_part()
        self.trove("uploads", "abort", self.uploads()[0]["upload"])
        errors = self.finish(process, CONFLICT).errors
        self.assertNotIn(AGAIN, errors)
        self.assertTrue(errors.endswith("; run the command again: it begins anew\n"), errors)
        self.assertEqual(self.records(), [])
        self.check(self.put(), self.data, 0)

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
