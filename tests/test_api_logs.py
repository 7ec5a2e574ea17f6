"""Log sessions: an address that proves itself, the log as events or as text, across restarts of the server."""

import asyncio
import os

from procman.api.application import Api
from procman.api.routes import ROUTES
from procman.logs.news import AppLog, News
from procman.logs.server_log import ServerLog
from tests.api_cases import make_app
from tests.server_fakes import Platform

EVENTS = {"Accept": "text/event-stream", "Authorization": ""}


def play(directory, scenario):
    """As ``api_cases.play``, with a log on disk."""

    async def whole():
        platform = Platform(directory / "data")
        stored = ServerLog(platform.layout.path("logs"))

        class Log:
            def write(self, app_id, source, ps, text):
                stored.say(app_id, source, ps, text)

            def forget(self, app_id):
                stored.remove(app_id)

        def read(app_id):
            return AppLog((os.path.join(platform.layout.home(app_id), "log"), stored.path(app_id)), News())

        platform.host.log = Log()
        platform.api = Api(platform.host, ROUTES, read)
        try:
            async with platform.client() as client:
                await asyncio.wait_for(scenario(platform, client), 60)
        finally:
            await platform.close()
            stored.close()

    asyncio.run(whole())


def texts(body):
    return [line.removeprefix("data: ").split(": ", 1)[1] for line in body.splitlines() if line.startswith("data: ")]


def test_the_last_lines_come_as_events_without_a_key(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        made = await client.post("/apps/demo/log-sessions", json={"lines": 3, "tail": False})
        assert made.status_code == 201
        answer = await client.get(made.json()["logplex_url"], headers=EVENTS)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert texts(answer.text) == [
            "Release v1 created by user dev@example.com",
            "Enable Logplex by user dev@example.com",
            "Release v2 created by user dev@example.com",
        ]
        plain = await client.get(made.json()["logplex_url"], headers={"Authorization": ""})
        assert plain.headers["content-type"] == "text/plain; charset=utf-8"
        assert plain.text.count("\n") == 3

    play(tmp_path, scenario)


def test_both_styles_of_keys_pick_lines(tmp_path):
    async def scenario(platform, client):
        app = await make_app(platform, client)
        platform.host.log.write(app["id"], "heroku", "router", "at=info")
        platform.host.log.write(app["id"], "heroku", "run.1234", "State changed from starting to up")
        for wish, wanted in (
            ({"source": "heroku"}, ["at=info", "State changed from starting to up"]),
            ({"dyno": "router"}, ["at=info"]),
            ({"dyno_name": "run.1234"}, ["State changed from starting to up"]),
            ({"type": "run"}, ["State changed from starting to up"]),
            ({"source": "app", "lines": 1}, ["Release v2 created by user dev@example.com"]),
            ({"lines": 0}, []),
        ):
            url = (await client.post("/apps/demo/log-sessions", json=wish)).json()["logplex_url"]
            assert texts((await client.get(url, headers=EVENTS)).text) == wanted, wish
        for bad in ({"lines": -1}, {"lines": "x"}, {"lines": True}, {"source": "me"}, {"tail": "yes"}, {"dyno": 5}):
            assert (await client.post("/apps/demo/log-sessions", json=bad)).status_code == 422, bad

    play(tmp_path, scenario)


def test_an_address_survives_the_server_and_ends_with_time_or_the_right_to_it(tmp_path):
    urls = {}

    async def before(platform, client):
        await make_app(platform, client)
        _, ann_key = platform.user("ann@example.com")
        await client.post("/apps/demo/collaborators", json={"user": "ann@example.com"})
        urls["own"] = (await client.post("/apps/demo/log-sessions", json={})).json()["logplex_url"]
        async with platform.client(ann_key) as anns:
            urls["anns"] = (await anns.post("/apps/demo/log-sessions", json={})).json()["logplex_url"]
        assert (await client.get(urls["anns"], headers=EVENTS)).status_code == 200
        await client.delete("/apps/demo/collaborators/ann@example.com")
        assert (await client.get(urls["anns"], headers=EVENTS)).status_code == 404

    async def after(platform, client):
        assert (await client.get(urls["own"], headers=EVENTS)).status_code == 200
        body, dot, mark = urls["own"].rpartition("/")[2].partition(".")
        for word in (f"{body}.{mark[::-1]}", body, f"x{body}.{mark}", f"{body}.", "%FF", "...", mark + dot + body):
            answer = await client.get(f"/streams/{word}", headers=EVENTS)
            assert answer.status_code in (400, 404), word
        platform.time += 90_000
        over = await client.get(urls["own"], headers=EVENTS)
        assert (over.status_code, over.json()["resource"]) == (404, "log_session")

    play(tmp_path, before)
    reopened = Platform.user
    try:
        Platform.user = lambda self, *words, **more: (None, "no key needed")
        play(tmp_path, after)
    finally:
        Platform.user = reopened


def test_who_comes_back_gets_what_is_new_and_nothing_twice(tmp_path):
    async def scenario(platform, client):
        app = await make_app(platform, client)
        url = (await client.post("/apps/demo/log-sessions", json={"lines": 2})).json()["logplex_url"]
        first = (await client.get(url, headers=EVENTS)).text
        last = [line.removeprefix("id: ") for line in first.splitlines() if line.startswith("id: ")][-1]
        platform.host.log.write(app["id"], "app", "api", "news")
        again = await client.get(url, headers={**EVENTS, "Last-Event-ID": last})
        assert texts(again.text) == []  # it does not tail: what was asked for has come
        odd = await client.get(url, headers={**EVENTS, "Last-Event-ID": "nonsense"})
        assert (odd.status_code, odd.json()["id"]) == (400, "bad_request")

    play(tmp_path, scenario)
