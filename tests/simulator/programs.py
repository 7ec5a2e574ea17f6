"""What the dynos' processes do by themselves: say something, bind a port, start others, end."""

import errno
from collections.abc import Callable

from procman.core.model import DynoName
from tests.simulator.files import Files, Pipe, trouble
from tests.simulator.kernel import Kernel, Proc
from tests.simulator.schedule import PLAIN, Script

PLACES = (50, 11, 200)  # bytes of a line, in turn


class Life:
    """One run of a dyno as it truly is. ``alive``: its processes, in the order of their birth."""

    def __init__(self, dyno: str, run: int, root: int, port: int, pipes: list[Pipe]) -> None:
        self.dyno = dyno
        self.name = name_of(dyno)
        self.run = run
        self.root = root
        self.port = port
        self.pipes = pipes
        self.alive: list[Proc] = []
        self.first: Proc | None = None


class Programs:
    """Starts and ends processes by their scripts. ``lives``: all there ever were, oldest first."""

    def __init__(self, kernel: Kernel, files: Files, scripts: tuple[Script, ...]) -> None:
        self.lives: list[Life] = []
        self.on_root_end: Callable[[Proc], None] = lambda proc: None
        self.tell: Callable[[str], None] = lambda words: None
        self._kernel = kernel
        self._files = files
        self._scripts = iter(scripts)
        kernel.on_end = self._ended

    def spawn(self, env: dict[str, str], pipes: list[Pipe]) -> int:
        """What ``posix_spawn`` does. Raises OSError."""
        script = next(self._scripts, PLAIN)
        if self._kernel.quiet:
            script = PLAIN
        dyno, run = env["DYNO"], int(env["RUN"])
        if script.fails:
            self._kernel.faults[f"spawn fails: {errno.errorcode[script.fails]}"] += 1
            self.tell(f"{dyno}#{run} cannot be started: {errno.errorcode[script.fails]}")
            raise trouble(script.fails, "/bin/sh")
        pid = self._kernel.new_pid()
        life = Life(dyno, run, pid, int(env["PORT"]), pipes)
        self.lives.append(life)
        proc = self._kernel.birth(pid, self._kernel.ours)
        token = next(f"{name}={value}" for name, value in env.items() if name == "PROCMAN_RUN")
        proc.env = token.encode() + b"\0"
        life.first = proc
        self.tell(f"{dyno}#{run} is born as {pid}")
        self._begin(proc, life, script)
        return pid

    def _begin(self, proc: Proc, life: Life, script: Script) -> None:
        kernel, now = self._kernel, self._kernel.now
        proc.life, proc.script, proc.root = life, script, life.root
        life.alive.append(proc)
        proc.pipes = life.pipes
        for pipe in life.pipes:
            pipe.writers += 1
        if script.frozen and not kernel.quiet:
            kernel.faults["uninterruptible"] += 1
            proc.frozen = True
            kernel.at(now + script.frozen, lambda: kernel.thaw(proc))
        for number, (after, size) in enumerate(script.writes):
            pipe = life.pipes[number % len(life.pipes)]
            kernel.at(now + after, lambda n=number, b=size, p=pipe: self._write(proc, p, n, b))
        if script.binds is not None and life.port and life.first is proc:
            kernel.at(now + script.binds, lambda: self.bind(proc))
        for child in script.offspring:
            kernel.at(now + child.after, lambda each=child: self._fork(proc, each))
        if script.ends is not None:
            kernel.at(now + script.ends, lambda: self.leave(proc, script.code))

    def bind(self, proc: Proc) -> None:
        """It listens on its port, or ends if somebody else does."""
        kernel, life = self._kernel, proc.life
        if proc.end is not None or proc.port is not None or life is None:
            return
        port = life.port
        if port in kernel.ports:
            kernel.faults["port in use"] += 1
            kernel.at(kernel.now + 1.0, lambda: self.leave(proc, 1))
            return
        kernel.ports[port] = proc
        proc.port = port

    def leave(self, proc: Proc, how: int) -> None:
        """It ends, but not before it has written what it is about to write."""
        if proc.end is not None:
            return
        if proc.blocked and how >= 0:
            proc.leaves = how
            return
        self.tell(f"{proc.pid} of {proc.life.dyno if proc.life else 'nobody'} ends: {how}")
        self._kernel.end(proc, how)

    def _write(self, proc: Proc, pipe: Pipe, number: int, size: int) -> None:
        if proc.end is None:
            self._files.say(proc, pipe, words(proc.serial, number, size))

    def _fork(self, parent: Proc, script: Script) -> None:
        if parent.end is not None or parent.stopped or parent.life is None:
            return
        try:
            pid = self._kernel.new_pid()
        except OSError:
            return
        proc = self._kernel.birth(pid, parent.pid)
        proc.env = b"" if script.forgets else parent.env
        proc.left = parent.left or script.setsid
        if not script.setsid:
            proc.group, proc.session = parent.group, parent.session
        self._kernel.faults["offspring"] += 1
        self._begin(proc, parent.life, script)

    def _ended(self, proc: Proc) -> None:
        life = proc.life
        if life is not None:
            if proc.pid == life.root and not proc.left:
                self.on_root_end(proc)
            life.alive.remove(proc)
            for pipe in life.pipes:
                pipe.writers -= 1


def words(serial: int, number: int, size: int) -> bytes:
    """What nobody else writes: mostly whole lines."""
    head = b"%d.%d." % (serial, number)
    body = head + b"abcdefghi " * (size // 10)
    width = PLACES[(serial + number) % 3]
    lines = [body[at : at + width] for at in range(0, len(body), width)]
    return b"\n".join(lines) + (b"" if (serial + number) % 5 == 2 else b"\n")


def name_of(full: str) -> DynoName:
    """``web.1@5`` as a value."""
    name, _, generation = full.partition("@")
    kind, _, number = name.partition(".")
    return DynoName(kind, int(number), int(generation or 0))
