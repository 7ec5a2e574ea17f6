"""The managers under test: how each is told to run dynos. Those that read a Procfile are here."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.apps import App

Arguments = Callable[[App], list[str]]


class Manager(NamedTuple):
    """A process manager, and how it is told what to run.

    ``version``: empty when it is not installed. ``restarts``: brings back what ended, if ``App.restart`` says so.
    ``prefixes``: shows dynos' lines with their name. ``most``: dynos that it is asked for at most. ``terminal``:
    runs nowhere else. ``ask``: the command that lists what runs.
    """

    name: str
    version: str
    argv: Arguments
    restarts: bool = False
    prefixes: bool = False
    most: int = 500
    terminal: bool = False
    stop: signal.Signals = signal.SIGTERM
    ask: Arguments | None = None

    @property
    def present(self) -> bool:
        """Whether it can be measured here."""
        return bool(self.version)


class Places(NamedTuple):
    """Where programs are: procman's, those from PyPI, and the modules from npm."""

    procman: Path
    peers: Path
    npm: Path


def readers(places: Places) -> list[Manager]:
    """procman, and whoever else reads a Procfile."""
    procman, honcho, nf = places.procman / "procman", places.peers / "honcho", places.npm / ".bin" / "nf"
    return [
        Manager(
            "procman",
            version_of(procman, "--version"),
            counted(procman, "-m", restart=("--restart", "always")),
            restarts=True,
            prefixes=True,
            ask=lambda _: [str(procman), "ps"],
        ),
        Manager("honcho", version_of(honcho, "version"), counted(honcho, "-c"), prefixes=True),
        Manager("foreman", on_path("foreman", "--version"), counted("foreman", "-m"), prefixes=True),
        Manager("nf", npm_version(places.npm, "foreman"), counted(nf), prefixes=True),
        Manager("hivemind", on_path("hivemind", "--version"), each("hivemind"), prefixes=True),
        Manager("overmind", on_path("overmind", "--version"), each("overmind", "start", "-N", "-f"), prefixes=True),
        Manager("goreman", on_path("goreman", "version"), each("goreman", "-set-ports=false", "-f"), prefixes=True),
        Manager("forego", on_path("forego", "version"), counted("forego", "-c", restart=("-r",)), True, True),
    ]


def counted(program: str | Path, *flag: str, restart: tuple[str, ...] = ()) -> Arguments:
    """``PROGRAM start FLAG worker=4``: several dynos of one type."""

    def argv(app: App) -> list[str]:
        many = [] if app.apart else [*flag, f"worker={app.count}"]
        return [str(program), "start", *many, *(restart if app.restart else ())]

    return argv


def each(program: str, *words: str) -> Arguments:
    """A Procfile with a type a dyno, where a type has but one."""
    verb = ["start"] if program == "goreman" else []
    return lambda app: [program, *words, str(app.root / "Procfile.each"), *verb]


def on_path(program: str, flag: str) -> str:
    """The version of what Debian, or somebody, has put on the path."""
    return version_of(shutil.which(program) or "", flag)


def version_of(program: str | Path, flag: str) -> str:
    """The last word of what it says of itself; empty when it is not there."""
    if not program or not Path(program).exists():
        return ""
    said = subprocess.run([program, flag], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    words = (said.stdout or said.stderr).split()
    return words[-1] if words and not said.returncode else ""


def debian_version(package: str) -> str:
    """Of a package whose programs do not tell; empty when it is not installed."""
    if not shutil.which("dpkg-query"):
        return ""
    query = ["dpkg-query", "--show", "--showformat", "${Version}", package]
    return subprocess.run(query, check=False, capture_output=True, text=True).stdout


def npm_version(modules: Path, package: str) -> str:
    """What an installed package says of itself: some npm programs start a daemon when they are asked."""
    file = modules / package / "package.json"
    return str(json.loads(file.read_text())["version"]) if file.exists() else ""
