"""The words of the core: dynos by name, how a process ended, and what each process type is held to."""

from procman.core.restart import RestartPolicy
from procman.typed import NamedTuple

WEB = "web"
RELEASE = "release"
UNKNOWN = -1
BOOT_TIMEOUT_S = 60.0  # Heroku: a web process has 60 s from launch to bind $PORT, else R10


class DynoName(NamedTuple):
    """``web.1``: process type and number, counted from 1 without gaps.

    ``generation``: the set of dynos that it was rolled out with. Of two sets, both may have a ``web.1``, side by side,
    and people call both so. A formation that is never rolled out is of generation 0.
    """

    process_type: str
    number: int
    generation: int = 0

    def __str__(self) -> str:
        return f"{self.process_type}.{self.number}"

    def full(self) -> str:
        """``web.1@5``, which no other dyno is called; ``web.1`` in generation 0."""
        return f"{self}@{self.generation}" if self.generation else str(self)


class Exit(NamedTuple):
    """How a dyno's root process ended. ``status`` is the shell's: the exit code, or 128+n for signal n.

    ``signal`` is its name when the process itself was ended by one. ``reason`` overrides the words: a failure
    to start at all, or the kernel's verdict on memory. A status of UNKNOWN: nobody was there to be told.
    """

    status: int
    signal: str = ""
    reason: str = ""

    def words(self) -> str:
        """"exited with status 3", "killed by SIGKILL (out of memory)": what a person is told."""
        ended = f"killed by {self.signal}" if self.signal else self.told()
        return f"{ended} ({self.reason})" if self.reason else ended

    def told(self) -> str:
        """"exited with status 143": what the log of Heroku has, also for one that was killed."""
        return "exited with unknown status" if self.status == UNKNOWN else f"exited with status {self.status}"

    def code(self) -> int:
        """The status for a process of our own to end with; what is unknown is no success."""
        return 1 if self.status == UNKNOWN else self.status


class Profile(NamedTuple):
    """What a process type is held to. ``grace``: seconds from ``stop_signal`` to SIGKILL.

    ``boot_timeout``: seconds to bind ``$PORT``; None for types that are up as soon as they run (all but web).
    ``check``: the words for a check of its health that it has to pass instead, in the same time; empty: none.
    ``ported``: whether it has to bind its port, if only to be checked. ``failures``: so many failed checks in a row
    end it once it is up, as a crash does; 0: none do. ``needs``: types that are to be up before it starts.
    ``one_off``: once ended, however, it is complete, and never tried again (Heroku: one-off-dynos).
    ``cycle``: every dyno is cycled about once a day, at a time drawn by this word and the dyno's name; None: never.
    """

    policy: RestartPolicy
    grace: float
    boot_timeout: float | None = None
    stop_signal: str = "SIGTERM"
    one_off: bool = False
    cycle: str | None = None
    check: str = ""
    ported: bool = True
    failures: int = 0
    needs: tuple[str, ...] = ()


def profile_of(process_type: str, policy: RestartPolicy, grace: float | None = None) -> Profile:
    """The profile of a type under a policy. Only ``web`` has to bind a port (Heroku: dyno-startup-behavior).

    ``release`` is done once and never tried again (Heroku: release-phase).
    """
    if process_type == RELEASE:
        policy = policy._replace(limit=0, on_failure_only=True)
    return Profile(
        policy,
        policy.grace if grace is None else grace,
        BOOT_TIMEOUT_S if process_type == WEB else None,
    )
