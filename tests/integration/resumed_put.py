"""What the tests of puts that are cut off share: a large file, whose put is remembered in a folder of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from trove_test import MIB, OK, PATIENCE_S, TroveTest, content, wait_for

SIZE = 24 * MIB + 4321
ENOUGH = 4 * MIB  # of what is moved before it is cut off
SLOWLY = ("--bwlimit", "5M")  # seconds are left when ENOUGH is seen to be durable, also by a busy machine
AGAIN = "run the same command again"


class ResumedPut(TroveTest):
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
