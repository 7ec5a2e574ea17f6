"""What is said of a dyno's memory and load, by the numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core.plan import Limits
from procman.supervisor.memory_rules import MB, Load, Usage, interval, judge, metrics, next_look

BASIC = Limits("Basic", 512 * MB, 1024 * MB, 256)
R15 = ("Error R15 (Memory quota vastly exceeded)", "Stopping process with SIGKILL")


def test_within_the_quota_nothing_is_said():
    assert judge(512 * MB, BASIC, killed=False) == ((), False)


def test_over_the_quota_the_dyno_goes_on():
    used = int(512 * MB * 1.449)
    assert judge(used, BASIC, killed=False) == (
        ("Process running mem=741M(144.9%)", "Error R14 (Memory quota exceeded)"),
        False,
    )
    assert judge(1024 * MB, BASIC, killed=False).kill is False


def test_far_over_it_is_killed():
    assert judge(1025 * MB, BASIC, killed=False) == (("Process running mem=1025M(200.2%)", *R15), True)


def test_what_the_kernel_has_killed_is_said_all_the_same():
    assert judge(1024 * MB, BASIC, killed=True) == (("Process running mem=1024M(200.0%)", *R15), True)


def test_file_pages_do_not_count_against_the_quota_and_shared_memory_does():
    usage = Usage(rss=100, cache=1000, swap=10, shared=1)
    assert (usage.firm, usage.total) == (111, 1110)


@pytest.mark.parametrize(
    ("used", "grouped", "seconds"),
    [
        (0, True, 20),
        (256, True, 20),
        (257, True, 5),
        (768, True, 5),
        (769, True, 1),
        (0, False, 2),
        (257, False, 1),
        (2000, False, 1),
    ],
)
def test_it_is_looked_at_more_often_the_more_it_uses(used, grouped, seconds):
    assert interval(used * MB, BASIC, grouped) == seconds


@given(st.floats(0, 1e7), st.sampled_from([1.0, 2.0, 5.0, 20.0]))
def test_looks_fall_together_and_are_never_late(now, seconds):
    look = next_look(now, seconds)
    assert now < look <= now + seconds
    assert look % seconds == 0


def test_load_settles_at_what_is_steadily_runnable():
    load = Load()
    for _ in range(3 * 15 * 3):
        load = load.after(2, 20.0)
    assert load.averages == pytest.approx((2.0, 2.0, 1.9), abs=0.01)


def test_a_first_count_weighs_by_the_time_it_stands_for():
    load = Load().after(1, 20.0)
    assert load.averages == pytest.approx((0.2835, 0.0645, 0.0220), abs=1e-4)
    assert Load().words() == "sample#load_avg_1m=0.00"


def test_longer_averages_appear_when_their_time_has_passed():
    load = Load()
    for _ in range(15):
        load = load.after(1, 20.0)
    assert load.words() == "sample#load_avg_1m=0.99 sample#load_avg_5m=0.63"
    for _ in range(30):
        load = load.after(0, 20.0)
    assert load.words() == "sample#load_avg_1m=0.00 sample#load_avg_5m=0.09 sample#load_avg_15m=0.15"


def test_metrics_read_as_on_heroku():
    identity = "12345678.0f0e0d0c-0b0a-4908-8706-050403020100"
    load = Load((0.42, 0.31, 0.2), 900)
    usage = Usage(int(80.25 * MB), 4 * MB, int(0.25 * MB), pgpgin=40123, pgpgout=19900)
    head = f"source=web.1 dyno=heroku.{identity}"
    assert metrics("web.1", identity, load, usage, BASIC) == (
        f"{head} sample#load_avg_1m=0.42 sample#load_avg_5m=0.31 sample#load_avg_15m=0.20",
        f"{head} sample#memory_total=84.50MB sample#memory_rss=80.25MB sample#memory_cache=4.00MB "
        "sample#memory_swap=0.25MB sample#memory_pgpgin=40123pages sample#memory_pgpgout=19900pages "
        "sample#memory_quota=512.00MB",
    )


def test_pages_that_nobody_counts_are_left_out():
    assert "pgpg" not in metrics("web.1", "a.b", Load(), Usage(1), BASIC)[1]
