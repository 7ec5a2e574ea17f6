"""The local runtime with real supervisors and dynos: plans made true, supervisors kept, one-off dynos, what is told."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import procman
from procman.core.plan import Plan
from procman.errors import ProcmanError
from procman.runtimes.base import OneOff, RolloutFailed
from procman.runtimes.local import LocalRuntime, owner_of_home
from procman.runtimes.local_home import AppHome
from procman.runtimes.local_keeper import Groups, Surroundings
from tests.harness import DEADLINE_S, MARK, free_port
from tests.platform_server import WEB
from tests.served import kind

APP = "app-1"
PROGRAM = (sys.executable, "-P", "-m", "procman")


class Ground:
    """One app's plans, and the runtime that runs it; ``changed`` is set at every change."""

    def __init__(self, shop, program=PROGRAM, **around):
        self.shop = shop
        self.mark = shop.mark.decode().partition("=")[2]
        self.homes = shop.directory / "apps"
        self.home = self.homes / APP
        self.slug = shop.directory / "slug"
        self.homes.mkdir(exist_ok=True)
        self.slug.mkdir(exist_ok=True)
        self.base = free_port()
        root = str(Path(procman.__file__).parent.parent)
        self.env = {"PATH": os.environ["PATH"], "PYTHONPATH": root, MARK: self.mark}
        self.around = Surroundings(program, self.env, **around)
        self.changed = asyncio.Event()
        self.runtime = self.begin()

    def begin(self) -> LocalRuntime:
        """A server's start."""
        runtime = LocalRuntime(str(self.homes), self.around)
        runtime.on_change(lambda app_id: self.changed.set())
        return runtime

    async def restart(self) -> LocalRuntime:
        """The server's end, and the next one's start."""
        await self.runtime.close()
        self.runtime = self.begin()
        await self.runtime.find()
        return self.runtime

    def plan(self, generation: int = 1, **changes) -> Plan:
        env = {MARK: self.mark, "PY": sys.executable, **changes.pop("env", {})}
        given = {
            "app_id": APP,
            "app_name": "shop",
            "release_id": f"release-{generation}",
            "version": generation,
            "directory": str(self.slug),
            "types": {"worker": kind()},
            "ports": (self.base, 20),
            "steady_s": 0.0,
            "watch_s": 0.0,
            "grace": 5.0,
        }
        return Plan(generation=generation, env=env, **{**given, **changes})

    async def release(self, generation: int = 1, **changes) -> None:
        """As the platform does it."""
        await self.runtime.apply(self.plan(generation, **changes))
        await self.runtime.switch(APP, generation)

    async def until(self, holds: Callable[[list], bool]) -> list:
        """The dynos, once that is true of them."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds(dynos := self.runtime.dynos(APP)):
                self.changed.clear()
                await self.changed.wait()
        return dynos

    async def until_up(self, *names: str) -> list:
        return await self.until(lambda dynos: [(d.name, d.state) for d in dynos] == [(name, "up") for name in names])

    async def until_gone(self, pid: int) -> None:
        """A process that is no child of ours has ended."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, ended.set)
        async with asyncio.timeout(DEADLINE_S):
            await ended.wait()
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


def names_of(dynos) -> list[str]:
    return [dyno.name for dyno in dynos]


@pytest.fixture
def play(workshop):
    """Run a scenario with a ground of its own; then everything of it is ended."""

    def run(scenario: Callable[[Ground], Awaitable[None]], **around) -> None:
        async def whole():
            ground = Ground(workshop, **around)
            try:
                await scenario(ground)
            finally:
                await ground.runtime.remove(APP)
                await ground.runtime.close()

        asyncio.run(whole())
        assert not workshop.wait_until_gone()

    return run


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
        assert "app[run.2]: hello" in log_of(ground)
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


def log_of(ground) -> str:
    return "".join(path.read_text() for path in sorted((ground.home / "log").glob("log.*")))


async def read_all(stream) -> bytes:
    data = b""
    async with asyncio.timeout(DEADLINE_S):
        while chunk := await stream.read():
            data += chunk
    return data


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
