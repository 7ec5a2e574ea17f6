"""Dynos, supervisors and clients are killed at random under load; what is wanted runs afterwards, and the log is whole.

``PROCMAN_CHAOS_S``: for how long; ``PROCMAN_CHAOS_SEED``: as it was the last time, as far as the kernel repeats itself.
"""

import os
import secrets

import pytest

from tests.chaos import Chaos

CHAOS_S = float(os.environ.get("PROCMAN_CHAOS_S", "30"))


@pytest.fixture
def chaos(workshop):
    seed = int(os.environ.get("PROCMAN_CHAOS_SEED", "0")) or secrets.randbits(32)
    print(f"PROCMAN_CHAOS_SEED={seed}")
    enemy = Chaos(workshop, seed)
    yield enemy
    enemy.calm()
    if enemy.supervisor():
        workshop.call("shutdown")


@pytest.mark.slow
@pytest.mark.timeout(CHAOS_S + 120)
def test_after_any_row_of_kills_the_formation_is_as_wanted_and_every_line_is_in_the_log_once(workshop, chaos):
    chaos.start()
    chaos.rage(CHAOS_S)
    chaos.calm()
    print(f"{CHAOS_S:g} s: {dict(chaos.deeds)}, {len(chaos.written())} lives")
    told = chaos.told()
    assert set(told) == chaos.formation()
    assert chaos.dynos() == told, "each is one process, and no process is anybody else's"
    assert workshop.call("shutdown").returncode == 0
    assert workshop.wait_until_gone() == []
    written, (logged, torn) = chaos.written(), chaos.logged()
    assert torn == []
    print(f"{sum(written.values())} lines")
    assert {life: wrong(logged.get(life, []), count) for life, count in written.items()} == dict.fromkeys(written, "")
    assert set(logged) <= set(written)


def wrong(numbers: list[int], written: int) -> str:
    """What is not as it was written; a life that was killed in the middle may have one line more than it counted."""
    if numbers == list(range(1, len(numbers) + 1)) and written <= len(numbers) <= written + 1:
        return ""
    before = next((at for at, number in enumerate(numbers, 1) if number != at), len(numbers) + 1)
    return f"{written} written, {len(numbers)} in the log, {len(set(numbers))} of them different, good until {before}"
