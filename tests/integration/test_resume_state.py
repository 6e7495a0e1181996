"""What is remembered of a put that is cut off: where, of what, and when it isn't to be used."""

from __future__ import annotations

import os
import stat
import subprocess
import time

from resumed_put import ResumedPut, SIZE
from trove_test import CONFLICT, MIB, NOT_FOUND, content, main, wait_for


class StateTest(ResumedPut):
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
        self.assertIn("has changed since, under its old size and time", self.put(expect=CONFLICT).errors)
        self.assertEqual(self.keys("bucket"), [])
        self.assertEqual(self.uploads(), [])
        self.check(self.put(), b"other" + self.data[5:], 0)

    def test_a_source_changed_after_its_digest_was_computed(self) -> None:
        process = self.put_a_part("--digest", "sha256", "--chunk-size", "64K")  # little of it is read ahead
        times = self.source.stat()
        with self.source.open("r+b") as file:
            file.seek(SIZE - 5)
            file.write(b"other")
        os.utime(self.source, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertIn("has changed while it was sent", self.finish(process, CONFLICT).errors)
        self.assertEqual(self.keys("bucket"), [])
        self.assertEqual(self.uploads(), [])

    def test_other_options_begin_anew(self) -> None:
        self.cut_off()
        result = self.put("--content-type", "text/plain")
        self.check(result, self.data, 0)
        self.assertEqual(result["content_type"], "text/plain")
        self.cut_off()
        told = self.trove("put", "--content-type", "text/html", self.source, "bucket/key", env=self.environment).errors
        self.assertIn("source was put with other options when it was cut off: it begins anew", told)

    def test_two_at_once(self) -> None:
        """The second is no part of the first, and isn't remembered."""
        first = self.put_a_part()
        second = self.start_put()
        wait_for(lambda: len(self.uploads()) == 2 or second.poll() is not None, "both are going on")
        self.assertEqual(len(self.records()), 1)
        self.finish(first)
        self.assertIn("another put of this file to this object is under way", self.finish(second).errors)
        self.check(self.stat("bucket/key") | {"transfer": {}}, self.data)

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

    def make_anew(self) -> None:
        self.trove("rb", "bucket")
        self.trove("mb", "bucket")

    def test_a_bucket_made_anew_begins_anew(self) -> None:
        self.cut_off()
        old = self.uploads()[0]["upload"]
        self.make_anew()
        self.assertEqual(self.uploads(), [])
        self.trove("uploads", "abort", old, expect=NOT_FOUND)
        self.check(self.put(), self.data, 0)

    def test_a_bucket_that_is_deleted_ends_its_puts(self) -> None:
        process = self.put_a_part()
        self.trove("rb", "bucket")
        self.assertIn("bucket bucket doesn't exist", self.finish(process, NOT_FOUND).errors)
        self.trove("mb", "bucket")
        self.assertEqual(self.uploads(), [])
        self.assertEqual(self.records(), [])
        self.check(self.put(), self.data, 0)

    def test_a_bucket_made_anew_before_the_put_goes_on(self) -> None:
        """It has seen its upload, and waits for a place in its pool when the upload goes."""
        self.cut_off()
        self.server.stop()
        self.start_server(self.folder, config="pools:\n  - {name: one, streams: 1}\n")
        self.trove("mb", "other")
        held = content("held", MIB)
        first = self.start_trove("put", "--pool", "one", "-", "other/held", stdin=subprocess.PIPE)
        assert first.stdin is not None
        first.stdin.write(held)
        first.stdin.flush()
        wait_for(lambda: self.ping()["streams_active"] == 1, "one has the place")
        second = self.start_trove("--json", "put", "--pool", "one", self.source, "bucket/key", env=self.environment)
        wait_for(lambda: len(self.trove("--json", "streams").objects()) == 2, "the other one waits")
        self.make_anew()
        self.finish(first)
        result = self.finish(second)
        self.check(result.objects()[0], self.data, 0)

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


if __name__ == "__main__":
    main()
