"""The supervisor: asks the engine, performs its effects, and tells it what came of them."""

import re
import signal
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from procman.core.effects import Effect, Kill, Quit, Say, Spawn, Terminate
from procman.core.engine import Engine
from procman.core.events import (
    Bound,
    Emptied,
    Event,
    Exited,
    FormationChanged,
    RestartRequested,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    Tick,
)
from procman.core.model import DynoName, Exit
from procman.logs.output import Output
from procman.supervisor.boot import BootWatch
from procman.supervisor.loop import FOREVER, Loop
from procman.supervisor.processes import Child, Processes
from procman.supervisor.pump import Pump, Stream
from procman.supervisor.terminal import set_size

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
HEAP = 24 << 20  # bytes; see settle_heap


class Plan(NamedTuple):
    """What a reload found: quantities by type in file order, and the types whose dynos must be replaced."""

    formation: Mapping[str, int]
    changed: frozenset[str]


class Supervisor:
    """Keeps one formation.

    ``is_bound(port, child)``: whether a process of the dyno listens on the port.
    ``on_end`` hears of every life that has ended, and whether that was asked for.
    ``window``: rows and columns of the dynos' terminals, where they have any; asked again when ours is resized.
    """

    def __init__(
        self,
        engine: Engine,
        processes: Processes,
        output: Output,
        loop: Loop,
        is_bound: Callable[[int, Child], bool],
        window: Callable[[], tuple[int, int]] | None = None,
        on_end: Callable[[Child, Exit, bool], None] = lambda child, ended, asked: None,
    ) -> None:
        self.engine = engine
        self.processes = processes
        self.output = output
        self.loop = loop
        self._window = window
        self._on_end = on_end
        self.after_turn: list[Callable[[], None]] = []  # what others do whenever something may have changed
        self._pump = Pump(loop, output, self._reader_gone)
        self._boot = BootWatch(loop, is_bound, self._bound)
        self._children: dict[DynoName, Child] = {}
        self._streams: dict[Child, list[Stream]] = {}
        self._ending: dict[DynoName, Child] = {}  # killed, or with the root gone: waiting to be empty
        self._events: deque[Event] = deque()
        self._busy = False
        self._quit: Quit | None = None
        self._recheck_at = FOREVER
        loop.on_deadline(engine.deadline, lambda now: self.post(Tick()))
        loop.on_deadline(lambda: self._recheck_at, lambda now: self._settle_ending())

    def run(self, formation: Mapping[str, int], on_started: Callable[[], None] = lambda: None) -> int:
        """Start the formation and keep it until all is to end. Returns the exit status.

        ``on_started`` is called once, when every dyno has been asked for: what need not come before that goes there.
        """
        stops = [s for s in STOP_SIGNALS if s != signal.SIGHUP or signal.getsignal(s) is not signal.SIG_IGN]
        self.loop.on_signals(stops, self._stop)
        self.loop.on_signals([signal.SIGCHLD], lambda _: self._reap())
        if self._window:
            self.loop.on_signals([signal.SIGWINCH], lambda _: self._resize())
        self.post(FormationChanged(formation))
        self._pump.flush()  # the first lines do not wait for what is imported now
        settle_heap()
        on_started()
        while self._quit is None:
            self._pump.flush()
            for action in self.after_turn:
                action()
            self.loop.turn()
        return self._close(self._quit)

    def post(self, event: Event) -> None:
        """Let the engine decide about an event, perform what it says, and so on with what comes of that."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        while self._events:
            effects = self.engine.handle(self._events.popleft(), self.loop.now())
            for effect in effects:
                self._perform(effect)
            # One look at the process table serves all that stop together.
            terms: dict[str, list[Child]] = {}
            for effect in effects:
                if isinstance(effect, Terminate):
                    terms.setdefault(effect.signal, []).append(self._children[effect.dyno])
            for name, children in terms.items():
                self.processes.terminate(children, signal.Signals[name])
            if kills := [self._children[effect.dyno] for effect in effects if isinstance(effect, Kill)]:
                self.processes.kill(kills)
                self._ending.update((child.dyno, child) for child in kills)
        self._busy = False

    @property
    def formation(self) -> dict[str, int]:
        """Quantities by process type, as last wished for."""
        return self.engine.formation

    def now(self) -> float:
        """Monotonic seconds, as the engine counts them."""
        return self.loop.now()

    def children(self) -> list[Child]:
        """The lives that are not over."""
        return list(self._children.values())

    def child_of(self, dyno: DynoName) -> Child | None:
        """The dyno's present life."""
        return self._children.get(dyno)

    def tap(self, child: Child, write: Callable[[bytes], None], close: Callable[[], None]) -> Callable[[], None]:
        """Copy a dyno's raw output to somebody, until its end, which ``close`` tells; returns how to stop it."""
        return self._pump.tap(self._streams[child][0], write, close)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Say):
            self.output.say(effect.dyno, effect.text)
        elif isinstance(effect, Spawn):
            self._spawn(effect)
        elif isinstance(effect, Quit):
            self._quit = effect

    def _spawn(self, effect: Spawn) -> None:
        dyno, run = effect
        command = self.processes.command(dyno)
        self.output.say(dyno, f"Starting process with command `{shown(command.text, command.env)}`")
        try:
            child = self.processes.spawn(dyno, run)
        except OSError as error:
            status = 127 if isinstance(error, FileNotFoundError) else 126
            why = f"cannot start {error.filename or command.shell}: {error.strerror}"
            self.post(SpawnFailed(dyno, run, Exit(status, reason=why)))
            return
        self._children[dyno] = child
        self._streams[child] = self._pump.add(dyno, child.outputs, child.pty is not None)
        if self.engine.dynos[dyno].profile.boot_timeout is not None:
            self._boot.add(child, int(command.env["PORT"]))
        self.post(Spawned(dyno, run, child.pid))

    def _bound(self, child: Child) -> None:
        self.post(Bound(child.dyno, child.run))

    def _reap(self) -> None:
        for child, ended in self.processes.ended():
            self._boot.drop(child)
            self._pump.drain(self._streams[child])
            self._ending[child.dyno] = child
            self.post(Exited(child.dyno, child.run, ended))
            dyno = self.engine.dynos.get(child.dyno)
            self._on_end(child, ended, dyno is not None and dyno.asked)
        self._settle_ending()

    def _settle_ending(self) -> None:
        for child in self.processes.emptied(list(self._ending.values())):
            del self._ending[child.dyno]
            del self._children[child.dyno]
            self._pump.drain(self._streams.pop(child), close=True)
            self.post(Emptied(child.dyno, child.run))
        self._recheck_at = self.loop.now() + self.processes.recheck_s() if self._ending else FOREVER

    def _resize(self) -> None:
        for child in self._children.values():
            if child.pty is not None and self._window and not child.ended:
                set_size(child.pty, *self._window())

    def _stop(self, signum: int) -> None:
        self.shut_down(128 + signum, f"{signal.Signals(signum).name} received")

    def _reader_gone(self) -> None:
        self.shut_down(128 + signal.SIGPIPE, "the reader of the output has gone")

    def put_in_force(self, plan: Plan) -> None:
        """Change what a reload found changed. What was stopped by hand stays down."""
        before = [name for name in self.engine.dynos if name not in self.engine.held]
        self.engine.reprofile()
        self.post(FormationChanged(plan.formation))
        self.post(RestartRequested(tuple(name for name in before if name.process_type in plan.changed)))

    def shut_down(self, status: int, why: str) -> None:
        """End everything gracefully; a second time, at once."""
        self._pump.relax()
        self.post(ShutdownRequested(status, why))

    def _close(self, quit_: Quit) -> int:
        interrupted = [False]
        self.loop.on_signals(STOP_SIGNALS, lambda _: interrupted.__setitem__(0, True))
        self.processes.release()
        self.output.say(None, f"{quit_.why}; exit status {quit_.status}")
        self._pump.finish(lambda: interrupted[0])
        for sink in self.output.sinks:
            sink.close()
        self.loop.close()
        return quit_.status


def shown(command: str, env: Mapping[str, str]) -> str:
    """A command as Heroku logs it: ``$PORT`` expanded, every other variable as written."""
    return re.sub(r"\$PORT\b|\$\{PORT\}", env.get("PORT", ""), command)


def settle_heap() -> None:
    """Keep glibc from giving memory back after every log batch.

    A freed block this large raises its thresholds for mmap and for trimming, so that chunks come from a heap that
    stays: page faults per 128 MB of log fall from 82,000 to 1,200. The pages are never touched.
    """
    block = bytes(HEAP)
    del block
