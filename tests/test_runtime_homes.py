"""Homes of the local runtime: control groups, users, homes of apps that are gone, supervisors that talk nonsense."""

import asyncio
import os

import pytest

from procman.errors import ProcmanError
from procman.runtimes.base import OneOff
from procman.runtimes.local import LocalRuntime, owner_of_home
from procman.runtimes.local_home import AppHome
from procman.runtimes.local_surroundings import Groups
from tests.ground import APP, player
from tests.harness import DEADLINE_S


@pytest.fixture
def play(workshop):
    return player(workshop)


def test_a_supervisor_is_in_its_control_group_before_it_starts_anything(play, workshop):
    entered, made = workshop.directory / "cgroup.procs", []
    groups = Groups(lambda app_id, uid: {"unified": "/nowhere"}, lambda base: str(entered), made.append)

    async def scenario(ground):
        await ground.runtime.apply(ground.plan(1))
        found = ground.runtime.supervisor(APP)
        if os.geteuid() == 0:
            assert ground.runtime._apps[APP].keeper.cgroup == {"unified": "/nowhere"}
        assert int(entered.read_text()) == found

    play(scenario, groups=groups)
    assert len(made) == 1


def test_as_root_it_enters_its_group_and_then_becomes_its_user(workshop):
    entered = workshop.directory / "cgroup.procs"
    uid = 61_235 if os.geteuid() == 0 else None
    home = AppHome(str(workshop.directory / "home"), uid)
    home.make()
    words = "echo ready; id -u >&2; echo $$ >&2"
    process = home.launch(("/bin/sh", "-c", words), {"PATH": os.environ["PATH"]}, str(entered))
    assert process.wait(DEADLINE_S) == 0
    said = (workshop.directory / "home" / "stderr").read_text().split()
    assert said == [str(os.geteuid() if uid is None else uid), entered.read_text().strip()]


def test_nothing_of_a_destroyed_app_runs_any_more(play):
    async def scenario(ground):
        await ground.release(1)
        await ground.runtime.remove(APP)
        one_off = OneOff("run.1000", "echo late", ground.plan(1), tty=False)
        for late in (ground.runtime.attach_one_off(APP, one_off), ground.runtime.apply(ground.plan(2))):
            with pytest.raises(ProcmanError, match="destroyed"):
                await late
        (await ground.runtime.listen(APP))()
        assert (ground.runtime.dynos(APP), ground.runtime.supervisor(APP)) == ([], 0)

    play(scenario)


def test_an_app_that_nobody_knows_has_no_user_but_its_homes(play, monkeypatch):
    async def unknown(app_id: str) -> int | None:
        raise LookupError(app_id)

    async def scenario(ground):
        runtime = LocalRuntime(str(ground.homes), ground.around, unknown)
        with pytest.raises(ProcmanError, match="no such app"):
            await runtime.start_one_off(APP, OneOff("run.1000", "id -u", ground.plan(1), tty=False))
        assert not ground.home.exists()
        ground.home.mkdir()
        assert owner_of_home(str(ground.home)) is None
        with monkeypatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: ground.home.stat().st_uid + 1)
            assert owner_of_home(str(ground.home)) == ground.home.stat().st_uid

    play(scenario)


def test_a_supervisor_that_talks_nonsense_is_given_up_but_not_the_app(play):
    answers = [b"[1]\n", b'{"dynos": 5}\n', b"no json\n", b'{"generation": 1, "dynos": [{}]}\n']

    async def nonsense(reader, writer):
        await reader.readline()
        writer.write(answers[0] if len(answers) == 1 else answers.pop())
        writer.close()

    async def scenario(ground):
        ground.home.mkdir()
        async with await asyncio.start_unix_server(nonsense, str(ground.home / "control.sock")):
            with pytest.raises(ProcmanError, match="cannot start"):
                await ground.runtime.start_one_off(APP, OneOff("run.1000", "true", ground.plan(1), tty=False))
        (ground.home / "control.sock").unlink()
        await ground.release(1)
        await ground.until_up("worker.1")

    play(scenario, again_s=(0.0,))
