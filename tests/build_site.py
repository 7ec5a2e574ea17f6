"""A yard with buildpacks of a few lines, whose builds may be watched, signalled and looked at when they have ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from procman.builds import BuildRequest, BuildResult, Limits, read_result
from tests.builds_harness import BUILDER, ROOT, Yard

DEADLINE_S = 60.0  # for a broken test
USER = BUILDER
PROBE = ("unshare", "--pid", "--mount-proc", "--fork", "true")
ALONE = ROOT and subprocess.run(PROBE, stderr=subprocess.DEVNULL, check=False).returncode == 0  # as far as root may

__all__ = ["ALONE", "DEADLINE_S", "ROOT", "USER", "Build", "Site"]


class Build:
    """One build: its process, and once that has ended its status, words and result."""

    def __init__(self, request: BuildRequest, process: "subprocess.Popen[bytes]") -> None:
        self.request = request
        self.process = process
        self.output = self.errors = ""

    def finish(self) -> "Build":
        """Wait for its end."""
        try:
            output, errors = self.process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()
            raise
        self.output, self.errors = (output or b"").decode(), errors.decode()
        return self

    @property
    def status(self) -> int:
        return self.process.returncode

    @property
    def result(self) -> BuildResult:
        """What it left to be read."""
        return read_result(self.request.work)

    @property
    def slug(self) -> Path:
        """The unpacked slug."""
        return Path(self.request.slug)

    @property
    def nothing_left(self) -> bool:
        """Neither slug nor packed slug, nor parts of them, are there."""
        names = (path.name for path in self.slug.parent.iterdir())
        return not [name for name in names if name.partition(".")[0] == self.slug.name]


class Site(Yard):
    """Apps here are built where their slugs lie, if nothing else is said, by the buildpacks that are named."""

    def pack(self, name: str, compile: str = "echo compiled", detect: str = "echo Fake", release: str = "") -> str:
        """Write a buildpack; its address."""
        scripts = {"compile": compile, "detect": detect, **({"release": release} if release else {})}
        return str(self.buildpack(f"packs/{name}", scripts))

    def begin(self, files: "dict[str, str]", *packs: str, server: "dict[str, str] | None" = None, **more) -> Build:
        """Begin a build. ``server``: what the environment of the server has besides ours."""
        asked = {"buildpacks": packs, "mount": None, "limits": Limits(seconds=DEADLINE_S), **more}
        return self.set_off(*self.request(files, **asked), server)

    def set_off(self, request: BuildRequest, path: Path, server: "dict[str, str] | None" = None) -> Build:
        """Begin the build that a file asks for."""
        words = [sys.executable, "-m", "procman.builds", str(path)]
        env = {**os.environ, **(server or {})}
        return Build(request, subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE))

    def finished(self, files: "dict[str, str]", *packs: str, **more) -> Build:
        """Build to the end."""
        return self.begin(files, *packs, **more).finish()
