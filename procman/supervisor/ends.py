"""The two ends of what a dyno reads and writes: theirs, which it is born with, and ours."""

import os

from procman.logs.sink import widen_pipe
from procman.supervisor.terminal import open_pty
from procman.typed import Callable, Enum, Iterable, NamedTuple

PIPE_BYTES = 256 << 10
EXIT = ".exit"  # behind the path of a dyno's first pipe: how it ended, as wait(2) has it
STREAMS = {"out": "stdout", "err": "stderr"}  # how log pipes end, and what is in them
OWED = ".owed"  # behind the path of a pipe: what was read of it and may not be written (``owed``)

Action = tuple[int, ...] | tuple[int, int, str, int, int]  # as posix_spawn takes them


class Io(Enum):
    """What a dyno is joined to. Only what is joined to the log is written there."""

    LOG = "log"
    TERMINAL_LOG = "terminal and log"  # as in a formation that runs in a terminal
    TERMINAL = "terminal"  # somebody is attached
    PIPES = "pipes"  # somebody is attached, and has no terminal


class Ends(NamedTuple):
    """``outputs``: our ends of what it writes, with the name of the stream. ``stdin``: where we write what it reads.
    ``theirs``: to be closed once it is born. ``fifos``: paths of its log pipes, if these have any.
    """

    outputs: list[tuple[int, str]]
    theirs: list[int]
    actions: list[Action]
    pty: int | None = None
    stdin: int | None = None
    fifos: tuple[str, ...] = ()

    def close_ours(self) -> None:
        """Nobody was born."""
        for fd in {fd for fd, _ in self.outputs} | ({self.stdin} if self.stdin is not None else set()):
            os.close(fd)

    def close_theirs(self) -> None:
        """It has them now, or never will."""
        for fd in self.theirs:
            os.close(fd)


def open_ends(io: Io, split: bool, window: Callable[[], tuple[int, int]], fifos: tuple[str, ...] = ()) -> Ends:
    """Open both ends. ``split``: stdout and stderr apart. ``fifos``: paths for the log's pipes, which so outlive us.

    Where there can be none (a full disk), a dyno has pipes like any other's, and does not outlive us.
    """
    if fifos and not make_fifos(fifos):
        fifos = ()
    if io in (Io.TERMINAL, Io.TERMINAL_LOG):
        return open_terminal(window, raw=io is Io.TERMINAL_LOG)
    stdin: int | None = None
    if io is Io.PIPES:
        reader, stdin = os.pipe()
        os.set_blocking(stdin, False)
        theirs, actions = [reader], [dup2(reader, 0)]
    else:
        theirs, actions = [], [open_as(0, os.devnull, os.O_RDONLY)]
    ours: list[int] = []
    try:
        for at in range(2 if split and io is Io.LOG else 1):
            if at < len(fifos):
                ours.append(open_fifo(fifos[at]))
                # For reading too: so it has a reader whatever happens to us, and neither breaks nor loses a byte.
                actions.append(open_as(1 + at, fifos[at], os.O_RDWR))
            else:
                reader, writer = os.pipe()
                os.set_blocking(reader, False)
                ours.append(reader)
                theirs.append(writer)
                actions.append(dup2(writer, 1 + at))
            widen_pipe(ours[-1], PIPE_BYTES)
    except OSError:  # no descriptors are left: those that were there are given back, or there never will be
        for fd in (*ours, *theirs, *([] if stdin is None else [stdin])):
            os.close(fd)
        raise
    if len(ours) == 1:
        actions.append(dup2(1, 2))
    return Ends(list(zip(ours, ("stdout", "stderr"), strict=False)), theirs, actions, None, stdin, fifos)


def free_paths(name: str, split: bool) -> tuple[str, ...]:
    """For log pipes. What is there waits for a disk: of an earlier dyno of that name, which was scaled away."""
    paths = tuple(f"{name}.{stream}" for stream in list(STREAMS)[: 2 if split else 1])
    return free_paths(f"{name}+", split) if any(map(is_there, paths)) else paths


def is_there(path: str) -> bool:
    """Whether there is such a file."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def remove(pipes: Iterable[str]) -> None:
    """What a life leaves of files."""
    for path in pipes:
        for name in (path, path + EXIT, path + OWED):
            try:
                os.unlink(name)
            except OSError:
                continue


def make_fifos(paths: tuple[str, ...]) -> bool:
    """Whether all could be made."""
    for at, path in enumerate(paths):
        try:
            os.mkfifo(path, 0o600)
        except OSError:
            for made in paths[:at]:
                os.unlink(made)
            return False
    return True


def open_terminal(window: Callable[[], tuple[int, int]], raw: bool) -> Ends:
    """A pty for all three."""
    pty, slave, path = open_pty(*window(), raw)
    os.set_blocking(pty, False)
    # A session leader that opens a terminal gets it as its controlling one.
    actions = [open_as(0, path, os.O_RDWR), dup2(0, 1), dup2(0, 2)]
    return Ends([(pty, "stdout")], [slave], actions, pty)


def open_fifo(path: str) -> int:
    """Our end of a log pipe that has, or will have, a path."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def dup2(fd: int, target: int) -> Action:
    """One descriptor as another."""
    return (os.POSIX_SPAWN_DUP2, fd, target)


def open_as(target: int, path: str, flags: int) -> Action:
    """A file as a descriptor."""
    return (os.POSIX_SPAWN_OPEN, target, path, flags, 0)
