"""One dyno: its states, the total table of what each event does in each state, and its deadline.

The only door through which a dyno's state changes is ``Dyno.enter``; only the cells of the table call it.
"""

from collections.abc import Callable, Iterable
from enum import Enum

from procman.core.effects import Effect, Kill, Say, Spawn, Terminate
from procman.core.events import (
    Bound,
    DynoEvent,
    Emptied,
    Exited,
    Hurried,
    Replaced,
    Spawned,
    SpawnFailed,
    Tick,
    Unwanted,
    Wanted,
)
from procman.core.model import DynoName, Exit, Profile
from procman.core.restart import NEVER

KILL_AGAIN_S = 5.0  # a process in uninterruptible sleep takes the signal when it wakes; say so now and then
SPAWN_RETRY_S = 0.5  # a failure to start is never retried at once, whatever the policy: the machine is in trouble


class State(Enum):
    """Inner states; ``Dyno.public`` gives Heroku's words for them."""

    WAITING = "waiting"  # wanted; a Spawn has been asked for and not been answered
    STARTING = "starting"  # runs, and has a port still to bind
    UP = "up"
    STOPPING = "stopping"  # SIGTERM (or what the profile says) sent; the grace runs
    KILLING = "killing"  # SIGKILL sent; ends when nothing is left
    CRASHED = "crashed"  # nothing runs; waits for its next try, or for ever
    COMPLETE = "complete"  # nothing runs; ended well under a policy that accepts that
    DOWN = "down"  # nothing runs; not wanted, or stopped by hand


PUBLIC = {
    State.WAITING: "starting",
    State.STARTING: "starting",
    State.UP: "up",
    State.CRASHED: "crashed",
    State.COMPLETE: "complete",
    State.DOWN: "down",
}
AT_REST = frozenset({State.CRASHED, State.COMPLETE, State.DOWN})
RUNNING = frozenset({State.STARTING, State.UP})


class Dyno:
    """The life of one dyno. Mutable, without I/O; times are monotonic seconds."""

    def __init__(self, name: DynoName, profile: Profile, now: float, run: int = 0) -> None:
        self.name = name
        self.profile = profile
        self.state = State.DOWN
        self.since = now  # when the state was entered
        self.said = PUBLIC[State.DOWN]  # the public word last logged
        self.wanted = False
        self.asked = False  # the end of this run was asked for
        self.run = run  # counts the spawns, those of a life before it was scaled away too; 0: never spawned
        self.pid: int | None = None  # of the root process while it lives
        self.unborn = False  # the last run never had a process
        self.started_at = now
        self.crashes = 0  # in a row, each life too short to be forgiven
        self.spared = False  # the last life was long, and the policy counts no such crash
        self.last_exit: Exit | None = None
        self.overdue = False  # the boot timeout was reported and the dyno left alone

    def handle(self, event: DynoEvent, now: float) -> list[Effect]:
        """Apply one event by the table; the effects are in the order they shall be performed."""
        return list(TABLE[self.state][type(event)](self, event, now))

    def deadline(self) -> float:
        """When this dyno next needs a Tick: a function of state, time of entry and policy alone."""
        if self.state is State.STARTING and self.profile.boot_timeout is not None and not self.overdue:
            return self.since + self.profile.boot_timeout
        if self.state is State.STOPPING:
            return self.since + self.profile.grace
        if self.state is State.KILLING:
            return self.since + KILL_AGAIN_S
        if self.state is State.CRASHED:
            return self.since + self.cool_off()
        return NEVER

    def cool_off(self) -> float:
        """Seconds from the crash to the next try; ``NEVER`` when the policy has given up."""
        policy = self.profile.policy
        if policy.lives is not None and self.run >= policy.lives:
            return NEVER
        wait = policy.cool_off(self.crashes, f"{self.name}#{self.run}")
        return max(wait, SPAWN_RETRY_S) if self.unborn else wait

    def is_final(self) -> bool:
        """At rest with no next try."""
        return self.state in AT_REST and self.deadline() == NEVER

    def ended_well(self) -> bool:
        """Status 0 under a policy that takes that for an end (Heroku's does not)."""
        return self.profile.policy.on_failure_only and self.last_exit is not None and self.last_exit.status == 0

    def public(self) -> str:
        """Heroku's word for the state. While it ends, that of where it is going, as Heroku's log has it."""
        if self.state in PUBLIC:
            return PUBLIC[self.state]
        if self.asked:
            return "starting" if self.wanted else "down"
        if self.pid is not None:
            return self.said
        return "complete" if self.ended_well() else "crashed"

    def enter(self, state: State, now: float) -> Iterable[Effect]:
        """Change the state, and say so if the public word changes."""
        self.state, self.since = state, now
        return self.report()

    def report(self) -> Iterable[Effect]:
        """Log the public word if it is not the one last logged; a new dyno just starts."""
        before, self.said = self.said, self.public()
        if before != self.said and not (self.run == 1 and self.state is State.WAITING):
            yield Say(self.name, f"State changed from {before} to {self.said}")


Cell = Callable[[Dyno, DynoEvent, float], Iterable[Effect]]


def ignore(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Nothing to do: the news changes neither wish nor fact."""
    return ()


def impossible(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """News that cannot come in this state. Dropped: a supervisor must survive its own surprises."""
    return ()


def note_wanted(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Wanted again: while it ends, it will be started when it is gone; before it began, it may begin after all."""
    dyno.wanted = True
    return ()


def note_unwanted(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """No longer wanted while it cannot be stopped yet, or is ending anyway."""
    dyno.wanted = False
    return ()


def launch(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Ask for a process: a first start, or the next try after a crash."""
    dyno.wanted = True
    dyno.asked = False
    dyno.run += 1
    yield from dyno.enter(State.WAITING, now)
    yield Spawn(dyno.name, dyno.run)


def run(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The process exists. Types without a port to bind are up at once."""
    assert isinstance(event, Spawned)
    dyno.pid, dyno.unborn, dyno.started_at, dyno.overdue = event.pid, False, now, False
    if not dyno.wanted:
        yield from stop(dyno, event, now)
    else:
        yield from dyno.enter(State.UP if dyno.profile.boot_timeout is None else State.STARTING, now)


def fail_to_start(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """No process could be made: a crash of a life of no length."""
    assert isinstance(event, SpawnFailed)
    dyno.unborn, dyno.spared, dyno.started_at, dyno.last_exit = True, False, now, event.exit
    yield Say(dyno.name, f"Process {event.exit.words()}")
    yield from rest(dyno, event, now)


def bind(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The port answers: up."""
    return dyno.enter(State.UP, now)


def time_out_boot(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """R10: kill as Heroku does, or warn and leave the process alone (a debugger may hold it)."""
    if now < dyno.deadline():
        return
    seconds = dyno.profile.boot_timeout or 0.0
    yield Say(
        dyno.name,
        f"Error R10 (Boot timeout) -> Web process failed to bind to $PORT within {seconds:.0f} seconds of launch",
    )
    if not dyno.profile.policy.boot_kills:
        dyno.overdue = True
        return
    yield Say(dyno.name, "Stopping process with SIGKILL")
    yield from kill(dyno, event, now)


def crash(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The root process ended unasked, with whatever status: what it left behind is killed first."""
    yield from note_exit(dyno, event, now)
    yield from kill(dyno, event, now)


def stop(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The stop signal to every process of the dyno; the grace begins."""
    dyno.wanted = False
    return terminate(dyno, now)


def replace(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The same, and a new run when it is over: a dyno's port is its own, so old and new cannot overlap."""
    dyno.crashes = 0
    yield Say(dyno.name, "Restarting")
    yield from terminate(dyno, now)


def replace_next(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """It ends already: what comes next is a run that was asked for, without cool-off."""
    dyno.wanted = dyno.asked = True
    dyno.crashes = 0
    return ()


def launch_afresh(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Start at once, whatever went before (Heroku: ps:restart)."""
    dyno.crashes = 0
    return launch(dyno, event, now)


def terminate(dyno: Dyno, now: float) -> Iterable[Effect]:
    """The first half of every stop."""
    dyno.asked = True
    yield from dyno.enter(State.STOPPING, now)
    yield Say(dyno.name, f"Stopping all processes with {dyno.profile.stop_signal}")
    yield Terminate(dyno.name, dyno.run, dyno.profile.stop_signal)


def note_exit(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The root process is gone; others of the dyno have the rest of the grace."""
    assert isinstance(event, Exited)
    long = now - dyno.started_at >= dyno.profile.policy.forgiven_after
    dyno.spared = long and dyno.profile.policy.spares_long_lives
    if long:
        dyno.crashes = 0
    dyno.pid, dyno.last_exit = None, event.exit
    yield Say(dyno.name, f"Process exited with status {event.exit.status}")
    if event.exit.signal and not dyno.asked:
        yield Say(dyno.name, f"Process was {event.exit.words()}")
    elif event.exit.reason and not dyno.asked:
        yield Say(dyno.name, f"Status {event.exit.status} means {event.exit.reason}")
    yield from dyno.report()


def time_out_exit(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """R12: the grace is over."""
    if now < dyno.deadline():
        return
    yield Say(
        dyno.name,
        "Error R12 (Exit timeout) -> At least one process failed to exit within "
        f"{dyno.profile.grace:g} seconds of {dyno.profile.stop_signal}",
    )
    yield from kill_remaining(dyno, event, now)


def kill_remaining(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """SIGKILL to what a graceful stop left, or to all when nobody waits any longer."""
    dyno.asked = True
    yield Say(dyno.name, "Stopping remaining processes with SIGKILL")
    yield from kill(dyno, event, now)


def kill(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """SIGKILL to every process; the dyno is at rest only when none is left."""
    yield from dyno.enter(State.KILLING, now)
    yield Kill(dyno.name, dyno.run)


def kill_again(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """SIGKILL was sent and something still lives (uninterruptible sleep, or forked meanwhile)."""
    if now >= dyno.deadline():
        yield from kill(dyno, event, now)


def rest(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """Nothing of this run is left. The wish decides what comes next."""
    if not dyno.wanted:
        yield from dyno.enter(State.DOWN, now)
    elif dyno.asked:
        yield from launch(dyno, event, now)
    elif dyno.ended_well():
        yield from dyno.enter(State.COMPLETE, now)
    else:
        dyno.crashes += not dyno.spared
        yield from dyno.enter(State.CRASHED, now)
        yield from announce_next_try(dyno)
        yield from try_again(dyno, event, now)


def announce_next_try(dyno: Dyno) -> Iterable[Effect]:
    """A dyno in cool-off says why it died and when it is tried again; at once needs no words."""
    assert dyno.last_exit is not None
    why, wait = dyno.last_exit.words(), dyno.cool_off()
    if wait == NEVER:
        yield Say(dyno.name, f"Not restarted (policy {dyno.profile.policy.name}): {why}")
    elif wait > 0:
        yield Say(dyno.name, f"Next try in {describe(wait)}: {why}, crash {dyno.crashes} in a row")


def describe(seconds: float) -> str:
    """A wait as a person reads it: "0.5 s", "30 s", "10 min", "2.0 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def give_up(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """No longer wanted, and nothing runs."""
    dyno.wanted = False
    return dyno.enter(State.DOWN, now)


def try_again(dyno: Dyno, event: DynoEvent, now: float) -> Iterable[Effect]:
    """The cool-off is over, or there was none."""
    if now >= dyno.deadline():
        yield from launch(dyno, event, now)


TABLE: dict[State, dict[type, Cell]] = {
    State.WAITING: {
        Wanted: note_wanted,
        Unwanted: note_unwanted,
        Replaced: note_wanted,
        Hurried: ignore,
        Spawned: run,
        SpawnFailed: fail_to_start,
        Bound: impossible,
        Exited: impossible,
        Emptied: impossible,
        Tick: ignore,
    },
    State.STARTING: {
        Wanted: impossible,
        Unwanted: stop,
        Replaced: replace,
        Hurried: impossible,
        Spawned: impossible,
        SpawnFailed: impossible,
        Bound: bind,
        Exited: crash,
        Emptied: impossible,
        Tick: time_out_boot,
    },
    State.UP: {
        Wanted: impossible,
        Unwanted: stop,
        Replaced: replace,
        Hurried: impossible,
        Spawned: impossible,
        SpawnFailed: impossible,
        Bound: ignore,
        Exited: crash,
        Emptied: impossible,
        Tick: ignore,
    },
    State.STOPPING: {
        Wanted: note_wanted,
        Unwanted: note_unwanted,
        Replaced: replace_next,
        Hurried: kill_remaining,
        Spawned: impossible,
        SpawnFailed: impossible,
        Bound: ignore,
        Exited: note_exit,
        Emptied: rest,
        Tick: time_out_exit,
    },
    State.KILLING: {
        Wanted: note_wanted,
        Unwanted: note_unwanted,
        Replaced: replace_next,
        Hurried: ignore,
        Spawned: impossible,
        SpawnFailed: impossible,
        Bound: ignore,
        Exited: note_exit,
        Emptied: rest,
        Tick: kill_again,
    },
    State.CRASHED: {
        Wanted: impossible,
        Unwanted: give_up,
        Replaced: launch_afresh,
        Hurried: impossible,
        Spawned: impossible,
        SpawnFailed: impossible,
        Bound: impossible,
        Exited: impossible,
        Emptied: impossible,
        Tick: try_again,
    },
    State.COMPLETE: {
        Wanted: impossible,
        Unwanted: give_up,
        Replaced: launch_afresh,
        Hurried: impossible,
        Spawned: impossible,
        SpawnFailed: impossible,
        Bound: impossible,
        Exited: impossible,
        Emptied: impossible,
        Tick: ignore,
    },
    State.DOWN: {
        Wanted: launch,
        Unwanted: ignore,
        Replaced: launch_afresh,
        Hurried: impossible,
        Spawned: impossible,
        SpawnFailed: impossible,
        Bound: impossible,
        Exited: impossible,
        Emptied: impossible,
        Tick: ignore,
    },
}
