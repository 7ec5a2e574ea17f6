"""The local runtime with real supervisors and dynos: plans made true, supervisors kept, what is told."""

import asyncio
import os
import signal

import pytest

from procman.errors import ProcmanError
from procman.runtimes.base import RolloutFailed
from tests.ground import APP, log_of, names_of, player
from tests.harness import DEADLINE_S, poll
from tests.platform_server import WEB
from tests.served import kind


@pytest.fixture
def play(workshop):
    return player(workshop)


def test_a_plan_is_made_true_and_told(play):
    async def scenario(ground):
        heard = []
        await ground.runtime.apply(ground.plan(types={"web": kind(WEB, 2), "worker": kind()}), heard.append)
        assert sorted(heard) == ["web.1", "web.2", "worker.1"]
        await ground.runtime.switch(APP, 1)
        dynos = {dyno.name: dyno for dyno in ground.runtime.dynos(APP)}
        web = dynos["web.1"]
        assert (web.state, web.generation, web.version, web.size, web.run) == ("up", 1, 1, "Basic", 1)
        assert web.port == ground.base and web.pid
        assert (ground.home / "plan.json").stat().st_mode & 0o777 == 0o600
        assert ground.home.stat().st_mode & 0o777 == 0o700
        await ground.runtime.apply(ground.plan(types={"web": kind(WEB), "worker": kind()}, rollout="restart"))
        assert names_of(await ground.until_up("web.1", "worker.1")) == ["web.1", "worker.1"]
        assert ground.runtime.dynos(APP)[0].pid == web.pid

    play(scenario)


def test_a_release_that_does_not_come_up_leaves_everything_as_it_was(play):
    async def scenario(ground):
        await ground.release(1)
        (old,) = ground.runtime.dynos(APP)
        bad = ground.plan(2, types={"worker": kind("echo one; echo two; exit 3")}, steady_s=5.0)
        with pytest.raises(RolloutFailed) as failed:
            await ground.runtime.apply(bad)
        assert failed.value.dyno == "worker.1"
        assert failed.value.lines == ("one", "two")
        assert "exited with status 3" in failed.value.why
        assert ground.runtime.dynos(APP) == [old]
        poll(lambda: "exited with status 3" in log_of(ground))  # written: what waits for the disk dies with it
        os.kill(ground.runtime.supervisor(APP), signal.SIGKILL)
        await ground.until_up("worker.1")
        await ground.release(3)
        (new,) = await ground.until(lambda dynos: len(dynos) == 1 and dynos[0].generation == 3)
        assert new.pid != old.pid
        assert "Starting process with command `echo one" in log_of(ground)
        assert log_of(ground).count("Starting process with command `echo one") == 1

    play(scenario)


def test_the_next_server_finds_what_runs(play):
    async def scenario(ground):
        await ground.release(1, types={"worker": kind(quantity=2)})
        before = ground.runtime.dynos(APP)
        supervisor = ground.runtime.supervisor(APP)
        runtime = await ground.restart()
        assert runtime.dynos(APP) == before
        assert runtime.supervisor(APP) == supervisor
        await runtime.apply(ground.plan(1, types={"worker": kind(quantity=2)}, rollout="restart"))
        assert runtime.dynos(APP) == before

    play(scenario)


def test_a_killed_supervisor_is_started_again_at_once_and_its_dynos_go_on(play):
    async def scenario(ground):
        await ground.release(1)
        (before,) = ground.runtime.dynos(APP)
        for _ in range(3):
            supervisor = ground.runtime.supervisor(APP)
            os.kill(supervisor, signal.SIGKILL)
            await ground.until(lambda dynos, old=supervisor: ground.runtime.supervisor(APP) not in (0, old))
            (after,) = await ground.until_up("worker.1")
            assert (after.pid, after.run) == (before.pid, before.run)

    play(scenario, again_s=(0.0,))


def test_an_apply_whose_supervisor_is_killed_comes_true_all_the_same(play):
    async def scenario(ground):
        await ground.release(1)
        slow = {"worker": kind('while ! test -e "$GATE"; do read -t 0.02 <> <(:) ; done; exec sleep 1000')}
        gate = ground.shop.directory / "gate"
        plan = ground.plan(2, types=slow, env={"GATE": str(gate)}, steady_s=0.3)
        apply = asyncio.create_task(ground.runtime.apply(plan))
        await ground.until(lambda dynos: any(dyno.generation == 2 for dyno in dynos))
        os.kill(ground.runtime.supervisor(APP), signal.SIGKILL)
        gate.write_text("")
        async with asyncio.timeout(DEADLINE_S):
            await apply
        await ground.runtime.switch(APP, 2)
        await ground.until(lambda dynos: [dyno.generation for dyno in dynos] == [2])

    play(scenario)


def test_a_rollout_that_a_killed_server_left_behind_is_given_up(play):
    async def scenario(ground):
        await ground.release(1)
        apply = asyncio.create_task(ground.runtime.apply(ground.plan(2, steady_s=1000.0)))
        await ground.until(lambda dynos: any(dyno.generation == 2 for dyno in dynos))
        await ground.runtime.close()  # as SIGKILL does, this leaves plan 2 in the middle
        apply.cancel()
        ground.runtime = ground.begin()
        await ground.runtime.find()
        await ground.runtime.apply(ground.plan(1, rollout="restart"))
        await ground.until(lambda dynos: [dyno.generation for dyno in dynos] == [1])

    play(scenario)


def test_abandon_ends_the_new_and_keeps_the_old(play):
    async def scenario(ground):
        await ground.release(1)
        apply = asyncio.create_task(ground.runtime.apply(ground.plan(2, steady_s=1000.0)))
        await ground.until(lambda dynos: any(dyno.generation == 2 for dyno in dynos))
        apply.cancel()
        await asyncio.wait((apply,))
        await ground.runtime.abandon(APP, 2)
        assert [dyno.generation for dyno in ground.runtime.dynos(APP)] == [1]

    play(scenario)


def test_no_supervisor_runs_for_an_app_with_nothing_to_run(play):
    async def scenario(ground):
        await ground.runtime.apply(ground.plan(1, types={"web": kind(WEB, 0)}))
        assert ground.runtime.supervisor(APP) == 0
        assert not ground.shop.processes()
        await ground.runtime.apply(ground.plan(1, types={"web": kind(WEB, 1)}, rollout="restart"))
        await ground.until_up("web.1")
        supervisor = ground.runtime.supervisor(APP)
        await ground.runtime.apply(ground.plan(1, types={"web": kind(WEB, 0)}, rollout="restart"))
        await ground.until_gone(supervisor)
        await ground.runtime.apply(ground.plan(1, types={"web": kind(WEB, 1)}, rollout="restart"))
        await ground.until_up("web.1")

    play(scenario, idle_s=0.0)


def test_restart_and_stop_replace_dynos(play):
    async def scenario(ground):
        await ground.release(1, types={"worker": kind(quantity=2)})
        first, second = ground.runtime.dynos(APP)
        await ground.runtime.restart(APP, ["worker.1"])
        await ground.until(lambda dynos: dynos[0].pid != first.pid and dynos[0].state == "up")
        await ground.runtime.stop(APP, "worker.2")
        dynos = await ground.until(lambda dynos: dynos[1].pid != second.pid and dynos[1].state == "up")
        assert [dyno.run for dyno in dynos] == [2, 2]
        with pytest.raises(ProcmanError, match=r"cannot find worker\.7"):
            await ground.runtime.restart(APP, ["worker.7"])

    play(scenario)


def test_a_supervisor_that_cannot_start_says_why_and_is_tried_again(play):
    async def scenario(ground):
        with pytest.raises(ProcmanError, match=r"cannot start a supervisor: see .*stderr"):
            await ground.runtime.apply(ground.plan(1))
        assert "no such program" in (ground.home / "stderr").read_text()
        await ground.runtime.close()
        ground.runtime = ground.begin()

    play(scenario, program=("/bin/sh", "-c", "echo no such program >&2"), again_s=(0.0,))


def test_remove_ends_everything_also_of_a_killed_supervisor(play):
    async def scenario(ground):
        await ground.release(1)
        supervisor = ground.runtime.supervisor(APP)
        await ground.runtime.close()
        os.kill(supervisor, signal.SIGKILL)
        ground.runtime = ground.begin()
        await ground.until_gone(supervisor)
        await ground.runtime.remove(APP)
        assert ground.runtime.dynos(APP) == []
        assert not ground.shop.wait_until_gone()

    play(scenario)
