"""What every supervisor of this host is started with."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

AGAIN_S = (0.0, 0.0, 0.2, 1.0, 5.0, 15.0, 30.0)  # before the next start, by deaths in a row
IDLE_S = 60.0  # a supervisor without dynos is kept so long


class Groups(NamedTuple):
    """Control groups of apps, as root makes them: see ``supervisor.cgroups``. ``entry``: the file by which a
    supervisor enters its own before it starts dynos; without one (version 1) it need not.
    """

    prepare: Callable[[str, int], Mapping[str, str]]
    entry: Callable[[Mapping[str, str]], str | None]
    withdraw: Callable[[Mapping[str, str]], bool]


NO_GROUPS = Groups(lambda app_id, uid: {}, lambda base: None, lambda base: True)


class Surroundings(NamedTuple):
    """``program``: how procman is called; ``env``: nothing secret."""

    program: Sequence[str]
    env: Mapping[str, str]
    groups: Groups = NO_GROUPS
    idle_s: float = IDLE_S
    again_s: tuple[float, ...] = AGAIN_S
