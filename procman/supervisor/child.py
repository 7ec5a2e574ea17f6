"""What a dyno runs, and one life of it: a child of ours, or of a supervisor before us."""

import time

from procman.core.model import DynoName
from procman.supervisor.ends import Io
from procman.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from procman.supervisor.inherited import Inherited


NOBODY: frozenset[tuple[int, int]] = frozenset()  # one for all: each is as large as a child


class Command(NamedTuple):
    """What a dyno runs. ``shell``: the program that reads ``text`` after ``-c``.

    ``argv``: what is executed instead, where a chain of programs leads to the shell. ``io``: what it is joined to;
    None: what its formation is. ``window``: rows and columns of its terminal.
    """

    text: str
    env: dict[str, str]
    shell: str = "/bin/sh"
    argv: tuple[str, ...] = ()
    io: Io | None = None
    window: tuple[int, int] | None = None

    def shown(self) -> str:
        """As Heroku logs it: ``$PORT`` expanded, every other variable as written."""
        port = self.env.get("PORT", "")
        start, *rest = self.text.replace("${PORT}", port).split("$PORT")
        goes_on = [text[:1].isalnum() or text[:1] == "_" for text in rest]  # as $PORTAL, which is another variable
        return start + "".join(("$PORT" if more else port) + text for more, text in zip(goes_on, rest, strict=True))


class Child:
    """One life of a dyno. ``outputs``: our ends of its output, with the name of the stream.

    ``command``: what it was started with. ``stdin``: where its input is written, if it has any and no terminal.
    ``pipes``: paths of its log pipes, if it may outlive us. ``inherited``: another supervisor's, and no child of ours.
    ``astray``: orphans of it may be with anybody, as they began when they did not come to us. ``unnumbered``: it has
    ended, and since then its number had nobody: whoever has it now is another's. ``strays``: pids and start times of
    what was found by its marks when it was last looked for; who is on his way out shows none any more.
    """

    __slots__ = (
        "astray", "began", "command", "dyno", "ended", "inherited", "io", "outputs", "pid", "pipes", "pty", "run",
        "start", "status", "stdin", "strays", "token", "unnumbered",
    )  # fmt: skip

    def __init__(self, dyno: DynoName, run: int, pid: int, outputs: list[tuple[int, str]]) -> None:
        self.dyno = dyno
        self.run = run
        self.pid = pid
        self.outputs = outputs
        self.start = 0
        self.began = time.time()  # seconds since the epoch, for people
        self.token = b""
        self.command: Command | None = None
        self.io = Io.LOG
        self.pty: int | None = None
        self.stdin: int | None = None
        self.pipes: tuple[str, ...] = ()
        self.inherited: "Inherited | None" = None
        self.astray = False
        self.unnumbered = False
        self.strays = NOBODY
        self.status: int | None = None  # as wait(2) told, once it has ended
        self.ended = False  # the root process was reaped; others may live
