"""All that an engine knows, as plain values, for another engine to go on with at the same moment."""

from procman.core.dyno import Dyno, State
from procman.core.engine import Engine
from procman.core.events import ShutdownRequested
from procman.core.model import DynoName, Exit
from procman.typed import Any, Mapping

PLAIN = (
    "since", "said", "wanted", "asked", "run", "pid", "unborn", "started_at", "crashes", "spared", "overdue",
    "lacks", "finding", "failures", "sick",
)  # fmt: skip


def dump(engine: Engine) -> dict[str, Any]:
    """What JSON can hold; infinity is no number there."""
    return {
        "ordered": engine.ordered,
        "formations": list(engine.formations.items()),
        "held": sorted(engine.held),
        "cleared": sorted(engine.cleared),
        "dynos": [dump_dyno(dyno) for dyno in engine.dynos.values()],
        "closing": engine.closing,
        "failures": list(engine.failures.items()),
        "last_runs": list(engine.last_runs.items()),
        "remind_at": None if engine.remind_at == float("inf") else engine.remind_at,
    }


def dump_dyno(dyno: Dyno) -> dict[str, Any]:
    """One dyno, but for its profile, which the engine is told anew."""
    plain = {name: getattr(dyno, name) for name in PLAIN}
    return {"name": dyno.name, "state": dyno.state.value, "last_exit": dyno.last_exit, **plain}


def load(engine: Engine, found: Mapping[str, Any]) -> None:
    """Make a new engine know what another knew."""
    engine.formations = {number: dict(formation) for number, formation in found["formations"]}
    engine.ordered = found.get("ordered", False)
    engine.held = {DynoName(*name) for name in found["held"]}
    engine.cleared = set(found.get("cleared", ()))
    engine.dynos = {}
    for row in found["dynos"]:
        dyno = load_dyno(engine, row)
        engine.dynos[dyno.name] = dyno
    engine.closing = ShutdownRequested(*found["closing"]) if found["closing"] else None
    engine.failures = {DynoName(*name): (status, why) for name, (status, why) in found["failures"]}
    engine.last_runs = {DynoName(*name): run for name, run in found["last_runs"]}
    engine.remind_at = float("inf") if found["remind_at"] is None else found["remind_at"]


def load_dyno(engine: Engine, row: Mapping[str, Any]) -> Dyno:
    """One dyno."""
    name = DynoName(*row["name"])
    dyno = Dyno(name, engine.profile(name), row["since"])
    dyno.state = State(row["state"])
    dyno.last_exit = Exit(*row["last_exit"]) if row["last_exit"] else None
    for attribute in PLAIN:
        if attribute in row:  # an earlier version knew of fewer
            setattr(dyno, attribute, row[attribute])
    return dyno
