"""What the managers run: dynos of one shell text, and the environment that keeps what they write below one folder."""

import os
from pathlib import Path
from typing import NamedTuple

MARK = "PROCMAN_BENCH"


class App(NamedTuple):
    """``count`` dynos, each the shell text ``command``, in the folder ``root``.

    ``apart``: each is a process type of its own, not one of several dynos of one type. ``restart``: the manager shall
    bring back whatever ends.
    """

    root: Path
    command: str
    count: int = 1
    apart: bool = False
    restart: bool = False

    @classmethod
    def nowhere(cls) -> "App":
        """For a floor that runs none."""
        return cls(Path("/"), "")

    def write(self) -> None:
        """Both forms of the Procfile, and the dyno as a script, for managers that take no shell text."""
        each = "".join(f"worker{number}: {self.command}\n" for number in range(1, self.count + 1))
        (self.root / "Procfile").write_text(each if self.apart else f"worker: {self.command}\n")
        (self.root / "Procfile.each").write_text(each)
        self.dyno.write_text(f"#!/bin/sh\n{self.command}\n")
        self.dyno.chmod(0o755)

    @property
    def dyno(self) -> Path:
        """The script."""
        return self.root / "dyno"

    def put(self, name: str, text: str) -> str:
        """A file of the manager's own; where it is."""
        path = self.root / name
        path.write_text(text)
        return str(path)

    def services(self) -> str:
        """A folder a dyno, as s6 and runit read them; the folder of all of them."""
        folder = self.root / "services"
        for number in range(self.count):
            service = folder / f"worker{number}"
            service.mkdir(parents=True)
            (service / "run").symlink_to(self.dyno)
        return str(folder)


def environment(root: Path) -> dict[str, str]:
    """Of a manager, and of whoever asks it something."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        "TERM": "xterm",
        "XDG_STATE_HOME": f"{root}/state",
        "PM2_HOME": f"{root}/pm2",
        "FOREVER_ROOT": f"{root}/forever",
        "OVERMIND_SOCKET": f"{root}/overmind.sock",
        MARK: str(root),
    }


def has_environment(pid: int, root: Path) -> bool:
    """Whether a process was born in it, however far it is from the manager by now."""
    try:
        return f"{MARK}={root}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
