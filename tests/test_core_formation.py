"""The formation: who is wished for, at which port; and the words in which lives and lists are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core.cells import describe
from procman.core.formation import list_words, port_of, reconcile, wanted_dynos
from procman.core.model import DynoName, Exit

# -- ports --

types_and_base = st.tuples(st.integers(1, 6), st.integers(1024, 9000))


@given(types_and_base, st.lists(st.integers(0, 350), min_size=6, max_size=6))
def test_no_two_dynos_share_a_port_whatever_their_quantities(types_and_base, quantities):
    count, base = types_and_base
    types = [f"type{number}" for number in range(count)]
    dynos = wanted_dynos(dict(zip(types, quantities, strict=False)))
    ports = [port_of(dyno, types, base) for dyno in dynos]
    assert len(set(ports)) == len(ports)
    assert all(port >= base for port in ports)


@given(types_and_base, st.integers(0, 5), st.integers(1, 100))
def test_the_first_hundred_are_foremans(types_and_base, position, number):
    count, base = types_and_base
    types = [f"type{index}" for index in range(count)]
    position %= count
    assert port_of(DynoName(types[position], number), types, base) == base + 100 * position + number - 1


def test_numbers_over_a_hundred_go_above_all_hundreds():
    types = ["web", "worker"]
    numbered = [("web", 100), ("worker", 100), ("web", 101), ("worker", 101), ("web", 102)]
    assert [port_of(DynoName(*name), types, 5000) for name in numbered] == [5099, 5199, 5200, 5201, 5202]


# -- formation --

formations = st.dictionaries(st.sampled_from(["web", "worker", "clock"]), st.integers(0, 5))


@given(formations, formations)
def test_reconcile_closes_the_gap_and_no_more(before, after):
    present = wanted_dynos(before)
    starts, stops = reconcile(after, present)
    assert not set(starts) & set(present)
    assert set(stops) <= set(present)
    assert (set(present) - set(stops)) | set(starts) == set(wanted_dynos(after))
    assert reconcile(after, wanted_dynos(after)) == ([], [])


@given(formations, st.permutations(wanted_dynos({"web": 3, "worker": 3, "clock": 3})))
def test_reconcile_does_not_care_in_what_order_dynos_are_held(formation, present):
    assert reconcile(formation, present) == reconcile(formation, sorted(present))


def test_starts_come_as_listed_and_stops_from_the_top():
    starts, stops = reconcile({"web": 2, "clock": 1}, [DynoName("worker", number) for number in (1, 2, 3)])
    assert [str(name) for name in starts] == ["web.1", "web.2", "clock.1"]
    assert [str(name) for name in stops] == ["worker.3", "worker.2", "worker.1"]


# -- words --


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Exit(3), "exited with status 3"),
        (Exit(137, "SIGKILL"), "killed by SIGKILL"),
        (Exit(137, "SIGKILL", "out of memory"), "killed by SIGKILL (out of memory)"),
        (Exit(127, reason="cannot start /bin/zsh"), "exited with status 127 (cannot start /bin/zsh)"),
    ],
)
def test_how_it_ended(ended, words):
    assert ended.words() == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "0.5 s"),
        (30, "30 s"),
        (119, "119 s"),
        (600, "10 min"),
        (86_400, "24.0 h"),
    ],
)
def test_how_long(seconds, words):
    assert describe(seconds) == words


@pytest.mark.parametrize(
    ("names", "words"), [([], ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")]
)
def test_lists_read_as_a_person_would_say_them(names, words):
    assert list_words(names) == words
