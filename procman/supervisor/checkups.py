"""Whether dynos are checked at all: the watch of their health is imported and made once a type wants one."""

import os
from zlib import crc32

from procman.core.health import Checks
from procman.core.model import DynoName
from procman.supervisor.child import Child, Command
from procman.supervisor.processes import LocalProcesses
from procman.supervisor.supervisor import Supervisor
from procman.typed import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Sequence

if TYPE_CHECKING:
    from procman.supervisor.health_watch import HealthWatch

LONGEST_PATH = 107  # bytes, of an address (unix(7))
Start = Callable[[Child, str], tuple[Sequence[str], Mapping[str, str]]]
Place = Callable[[DynoName, int], tuple[str, str]]


class Checkups:
    """``checks``: how a dyno is checked, if it is. ``place``: where the socket for its notices is, and where it sees
    it. ``start``: argv and environment of a command beside it; None: a shell of our own. ``arrived``: see ``pack``.
    """

    def __init__(
        self,
        checks: Callable[[DynoName], Checks | None],
        place: Place,
        start: Start | None = None,
        arrived: Iterable[Any] = (),
    ) -> None:
        self._checks = checks
        self._place = place
        self._start = start
        self._arrived = list(arrived)
        self._made: "HealthWatch | None" = None
        self._supervisor: Supervisor | None = None
        self._processes: LocalProcesses | None = None

    def join(self, supervisor: Supervisor, processes: LocalProcesses) -> None:
        """Whose dynos they are."""
        self._supervisor, self._processes = supervisor, processes
        supervisor.on_birth.append(self._begin)
        if self._arrived:
            self._watch().notices.unpack(self._arrived)

    def equip(self, dyno: DynoName, run: int, command: Command) -> Command:
        """Let a dyno that has something to tell know where. Raises OSError."""
        checks = self._checks(dyno)
        if checks is None or not checks.notified():
            return command
        from procman.supervisor.health_watch import notice_env  # noqa: PLC0415 - only for who wants it

        self._watch().notices.listen(dyno, run)
        return command._replace(env={**command.env, **notice_env(checks, self._place(dyno, run)[1])})

    def pack(self) -> list[list[Any]]:
        """For another program that goes on in our place."""
        return self._made.notices.pack() if self._made else []

    def _begin(self, child: Child) -> None:
        if checks := self._checks(child.dyno):
            self._watch().add(child, checks)

    def _watch(self) -> "HealthWatch":
        if self._made is None:
            from procman.supervisor.health_watch import HealthWatch, beside  # noqa: PLC0415
            from procman.supervisor.notices import Notices  # noqa: PLC0415

            assert self._supervisor and self._processes
            notices = Notices(self._supervisor.loop, lambda dyno, run: self._place(dyno, run)[0])
            aides = self._processes.aides
            self._made = HealthWatch(self._supervisor, self._start or beside, aides, notices)
        return self._made


def notices_of(home: str) -> Place:
    """The sockets of dynos that see our files: in the home, unless no address could be so long."""

    def place(dyno: DynoName, run: int) -> tuple[str, str]:
        path = f"{home}/notices/{dyno.full()}"
        if len(os.fsencode(path)) > LONGEST_PATH:
            path = f"/tmp/procman-{os.geteuid()}/{crc32(os.fsencode(home)):08x}/{dyno.full()}"  # noqa: S108 - checked
        return path, path

    return place
