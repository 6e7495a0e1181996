"""Keys: made and shown by `trove keygen`, files that others can use, and who gets in with which key."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from trove_test import CONFLICT, OK, PATIENCE_S, Result, TroveTest, check_report, main, program

FAILURE = 1
PRECONDITION = CONFLICT


class KeyTest(TroveTest):
    """Commands that need no server."""

    def command(self, *arguments: str | Path, expect: int = OK, home: Path | None = None) -> Result:
        environment = {name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"}
        environment["HOME"] = str(home or self.folder)
        done = subprocess.run(
            [program("TROVE"), *map(str, arguments)], env=environment, capture_output=True, timeout=PATIENCE_S
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        check_report(result.errors, "trove")
        self.assertEqual(result.code, expect, result.errors)
        return result

    def keygen(self, path: Path) -> str:
        return self.command("keygen", "-o", path).text.strip()


class KeygenTest(KeyTest):
    def test_a_key_is_made_and_shown_again(self) -> None:
        path = self.folder / "key"
        made = self.command("keygen", "--output", path)
        self.assertRegex(made.text, r"\A[A-Za-z0-9+/]{43}=\n\Z")
        self.assertIn(str(path), made.errors)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertNotIn(made.text.strip(), path.read_text().split("private_key")[-1])
        self.assertEqual(self.command("keygen", "--public", "-o", path).text, made.text)
        shown = self.command("--json", "keygen", "--public", "-o", path).objects()
        self.assertEqual(shown, [{"file": str(path), "public_key": made.text.strip()}])

    def test_two_keys_differ(self) -> None:
        self.assertNotEqual(self.keygen(self.folder / "a"), self.keygen(self.folder / "b"))

    def test_a_file_is_never_replaced(self) -> None:
        path = self.write("key", b"precious")
        errors = self.command("keygen", "-o", path, expect=CONFLICT).errors
        self.assertIn("never replaced", errors)
        self.assertEqual(path.read_bytes(), b"precious")

    def test_without_a_name_it_goes_to_the_users_folder(self) -> None:
        made = self.command("keygen")
        path = self.folder / ".config" / "trove" / "key"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(path.parent.stat().st_mode), 0o700)
        self.assertEqual(self.command("keygen", "-p").text, made.text)

    def test_a_file_that_others_can_read_is_refused(self) -> None:
        path = self.folder / "key"
        self.keygen(path)
        path.chmod(0o640)
        errors = self.command("keygen", "-p", "-o", path, expect=PRECONDITION).errors
        self.assertIn(f"chmod 600 {path}", errors)


if __name__ == "__main__":
    main()
