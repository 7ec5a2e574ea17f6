"""How dynos outlive a killed supervisor: what it leaves is found, and what lives on is taken over by the next one."""

import os
import signal
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from procman.core.events import FormationChanged
from procman.core.model import DynoName
from procman.supervisor import ledger as books
from procman.supervisor.child import Child
from procman.supervisor.ends import EXIT, OWED, open_fifo
from procman.supervisor.home import Home
from procman.supervisor.ledger import Bookkeeper, Entry, Ledger
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.proctable import Process, signal_process
from procman.supervisor.remains import Remains
from procman.supervisor.supervisor import Supervisor
from procman.supervisor.sweep import sweep_others, token_of

More = Callable[[Child], Mapping[str, Any]]


def find(home: Home, last: Mapping[str, str], wanted: Callable[[Entry], bool]) -> tuple[Ledger, str]:
    """What the last supervisor left to adopt; everything else of it is ended, of which the words tell, and the log has
    what that wrote.

    ``last``: the facts that it wrote, if it was killed. ``wanted``: whether a dyno can be gone on with.
    """
    found = books.load(home.ledger, home.place()) if last else Ledger()
    found = found._replace(dynos=tuple(filter(wanted, found.dynos)))
    tokens = {*found.tokens, *([token_of(last)] if last else ())}
    kept = [entry.token.encode("utf-8", "surrogateescape") for entry in found.dynos]
    remains = Remains(home, found.pipes()) if last else None
    words = sweep_others(tokens, kept) if tokens else ""
    if remains:
        remains.tell()
    found = found._replace(others=tuple(named_in(last.get("holder", ""))))
    if not found.dynos:
        dismiss(found)
    return found, words


def dismiss(found: Ledger) -> None:
    """Whoever held the log pipes is not needed any more."""
    for pid, start in {found.holder, *found.others}:
        if pid:
            signal_process(Process(pid, 0, pid, pid, start, "S"), signal.SIGKILL)


def holder_of(found: Ledger, processes: LocalProcesses | None = None) -> dict[str, str]:
    """Who holds the log pipes, for whoever finds no books: ours, if there is one yet, and those that live of others."""
    ours = [books.process_of(processes.guard.pid)] if processes else []
    others = [each for each in {found.holder, *found.others} if each[0] and books.process_of(each[0]) == each]
    return {"holder": " ".join(f"{pid}-{start}" for pid, start in (*ours, *others))}


def named_in(words: str) -> Iterator[tuple[int, int]]:
    """Pids and start times, of what ``holder_of`` wrote."""
    for word in words.split():
        pid, _, start = word.partition("-")
        if pid.isdecimal() and start.isdecimal():
            yield int(pid), int(start)


class Succession:
    """Takes over what was found, and keeps the books for whoever comes next.

    ``more``: what the app has to say of a life, to be read by the app alone; ``facts``: and in general.
    """

    def __init__(
        self,
        home: Home,
        token: str,
        supervisor: Supervisor,
        processes: LocalProcesses,
        more: More = lambda child: {},
        facts: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.more = more
        self.facts = facts
        self._token = token
        self._supervisor = supervisor
        self._processes = processes
        self._books: Bookkeeper | None = None
        self._home = home
        self._seen = -1

    def adopt(self, found: Ledger, port_of: Callable[[DynoName], int | None]) -> list[Child]:
        """Go on with these dynos. What is in their pipes comes first of all."""
        children = []
        for entry in found.dynos:
            child = entry.child()
            child.outputs = outputs_of(entry, child.inherited is not None and child.inherited.handle is not None)
            child.command = self._processes.command(entry.dyno)
            self._processes.inherit(child)
            self._supervisor.inherit(child, entry.age(), entry.up, port_of(entry.dyno))
            children.append(child)
        dismiss(found)
        return children

    def restore(self, formations: Mapping[int, Mapping[str, int]], newest: int) -> None:
        """The formations of generations beside the newest. A dyno of any other was ending, and now ends."""
        dynos = self._supervisor.engine.dynos.values()
        present = {dyno.name.generation for dyno in dynos if not dyno.profile.one_off}
        for number in sorted((present | formations.keys()) - {newest}):
            self._supervisor.post(FormationChanged(formations.get(number, {}), number))

    def keep_books(self, do: Callable[[Callable[[], object]], object]) -> None:
        """From now on. ``do``: has something done that may wait for a disk."""
        self._books = Bookkeeper(self._home.ledger, self._home.place(), do)
        self._supervisor.after_turn.append(self._turn)
        self._turn()

    def close(self) -> None:
        """A clean end: nothing is left."""
        if self._books:
            self._books.close()

    def _turn(self) -> None:
        if self._books and self._seen != self._supervisor.events:
            self._seen = self._supervisor.events
            self._books.keep(self._ledger())

    def _ledger(self) -> Ledger:
        dynos = self._supervisor.engine.dynos
        children = self._supervisor.children()
        entries = [books.entry_of(child, dynos.get(child.dyno), self.more(child)) for child in children if child.pipes]
        holder = books.process_of(self._processes.guard.pid)
        return Ledger(tuple(entries), books.tokens_of(self._token, children), holder, self.facts())


def outputs_of(entry: Entry, lives: bool) -> list[tuple[int, str]]:
    """Our ends of a dyno's log pipes. One that somebody deleted is still open in the dyno itself, if it lives."""
    found = []
    for fd, path, stream in zip((1, 2), entry.pipes, ("stdout", "stderr"), strict=False):
        for place in (path, f"/proc/{entry.pid}/fd/{fd}") if lives else (path,):
            try:
                if stat.S_ISFIFO(os.stat(place).st_mode):
                    found.append((open_fifo(place), stream))
                    break
            except OSError:
                continue
    return found


def make_pipes(home: Home, used: Iterable[str]) -> str:
    """The directory of the log pipes, with none in it but those of dynos that live on."""
    os.makedirs(home.pipes, mode=0o700, exist_ok=True)
    kept = {name for path in used for name in (path, path + EXIT, path + OWED)}
    for name in os.listdir(home.pipes):
        if f"{home.pipes}/{name}" not in kept:
            os.unlink(f"{home.pipes}/{name}")
    return home.pipes
