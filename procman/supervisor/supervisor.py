"""The supervisor: asks the engine, performs its effects, and tells it what came of them."""

import gc

from procman.core.dyno import State
from procman.core.effects import Effect, Kill, Quit, Say, Spawn, Terminate
from procman.core.engine import Engine
from procman.core.events import (
    Adopted,
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
from procman.lean import deque, signal, signal_name
from procman.logs.output import Output
from procman.supervisor.boot import BootWatch
from procman.supervisor.child import Child, Command
from procman.supervisor.ends import Io
from procman.supervisor.loop import FOREVER, Loop
from procman.supervisor.processes import Processes
from procman.supervisor.pump import Pump, Stream
from procman.supervisor.terminal import set_size
from procman.typed import TYPE_CHECKING, Any, Callable, Iterator, Mapping

if TYPE_CHECKING:
    from procman.supervisor.owed import Witness

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
ECHO_S = 1.0  # so soon after a stop has begun, another signal says the same once more; see ``is_echo``
TYPED_ECHO_S = 0.1  # the same for Ctrl-C, which a person may press twice in a second and mean it
SETTLE_S = 0.05  # a look at all processes of a large host takes 20 ms, for which no dyno's first line waits
HEAP = 24 << 20  # bytes; see settle_heap


class Supervisor:
    """Keeps one formation.

    ``is_bound(port, child)``: whether a process of the dyno listens on the port.
    ``on_end`` hears of every life that has ended, and whether that was asked for.
    ``window``: rows and columns of the dynos' terminals, where they have any; asked again when ours is resized.
    ``log``: with it, nothing of log pipes that outlive us is lost or written twice, even if we are killed.
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
        log: "Witness | None" = None,
    ) -> None:
        self.engine = engine
        self.processes = processes
        self.output = output
        self.loop = loop
        self._window = window
        self._on_end = on_end
        self.after_turn: list[Callable[[], None]] = []  # what others do whenever something may have changed
        # And with each life: when there is a process, when its root has ended, when nothing of it is left.
        self.on_birth: list[Callable[[Child], None]] = []
        self.on_bound: list[Callable[[Child], None]] = []  # or when it listens on its port, if it has to
        self.on_death: list[Callable[[Child], None]] = []
        self.on_emptied: list[Callable[[Child], None]] = []
        self.notes: dict[DynoName, str] = {}  # what dynos say of themselves
        self._pump = Pump(loop, output, self._reader_gone, log)
        self._boot = BootWatch(loop, is_bound, self._bound)
        self._children: dict[DynoName, Child] = {}
        self._streams: dict[Child, list[Stream]] = {}
        self._ending: dict[DynoName, Child] = {}  # killed, or with the root gone: waiting to be empty
        self._events: deque[Event] = deque()
        self.events = 0  # that were posted: while it stays, no dyno has changed
        self._busy = False
        self._quit: Quit | None = None
        self._closing_at = FOREVER
        self._recheck_at = FOREVER
        self._settle_at = FOREVER
        loop.on_deadline(engine.deadline, lambda now: self.post(Tick()))
        loop.on_deadline(lambda: self._recheck_at, lambda now: self._settle_ending())
        loop.on_deadline(lambda: self._settle_at, lambda now: self._settle_processes())

    def flush(self) -> None:
        """Read and write what can be."""
        self._pump.flush()

    def owes(self) -> bool:
        """Whether something that was read is still to be written, and is in its pipe until then."""
        return self._pump.owes()

    def lives(self) -> Iterator[tuple[Child, list[dict[str, Any]], bool]]:
        """Every life with its streams, for another supervisor to go on with, and whether it is only to become empty."""
        for child in self._children.values():
            rows = [row for stream in self._streams[child] if (row := self._pump.pack(stream))]
            yield child, rows, child.dyno in self._ending

    def go_on(self, child: Child, rows: list[dict[str, Any]], ending: bool, port: int | None) -> None:
        """With one of these lives; the engine knows of it already."""
        self._children[child.dyno] = child
        self._streams[child] = self._pump.unpack(child.dyno, rows, child.io in (Io.LOG, Io.TERMINAL_LOG))
        self._pump.be_careful(self._streams[child], child.pipes, fresh=True)
        if ending:
            self._ending[child.dyno] = child
        self._watch_root(child, port)
        for action in self.on_birth:
            action(child)

    def _watch_root(self, child: Child, port: int | None) -> None:
        dyno = self.engine.dynos[child.dyno]
        if dyno.state is State.STARTING and dyno.profile.ported and port is not None:
            self._boot.add(child, port)
        if child.inherited is not None and child.inherited.handle is not None:
            self.loop.watch(child.inherited.handle, self._reap)

    def run(
        self,
        formation: Mapping[str, int] | None,
        on_started: Callable[[], None] = lambda: None,
        generation: int = 0,
        adopt: Callable[[], None] = lambda: None,
    ) -> int:
        """Start the formation and keep it until all is to end. Returns the exit status.

        ``on_started`` is called once, when every dyno has been asked for: what need not come before that goes there.
        ``adopt`` is called before, to take over what an earlier supervisor left (``inherit``). Without a formation it
        is gone on with the one that the engine has (``go_on``).
        """
        stops = [s for s in STOP_SIGNALS if s != signal.SIGHUP or signal.getsignal(s) is not signal.SIG_IGN]
        self.loop.on_signals(stops, self._stop)
        self.loop.on_signals([signal.SIGUSR1], self._decline)
        self.loop.on_signals([signal.SIGCHLD], lambda _: self._reap())
        if self._window:
            self.loop.on_signals([signal.SIGWINCH], lambda _: self._resize())
        adopt()
        # Whoever made way for us kept signals for us; and whoever started us may have blocked some, SIGCHLD included.
        # SIGUSR2 waits until there is somebody to heed it.
        signal.pthread_sigmask(signal.SIG_SETMASK, (signal.SIGUSR2,))
        if formation is not None:
            self.post(FormationChanged(formation, generation))
        on_started()
        self._pump.flush()  # the first lines do not wait for what is done now
        # A dyno's end needs it, and there may be no descriptor left then to read a module by.
        import procman.supervisor.belonging  # noqa: F401, PLC0415

        if self._children:
            self._reap()  # some may have ended before we came
        self._settle_at = self.loop.now() + SETTLE_S
        settle_heap()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        while self._quit is None:
            self._pump.flush()
            for action in self.after_turn:
                action()
            self._pump.flush()  # what these said
            self.loop.turn()
        for action in self.after_turn:
            action()  # who waits for an answer has one before all is closed
        return self._close(self._quit)

    def post(self, event: Event) -> None:
        """Let the engine decide about an event, perform what it says, and so on with what comes of that."""
        self._events.append(event)
        self.events += 1
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
                self.processes.terminate(children, getattr(signal, name))
            if kills := [self._children[effect.dyno] for effect in effects if isinstance(effect, Kill)]:
                self.processes.kill(kills)
                self._ending.update((child.dyno, child) for child in kills)
        if self.engine.closing:
            self._closing_at = min(self._closing_at, self.loop.now())
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

    def tap(
        self, child: Child, write: Callable[[bytes], None], close: Callable[[], None], recent: bool = True
    ) -> Callable[[], None]:
        """Copy a dyno's raw output to somebody, until its end, which ``close`` tells; returns how to stop it.

        ``recent``: what it wrote last comes first.
        """
        streams = self._streams[child]
        return self._pump.tap(streams[0], write, close, recent) if streams else lambda: None

    def hold(self, child: Child, held: bool) -> None:
        """Do not read what a dyno writes until its reader is ready for more; it waits in its own write."""
        for stream in self._streams.get(child, ()):
            self._pump.hold(stream, held)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Say):
            self.output.say(effect.dyno, effect.text)
        elif isinstance(effect, Spawn):
            self._spawn(effect)
        elif isinstance(effect, Quit):
            self._quit = effect

    def _spawn(self, effect: Spawn) -> None:
        dyno, run = effect
        try:
            child = self.processes.spawn(dyno, run)
        except OSError as error:
            command = self.processes.command(dyno)
            self._announce(dyno, command)
            status = 127 if isinstance(error, FileNotFoundError) else 126
            why = f"cannot start {error.filename or command.shell}: {error.strerror}"
            self.post(SpawnFailed(dyno, run, Exit(status, reason=why)))
            return
        command = child.command or self.processes.command(dyno)
        self._announce(dyno, command)
        if self._children:
            self._pump.glance()  # what the first say does not wait for the last
        else:
            self._pump.flush()  # nor does procman's own first line
        self.take_in(child)
        profile = self.engine.dynos[dyno].profile
        if profile.boot_timeout is not None and profile.ported:
            self._boot.add(child, int(command.env["PORT"]))
        self.post(Spawned(dyno, run, child.pid))

    def inherit(self, child: Child, age: float, up: bool, port: int | None) -> None:
        """Go on with a dyno of an earlier supervisor, which may have ended meanwhile."""
        assert child.inherited is not None
        self.take_in(child)
        self.post(Adopted(child.dyno, child.run, child.pid, age, up))
        self._watch_root(child, port)

    def _announce(self, dyno: DynoName, command: Command) -> None:
        self.output.say(dyno, f"Starting process with command `{command.shown()}`")

    def take_in(self, child: Child) -> None:
        """It lives: read what it writes, and let whoever is interested know."""
        self._children[child.dyno] = child
        logged = child.io in (Io.LOG, Io.TERMINAL_LOG)
        self._streams[child] = self._pump.add(child.dyno, child.outputs, child.pty is not None, logged)
        self._pump.be_careful(self._streams[child], child.pipes, fresh=child.inherited is None)
        for action in self.on_birth:
            action(child)

    def _bound(self, child: Child) -> None:
        for action in self.on_bound:
            action(child)
        self.post(Bound(child.dyno, child.run))

    def _reap(self) -> None:
        for child, ended in self.processes.ended():
            self._boot.drop(child)
            self._pump.drain(self._streams[child])
            self._ending[child.dyno] = child
            if child.inherited and child.inherited.handle is not None:
                self.loop.unwatch(child.inherited.handle)
            for action in self.on_death:
                action(child)
            self.post(Exited(child.dyno, child.run, ended))
            dyno = self.engine.dynos.get(child.dyno)
            told = dyno.last_exit if dyno and dyno.sick and dyno.last_exit else ended  # by the engine, which knows why
            self._on_end(child, told, dyno is not None and dyno.asked)
        self._settle_ending()

    def _settle_ending(self) -> None:
        empty = self.processes.emptied(list(self._ending.values()))
        for child in empty:
            del self._ending[child.dyno]
            del self._children[child.dyno]
            # Its pipes go no sooner: until then, whoever comes after us would find what it wrote in them.
            self._pump.drain(self._streams.pop(child), lambda child=child: self.processes.clear(child))  # type: ignore[misc]
        for child in empty:
            for action in self.on_emptied:
                action(child)
            self.post(Emptied(child.dyno, child.run))
        self._recheck_at = self.loop.now() + self.processes.recheck_s() if self._ending else FOREVER

    def _settle_processes(self) -> None:
        self._settle_at = FOREVER
        self.processes.settle()

    def _resize(self) -> None:
        for child in self._children.values():
            if child.pty is not None and self._window and not child.ended:
                set_size(child.pty, *self._window())

    def _stop(self, signum: int) -> None:
        if not self.engine.closing:
            self.shut_down(128 + signum, f"{signal_name(signum)} received")
        elif not is_echo(signum, self.loop.now() - self._closing_at):
            self.hurry()

    def _decline(self, signum: int) -> None:
        """It would end us, and foreman passes it on to all: who means a dyno says so."""
        name = signal_name(signum)
        self.output.say(None, f"{name} received, and left at that; to a dyno: procman kill --signal {name[3:]} DYNO")

    def _reader_gone(self) -> None:
        self.shut_down(128 + signal.SIGPIPE, "the reader of the output has gone")

    def shut_down(self, status: int, why: str) -> None:
        """End everything gracefully. Once that is under way, it changes nothing to say so again."""
        if not self.engine.closing:
            self._pump.relax()
            self.post(ShutdownRequested(status, why))

    def hurry(self) -> None:
        """Nobody waits any longer for what is stopping: at once."""
        if self.engine.closing:
            self.post(self.engine.closing)  # to the engine, a second request means that

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


def is_echo(signum: int, seconds: float) -> bool:
    """Whether a stop signal, so long after a stop has begun, is that same stop once more, and not: at once.

    Whoever stops a chain of processes (a shell, npm, procman) signals each of them, and some pass it on.
    """
    return seconds < (TYPED_ECHO_S if signum == signal.SIGINT else ECHO_S)


def settle_heap() -> None:
    """Keep glibc from giving memory back after every log batch, and Python from looking at what stays.

    A freed block this large raises its thresholds for mmap and for trimming, so that chunks come from a heap that
    stays: page faults per 128 MB of log fall from 82,000 to 1,200. The pages are never touched.
    """
    block = bytes(HEAP)
    del block
    gc.freeze()
    gc.enable()
