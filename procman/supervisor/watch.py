"""`start --watch`, the supervisor's half: a watcher process, its news, and one call for each burst of changes.

The supervisor has no threads and never polls, and watchfiles does both; so it runs in a process of its own
(``watcher``), which ends when the pipe from here to it closes, however that comes about.
"""

import os
import signal
import sys
from collections.abc import Callable

from procman.errors import ProcmanError
from procman.formats.formation_arg import ALL
from procman.formats.watch_rules import Rules, written
from procman.supervisor.loop import FOREVER, Loop

QUIET_S = 0.15  # a burst is over after this long without news; the watcher's own batches are 0.05 to 0.1 s apart
LONGEST_S = 1.0  # or after this long all the same
STEADY_S = 5.0  # a watcher that ends sooner would only end again
CHUNK = 1 << 16
MODULE = "procman.supervisor.watcher"
PACKAGES = os.path.abspath(f"{__file__}/../../..")  # where procman is, were it only by way of the directory we are in
READY, CHANGED, TROUBLE = b"R", b"C", b"T"  # what an entry begins with; each ends with NUL

OnChange = Callable[[tuple[str, ...] | None, str, int], None]


def check_installed() -> None:
    """Raise ProcmanError unless the packages of the extra ``watch`` are there. Imports neither."""
    from importlib.util import find_spec  # noqa: PLC0415 - only with --watch

    for package in ("watchfiles", "pathspec"):
        if find_spec(package) is None:
            raise ProcmanError(
                f"cannot watch: the package {package} is not installed", "pip install 'procman[watch]'"
            )


class Watch:
    """Calls ``on_change(types, path, more)`` once for each burst of changes that some rule is about.

    ``types``: the process types concerned, in the order of the rules; None: all of them. ``path``: the first changed
    file, relative to ``root``; ``more``: how many others changed. ``say``: what a person should know.
    """

    def __init__(
        self, loop: Loop, root: str, rules: Rules, on_change: OnChange, say: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._root = root
        self._rules = rules
        self._on_change = on_change
        self._say = say
        self._told = b""  # the beginning of an entry whose end has not come yet
        self._paths: dict[str, None] = {}  # of this burst, in order
        self._types: set[str] = set()
        self._first_at = self._last_at = 0.0
        self.pid = 0
        self._reader = self._lifeline = -1
        self._started_at = 0.0
        self._steady = False  # it has said that it watches
        self._ended_itself = False  # it has said why it cannot go on
        loop.on_deadline(self._due, lambda now: self._flush())

    def start(self) -> None:
        """Start the watcher: after the first dynos, which it must not keep waiting. OSError if that cannot be."""
        self._reader, theirs = os.pipe()
        stdin, self._lifeline = os.pipe()
        self._started_at = self._loop.now()
        self._told, self._steady = b"", False
        # Our own sys.path, and not the app root, which `-m` would put before it: an app may have a selectors.py.
        path = [*filter(None, sys.path), PACKAGES]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-X", "utf8", "-m", MODULE, self._root, *written(self._rules)],
                env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, stdin, 0),
                    (os.POSIX_SPAWN_DUP2, theirs, 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
            )
        finally:
            os.close(stdin)
            os.close(theirs)
        os.set_blocking(self._reader, False)
        self._loop.watch(self._reader, self._read)

    def close(self) -> None:
        """Let the watcher end. It is our child: whoever reaps those reaps it."""
        if self._reader >= 0:
            self._loop.unwatch(self._reader)
            os.close(self._reader)
            os.close(self._lifeline)
            self._reader = self._lifeline = -1
        self._paths.clear()

    def _read(self) -> None:
        try:
            chunk = os.read(self._reader, CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            self._lost()
            return
        *entries, self._told = (self._told + chunk).split(b"\0")
        for entry in entries:
            kind, text = entry[:1], os.fsdecode(entry[1:])
            if kind == CHANGED:
                self._note(*text.split("\t", 1))
            elif kind == TROUBLE:
                self._ended_itself = True
                self._say(text)
            elif kind == READY:
                self._steady = True
                self._say(text)

    def _note(self, types: str, path: str) -> None:
        self._last_at = self._loop.now()
        if not self._paths:
            self._first_at = self._last_at
        self._types.update(types.split(","))
        self._paths[path] = None

    def _due(self) -> float:
        return min(self._last_at + QUIET_S, self._first_at + LONGEST_S) if self._paths else FOREVER

    def _flush(self) -> None:
        concerned = None if ALL in self._types else tuple(name for name in self._rules if name in self._types)
        path, more = next(iter(self._paths)), len(self._paths) - 1
        self._paths.clear()
        self._types.clear()
        self._on_change(concerned, path, more)

    def _lost(self) -> None:
        """The watcher has ended, by itself or by somebody's hand; in the latter case another one takes over."""
        self._loop.unwatch(self._reader)
        os.close(self._reader)
        os.close(self._lifeline)
        self._reader = self._lifeline = -1
        self.pid = 0
        if self._ended_itself:
            return
        if self._steady and self._loop.now() - self._started_at >= STEADY_S:
            self._say("The watcher of the files ended; starting it again")
            self.start()
        else:
            self._say("The watcher of the files ended; going on without it: changes restart nothing")
