"""Golden transcripts: tests/transcripts/*.txt are scenarios and what the engine makes of them, to be read as prose.

Lines that begin with a time or a setting are the scenario; indented lines and ``(tick)`` are the engine's and are
compared. ``pytest --update-transcripts`` rewrites those, so that a new scenario is written without them.

    policy dev | policy web=heroku      --restart, for all or for one type
    exit-with any, grace 5              --exit-with, --timeout
    check web, needs web=db,cache       a health check, which ends the dyno when it fails twice; start order
    cycle SALT                          the daily restart; the type ``run`` is of one-off dynos
    SECONDS formation web=2 worker=1    the wish; also: shutdown STATUS WHY, tick (one that nothing is due for)
    SECONDS formation@5 web=2           that of a generation; succeed@5: which takes the place of the older ones
    SECONDS one-off run.1               also: adopted web.1@5 run 3 age 60 [up]
    SECONDS restart web.1 web.2         somebody's order about these dynos; also: stop, start
    SECONDS spawned web.1 [run 1]       news of the latest run, or of another; also: bound, emptied,
                                        exited 3 | SIGKILL [WHY], failed STATUS WHY,
                                        healthy, sick WHY
    SECONDS quiet                       nothing happens until then but what is due

Ticks come by themselves, whenever something is due.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from procman.core.effects import Kill, Quit, Say, Spawn, Terminate
from procman.core.engine import Engine
from procman.core.events import (
    Adopted,
    Bound,
    CheckFailed,
    CheckPassed,
    Emptied,
    Event,
    Exited,
    FormationChanged,
    OneOffRequested,
    RestartRequested,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
    Tick,
)
from procman.core.model import DynoName, Exit, Profile, profile_of
from procman.core.restart import NAMED, RestartPolicy, limited
from procman.core.table import TABLE, impossible
from tests.fakes import counted_cells

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
INDENT = " " * 10
COMMANDS = {"restart": RestartRequested, "stop": StopRequested, "start": StartRequested}
VERBS = {Spawn: "spawn", Terminate: "SIGTERM to", Kill: "SIGKILL to"}


class Scenario:
    """The head of a transcript: what the engine is made with."""

    def __init__(self) -> None:
        self.policies = {"*": NAMED["dev"]}
        self.grace: float | None = None
        self.exit_with: str | None = None
        self.cycle: str | None = None
        self.checked: set[str] = set()
        self.needs: dict[str, tuple[str, ...]] = {}

    def set(self, setting: str, value: str) -> None:
        if setting == "policy":
            kind, equals, name = value.partition("=") if not value.startswith("max=") else ("", "", value)
            self.policies[kind if equals else "*"] = policy_of(name if equals else value)
        elif setting == "grace":
            self.grace = float(value)
        elif setting == "check":
            self.checked.add(value)
        elif setting == "needs":
            kind, _, needed = value.partition("=")
            self.needs[kind] = tuple(needed.split(","))
        elif setting == "cycle":
            self.cycle = value
        else:
            assert setting == "exit-with", setting
            self.exit_with = value

    def profile(self, dyno: DynoName) -> Profile:
        process_type = dyno.process_type
        profile = profile_of(process_type, self.policies.get(process_type, self.policies["*"]), self.grace)
        profile = profile._replace(needs=self.needs.get(process_type, ()))
        if process_type in self.checked:
            profile = profile._replace(boot_timeout=60.0, check="GET /health", failures=2)
        return profile._replace(cycle=self.cycle, one_off=process_type == "run")

    def engine(self) -> Engine:
        return Engine(self.profile, self.exit_with)


def policy_of(name: str) -> RestartPolicy:
    return limited(int(name[4:])) if name.startswith("max=") else NAMED[name]


def play(transcript: str) -> str:
    """The transcript again, with what the engine says now."""
    return "".join(f"{line}\n" for line in lines_of(transcript))


def lines_of(transcript: str) -> Iterator[str]:
    scenario, engine, latest = Scenario(), None, 0.0
    for line in transcript.splitlines():
        first, _, rest = line.partition(" ")
        if line.startswith(" ") or rest.strip() == "(tick)":
            continue
        if not first[:1].isdigit():
            if first and first != "#":
                scenario.set(first, rest)
            yield line
            continue
        engine, now = engine or scenario.engine(), float(first)
        assert now >= latest, f"time runs backwards: {line}"
        latest = now
        yield from ticks(engine, now)
        yield f"{first:<8}{rest.strip()}"
        if rest.strip() != "quiet":
            yield from indented(engine, event_of(rest.split(), engine), now)


def ticks(engine: Engine, until: float) -> Iterator[str]:
    """What is due before ``until``, each at its own time."""
    while (due := engine.deadline()) <= until and not engine.quit:
        yield f"{due:<8.6g}(tick)"
        yield from indented(engine, Tick(), due)
        assert engine.deadline() > due, "a tick must do what is due"


def event_of(words: list[str], engine: Engine) -> Event:
    verb, *rest = words
    verb, _, generation = verb.partition("@")
    if verb in ("formation", "succeed"):
        formation = {kind: int(count) for kind, _, count in (word.partition("=") for word in rest)}
        return FormationChanged(formation, int(generation or 0), verb == "succeed")
    if verb == "one-off":
        return OneOffRequested(dyno_name(rest[0]))
    if verb == "shutdown":
        return ShutdownRequested(int(rest[0]), " ".join(rest[1:]))
    if verb == "tick":
        return Tick()
    if verb in COMMANDS:
        return COMMANDS[verb](tuple(map(dyno_name, rest)))
    name = dyno_name(rest.pop(0))
    run = engine.dynos[name].run if name in engine.dynos else 0
    if rest[:1] == ["run"]:
        run = int(rest[1])
        del rest[:2]
    if verb == "adopted":
        return Adopted(name, run, 100 * run + name.number, float(rest[1]), rest[2:] == ["up"])
    if verb == "spawned":
        return Spawned(name, run, 100 * run + name.number)
    if verb == "failed":
        return SpawnFailed(name, run, Exit(int(rest[0]), reason=" ".join(rest[1:])))
    if verb == "exited":
        return Exited(name, run, exit_of(*rest))
    if verb == "sick":
        return CheckFailed(name, run, " ".join(rest))
    return {"bound": Bound, "emptied": Emptied, "healthy": CheckPassed}[verb](name, run)


def dyno_name(word: str) -> DynoName:
    name, _, generation = word.partition("@")
    kind, _, number = name.partition(".")
    return DynoName(kind, int(number), int(generation or 0))


def exit_of(how: str, *why: str) -> Exit:
    if how.startswith("SIG"):
        return Exit(128 + signal.Signals[how], how, " ".join(why))
    return Exit(int(how), reason=" ".join(why))


def indented(engine: Engine, event: Event, now: float) -> Iterator[str]:
    """State changes, then effects in their order."""
    before = states(engine)
    effects = engine.handle(event, now)
    after = states(engine)
    for name in [*before, *(name for name in after if name not in before)]:
        was, becomes = before.get(name, "-"), after.get(name, "-")
        if was != becomes:
            yield f"{INDENT}{name}: {was} -> {becomes}"
    for effect in effects:
        if isinstance(effect, Say):
            yield f"{INDENT}[{effect.dyno or 'procman'}] {effect.text}"
        elif isinstance(effect, Quit):
            yield f"{INDENT}quit with status {effect.status}: {effect.why}"
        else:
            yield f"{INDENT}{VERBS[type(effect)]} {effect.dyno.full()}, run {effect.run}"
    if not effects and before == after:
        yield f"{INDENT}nothing"


def states(engine: Engine) -> dict[str, str]:
    return {name: state for name, (state, _, _) in engine.snapshot().items()}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path, request):
    written = path.read_text()
    played = play(written)
    if request.config.getoption("update_transcripts"):
        path.write_text(played)
    else:
        assert played == written
    assert play(played) == played


def test_the_transcripts_reach_every_possible_cell_and_no_impossible_one():
    possible = {
        (state, event) for state, row in TABLE.items() for event, cell in row.items() if cell is not impossible
    }
    with counted_cells() as reached:
        for path in TRANSCRIPTS:
            play(path.read_text())
    unreached = possible - set(reached)
    assert not unreached, sorted((state.value, event.__name__) for state, event in unreached)
    assert not set(reached) - possible
