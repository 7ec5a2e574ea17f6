"""The dynos' processes on this host: made, signalled and mourned here and nowhere else."""

import os

from procman.core.model import UNKNOWN, DynoName, Exit
from procman.lean import signal, signal_name
from procman.supervisor.aide import Guard
from procman.supervisor.child import Child, Command
from procman.supervisor.ends import Action, Io, free_paths, open_ends, remove
from procman.supervisor.lifeline import Lifeline
from procman.supervisor.oom import OomCounter
from procman.supervisor.proctable import (
    Process,
    Table,
    own_children,
    read_process,
    signal_process,
    snapshot,
)
from procman.supervisor.reaping import become_subreaper, next_exit, reap
from procman.typed import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Protocol, Sequence

if TYPE_CHECKING:  # for dynos that have groups, whoever makes them imports it
    from procman.supervisor.cgroups import Group

RECHECK_S = 0.1
INIT = 1  # where orphans went before we were a subreaper, or go where we are none
UNSEEN = Exit(UNKNOWN, reason="its supervisor had been killed")
ALL_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class Processes(Protocol):
    """The seam between the supervisor and the kernel; ``testing`` has a scripted one."""

    def command(self, dyno: DynoName) -> Command:
        """What the dyno runs."""

    def spawn(self, dyno: DynoName, run: int) -> Child:
        """Start it. Raises OSError when that cannot be."""

    def terminate(self, children: Sequence[Child], signum: int = signal.SIGTERM) -> None:
        """Signal every process of these dynos; stopped ones are continued."""

    def kill(self, children: Sequence[Child]) -> None:
        """SIGKILL to every process of these dynos."""

    def ended(self) -> Iterator[tuple[Child, Exit]]:
        """Roots that have ended, each still unreaped while it is handled."""

    def emptied(self, children: Iterable[Child]) -> list[Child]:
        """Those of which nothing is left; they are forgotten, but for what they wrote."""

    def clear(self, child: Child) -> None:
        """All that an empty one wrote has been read: its log pipes go too."""

    def settle(self) -> None:
        """When the first dynos have had their say: do what was put off for them."""

    def recheck_s(self) -> float:
        """Seconds after which emptiness must be asked for again without news; infinity where news come."""

    def release(self) -> None:
        """The end: whatever still lives is killed, and nothing is held any more."""


class LocalProcesses:
    """Real processes. Each dyno leads a session, has descriptors 0 to 2 and default signal dispositions.

    ``token``: ``NAME=value`` naming this supervisor; every dyno's environment carries it, with the dyno's name and
    run behind it, and so do all its descendants that do not take care to lose it. ``prepare``: makes ready what a run
    needs and tells how it is started, where ``command`` only tells what it is; may raise OSError. ``pipes``: the
    directory for their log pipes, if dynos shall outlive a killed supervisor; otherwise they end with it. ``guard``:
    the one to go on with (``Guard.pack``).
    """

    def __init__(
        self,
        command: Callable[[DynoName], Command],
        token: str,
        tty: bool = False,
        split_streams: bool = False,
        window: Callable[[], tuple[int, int]] = lambda: (24, 80),
        prepare: Callable[[DynoName, int], Command] | None = None,
        pipes: str | None = None,
        guard: Mapping[str, Any] | None = None,
    ) -> None:
        self.command = command
        self._prepare = prepare or (lambda dyno, run: command(dyno))
        self._token = token
        self._tty = tty
        self._split_streams = split_streams
        self._window = window
        self._alive: dict[int, Child] = {}  # by pid of the root
        self.aides: set[int] = set()  # pids of helpers that are no dyno's
        self.group_of: "Callable[[Child], Group | None]" = lambda child: None  # a dyno's control group
        self._pipes = pipes
        self.guard: Guard = make_holder(guard) if pipes else Lifeline(f"{token}/".encode(), guard)
        self._heirlooms: list[Child] = []  # inherited, and not empty yet
        self._reaper = become_subreaper() if guard else False  # else behind the first dyno: it costs 5 ms
        self._spawned = False
        self._oom: OomCounter | None = None

    def spawn(self, dyno: DynoName, run: int) -> Child:
        """See ``Processes``."""
        command = self._prepare(dyno, run)
        io = command.io or (Io.TERMINAL_LOG if self._tty else Io.LOG)
        window = command.window
        pipes = self._paths(dyno, run) if io is Io.LOG else ()
        ends = open_ends(io, self._split_streams, (lambda: window) if window else self._window, pipes)
        mark = f"{self._token}/{dyno.full()}/{run}"
        self.guard.hold(ends.fifos)  # before it can write into them: we may be killed with the next instruction
        try:
            pid = make_process(command, mark, ends.actions)
        except OSError:
            ends.close_ours()
            self.guard.let_go(ends.fifos)
            remove(pipes)
            raise
        finally:
            ends.close_theirs()
        child = Child(dyno, run, pid, ends.outputs)
        child.token = f"{mark}\0".encode()
        child.command, child.io, child.pty, child.stdin = command, io, ends.pty, ends.stdin
        child.pipes = ends.fifos
        row = read_process(pid)
        child.start = row.start if row else 0
        self._alive[pid] = child
        self.guard.add(pid, child.start, child.pipes)
        self._oom = self._oom or OomCounter()
        if not self._spawned:
            self._spawned, child.astray, self._reaper = True, True, become_subreaper()
        return child

    def go_on(self, child: Child) -> None:
        """With a child of our own, or one inherited, from before our program was replaced."""
        if child.inherited:
            self._heirlooms.append(child)
        else:
            self._alive[child.pid] = child

    def inherit(self, child: Child) -> None:
        """One of an earlier supervisor is looked after here from now on."""
        self._heirlooms.append(child)
        self.guard.hold(child.pipes)
        self.guard.add(child.pid, child.start, child.pipes)

    def _paths(self, dyno: DynoName, run: int) -> tuple[str, ...]:
        """Where the log pipes of a run are to be."""
        if self._pipes is None:
            return ()
        return free_paths(f"{self._pipes}/{dyno.full()}.{run}", self._split_streams)

    def terminate(self, children: Sequence[Child], signum: int = signal.SIGTERM) -> None:
        """See ``Processes``. The groups at one stroke, then those that left them."""
        for child in children:
            signal_group(child, signum)
        told: set[tuple[int, int]] = set()
        while True:  # again, as one may have forked before its own signal came
            table = snapshot()
            members = {process: child for child in children for process in self._members(child, table)}
            strangers = [
                process
                for process, child in members.items()
                if (process.pid, process.start) not in told and (child.ended or process.group != child.pid)
            ]
            if not strangers:
                break
            for process in strangers:
                signal_process(process, signum)
                told.add((process.pid, process.start))
        for process in members:
            if process.state == "T":
                signal_process(process, signal.SIGCONT)

    def kill(self, children: Sequence[Child]) -> None:
        """See ``Processes``. Who belongs is found before the roots die and their trees fall apart."""
        crowded = [child for child in children if not self._is_alone(child)]
        table = snapshot() if crowded else None
        others = [process for child in crowded if table for process in self._members(child, table)]
        for child in children:
            signal_group(child, signal.SIGKILL)
        for process in others:
            signal_process(process, signal.SIGKILL)

    def ended(self) -> Iterator[tuple[Child, Exit]]:
        """See ``Processes``. Orphans that came back to us are reaped on the way."""
        for child in [child for child in self._heirlooms if not child.ended]:
            assert child.inherited
            if not child.inherited.has_ended():
                continue
            child.status = child.inherited.status
            status = child.status
            yield child, UNSEEN if status is None else self._exit_of(child, os.waitstatus_to_exitcode(status))
            child.ended = True
            child.inherited.close()
        while True:
            pid, code = next_exit()
            if not pid:
                return
            found = self._alive.get(pid)
            if found and not found.ended:
                # Not reaped while it is handled: its pid and group cannot be anybody else's yet.
                found.status = code << 8 if code >= 0 else -code
                yield found, self._exit_of(found, code)
                found.ended = True
            reap(pid)
            if pid == self.guard.pid:
                self.guard.ended()

    def emptied(self, children: Iterable[Child]) -> list[Child]:
        """See ``Processes``."""
        ended = [child for child in children if child.ended]
        crowded = [child for child in ended if not self._is_alone(child)]
        table = snapshot() if crowded else None
        empty = [child for child in ended if child not in crowded or (table and not self._members(child, table))]
        for child in empty:
            if self._alive.get(child.pid) is child:  # its number may be another's by now
                del self._alive[child.pid]
            self.guard.drop(child.pid)
            if child.inherited:
                self._heirlooms.remove(child)
        return empty

    def clear(self, child: Child) -> None:
        """See ``Processes``."""
        self.guard.let_go(child.pipes)
        remove(child.pipes)

    def members(self, children: Iterable[Child]) -> dict[Child, list[int]]:
        """Pids of all that belongs to each of these dynos."""
        table = snapshot()
        return {child: [process.pid for process in self._members(child, table)] for child in children}

    def settle(self) -> None:
        """See ``Processes``. Whether the first dyno has orphans of the time before they came to us: most have none."""
        for child in [child for child in self._alive.values() if child.astray]:
            table = snapshot()
            near = {process.pid for process in table.family([os.getpid()])}
            late = [pid for pid, row in table.rows.items() if row.start >= child.start and pid not in near]
            child.astray = any(table.bears_token(pid, child.token) for pid in late)

    def recheck_s(self) -> float:
        """See ``Processes``. A subreaper hears of every orphan's end, but not of orphans of another's dynos."""
        if any(child.ended for child in self._heirlooms) or any(c.ended and c.astray for c in self._alive.values()):
            return RECHECK_S
        return float("inf") if self._reaper else RECHECK_S

    def release(self) -> None:
        """See ``Processes``. The last net: descendants that belong to no dyno we could name."""
        me = os.getpid()
        while strays := self._strays():
            for process in strays:
                signal_process(process, signal.SIGKILL)
            for process in strays:
                if process.parent == me:
                    os.waitid(os.P_PID, process.pid, os.WEXITED)
        self.guard.release()
        for _ in self.ended():
            pass  # orphans that had died already

    def _strays(self) -> list[Process]:
        """Descendants, but for the guard."""
        roots = [pid for pid in own_children() or () if pid != self.guard.pid]
        return [process for process in snapshot().family(roots) if process.pid != os.getpid()] if roots else []

    def _is_alone(self, child: Child) -> bool:
        """The root has ended and none of our children is a stranger: so nothing of any ended dyno lives."""
        children = own_children() if self._reaper and not (child.inherited or child.astray) else None
        if children is None:
            return False
        mine = self._alive.get(child.pid) is child
        root = read_process(child.pid) if mine and not child.ended else None
        if root and root.alive:
            return False
        known = self._alive
        ours = {self.guard.pid, *self.aides}
        return all(pid in ours or (pid in known and not known[pid].ended) for pid in children)

    def _members(self, child: Child, table: Table) -> list[Process]:
        """Every living process of the dyno."""
        from procman.supervisor.belonging import members  # noqa: PLC0415 - not before the first dyno

        if not table.rows:
            return self._group_as_member(child)
        group = self.group_of(child)
        return members(child, table, self._alive, group.members() if group else ())

    def _group_as_member(self, child: Child) -> list[Process]:
        """Without /proc: the process group, if anything is in it, stands for all members."""
        try:
            os.killpg(child.pid, 0)
        except OSError:
            return []
        return [Process(child.pid, 0, child.pid, child.pid, 0, "S")]

    def _exit_of(self, child: Child, code: int) -> Exit:
        """``code``: the exit code, or the negative number of the signal that ended it."""
        if code >= 0:
            status, signum = code, code - 128
            name = signal_name(signum) if 0 < signum < signal.NSIG else ""
            oom = ", out of memory" if signum == signal.SIGKILL and self._was_oom(child) else ""
            return Exit(status, reason=f"{name}{oom}")
        reason = "out of memory" if -code == signal.SIGKILL and self._was_oom(child) else ""
        return Exit(128 - code, signal_name(-code), reason)

    def _was_oom(self, child: Child) -> bool:
        """By its own group's count, where it has one; else by that of the host, where it may have been another."""
        somewhere = self._oom is not None and self._oom.has_killed()
        group = self.group_of(child)
        return group.kills() > 0 if group and group.counts_kills() else somewhere


def make_process(command: Command, mark: str, actions: Sequence[Action]) -> int:
    """Its pid. Raises OSError. ``mark``: ``NAME=value``. A fork would copy page tables in proportion to our memory."""
    name, _, value = mark.partition("=")
    argv = command.argv or (command.shell, "-c", command.text)
    return os.posix_spawn(
        argv[0],
        argv,
        {**command.env, name: value},
        file_actions=actions,
        setsid=True,
        setsigmask=[],
        setsigdef=ALL_SIGNALS,
    )


def make_holder(guard: Mapping[str, Any] | None) -> Guard:
    """The guard of dynos that may outlive us."""
    from procman.supervisor.holder import Holder  # noqa: PLC0415 - not for formations in a terminal

    return Holder(guard)


def signal_group(child: Child, signum: int) -> None:
    """Signal the dyno's own process group, whose number is ours to use until its leader is reaped."""
    if child.ended or (child.inherited and child.inherited.has_ended()):
        return
    try:
        os.killpg(child.pid, signum)
    except OSError:
        return  # nothing in it any more
