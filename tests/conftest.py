"""Fixtures every test may use."""

import itertools
import os
import shutil
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.forever import Forever
from tests.harness import LAST_S, Workshop, free_port

_count = itertools.count()

# `ci` tries the same examples every time; `HYPOTHESIS_PROFILE=deep` looks for new ones.
# How long examples take says more of the machine than of us.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", calm, derandomize=True, max_examples=120, stateful_step_count=40)
settings.register_profile("deep", calm, max_examples=2000, stateful_step_count=80)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup; all that a test starts would ignore it as well
    signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_addoption(parser):
    parser.addoption("--update-transcripts", action="store_true", help="rewrite tests/transcripts from the engine")


# What takes longest begins first: else one worker is left with it at the end, and the others have nothing to do.
LONGEST = (
    "test_heroku_client.py", "test_server_survival.py", "test_chaos.py", "test_buildpacks_python.py",
    "test_deploy_pushes.py", "test_zero_downtime.py", "test_heroku_client_dynos.py", "test_adoption.py",
    "test_server_codes.py", "test_buildpacks_nodejs.py", "test_deploy_disk.py", "test_simulator.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture
def workshop(tmp_path) -> Iterator[Workshop]:
    """A directory to run procman in; after the test nothing of it may live."""
    shop = Workshop(tmp_path, f"{os.getpid()}-{next(_count)}")
    yield shop
    left = shop.wait_until_gone(LAST_S)
    shop.close()
    assert not left, f"processes left behind: {left}"


@pytest.fixture(autouse=True)
def parts(request) -> None:
    """A program that a test needs and that is missing fails the test: skipped, it would never be missed."""
    for mark in request.node.iter_markers("needs"):
        missing = [program for program in mark.args if not shutil.which(program)]
        assert not missing, f"not installed: {', '.join(missing)} (`make parts` does it)"


@pytest.fixture
def port() -> int:
    """A base port nobody else uses."""
    return free_port()


@pytest.fixture
def forever(workshop) -> Iterator[Forever]:
    """`procman forever` in a workshop; what was started is stopped at the end."""
    tool = Forever(workshop)
    yield tool
    tool("stopall")
