"""Makes a failing schedule small: Hypothesis looks for the least of it that fails in the same way."""

import re
from pprint import pformat

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from tests.simulator.schedule import PLAIN, Schedule, Script
from tests.simulator.world import failure_of

TRIES = 1500
SETTINGS = settings(
    max_examples=TRIES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def simpler(script: Script) -> list[Script]:
    """Plain, then with one trait fewer, then as it is."""
    fewer = [script._replace(**{name: PLAIN._field_defaults[name]}) for name in Script._fields]
    return [PLAIN, *(each for each in dict.fromkeys(fewer) if each != script), script]


def parts(schedule: Schedule) -> st.SearchStrategy[Schedule]:
    """Schedules that have some of its happenings, and scripts as wayward as its own or less."""
    # Mostly all of it, so that something fails at all; less of it is simpler.
    kept = st.tuples(*(st.sampled_from([False, *[True] * 15]) for _ in schedule.happenings))
    scripts = st.tuples(*(st.sampled_from([*simpler(script), *[script] * 20]) for script in schedule.scripts))

    def built(choice: tuple[tuple[bool, ...], tuple[Script, ...]]) -> Schedule:
        happenings = tuple(each for each, keep in zip(schedule.happenings, choice[0], strict=True) if keep)
        chosen = list(choice[1])
        while chosen and chosen[-1] == PLAIN:
            chosen.pop()
        return schedule._replace(happenings=happenings, scripts=tuple(chosen))

    return st.tuples(kept, scripts).map(built)


def shrink(schedule: Schedule, failure: str) -> Schedule:
    """The least that fails alike; the schedule itself where nothing less does."""
    kind = alike(failure)
    try:
        return find(parts(schedule), lambda each: alike(failure_of(each)) == kind, settings=SETTINGS)
    except NoSuchExample:
        return schedule


def alike(failure: str) -> str:
    """A failure without its numbers and names."""
    return re.sub(r"\d+|web|worker|clock", "N", failure)[:50]


def written(schedule: Schedule) -> str:
    """A schedule as one can paste it into a test: only what is not as usual."""
    text = pformat(schedule, width=116)
    for name, value in Script._field_defaults.items():
        text = re.sub(rf"\b{name}={re.escape(repr(value))}(,\s*|(?=\)))", "", text)
    return text
