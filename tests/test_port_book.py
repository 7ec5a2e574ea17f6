"""Ports out of an app's block."""

import pytest

from procman.core.model import DynoName
from procman.supervisor.port_book import PortBook

OLD, NEW, OTHER = DynoName("web", 1, 4), DynoName("web", 1, 5), DynoName("worker", 1, 5)


def book(*taken, count=3):
    return PortBook(20_000, count, lambda: taken)


def test_every_dyno_has_its_own_and_so_has_each_generations():
    ports = book()
    assert [ports.lend(dyno) for dyno in (OLD, NEW, OTHER)] == [20_000, 20_001, 20_002]
    assert ports.port_of(NEW) == 20_001


def test_a_port_is_kept_over_restarts_and_given_back_in_the_end():
    ports = book(count=1)
    assert ports.lend(OLD) == ports.lend(OLD) == 20_000
    with pytest.raises(OSError, match="no port is free from 20000 to 20000"):
        ports.lend(NEW)
    ports.forget(OLD)
    ports.forget(OLD)
    assert ports.lend(NEW) == 20_000


def test_a_strangers_port_is_passed_over():
    assert book(20_000, 20_001).lend(OLD) == 20_002


def test_a_port_that_a_stranger_took_while_nothing_ran_is_given_up():
    taken = []
    ports = PortBook(20_000, 3, lambda: taken)
    assert ports.lend(OLD) == 20_000
    taken.append(20_000)
    assert ports.lend(OLD) == 20_001


def test_a_port_just_given_back_rests():
    ports = book()
    ports.lend(OLD)
    ports.forget_others([])
    assert [ports.lend(NEW), ports.lend(OTHER), ports.lend(OLD)] == [20_001, 20_002, 20_000]


def test_what_is_kept_is_not_lent_and_a_moved_block_counts_from_the_next_start():
    ports = book()
    ports.keep(OLD, 20_000)
    assert ports.lend(NEW) == 20_001
    ports.move(30_000, 2)
    assert ports.port_of(OLD) == 20_000
    assert ports.lend(OTHER) == 30_000
    assert ports.lend(OLD) == 30_001
