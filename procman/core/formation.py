"""The formation: which dynos there shall be, and which port each one has."""

from procman.core.model import DynoName
from procman.typed import Collection, Iterable, Mapping, Sequence

MOST = 1000  # dynos of a type
TYPE_STEP = 100  # foreman, honcho, heroku local: PORT is base + 100 per process type + 1 per dyno


def wanted_dynos(formation: Mapping[str, int], generation: int = 0) -> list[DynoName]:
    """Every dyno of a formation, in start order: by type as listed, lowest number first."""
    return [
        DynoName(process_type, number, generation)
        for process_type, quantity in formation.items()
        for number in range(1, quantity + 1)
    ]


def reconcile(
    formation: Mapping[str, int], present: Collection[DynoName], generation: int = 0
) -> tuple[list[DynoName], list[DynoName]]:
    """The dynos to start, and those to stop, highest number first (Heroku scales down from the top)."""
    wanted = wanted_dynos(formation, generation)
    keep = frozenset(wanted)
    starts = [name for name in wanted if name not in present]
    stops = [name for name in present if name not in keep]
    return starts, sorted(stops, key=lambda name: (-name.number, name.process_type))


def port_variable(process_type: str) -> str:
    """What the others find the port of its first dyno by: ``MY_JOB_PORT``."""
    return f"{process_type.upper().replace('-', '_')}_PORT"


def port_of(dyno: DynoName, process_types: Sequence[str], base: int) -> int:
    """The dyno's ``$PORT``: the same whatever else runs, and no other dyno's.

    Numbers above 100, which would run into the next type's hundred, continue above all hundreds, interleaved.
    """
    position, number = process_types.index(dyno.process_type), dyno.number - 1
    if number < TYPE_STEP:
        return base + TYPE_STEP * position + number
    return base + TYPE_STEP * len(process_types) + (number - TYPE_STEP) * len(process_types) + position


def list_words(names: Iterable[object]) -> str:
    """"web.1, web.2 and worker.1"."""
    words = [str(name) for name in names]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
