"""The README's first session works as it is written there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from trove_test import PATIENCE_S, TroveTest, check_report, content, main, program

README = Path(__file__).resolve().parents[2] / "README.md"


def first_session() -> list[str]:
    """The commands of the section, without what they print."""
    section = re.search(r"^## A first session\n.*?^```console\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None, "README.md has no first session"
    return [line[2:] for line in section[1].splitlines() if line.startswith("$ ")]


class ReadmeTest(TroveTest):
    def test_first_session(self) -> None:
        commands = first_session()
        server = re.fullmatch(r"troved --store local://(\S+) --listen ipc://(\S+) &", commands[0])
        assert server is not None, f"the session begins with troved, not with {commands[0]}"
        self.assertGreater(len(commands), 5)
        self.start_server()
        places = {server[1]: str(self.server.store), server[2]: str(self.server.socket)}

        here = self.folder / "here"
        photos = here / "photos"
        photos.mkdir(parents=True)
        (here / "film.mkv").write_bytes(content("film", 3_000_000))
        (photos / "one.jpg").write_bytes(content("photo", 200_000))

        programs = self.folder / "programs"
        programs.mkdir()
        (programs / "trove").symlink_to(program("TROVE"))
        if shutil.which("file") is None:  # not in every Debian
            (programs / "file").write_text("#!/bin/sh\nexec cat >/dev/null\n")
            (programs / "file").chmod(0o755)
        script = "\n".join(["set -euo pipefail", *commands[1:]])
        for place, ours in places.items():
            script = script.replace(place, ours)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=here,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
        )
        said = done.stdout.decode()
        check_report(said, "the session")
        self.assertEqual(done.returncode, 0, said)
        self.assertIn("photos/one.jpg", said, "tar has listed what was put")
        self.assertEqual(self.keys("media"), ["films/film.mkv", "photos-2026.tar"])
        film = self.trove("cat", "media/films/film.mkv").out
        self.check_content(film, content("film", 3_000_000), "the film")
        self.assertEqual(self.stat("media/films/film.mkv")["content_type"], "video/x-matroska")
        self.server.stop()


if __name__ == "__main__":
    main()
