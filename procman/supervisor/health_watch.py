"""Has dynos checked: until they are up, and from then on if their type wants that. The engine decides what it means.

What is asked of a dyno follows from its state alone, so that one that was adopted, or has come through a change of our
program, is checked like any other. A dyno without checks costs nothing, one that tells by itself no wake-up.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from procman.core.dyno import State
from procman.core.events import CheckFailed, CheckPassed
from procman.core.health import Checks, Probe
from procman.core.model import DynoName
from procman.supervisor.child import Child
from procman.supervisor.loop import FOREVER
from procman.supervisor.notices import Notices
from procman.supervisor.probes import Asking, CommandProbe, Done, Get, HttpProbe, Run
from procman.supervisor.supervisor import Supervisor

LONGEST_NOTE = 200  # characters of what a dyno says of itself
SHORTEST_S, LONGEST_S, SHARE = 0.1, 5.0, 0.1  # of the time that a dyno has taken: when it is asked again

Start = Callable[[Child, str], tuple[Sequence[str], Mapping[str, str]]]


class Watched:
    """One life. ``mode``: what is asked of it now, in which state; ``asking``: the question that is out."""

    def __init__(self, child: Child, checks: Checks, now: float) -> None:
        self.child = child
        self.checks = checks
        self.born = now
        self.bound = False
        self.mode: tuple[State, Probe] | None = None
        self.asking: Asking | None = None
        self.due = FOREVER
        self.alive = False  # it has told so since it was last looked at


class HealthWatch:
    """``start``: argv and environment of a command beside a dyno. ``aides``: where pids of our helpers are noted."""

    def __init__(
        self,
        supervisor: Supervisor,
        start: Start,
        aides: set[int],
        notices: Notices,
    ) -> None:
        self._supervisor = supervisor
        self._loop = supervisor.loop
        self._start = start
        self._aides = aides
        self.notices = notices
        self._lives: dict[DynoName, Watched] = {}
        self._seen = -1
        notices.hear = self._hear_notice
        self._loop.on_deadline(self._deadline, self._look)
        supervisor.on_bound.append(self._bound)
        supervisor.on_death.append(self._drop)
        supervisor.on_emptied.append(self._forget)
        supervisor.after_turn.append(self._turn)

    def add(self, child: Child, checks: Checks) -> None:
        """It lives."""
        self._lives[child.dyno] = Watched(child, checks, self._loop.now())
        self._supervisor.notes.pop(child.dyno, None)
        if checks.notified():
            self._listen(child)

    def _listen(self, child: Child) -> None:
        """Its socket may be another's, who was killed."""
        try:
            self.notices.listen(child.dyno, child.run)
        except OSError as error:
            self._supervisor.output.say(child.dyno, f"Cannot hear its notices: {error.strerror}")

    def _bound(self, child: Child) -> None:
        if life := self._lives.get(child.dyno):
            life.bound = True

    def _drop(self, child: Child) -> None:
        if life := self._lives.pop(child.dyno, None):
            self._ask_no_more(life)

    def _forget(self, child: Child) -> None:
        self.notices.close(child.dyno)
        self._supervisor.notes.pop(child.dyno, None)

    def _turn(self) -> None:
        """Something may have changed: what is to be asked of whom."""
        if self._seen == self._supervisor.events:
            return
        self._seen = self._supervisor.events
        for life in self._lives.values():
            mode = self._mode_of(life)
            if mode != life.mode:
                self._ask_no_more(life)
                self._begin(life, mode)

    def _mode_of(self, life: Watched) -> tuple[State, Probe] | None:
        dyno = self._supervisor.engine.dynos.get(life.child.dyno)
        if dyno is None or dyno.run != life.child.run:
            return None
        if dyno.state is State.UP and dyno.wanted:
            return (State.UP, life.checks.live) if life.checks.live else None
        ready = life.checks.ready if dyno.state is State.STARTING else None
        return (State.STARTING, ready) if ready and (life.bound or not ready.http) else None

    def _begin(self, life: Watched, mode: tuple[State, Probe] | None) -> None:
        life.mode, life.due = mode, FOREVER
        if mode is None:
            return
        if mode[0] is State.UP:
            life.alive, life.due = False, self._loop.now() + life.checks.every
        elif not mode[1].notify:
            life.due = self._loop.now()

    def _is_up(self, life: Watched) -> bool:
        return self._supervisor.engine.dynos[life.child.dyno].state is State.UP

    def _ask_no_more(self, life: Watched) -> None:
        asking, life.asking, life.mode, life.due = life.asking, None, None, FOREVER
        if asking:
            asking.cancel()

    def _deadline(self) -> float:
        lives = self._lives.values()
        return min((life.asking.give_up_at if life.asking else life.due for life in lives), default=FOREVER)

    def _look(self, now: float) -> None:
        for life in list(self._lives.values()):
            if life.asking is None:
                if life.due <= now:
                    self._ask(life)
            elif life.asking.give_up_at <= now:
                asking = life.asking
                asking.cancel()
                self._hear(life, asking, asking.late())

    def _ask(self, life: Watched) -> None:
        assert life.mode
        life.due = FOREVER
        probe = life.mode[1]
        if probe.notify:
            alive, life.alive = life.alive, False
            self._conclude(life, "" if alive else f"WATCHDOG=1 has not come for {life.checks.every:g} seconds")
            return
        asking: list[HttpProbe | CommandProbe] = []
        asking.append(self._make(life.child, probe, lambda why: self._hear(life, asking[0], why)))
        life.asking = asking[0]
        asking[0].ask()

    def _make(self, child: Child, probe: Probe, done: Done) -> HttpProbe | CommandProbe:
        if probe.http:
            env = child.command.env if child.command else {}
            get = Get(int(env.get("PORT", 0)), probe.http, probe.timeout)
            return HttpProbe(self._loop, get, done)
        argv, environ = self._start(child, probe.command)
        run = Run(probe.command, argv, {**environ, **mark_of(child)}, probe.timeout)
        return CommandProbe(self._loop, run, self._aides, done)

    def _hear(self, life: Watched, asking: Asking, why: str) -> None:
        if life.asking is asking:
            life.asking = None
            self._conclude(life, why)

    def _conclude(self, life: Watched, why: str) -> None:
        """Ask again in time, and let the engine know what it does not know yet."""
        now, up = self._loop.now(), self._is_up(life)
        wait = life.checks.every if up else min(max((now - life.born) * SHARE, SHORTEST_S), LONGEST_S)
        life.due = now + wait
        self._tell(life, why)

    def _tell(self, life: Watched, why: str) -> None:
        child = life.child
        dyno = self._supervisor.engine.dynos[child.dyno]
        if why:
            if dyno.state is State.UP or why != dyno.finding:
                self._supervisor.post(CheckFailed(child.dyno, child.run, why))
        elif dyno.state is State.STARTING or dyno.failures:
            self._supervisor.post(CheckPassed(child.dyno, child.run))

    def _hear_notice(self, dyno: DynoName, words: Mapping[str, str]) -> None:
        """A dyno speaks."""
        life = self._lives.get(dyno)
        if life is None:
            return
        if "STATUS" in words:
            self._supervisor.notes[dyno] = words["STATUS"][:LONGEST_NOTE]
        life.alive = life.alive or words.get("WATCHDOG") == "1"
        ready = life.checks.ready
        if words.get("READY") == "1" and ready and ready.notify and not self._is_up(life):
            self._tell(life, "")


def beside(child: Child, text: str) -> tuple[Sequence[str], Mapping[str, str]]:
    """A command in the dyno's own environment and our directory, which is the dyno's."""
    command = child.command
    return ((command.shell if command else "/bin/sh"), "-c", text), (command.env if command else {})


def mark_of(child: Child) -> dict[str, str]:
    """What tells whoever clears up after a killed supervisor that a process was of it, and of none of its dynos."""
    name, _, value = os.fsdecode(child.token.rstrip(b"\0")).partition("=")
    return {name: f"{value.partition('/')[0]}/check"} if name else {}


def notice_env(checks: Checks, address: str) -> dict[str, str]:
    """What a dyno is told of where to tell (sd_notify(3), sd_watchdog_enabled(3))."""
    env: dict[str, Any] = {"NOTIFY_SOCKET": address}
    if checks.live and checks.live.notify:
        env["WATCHDOG_USEC"] = f"{checks.every * 1_000_000:.0f}"
    return env
