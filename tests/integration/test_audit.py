#!/usr/bin/env python3
"""The audit log: who did what to which object, with which result; and nothing that would let somebody else write it."""
from __future__ import annotations

import json
import os
import re
import signal
from typing import Any

from trove_test import CANCELLED, DENIED, MIB, NOT_FOUND, TroveTest, content, main, wait_for

ME = f"uid:{os.geteuid()}"


class AuditTest(TroveTest):
    def start(self, config: str = "") -> None:
        self.file = self.folder / "audit.log"
        self.start_server(store="mem://", config=f"audit_log: {self.file}\n{config}")

    def lines(self) -> list[dict[str, str]]:
        text = self.file.read_text()
        lines = []
        for line in text[: text.rfind("\n") + 1].split("\n")[:-1]:
            self.assertRegex(line, r'^time=\S+ level=info msg=audit event=\S+( \w+=("([^"\\]|\\.)*"|[^"\s]+))+$')
            fields = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)
            lines.append({key: json.loads(value) if value[0] == '"' else value for key, value in fields})
        return lines

    def wait_for_event(self, event: str, **fields: Any) -> dict[str, str]:
        def find() -> dict[str, str] | None:
            for line in self.lines():
                if line["event"] == event and all(line.get(key) == str(value) for key, value in fields.items()):
                    return line
            return None

        return wait_for(find, f"{event} with {fields}, in {self.file.read_text()}")

    def test_what_was_done_is_there(self) -> None:
        self.start()
        small = self.write("small", b"12345")
        large = self.write("large", content("large", 3 * MIB))
        for verb in (
            ("mb", "media"),
            ("put", small, "media/small"),
            ("put", large, "media/large"),
            ("cat", "media/large"),
            ("cp", "media/small", "media/copy"),
            ("rm", "media/copy"),
            ("ls", "media"),
        ):
            self.trove(*verb)
        self.trove("stat", "media/gone", expect=NOT_FOUND)
        fine = {"principal": ME, "status": "OK"}
        connect = self.wait_for_event("connect", **fine)
        self.assertIn("trove", connect["agent"])
        self.assertRegex(connect["peer"], r"pid \d+ uid \d+")
        self.wait_for_event("Buckets/Create", bucket="media", **fine)
        self.wait_for_event("put", bucket="media", key="small", bytes=5, **fine)
        self.wait_for_event("upload", bucket="media", key="large", bytes=3 * MIB, **fine)
        self.wait_for_event("download", bucket="media", key="large", bytes=3 * MIB, **fine)
        self.wait_for_event("Objects/Copy", from_key="small", to_bucket="media", to_key="copy", **fine)
        self.wait_for_event("Objects/Delete", bucket="media", key="copy", **fine)
        self.wait_for_event("Objects/List", bucket="media", **fine)
        gone = self.wait_for_event("Objects/Head", principal=ME, key="gone", status="NOT_FOUND")
        self.assertIn("media/gone", gone["error"])
        self.wait_for_event("disconnect", principal=ME)
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        self.assertNotIn("Server/", self.file.read_text())

    def test_what_was_refused_is_there(self) -> None:
        self.start(f'users:\n  - uid: {os.geteuid()}\n    rights: "read:media"\n')
        small = self.write("small", b"12345")
        large = self.write("large", content("large", 3 * MIB))
        self.trove("mb", "media", expect=DENIED)
        self.trove("put", small, "media/small", expect=DENIED)
        self.trove("put", large, "media/large", expect=DENIED)
        self.trove("pools", expect=DENIED)
        refused = {"principal": ME, "status": "PERMISSION_DENIED"}
        self.wait_for_event("Buckets/Create", bucket="media", **refused)
        self.wait_for_event("put", bucket="media", key="small", **refused)
        self.wait_for_event("upload", bucket="media", key="large", **refused)
        self.wait_for_event("Pools/List", **refused)

    def test_a_stream_that_somebody_cancelled(self) -> None:
        self.start()
        self.trove("mb", "media")
        put = self.start_trove("put", "-", "media/held", stdin=-1)
        assert put.stdin is not None
        put.stdin.write(b"x" * 2 * MIB)
        put.stdin.flush()
        (stream,) = wait_for(lambda: self.trove("--json", "streams").objects(), "a stream")
        self.trove("streams", "cancel", str(stream["stream"]))
        wait_for(lambda: put.poll() is not None, "the command ends")
        self.finish(put, CANCELLED)
        self.wait_for_event("Streams/Control", stream_id=stream["stream"], type="CANCEL", status="OK")
        self.wait_for_event("upload", stream=stream["stream"], key="held", status="CANCELLED")

    def test_nobody_writes_lines_of_their_own(self) -> None:
        self.start()
        self.trove("mb", "media")
        key = 'x\n{"event":"Buckets/Delete","principal":"uid:0"}\x1b[2J\u202e"'
        self.trove("put", self.write("small", b"12345"), f"media/{key}")
        self.wait_for_event("put", key=key)
        self.assertNotIn("Buckets/Delete", [line["event"] for line in self.lines()])
        self.assertNotIn("\x1b", self.file.read_text())

    def test_the_file_can_be_moved_away(self) -> None:
        self.start()
        self.trove("mb", "one")
        self.wait_for_event("Buckets/Create", bucket="one")
        self.file.rename(self.folder / "audit.old")
        self.server.signal(signal.SIGHUP)
        wait_for(self.file.exists, "a new file")
        self.trove("mb", "two")
        self.wait_for_event("Buckets/Create", bucket="two")
        self.assertNotIn("bucket=two", (self.folder / "audit.old").read_text())

    def test_the_end_is_there(self) -> None:
        """What was gathered is written when the server ends."""
        self.start()
        for index in range(20):
            self.trove("mb", f"bucket{index}")
        self.server.stop()
        made = [line["bucket"] for line in self.lines() if line["event"] == "Buckets/Create"]
        self.assertEqual(made, [f"bucket{index}" for index in range(20)])


if __name__ == "__main__":
    main()
