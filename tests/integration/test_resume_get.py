"""Gets that are cut off: the same command goes on, and the file is the object, of one version."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

from trove_test import (
    BLOCK,
    CONFLICT,
    MIB,
    NOT_FOUND,
    PATIENCE_S,
    TERMINATED,
    TroveTest,
    UNAVAILABLE,
    content,
    main,
    wait_for,
)

SIZE = 24 * MIB + 4321
ENOUGH = 4 * MIB  # of what is moved before it is cut off
SLOWLY = ("--bwlimit", "8M")
AGAIN = "run the same command again"


class ResumedGetTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.start_server()
        self.trove("mb", "bucket")
        self.data = content("get", SIZE)
        self.trove("put", self.write("source", self.data), "bucket/key")
        self.target = self.folder / "got" / "target"
        self.target.parent.mkdir()

    def tearDown(self) -> None:
        self.server.stop()

    def parts(self) -> list[Path]:
        return list(self.target.parent.glob(".trove-*.part"))

    def largest_part(self) -> int:
        sizes = [0]
        for part in self.parts():
            try:
                sizes.append(part.stat().st_size)
            except FileNotFoundError:  # it has just got its name
                pass
        return max(sizes)

    def start_get(self, *options: str) -> subprocess.Popen[bytes]:
        process = self.start_trove("get", *SLOWLY, *options, "bucket/key", self.target)
        wait_for(lambda: self.largest_part() >= ENOUGH or process.poll() is not None, "a part of it has come")
        return process

    def cut_off(self, number: signal.Signals = signal.SIGKILL, *options: str) -> None:
        process = self.start_get(*options)
        process.send_signal(number)
        process.wait(PATIENCE_S)
        self.assertFalse(self.target.exists())
        self.assertEqual(len(self.parts()), 1)

    def get(self, *options: str) -> dict[str, Any]:
        return self.trove("--json", "get", *options, "bucket/key", self.target).objects()[0]

    def check(self, result: dict[str, Any], data: bytes, resumed_at_least: int, resumed_at_most: int) -> None:
        self.check_content(self.target.read_bytes(), data, "the file")
        self.assertEqual(self.parts(), [])
        self.assertGreaterEqual(result["transfer"]["resumed_bytes"], resumed_at_least)
        self.assertLessEqual(result["transfer"]["resumed_bytes"], resumed_at_most)
        self.assertEqual(result["transfer"]["received_bytes"], len(data) - result["transfer"]["resumed_bytes"])

    def test_killed_and_run_again(self) -> None:
        self.cut_off()
        part = self.parts()[0]
        self.assertEqual(stat.S_IMODE(part.stat().st_mode), 0o600)
        came = part.stat().st_size
        result = self.get()
        self.check(result, self.data, came - came % BLOCK, came)
        umask = os.umask(0)
        os.umask(umask)
        self.assertEqual(stat.S_IMODE(self.target.stat().st_mode), 0o666 & ~umask)

    def test_people_are_told(self) -> None:
        self.cut_off()
        self.assertRegex(self.trove("get", "bucket/key", self.target).text, r"\(24\.0 MiB, \d+\.\d MiB of it from before\)")

    def test_killed_again_and_again(self) -> None:
        came = 0
        for _ in range(3):
            process = self.start_trove("get", *SLOWLY, "bucket/key", self.target)
            wait_for(lambda: self.largest_part() >= came + 3 * MIB or process.poll() is not None, "more has come")
            process.kill()
            process.wait()
            came = self.largest_part()
        self.check(self.get(), self.data, came - BLOCK, came)

    def test_another_version_never_mixes(self) -> None:
        self.cut_off()
        other = content("other", SIZE)
        self.trove("put", self.write("source", other), "bucket/key")
        self.check(self.get(), other, 0, 0)

    def test_a_damaged_part(self) -> None:
        self.cut_off()
        with self.parts()[0].open("r+b") as part:
            part.seek(2 * MIB)
            part.write(b"damaged")
        self.check(self.get(), self.data, 2 * MIB, 2 * MIB)

    def test_an_object_that_is_gone(self) -> None:
        self.cut_off()
        self.trove("rm", "bucket/key")
        self.trove("get", "bucket/key", self.target, expect=NOT_FOUND)
        self.assertEqual(self.parts(), [], "there is nothing to go on with")

    def test_two_at_once(self) -> None:
        """The second has a file of its own, and nothing of it stays."""
        first = self.start_get()
        second = self.start_trove("--json", "get", *SLOWLY, "bucket/key", self.target)
        wait_for(lambda: self.ping()["streams_active"] == 2 or second.poll() is not None, "both write")
        self.assertIsNone(second.poll())
        for process in (first, second):
            result = self.finish(process)
        self.assertEqual(result.objects()[0]["transfer"]["resumed_bytes"], 0)
        self.check_content(self.target.read_bytes(), self.data, "the file")
        self.assertEqual(self.parts(), [])

    def test_no_resume(self) -> None:
        self.cut_off()
        process = self.start_no_resume()
        process.terminate()
        errors = self.finish(process, TERMINATED).errors
        self.assertIn("nothing half-done is left", errors)
        self.assertEqual(self.parts(), [], "nor what was there before")
        self.check(self.get("--no-resume"), self.data, 0, 0)

    def start_no_resume(self) -> subprocess.Popen[bytes]:
        """Whose file has no name yet, where the file system has such files."""
        process = self.start_trove("get", *SLOWLY, "--no-resume", "bucket/key", self.target)

        def moved() -> bool:
            return any(stream["bytes"] > ENOUGH for stream in self.trove("--json", "streams").objects())

        wait_for(lambda: moved() or process.poll() is not None, "a part of it has come")
        self.assertIsNone(process.poll())
        return process

    def test_no_resume_killed_leaves_nothing(self) -> None:
        try:
            os.close(os.open(self.folder, os.O_TMPFILE | os.O_WRONLY))
        except OSError as error:
            self.skipTest(f"this file system has no files without names: {error}")
        self.target.write_bytes(b"old")
        process = self.start_no_resume()
        process.kill()
        process.wait()
        self.assertEqual([path.name for path in self.target.parent.iterdir()], ["target"])
        self.assertEqual(self.target.read_bytes(), b"old")
        self.check(self.get("--no-resume"), self.data, 0, 0)

    def test_a_signal_leaves_it_and_says_so(self) -> None:
        for options in ((), ("--json",)):
            process = self.start_get(*options)
            process.terminate()
            errors = self.finish(process, TERMINATED).errors
            self.assertIn(AGAIN, json.loads(errors)["error"]["message"] if options else errors)
            self.check(self.get(), self.data, ENOUGH // 2, SIZE)
            self.target.unlink()

    def test_little_isnt_worth_it(self) -> None:
        data = content("little", MIB // 2)
        self.trove("put", self.write("source", data), "bucket/key")
        process = self.start_trove("get", "--bwlimit", "64K", "bucket/key", self.target)
        wait_for(lambda: self.parts() or process.poll() is not None, "it is being written")
        process.terminate()
        self.assertIn("nothing half-done is left", self.finish(process, TERMINATED).errors)
        self.assertEqual(self.parts(), [])

    def test_a_planted_link_isnt_followed(self) -> None:
        self.cut_off()
        victim = self.write("victim", b"untouched")
        part = self.parts()[0]
        part.unlink()
        part.symlink_to(victim)
        result = self.get()
        self.check_content(self.target.read_bytes(), self.data, "the file")
        self.assertEqual(result["transfer"]["resumed_bytes"], 0)
        self.assertEqual(victim.read_bytes(), b"untouched")
        self.assertTrue(part.is_symlink(), "it is none of ours")

    def test_many(self) -> None:
        """Objects in folders, each with a part beside its own target."""
        for key in ("a/one", "a/b/two"):
            self.trove("put", self.write("source", self.data), f"bucket/tree/{key}")
        out = self.folder / "out"
        process = self.start_trove("get", *SLOWLY, "-r", "bucket/tree", out)

        def have_come() -> bool:
            parts = list(out.rglob("*.part"))
            return len(parts) == 2 and all(part.stat().st_size > 2 * MIB for part in parts)

        wait_for(lambda: have_come() or process.poll() is not None, "parts of both have come")
        process.kill()
        process.wait()
        for result in self.trove("--json", "get", "-r", "bucket/tree", out).objects():
            self.assertGreater(result["transfer"]["resumed_bytes"], 1 * MIB)
            self.check_content(Path(result["file"]).read_bytes(), self.data, result["file"])
        self.assertEqual(list(out.rglob("*.part")), [])



    def test_a_server_killed_under_it_comes_back(self) -> None:
        process = self.start_get("--json")
        self.server.kill()
        self.start_server(self.folder)
        result = self.finish(process).objects()[0]
        self.check_content(self.target.read_bytes(), self.data, "the file")
        self.assertEqual(result["transfer"]["reconnects"], 1)
        self.assertEqual(self.parts(), [])

    def test_a_server_killed_under_what_is_printed_comes_back(self) -> None:
        for arguments in (["cat"], ["get"]):
            process = self.start_trove(*arguments, "--bwlimit", "16M", "bucket/key", *(["-"] if arguments == ["get"] else []))
            assert process.stdout is not None
            got = process.stdout.read(ENOUGH)
            self.server.kill()
            self.start_server(self.folder)
            got += process.stdout.read()
            self.finish(process)
            self.check_content(got, self.data, "what is printed")

    def test_a_server_that_doesnt_come_back(self) -> None:
        process = self.start_get("--retry-for", "0.2")
        self.server.kill()
        self.assertIn(AGAIN, self.finish(process, UNAVAILABLE).errors)
        self.start_server(self.folder)
        self.check(self.get(), self.data, ENOUGH // 2, SIZE)

    def test_an_object_replaced_while_the_server_was_away(self) -> None:
        """What is printed can't be taken back: it fails instead of going on with another version."""
        process = self.start_trove("cat", *SLOWLY, "bucket/key")
        assert process.stdout is not None
        process.stdout.read(ENOUGH)
        self.server.kill()
        self.start_server(self.folder, schemes=("tcp",))  # where the reader doesn't find it
        other = self.write("source", content("other", SIZE))
        self.trove("put", other, "bucket/key", server=self.server.url("tcp"))
        self.server.kill()
        self.start_server(self.folder)
        process.stdout.read()
        self.assertIn("FAILED_PRECONDITION", self.finish(process, CONFLICT).errors)


if __name__ == "__main__":
    main()
