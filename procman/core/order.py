"""In which order types start and end: what needs another starts after it, and ends before it."""

from procman.core.dyno import AT_REST, Dyno, State
from procman.core.formation import wanted_dynos
from procman.core.model import DynoName
from procman.typed import Callable, Collection, Mapping

READY = frozenset({State.UP, State.COMPLETE})  # what has done all that it was for is no hindrance

Needs = Mapping[str, Collection[str]]


def lacking(dyno: Dyno, dynos: Mapping[DynoName, Dyno], formation: Mapping[str, int]) -> list[str]:
    """The types that the dyno needs and of which the formation has a dyno that is not up."""
    if dyno.profile.one_off:
        return []
    return [
        kind
        for kind in dyno.profile.needs
        if any(
            name not in dynos or dynos[name].state not in READY
            for name in wanted_dynos({kind: formation.get(kind, 0)}, dyno.name.generation)
        )
    ]


def is_needed(dyno: Dyno, dynos: Collection[Dyno]) -> bool:
    """Whether another runs that needs this one."""
    return any(needs(other, dyno) and other.state not in AT_REST for other in dynos)


def is_followed(dyno: Dyno, dynos: Collection[Dyno], going: Collection[DynoName]) -> bool:
    """Whether another that needs this one is ending as well, or is to, and has not ended yet."""
    others = (other for other in dynos if needs(other, dyno) and other.state not in AT_REST)
    return any(not other.wanted or other.name in going for other in others)


def needs(dyno: Dyno, other: Dyno) -> bool:
    """Whether the one is to be there while the other is."""
    if dyno.profile.one_off or dyno.name.generation != other.name.generation:
        return False
    return other.name.process_type in dyno.profile.needs


def longest(dynos: Collection[Dyno], seconds: Callable[[Dyno], float]) -> float:
    """How long it takes until all have ended, if each takes so long, one that is needed after those that need it."""

    def until(dyno: Dyno, seen: tuple[Dyno, ...]) -> float:
        before = [other for other in dynos if needs(other, dyno) and other not in seen]
        return seconds(dyno) + max((until(other, (*seen, dyno)) for other in before), default=0.0)

    if not any(dyno.profile.needs for dyno in dynos):
        return max(map(seconds, dynos), default=0.0)
    foremost = {(dyno.name.process_type, dyno.name.generation): dyno for dyno in sorted(dynos, key=seconds)}
    dynos = list(foremost.values())
    return max(until(dyno, ()) for dyno in dynos)


def cycle_in(needs: Needs) -> list[str]:
    """Types that need each other in a ring, the first one again at its end; empty where there is none."""
    done: set[str] = set()

    def search(kind: str, path: list[str]) -> list[str]:
        if kind in path:
            return [*path[path.index(kind) :], kind]
        if kind in done:
            return []
        for other in needs.get(kind, ()):
            if found := search(other, [*path, kind]):
                return found
        done.add(kind)
        return []

    return next(filter(None, (search(kind, []) for kind in needs)), [])
