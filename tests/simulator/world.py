"""Plays one schedule: real supervisors, one after another, on one fake kernel, until all is quiet and has ended."""

import json
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from procman.core.engine import Engine
from procman.core.formation import port_of
from procman.core.model import DynoName, Profile, profile_of
from procman.core.restart import HEROKU, NAMED, limited
from procman.core.snapshot import dump
from procman.logs.formats import Source
from procman.logs.output import Output
from procman.logs.scribe import Scribe
from procman.logs.sink import Sink
from procman.logs.store import LogStore
from procman.supervisor import lifeline, ports
from procman.supervisor.baggage import pack_child
from procman.supervisor.child import Command
from procman.supervisor.loop import Loop
from procman.supervisor.port_book import PortBook
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.resumption import go_on
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.sweep import identity, sweep, token_of
from tests.simulator.files import End, Files, Pipe
from tests.simulator.happenings import Happenings
from tests.simulator.invariants import Invariants
from tests.simulator.kernel import INIT, OURS, Broken, Kernel, Killed, Proc
from tests.simulator.machine import DiskThread, installed
from tests.simulator.outliving import Outliving
from tests.simulator.programs import Programs
from tests.simulator.schedule import TYPES, Schedule
from tests.simulator.system import System

BASE_PORT, BLOCK = 5000, 20
LOG = "/log"
SEGMENTS = 100_000  # none is deleted here: every line is looked for in the end


class Replaced(BaseException):
    """Another program takes the supervisor's place; what it takes along."""

    def __init__(self, baggage: dict[str, Any]) -> None:
        super().__init__()
        self.baggage = baggage


class Recorder:
    """A log format that leaves lines as they are, and keeps them: by source, and all in their order."""

    shows_partials = True

    def __init__(self) -> None:
        self.by_source: dict[Source, list[bytes]] = {}
        self.all: list[bytes] = []

    def lines(self, source: Source, data: bytes, wall: float) -> list[bytes]:
        self.by_source.setdefault(source, []).append(data)
        self.all.append(data)
        return [data]

    partial = lines

    def end(self) -> list[bytes]:
        return []


class Ledger:
    """A store that writes down what it passes on to the true one."""

    def __init__(self, scribe: Scribe) -> None:
        self.given: list[bytes] = []
        self.settle, self.lend = scribe.settle, scribe.lend
        self._scribe = scribe

    def append(self, source: Source, data: bytes, wall: float) -> None:
        head = f"{source.origin}[{source.label()}]: ".encode()
        self.given += [head + line for line in data[:-1].split(b"\n")]
        self._scribe.append(source, data, wall)


class World:
    """One play. ``tell`` hears the story, if anybody wants it."""

    def __init__(self, schedule: Schedule, tell: Callable[[float, str], None] | None = None) -> None:
        self.schedule = schedule
        self.settings = schedule.settings
        self.kernel = Kernel(self.settings.span)
        self.files = Files(self.kernel, self.settings.room)
        self.programs = Programs(self.kernel, self.files, schedule.scripts)
        self.system = System(self.kernel, self.files, self.programs.spawn)
        self.thread = DiskThread(self.kernel, lambda: self.files.disk.latency)
        self.profiles = self._profiles()
        self.requests: deque[Callable[[], None]] = deque()
        self.stored: list[bytes] = []  # lines given to the stores of supervisors that are over
        self.ends: list[int] = []  # exit statuses of supervisors that ended by themselves
        self.turns = 0
        self._idle, self._turned_at = 0, 0.0
        self.between = False  # one supervisor and the next
        self.is_heard_out = False  # whoever reads the output, when the last supervisor had said all
        self.effects: Counter[str] = Counter()
        self._tell = tell
        if tell:
            self.programs.tell = self.told
        self.happenings = Happenings(self)
        self.invariants = Invariants(self)
        self.outliving = Outliving(self)
        self.programs.on_root_end = lambda proc: self.between and self.outliving.note_end(proc)
        self.kernel.on_signal = self.invariants.before_signal

    # -- what a supervisor is made of --

    def _profiles(self) -> dict[str, Profile]:
        policies = [limited(2) if name == "max=2" else NAMED[name] for name in self.settings.policies]
        grace = self.settings.grace
        profiles = {kind: profile_of(kind, policy, grace) for kind, policy in zip(TYPES, policies, strict=True)}
        for kind, need in self.settings.needs:
            profiles[kind] = profiles[kind]._replace(needs=(need,))
        return {**profiles, "run": profile_of("run", HEROKU, grace)._replace(one_off=True)}

    def profile(self, dyno: DynoName) -> Profile:
        """What a dyno is held to."""
        return self.profiles[dyno.process_type]

    def command(self, dyno: DynoName) -> Command:
        """What a dyno runs, and where it listens."""
        if dyno.process_type not in TYPES:
            port = 0
        elif self.settings.book:
            port = self.book.port_of(dyno) or 0
        else:
            port = port_of(dyno, TYPES, BASE_PORT)
        return Command("run", {"PORT": str(port), "DYNO": dyno.full()})

    def prepare(self, dyno: DynoName, run: int) -> Command:
        """The same for one run. Raises OSError when there is no port left."""
        if self.settings.book and dyno.process_type in TYPES:
            self.book.lend(dyno)
        command = self.command(dyno)
        return command._replace(env={**command.env, "RUN": str(run)})

    # -- the play --

    def play(self) -> None:
        """All of it. Raises Broken, or whatever procman itself raises."""
        with installed(self.system, self.thread):
            self.happenings.prepare()
            formation: dict[str, int] | None = dict(self.settings.formation)
            last: dict[str, str] = {}
            baggage: dict[str, Any] | None = None
            while True:
                try:
                    self._begin(last, baggage)
                    self.ends.append(self._run(formation, baggage))
                    break
                except Replaced as replaced:
                    baggage, formation, last = replaced.baggage, None, {}
                except Killed:
                    last = self._bury()
                    formation, baggage = self.happenings.begin_anew(), None
            self.invariants.at_the_end()

    def _begin(self, last: dict[str, str], baggage: dict[str, Any] | None) -> None:
        """A new supervisor, or a new program of the old one."""
        if not baggage:
            self.book = PortBook(BASE_PORT, BLOCK, lambda: ports.listeners().keys())
        if last:
            swept = self.outliving.clear_up(last) if self.settings.detached else sweep(last)
            self.told(swept or "nothing is left to sweep")
            self.invariants.after_sweep()
            self.between = False
        self.recorder = Recorder()
        self.loop = Loop()
        sink = Sink(1)
        store = self._open_store()
        self.output = Output(self.recorder, sink, wall=self.system.time.time, store=store)
        self.me = identity()
        self.processes = LocalProcesses(
            self.command,
            token_of(self.me),
            split_streams=self.settings.split,
            prepare=self.prepare,
            pipes=self.outliving.pipes() if self.settings.detached else None,
            guard=baggage and baggage["guard"],
        )
        self.engine = Engine(self.profile, self.settings.exit_with)
        self.supervisor = Supervisor(
            self.engine,
            self.processes,
            self.output,
            self.loop,
            is_bound=lambda port, child: ports.is_bound(port, child.pid),
        )
        self._open_control()

    def _open_store(self) -> Ledger | None:
        if not self.settings.disk:
            return None
        if hasattr(self, "ledger"):
            self.stored += self.ledger.given
        self.store = LogStore(LOG, self.settings.disk, SEGMENTS)
        self.scribe = Scribe(self.store, clock=self.system.time.monotonic, start=self.thread.start)
        self.loop.watch(self.scribe.fileno(), self.scribe.heed)
        self.ledger = Ledger(self.scribe)
        return self.ledger

    def _open_control(self) -> None:
        """Where clients come in."""
        self.control = Pipe(1 << 20)
        self.control.writers = 1
        fd = self.files.add(End("r", self.control))
        self.loop.watch(fd, lambda: self._serve(fd))
        self.supervisor.after_turn.append(self._after_turn)
        self._turn, self.loop.turn = self.loop.turn, self._take_turn
        self.requests.clear()
        self.invariants.begin(self.engine)
        if self.settings.detached:
            self.outliving.join()

    def _run(self, formation: dict[str, int] | None, baggage: dict[str, Any] | None) -> int:
        adopt = (lambda: self._go_on(baggage)) if baggage else self._adopt
        begin = (lambda: self.outliving.begin(bool(baggage))) if self.settings.detached else lambda: None
        status = self.supervisor.run(formation, begin, self.happenings.newest, adopt)
        # Who stalls now is not waited for. If he reads on while the store is closed, on a slow disk, that is too late.
        self.is_heard_out = self.files.out.reader == "reads"
        if self.settings.detached:
            self.outliving.close()
        if self.settings.disk:
            self.scribe.close()
        self.told(f"the supervisor ends with status {status}")
        return status

    def _adopt(self) -> None:
        if self.settings.detached:
            self.outliving.adopt()

    def _go_on(self, baggage: dict[str, Any]) -> None:
        go_on(baggage, self.supervisor, self.processes, lambda dyno: int(self.command(dyno).env["PORT"]) or None)
        self.invariants.resumed()

    def _serve(self, fd: int) -> None:
        self.files.read(fd, 1 << 20)
        while self.requests:
            self.requests.popleft()()

    def ask(self, request: Callable[[], None]) -> None:
        """A client asks for something: the loop will hear of it."""
        if self.kernel.alive and self.control.reader == "ours":
            self.requests.append(request)
            self.control.put(b"\0")

    def _take_turn(self) -> None:
        self.invariants.before_sleep()
        self._turn()

    def _after_turn(self) -> None:
        self.turns += 1
        self._idle = self._idle + 1 if self._turned_at == self.kernel.now else 0
        self._turned_at = self.kernel.now
        if self._idle > 500:
            raise Broken("procman finds no rest")
        if self.settings.book:
            self.book.forget_others(self.engine.dynos)
        self.invariants.after_turn()
        if self.happenings.replace:
            self.happenings.replace = False
            self._replace()

    def _replace(self) -> None:
        """As ``upgrade`` does it: between two turns, with everything written."""
        if self.engine.closing:
            return
        if self.settings.disk:
            self.scribe.close()
        self.supervisor.flush()
        if self.settings.disk and (self.scribe.waiting or self.store.lost_lines):
            self.kernel.faults["replacement refused"] += 1
            return
        baggage = {
            "guard": self.processes.guard.pack(),
            "engine": dump(self.engine),
            "lives": [pack_child(*life) for life in self.supervisor.lives()],
            "unsent": self.output.sink.unsent().hex(),
        }
        self.thread.die()
        kept = {0, 1, 2, baggage["guard"]["pipe"]}
        kept |= {stream["fd"] for life in baggage["lives"] for stream in life["streams"]}
        kept |= {life["inherited"][0] for life in baggage["lives"] if life["inherited"]}
        for fd in [fd for fd in self.files.fds if fd not in kept]:
            self.files.close(fd)
        self.files.fail_next_pipe = 0
        self.kernel.faults["program replaced"] += 1
        self.told("another program takes the supervisor's place")
        self.invariants.delivery.before_replacement()
        raise Replaced(json.loads(json.dumps(baggage)))

    def _bury(self) -> dict[str, str]:
        """The supervisor was killed: its aide ends what it leaves, if it lives."""
        kernel = self.kernel
        self.told("the supervisor is killed")
        self.between = True
        self.thread.die()
        kernel.faults["supervisor killed"] += 1
        kernel.calls_left = None
        self.invariants.after_kill()
        old = kernel.procs.pop(kernel.ours)
        kernel.handled.clear()
        kernel.ignored.clear()
        self.files.end()
        orphans = kernel.children(old.pid)
        for proc in orphans:
            proc.parent = INIT
            if proc.end is not None:
                kernel.procs.pop(proc.pid, None)
        kernel.alive = True
        for aide in [proc for proc in orphans if proc.hears and proc.end is None]:
            if not self.settings.detached:
                self._let_end(aide)
        kernel.ours = OURS - len(self.ends) - kernel.faults["supervisor killed"]
        kernel.birth(kernel.ours, INIT)
        self.files.begin()
        limit = kernel.now + self.happenings.gap
        while kernel.advance(limit):
            pass
        return self.me

    def _let_end(self, aide: Proc) -> None:
        """What a lifeline does when its pipe closes."""
        self.kernel.ours = aide.pid
        lifeline.act(f"{token_of(self.me)}/", *b"".join(aide.hears.received).decode().splitlines())
        self.kernel.end(aide, 0)

    def told(self, words: str) -> None:
        """A line of the story."""
        if self._tell:
            self._tell(self.kernel.now, words)


def failure_of(played: World | Schedule) -> str:
    """What breaks in a schedule, in a line; nothing if it holds."""
    world = played if isinstance(played, World) else World(played)
    try:
        world.play()
    except Broken as error:
        return f"Broken: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
