"""One-off dynos and log news of the local runtime, with real supervisors."""

import asyncio
import os
import signal

import pytest

from procman.errors import ProcmanError
from procman.runtimes.base import OneOff
from tests.ground import APP, log_of, player, read_all
from tests.harness import DEADLINE_S, poll


@pytest.fixture
def play(workshop):
    return player(workshop)


def test_one_off_dynos_run_attached_and_detached_and_tell_how_they_ended(play):
    async def scenario(ground):
        runtime = ground.runtime
        plan = ground.plan(3)
        stream = await runtime.attach_one_off(APP, OneOff("run.1", 'read x; echo "got $x"; exit 4', plan, tty=False))
        assert [dyno.name for dyno in runtime.dynos(APP) if dyno.one_off] == ["run.1"]
        await stream.write(b"words\n")
        assert await read_all(stream) == b"got words\n"
        assert await runtime.wait_one_off(APP, "run.1") == 4
        await runtime.start_one_off(APP, OneOff("run.2", 'echo "$GREETING"; exit 5', plan, {"GREETING": "hello"}))
        assert await runtime.wait_one_off(APP, "run.2") == 5
        poll(lambda: "app[run.2]: hello" in log_of(ground))
        await runtime.start_one_off(APP, OneOff("run.3", "exec sleep 1000", plan))
        await runtime.stop(APP, "run.3")
        assert await runtime.wait_one_off(APP, "run.3") == 143
        assert not list(ground.home.glob("run.*"))
        with pytest.raises(ProcmanError, match="no such dyno"):
            await runtime.wait_one_off(APP, "run.9")

    play(scenario)


def test_a_one_off_that_goes_on_through_the_deaths_of_both_is_still_told_of(play):
    async def scenario(ground):
        await ground.release(1)
        await ground.runtime.start_one_off(APP, OneOff("run.1", "exec sleep 1000", ground.plan(1)))
        (pid,) = [dyno.pid for dyno in ground.runtime.dynos(APP) if dyno.one_off]
        os.kill(ground.runtime.supervisor(APP), signal.SIGKILL)
        await ground.restart()
        dynos = await ground.until(lambda dynos: len([dyno for dyno in dynos if dyno.state == "up"]) == 2)
        assert [dyno.pid for dyno in dynos if dyno.one_off] == [pid]

    play(scenario)


def test_a_terminal_has_the_size_of_the_clients(play):
    async def scenario(ground):
        one_off = OneOff("run.1", "stty size", ground.plan(1), window=(33, 99))
        stream = await ground.runtime.attach_one_off(APP, one_off)
        assert await read_all(stream) == b"33 99\r\n"
        assert await ground.runtime.wait_one_off(APP, "run.1") == 0

    play(scenario)


def test_log_news_come_while_somebody_listens(play):
    async def scenario(ground):
        heard = asyncio.Event()
        ground.runtime.on_log_news(lambda app_id: heard.set())
        await ground.release(1)
        assert not heard.is_set()
        leave = await ground.runtime.listen(APP)
        async with asyncio.timeout(DEADLINE_S):
            await heard.wait()
            heard.clear()
            await ground.runtime.restart(APP, ["worker.1"])
            await heard.wait()
        leave()

    play(scenario)
