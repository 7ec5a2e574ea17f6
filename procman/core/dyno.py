"""One dyno: its states, its deadline, and the one door through which its state changes.

That door is ``Dyno.enter``; only the cells of ``table.py``, in ``cells.py``, go through it.
"""

from procman.core.effects import Effect, Say
from procman.core.model import DynoName, Exit, Profile
from procman.core.restart import NEVER, cycle_s
from procman.typed import Enum, Iterable

KILL_AGAIN_S = 5.0  # a process in uninterruptible sleep takes the signal when it wakes; say so now and then
SPAWN_RETRY_S = 0.5  # a failure to start is never retried at once, whatever the policy: the machine is in trouble


class State(Enum):
    """Inner states; ``Dyno.public`` gives Heroku's words for them."""

    QUEUED = "queued"  # nothing runs; wanted, but not before what it needs is up
    WAITING = "waiting"  # wanted; a Spawn has been asked for and not been answered
    STARTING = "starting"  # runs, and has a port still to bind
    UP = "up"
    STOPPING = "stopping"  # SIGTERM (or what the profile says) sent; the grace runs
    KILLING = "killing"  # SIGKILL sent; ends when nothing is left
    CRASHED = "crashed"  # nothing runs; waits for its next try, or for ever
    COMPLETE = "complete"  # nothing runs; ended well under a policy that accepts that
    DOWN = "down"  # nothing runs; not wanted, or stopped by hand


PUBLIC = {
    State.QUEUED: "starting",
    State.WAITING: "starting",
    State.STARTING: "starting",
    State.UP: "up",
    State.CRASHED: "crashed",
    State.COMPLETE: "complete",
    State.DOWN: "down",
}
AT_REST = frozenset({State.QUEUED, State.CRASHED, State.COMPLETE, State.DOWN})
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
        self.lacks = ""  # the types that it would wait for, in words, when it last heard of anything
        self.finding = ""  # why the last check of its health failed, if it did
        self.failures = 0  # of such checks, in a row, since it was up
        self.sick = False  # this run ends, or has ended, for them

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
        if self.state is State.UP and self.profile.cycle is not None:
            return self.started_at + cycle_s(f"{self.profile.cycle}/{self.name}#{self.run}")
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
        if self.sick:
            return False
        return self.profile.policy.on_failure_only and self.last_exit is not None and self.last_exit.status == 0

    def public(self) -> str:
        """Heroku's word for the state. While it ends, that of where it is going, as Heroku's log has it."""
        if self.state in PUBLIC:
            return PUBLIC[self.state]
        if self.asked and not self.profile.one_off:
            return "starting" if self.wanted else "down"
        if self.pid is not None:
            return self.said
        return "complete" if self.profile.one_off or self.ended_well() else "crashed"

    def enter(self, state: State, now: float) -> Iterable[Effect]:
        """Change the state, and say so if the public word changes."""
        self.state, self.since = state, now
        return self.report()

    def report(self) -> Iterable[Effect]:
        """Log the public word if it is not the one last logged; a new dyno just starts."""
        before, self.said = self.said, self.public()
        if before != self.said and not (self.run <= 1 and self.state in (State.QUEUED, State.WAITING)):
            yield Say(self.name, f"State changed from {before} to {self.said}")
