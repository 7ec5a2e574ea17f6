"""A place to build in, as the server lays it out: open to pass through, so that a build's own user can reach it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from procman.builds import BuildRequest, BuildResult, read_result, write_request
from procman.builds.request import Limits

ROOT = os.geteuid() == 0
BUILDER = 23_456 if ROOT else None  # a user that exists nowhere
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Built(NamedTuple):
    """What one build left."""

    result: BuildResult
    output: str
    slug: Path
    packed: Path

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


class Yard:
    """Builds of one app: its cache is kept from one to the next."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="procman-builds-"))
        self.base.chmod(0o711)
        (self.base / "slugs").mkdir(mode=0o711)
        self.mount = self.base / "app"
        self.mount.mkdir()
        self.count = 0

    def remove(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)

    def request(self, tree: "dict[str, str | bytes] | Path", **changes) -> tuple[BuildRequest, Path]:
        """A request for a tree of files (a name that begins with ``*`` is made executable), and its file."""
        self.count += 1
        place = self.base / str(self.count)
        (place / "work").mkdir(parents=True)
        place.chmod(0o711)
        if isinstance(tree, Path):
            shutil.copytree(tree, place / "source", symlinks=True)
        else:
            write_tree(place / "source", tree)
        slug = self.base / "slugs" / str(self.count)
        request = BuildRequest(
            f"build-{self.count}",
            "demo",
            str(place / "source"),
            str(slug),
            f"{slug}.tgz",
            str(place / "work"),
            str(self.base / "cache"),
            mount=str(self.mount),
            uid=BUILDER,
            commit="1a2b3c4",
        )._replace(**changes)
        path = place / "request.json"
        write_request(request, str(path))
        return request, path

    def start(self, path: Path, env: "dict[str, str] | None" = None) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-m", "procman.builds", str(path)]
        given = {**os.environ, **(env or {})}
        return subprocess.Popen(words, stdout=subprocess.PIPE, env=given, cwd=path.parent)

    def build(self, tree: "dict[str, str | bytes] | Path", env: "dict[str, str] | None" = None, **changes) -> Built:
        """Build to the end."""
        request, path = self.request(tree, **changes)
        process = self.start(path, env)
        output = process.communicate(timeout=110)[0].decode()
        result = read_result(request.work)
        assert process.returncode == (0 if result.ok else 1), output
        return Built(result, output, Path(request.slug), Path(request.packed))

    def buildpack(self, name: str, scripts: dict[str, str]) -> Path:
        """A buildpack in a folder that the build's user can read."""
        folder = self.base / name
        write_tree(folder, {f"*bin/{script}": f"#!/bin/bash\n{text}\n" for script, text in scripts.items()})
        return folder


def write_tree(folder: Path, tree: "dict[str, str | bytes]") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tree.items():
        path = folder / name.removeprefix("*")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o755 if name.startswith("*") else 0o644)


def limits(**changes: float) -> Limits:
    return Limits()._replace(**changes)


def login_shell(slug: Path, command: str, env: "dict[str, str] | None" = None) -> str:
    """What a command prints in a dyno of the slug: its .profile.d is sourced first."""
    text = 'for f in ~/.profile.d/*.sh; do . "$f"; done; ' + command
    given = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(slug), **(env or {})}
    return subprocess.run(["bash", "-c", text], env=given, cwd=slug, capture_output=True, text=True, check=True).stdout
