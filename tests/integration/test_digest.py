"""Declared digests: what the server has must have them before it is an object."""

from __future__ import annotations

import hashlib

from trove_test import (
    DATA_LOSS,
    MIB,
    TroveTest,
    USAGE,
    content,
    main,
)


class DigestTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.start_server(store="mem://")
        self.trove("mb", "bucket")

    def tearDown(self) -> None:
        self.server.stop()

    def test_digests(self) -> None:
        for size in (0, 10, 100_000, 9 * MIB):
            data = content("digest", size)
            source = self.write("source", data)
            for kind, value in (("sha256", hashlib.sha256(data)), ("blake2b", hashlib.blake2b(data))):
                wanted = f"{kind}:{value.hexdigest()}"
                wrong = f"{kind}:{'0' * len(value.hexdigest())}"
                with self.subTest(kind=kind, size=size):
                    for arguments, more in (
                        ([kind, source], {}),
                        ([wanted, source], {}),
                        ([wanted, "-"], {"data": data}),
                        ([kind, "-"], {"data": data}),
                    ):
                        stored = self.trove("--json", "put", "--digest", *arguments, "bucket/key", **more).objects()[0]
                        self.assertEqual(stored.get("digest", wanted), wanted)
                        self.trove("rm", "bucket/key")
                    for arguments, more in (([wrong, source], {}), ([wrong, "-"], {"data": data})):
                        refused = self.trove("put", "--digest", *arguments, "bucket/key", expect=DATA_LOSS, **more)
                        self.assertIn("nothing of it was stored", refused.errors)
                        self.assertEqual(self.keys("bucket"), [])
                        self.assertEqual(self.trove("--json", "uploads", "ls").objects(), [])

    def test_digests_that_are_none(self) -> None:
        source = self.write("source", b"x")
        for text, said in (
            ("blake2b:" + "0" * 64, "blake2b has 128 hexadecimal digits, and these are 64"),
            ("sha256:" + "0" * 65, "sha256 has 64 hexadecimal digits, and these are 65"),
            ("md5:00", "its kind is neither sha256 nor blake2b"),
        ):
            self.assertIn(said, self.trove("put", "--digest", text, source, "bucket/key", expect=USAGE).errors)


if __name__ == "__main__":
    main()
