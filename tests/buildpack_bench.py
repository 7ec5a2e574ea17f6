"""The buildpacks that come with procman, run directly: three scripts on a small tree, with a cache of their own."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

from procman.builds import buildpack

SYSTEM = "/usr/local/bin:/usr/bin:/bin"
PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


class Compiled(NamedTuple):
    """What one run left."""

    status: int
    output: str
    tree: Path

    def dyno(self, command: str, **env: str) -> str:
        """What a command prints in a dyno: .profile.d is sourced first."""
        script = f'for f in ~/.profile.d/*.sh; do . "$f"; done; {command}'
        given = {"PATH": SYSTEM, "HOME": str(self.tree), **env}
        words = ["bash", "-c", script]
        done = subprocess.run(words, env=given, cwd=self.tree, capture_output=True, text=True, check=True)
        return done.stdout.strip()


class Bench:
    """One app: its cache lasts. ``env``: what the host gives; ``bin``: programs that come before the system's."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.packs = base / "packs"
        buildpack.lay_out(str(self.packs))
        self.bin, self.cache, self.config = base / "bin", base / "cache", base / "env"
        for folder in (self.bin, self.config):
            folder.mkdir()
        (self.bin / "python3").symlink_to(PYTHON)
        self.env = {"PATH": f"{self.bin}:{SYSTEM}", "LANG": "C.UTF-8", "TMPDIR": str(base)}
        self.count = 0

    def tree(self, files: dict[str, str], place: str | None = None) -> Path:
        """Write an app; ``-> X`` as text makes a link to X."""
        self.count += 1
        tree = self.base / (place or f"app{self.count}")
        tree.mkdir(exist_ok=True)
        for name, text in files.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                path.symlink_to(text[3:])
            else:
                path.write_text(text)
        return tree

    def run(self, pack: str, script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        tree = Path(words[0])
        env = {**self.env, "HOME": str(tree)}
        argv = [f"{self.packs}/{pack}/bin/{script}", *map(str, words)]
        to = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(argv, env=env, cwd=tree, text=True, check=False, **to)

    def detect(self, pack: str, tree: Path) -> list[str] | None:
        """The lines that bin/detect printed; None if it does not fit."""
        done = self.run(pack, "detect", tree)
        return sorted(done.stdout.split()) if done.returncode == 0 else None

    def release(self, pack: str, tree: Path) -> str:
        done = self.run(pack, "release", tree)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def compile(self, pack: str, files: dict[str, str], place: str | None = None) -> Compiled:
        """Compile an app; what it does in its cache and its tree is all that it may do."""
        tree = self.tree(files, place)
        done = self.run(pack, "compile", tree, self.cache, self.config)
        return Compiled(done.returncode, done.stdout, tree)

    def good(self, pack: str, files: dict[str, str], place: str | None = None) -> Compiled:
        done = self.compile(pack, files, place)
        assert done.status == 0, done.output
        return done

    def fake(self, name: str, script: str) -> None:
        """A program of the host."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def wheel(folder: Path, name: str, version: str, files: dict[str, str], scripts: str = "") -> None:
    """A package of Python files that installs without a network and without being built."""
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if scripts:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{scripts}\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-{version}-py3-none-any.whl").write_bytes(data.getvalue())
