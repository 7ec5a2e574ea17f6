"""Downloads that take their time hold up neither pushes nor other people's downloads."""

import asyncio
import os
import threading

from procman.core.records import User
from procman.errors import ProcmanError
from procman.platform.builds import Order
from procman.platform.threads import Threads
from procman.store import tables
from tests.api_cases import make_app, play


class Gate:
    """Sources that come when the gate is opened; ``begun``: whose came so far."""

    def __init__(self):
        self.opened = threading.Event()
        self.begun = asyncio.Queue()
        self.loop = asyncio.get_running_loop()

    def order(self, name, pushed=False, slow=True):
        def bring(folder):
            self.loop.call_soon_threadsafe(self.begun.put_nowait, name)
            if slow:
                assert self.opened.wait(20)
            raise ProcmanError(f"cannot use the source of {name}")

        return Order(bring, None, pushed=pushed)


def test_a_push_and_another_user_wait_for_nobody_elses_slow_downloads(tmp_path):
    async def scenario(platform, client):
        gate, runs = Gate(), []
        eve = platform.user("eve@example.com", admin=True)[0]
        ann = platform.user("ann@example.com", admin=True)[0]
        for name in ("slow-1", "slow-2", "slow-3", "pushed", "quick"):
            await make_app(platform, client, name)
        apps = {app.name: app for app in await platform.db.run(tables.apps.find)}

        async def begin(user: User, name: str, **more):
            _, run = await platform.host.builds.start(user, apps[name], gate.order(name, **more))
            runs.append(run)
            return run

        try:
            for name in ("slow-1", "slow-2", "slow-3"):
                await begin(eve, name)
            assert {await gate.begun.get(), await gate.begun.get()} == {"slow-1", "slow-2"}
            pushed = await begin(eve, "pushed", pushed=True, slow=False)
            assert not (await pushed.done).ok
            quick = await begin(ann, "quick", slow=False)
            assert not (await quick.done).ok
            assert [gate.begun.get_nowait(), gate.begun.get_nowait()] == ["pushed", "quick"]
            assert gate.begun.empty()  # the third waits for the first two of the same user
        finally:
            gate.opened.set()
        await asyncio.gather(*(run.done for run in runs))
        assert gate.begun.get_nowait() == "slow-3"

    play(tmp_path, scenario)


def test_a_build_that_is_cancelled_while_its_source_comes_ends_at_once_and_keeps_its_share(tmp_path):
    async def scenario(platform, client):
        gate = Gate()
        for name in ("slow-1", "slow-2", "later"):
            await make_app(platform, client, name)
        apps = {app.name: app for app in await platform.db.run(tables.apps.find)}
        try:
            builds = []
            for name in ("slow-1", "slow-2", "later"):
                build, run = await platform.host.builds.start(platform.owner, apps[name], gate.order(name))
                builds.append((build, run))
            assert {await gate.begun.get(), await gate.begun.get()} == {"slow-1", "slow-2"}
            build, run = builds[0]
            answer = await client.delete(f"/apps/slow-1/builds/{build.id}")
            assert answer.is_success, answer.text
            assert not (await run.done).ok
            assert (await client.delete("/apps/slow-2")).is_success
            assert gate.begun.empty()  # both threads are still busy with what nobody wants
        finally:
            gate.opened.set()
        assert await gate.begun.get() == "later"
        await builds[2][1].done

    play(tmp_path, scenario)


def test_whoever_gives_up_waiting_leaves_his_share_to_the_next():
    async def scenario():
        threads, opened = Threads("test", 4, 1), threading.Event()
        first = asyncio.create_task(threads.run_for("eve", opened.wait, 20))
        second = asyncio.create_task(threads.run_for("eve", opened.wait, 20))
        assert await threads.run_for("ann", lambda: "ann") == "ann"
        second.cancel()
        third = asyncio.create_task(threads.run_for("eve", lambda: "eve"))
        opened.set()
        assert await first
        assert await third == "eve"

    asyncio.run(scenario())


def test_what_comes_after_a_build_was_cancelled_leaves_nothing(tmp_path):
    async def scenario(platform, client):
        begun, late, other = asyncio.Queue(), threading.Event(), threading.Event()
        loop, share = asyncio.get_running_loop(), platform.host.sources

        def bring(folder, until=late):
            loop.call_soon_threadsafe(begun.put_nowait, folder)
            assert until.wait(20)
            os.makedirs(f"{folder}/late")
            return ()

        await make_app(platform, client)
        app = (await platform.db.run(tables.apps.find))[0]
        try:
            build, run = await platform.host.builds.start(platform.owner, app, Order(bring, None))
            folder = await begun.get()
            assert (await client.delete(f"/apps/demo/builds/{build.id}")).is_success
            assert not (await run.done).ok
            second = asyncio.create_task(share.run_for(platform.owner.id, bring, str(tmp_path / "other"), other))
            await begun.get()  # his share of two is full
            late.set()
            await share.run_for(platform.owner.id, str)  # so the first of them has come to its end
            assert not os.path.exists(os.path.dirname(folder))
        finally:
            late.set()
            other.set()
        await second

    play(tmp_path, scenario)
