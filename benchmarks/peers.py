"""The managers under test: how each is told to run N dynos of one command."""

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

NPM_PEERS = Path(__file__).resolve().parent.parent / ".bench"
SUPERVISORD_CONF = """\
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={root}/supervisord.pid
minfds=4096
[program:worker]
command=/bin/sh {root}/dyno
numprocs={count}
process_name=%(process_num)d
autorestart=true
startsecs=0
redirect_stderr=true
stdout_logfile=NONE
"""


class App(NamedTuple):
    """What is run: ``count`` dynos of type ``worker``, each the shell text ``command``, in the folder ``root``."""

    root: Path
    command: str
    count: int = 1

    def write(self) -> None:
        """The Procfile, and the same for supervisord."""
        (self.root / "Procfile").write_text(f"worker: {self.command}\n")
        (self.root / "dyno").write_text(self.command)
        (self.root / "supervisord.conf").write_text(SUPERVISORD_CONF.format(root=self.root, count=self.count))


class Manager(NamedTuple):
    """A process manager. ``restarts``: brings back what died; ``prefixes``: shows dynos' lines with their name."""

    name: str
    version: str  # empty: not installed
    argv: Callable[[App], list[str]]
    restarts: bool
    prefixes: bool

    @property
    def present(self) -> bool:
        """Whether it can be measured here."""
        return bool(self.version)


def known(bin_folder: Path) -> list[Manager]:
    """All managers that are compared; the absent ones too, to be reported."""
    procman, honcho = bin_folder / "procman", bin_folder / "honcho"
    supervisord = bin_folder / "supervisord"
    nf = NPM_PEERS / "node_modules" / ".bin" / "nf"
    foreman = shutil.which("foreman") or ""

    def procman_argv(app: App) -> list[str]:
        many = ["-m", f"worker={app.count}"] if app.count > 1 else []
        return [str(procman), "start", *many]

    def foreman_argv(app: App) -> list[str]:
        return [foreman, "start", "-m", f"worker={app.count}"]

    return [
        Manager("procman", version_of(procman, "--version"), procman_argv, True, True),
        Manager(
            "honcho",
            version_of(honcho, "version"),
            lambda app: [str(honcho), "start", "-c", f"worker={app.count}"],
            False,
            True,
        ),
        Manager("foreman", version_of(foreman, "--version"), foreman_argv, False, True),
        Manager("nf", version_of(nf, "--version"), lambda app: [str(nf), "start", f"worker={app.count}"], False, True),
        Manager(
            "supervisord",
            version_of(supervisord, "--version"),
            lambda app: [str(supervisord), "-n", "-c", str(app.root / "supervisord.conf")],
            True,
            False,
        ),
    ]


def restarting(managers: list[Manager]) -> list[Manager]:
    """Those that bring a dyno back at once; procman is told to, without cool-off."""
    return [
        manager._replace(argv=lambda app, argv=manager.argv: [*argv(app), "--restart", "always"])
        if manager.name == "procman"
        else manager
        for manager in managers
        if manager.restarts
    ]


def shell_loop() -> Manager:
    """The floor of a restart: a shell that starts the dyno again and again."""

    def argv(app: App) -> list[str]:
        dyno = shlex.quote(str(app.root / "dyno"))
        one = f"while :; do /bin/sh {dyno}; done"
        return ["/bin/sh", "-c", " & ".join(f"({one})" for _ in range(app.count)) + " & wait"]

    return Manager("floor", "sh", argv, True, False)


def version_of(program: str | Path, flag: str) -> str:
    """The last word of what it says of itself; empty when it is not there."""
    if not program or not Path(program).exists():
        return ""
    said = subprocess.run([program, flag], check=False, capture_output=True, text=True)
    words = (said.stdout or said.stderr).split()
    return words[-1] if words and not said.returncode else ""
