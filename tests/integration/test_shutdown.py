"""The end of troved when something in it can't end: it comes within drain_timeout, with 0, and nothing that was acknowledged is lost.

A worker is made to hang by a FIFO in the place of an object's file: opening one to read it waits for a writer, as a network file
system does whose server is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from trove_test import (
    DATA_LOSS,
    FAILURE,
    INLINE_MAX,
    KIB,
    MIB,
    TroveTest,
    UNAVAILABLE,
    content,
    main,
    wait_for,
)

DRAIN_S = 3
# What a busy machine may need beside that until the end is seen. Waiting for what hangs would take 4 s more.
SLACK_S = 2
DATA = content("object", MIB)


def places_of_waiting(pid: int) -> set[str]:
    """The functions of the kernel that the process's threads wait in; "0" where it doesn't tell."""
    places = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            places.add((thread / "wchan").read_text())
        except OSError:
            pass
    return places


class StuckTest(TroveTest):
    def start_stuck(self, workers: int = 4) -> subprocess.Popen[bytes]:
        """A server with a worker that hangs in the store, and the command that waits for it."""
        self.start_server(config=f"drain_timeout: {DRAIN_S}s\nworkers: {workers}\n")
        self.trove("mb", "bucket")
        for key in ("stuck", "kept"):
            self.trove("put", "-", f"bucket/{key}", data=DATA)
        files = sorted(self.server.object_files(), key=lambda path: path.stat().st_mtime_ns)
        self.fifo = files[0]
        self.fifo.unlink()
        os.mkfifo(self.fifo)
        reading = self.start_trove("cat", "--retry-for", "0", "bucket/stuck")
        wait_for(lambda: self.ping()["streams_active"] == 1, "the download has begun")
        if places_of_waiting(self.server.pid) <= {"0", ""}:
            self.skipTest("this kernel doesn't tell whether a thread waits for a FIFO")
        wait_for(lambda: "wait_for_partner" in places_of_waiting(self.server.pid), "a worker hangs")
        return reading

    def end_in_time(self) -> None:
        begun = time.monotonic()
        self.server.signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(), 0)
        self.assertLess(time.monotonic() - begun, DRAIN_S + SLACK_S)

    def check_kept(self) -> None:
        self.fifo.unlink()
        self.start_server()
        self.assertEqual(self.keys("bucket"), ["kept", "stuck"])
        self.check_content(self.trove("cat", "bucket/kept").out, DATA, "what was acknowledged")
        self.server.stop()

    def test_a_worker_that_hangs(self) -> None:
        reading = self.start_stuck()
        self.trove("put", "-", "bucket/kept", data=DATA)  # the others go on
        self.end_in_time()
        self.assertIn("a worker is stuck in the store", self.server.log.text())
        self.finish(reading, expect=UNAVAILABLE)
        self.check_kept()

    def test_all_workers_hang(self) -> None:
        """And a put that waits for one of them."""
        reading = self.start_stuck(workers=1)
        # A resumable one would ask for unfinished uploads first, and wait for that.
        putting = self.start_trove("put", "--no-resume", "--retry-for", "0", "-", "bucket/new", stdin=subprocess.PIPE)
        assert putting.stdin is not None
        putting.stdin.write(content("new", INLINE_MAX + 4 * KIB))  # a stream, and the pipe takes it all
        putting.stdin.flush()
        wait_for(lambda: self.ping()["streams_active"] == 2, "the upload has begun")
        self.end_in_time()
        self.finish(putting, expect=UNAVAILABLE, data=b"")
        self.finish(reading, expect=UNAVAILABLE)
        self.check_kept()

    def test_a_second_signal(self) -> None:
        self.start_stuck()
        self.server.signal(signal.SIGTERM)
        self.server.log.wait_for("draining")
        begun = time.monotonic()
        self.server.signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(), FAILURE)
        self.assertLess(time.monotonic() - begun, SLACK_S)
        self.check_kept()

    def test_it_isnt_stuck_for_good(self) -> None:
        """What hangs until after the signal and then comes back is finished, and the store closed as ever."""
        reading = self.start_stuck()
        self.server.signal(signal.SIGTERM)
        self.server.log.wait_for("draining")
        with self.fifo.open("wb", buffering=0):
            self.assertEqual(self.server.wait(), 0)
        self.assertRegex(self.server.log.text(), "msg=stopped( |\n|$)")
        self.finish(reading, expect=DATA_LOSS)  # a FIFO is no object's file
        self.check_kept()


if __name__ == "__main__":
    main()
