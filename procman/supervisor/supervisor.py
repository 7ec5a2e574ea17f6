"""The supervisor: asks the engine, performs its effects, and tells it what came of them."""

import signal
from collections import deque
from collections.abc import Callable, Mapping

from procman.core.effects import Effect, Kill, Quit, Say, Spawn, Terminate
from procman.core.engine import Engine
from procman.core.events import (
    Bound,
    Emptied,
    Event,
    Exited,
    FormationChanged,
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
from procman.supervisor.pump import Pump
from procman.supervisor.terminal import set_size

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
HEAP = 24 << 20  # bytes; see settle_heap


class Supervisor:
    """Keeps one formation. ``is_bound(port, child)``: whether a process of the dyno listens on the port.

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
    ) -> None:
        self._engine = engine
        self._processes = processes
        self._output = output
        self._loop = loop
        self._window = window
        self._pump = Pump(loop, output, self._reader_gone)
        self._boot = BootWatch(loop, is_bound, self._bound)
        self._children: dict[DynoName, Child] = {}
        self._ending: dict[DynoName, Child] = {}  # killed, or with the root gone: waiting to be empty
        self._events: deque[Event] = deque()
        self._busy = False
        self._quit: Quit | None = None
        self._recheck_at = FOREVER
        loop.on_deadline(engine.deadline, lambda now: self.post(Tick()))
        loop.on_deadline(lambda: self._recheck_at, lambda now: self._settle_ending())

    def run(self, formation: Mapping[str, int]) -> int:
        """Start the formation and keep it until all is to end. Returns the exit status."""
        stops = [s for s in STOP_SIGNALS if s != signal.SIGHUP or signal.getsignal(s) is not signal.SIG_IGN]
        self._loop.on_signals(stops, self._stop)
        self._loop.on_signals([signal.SIGCHLD], lambda _: self._reap())
        if self._window:
            self._loop.on_signals([signal.SIGWINCH], lambda _: self._resize())
        self.post(FormationChanged(formation))
        settle_heap()
        while self._quit is None:
            self._pump.flush()
            self._loop.turn()
        return self._close(self._quit)

    def post(self, event: Event) -> None:
        """Let the engine decide about an event, perform what it says, and so on with what comes of that."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        while self._events:
            effects = self._engine.handle(self._events.popleft(), self._loop.now())
            for effect in effects:
                self._perform(effect)
            # One look at the process table serves all that stop together.
            if terms := [self._children[effect.dyno] for effect in effects if isinstance(effect, Terminate)]:
                self._processes.terminate(terms)
            if kills := [self._children[effect.dyno] for effect in effects if isinstance(effect, Kill)]:
                self._processes.kill(kills)
                self._ending.update((child.dyno, child) for child in kills)
        self._busy = False

    def children(self) -> list[Child]:
        """The lives that are not over."""
        return list(self._children.values())

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Say):
            self._output.say(effect.dyno, effect.text)
        elif isinstance(effect, Spawn):
            self._spawn(effect)
        elif isinstance(effect, Quit):
            self._quit = effect

    def _spawn(self, effect: Spawn) -> None:
        dyno, run = effect
        command = self._processes.command(dyno)
        self._output.say(dyno, f"Starting process with command `{shown(command.text, command.env)}`")
        try:
            child = self._processes.spawn(dyno, run)
        except OSError as error:
            status = 127 if isinstance(error, FileNotFoundError) else 126
            why = f"cannot start {error.filename or command.shell}: {error.strerror}"
            self.post(SpawnFailed(dyno, run, Exit(status, reason=why)))
            return
        self._children[dyno] = child
        self._pump.add(dyno, child.outputs)
        if self._engine.profile(dyno.process_type).boot_timeout is not None:
            self._boot.add(child, int(command.env["PORT"]))
        self.post(Spawned(dyno, run, child.pid))

    def _bound(self, child: Child) -> None:
        self.post(Bound(child.dyno, child.run))

    def _reap(self) -> None:
        for child, ended in self._processes.ended():
            self._boot.drop(child)
            self._pump.drain(child.outputs)
            self._ending[child.dyno] = child
            self.post(Exited(child.dyno, child.run, ended))
        self._settle_ending()

    def _settle_ending(self) -> None:
        for child in self._processes.emptied(list(self._ending.values())):
            del self._ending[child.dyno]
            del self._children[child.dyno]
            self._pump.drain(child.outputs, close=True)
            self.post(Emptied(child.dyno, child.run))
        self._recheck_at = self._loop.now() + self._processes.recheck_s() if self._ending else FOREVER

    def _resize(self) -> None:
        for child in self._children.values():
            if child.pty is not None and self._window and not child.ended:
                set_size(child.pty, *self._window())

    def _stop(self, signum: int) -> None:
        self._shut_down(128 + signum, f"{signal.Signals(signum).name} received")

    def _reader_gone(self) -> None:
        self._shut_down(128 + signal.SIGPIPE, "the reader of the output has gone")

    def _shut_down(self, status: int, why: str) -> None:
        self._pump.relax()
        self.post(ShutdownRequested(status, why))

    def _close(self, quit_: Quit) -> int:
        interrupted = [False]
        self._loop.on_signals(STOP_SIGNALS, lambda _: interrupted.__setitem__(0, True))
        self._processes.release()
        self._output.say(None, f"{quit_.why}; exit status {quit_.status}")
        self._pump.finish(lambda: interrupted[0])
        self._output.sink.close()
        self._loop.close()
        return quit_.status


def shown(command: str, env: Mapping[str, str]) -> str:
    """A command as Heroku logs it: ``$PORT`` expanded, every other variable as written."""
    port = env.get("PORT", "")
    return command.replace("${PORT}", port).replace("$PORT", port)


def settle_heap() -> None:
    """Keep glibc from giving memory back after every log batch.

    A freed block this large raises its thresholds for mmap and for trimming, so that chunks come from a heap that
    stays: page faults per 128 MB of log fall from 82,000 to 1,200. The pages are never touched.
    """
    block = bytes(HEAP)
    del block
