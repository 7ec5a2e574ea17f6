"""Webhooks: told of changes in the background, signed, and again when they do not answer well."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import threading
from functools import partial

import pytest

from procman.api import webhooks as api_webhooks
from procman.core.records import Webhook
from procman.platform.deliveries import Deliverer
from procman.platform.webhook_calls import Ended, post
from procman.reach import Patience, Reach
from procman.store import tables
from tests.api_cases import make_app, play


class Receiver:
    """Answers POSTs with the statuses given, the last one for ever; remembers headers and bodies."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.hold = None  # an event to wait for before answering
        self.requests = asyncio.Queue()

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.put_nowait((headers, body))
        if self.hold:
            await self.hold.wait()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@contextlib.asynccontextmanager
async def listening(platform, *statuses, retry_s=(0.01,)):
    """A receiver's URL, itself, and a deliverer at work."""
    deliverer = Deliverer(platform.host, partial(api_webhooks.describe, platform.host), retry_s)
    deliverer.start()
    async with receiving(*statuses) as (url, receiver):
        try:
            yield url, receiver
        finally:
            await deliverer.close()


@contextlib.asynccontextmanager
async def receiving(*statuses):
    """A receiver's URL, and itself."""
    receiver = Receiver(*statuses)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=1", receiver
    finally:
        server.close()
        await server.wait_closed()


def test_a_change_is_delivered_signed_with_the_secret_that_was_told_once(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client, web="serve")
        async with listening(platform, 204) as (url, receiver):
            wish = {"url": url, "level": "notify", "include": ["api:release"], "authorization": "Bearer x"}
            made = await client.post("/apps/demo/webhooks", json=wish)
            secret = made.headers["Heroku-Webhook-Secret"]
            assert secret not in made.text
            await client.patch("/apps/demo/config-vars", json={"A": "1"})
            headers, body = await receiver.requests.get()
            signature = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
            assert headers["heroku-webhook-hmac-sha256"] == signature
            assert headers["authorization"] == "Bearer x"
            event = json.loads(body)
            assert (event["resource"], event["action"], event["data"]["version"]) == ("release", "create", 4)
            assert event["webhook_metadata"]["webhook"]["id"] == made.json()["id"]

            async def delivered():
                return (await client.get("/apps/demo/webhook-deliveries?eq[status]=succeeded")).json()

            (row,) = await platform.db.until(delivered)
            assert (row["num_attempts"], row["last_attempt"]["code"]) == (1, 204)
            shown = (await client.get(f"/apps/demo/webhook-events/{row['event']['id']}")).json()
            assert shown["payload"] == event

    play(tmp_path, scenario)


def test_a_receiver_that_does_not_answer_delays_only_itself(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        async with listening(platform, 200) as (url, slow), receiving(200) as (other, quick):
            slow.hold = asyncio.Event()
            for target in (url, other):
                wish = {"url": target, "level": "notify", "include": ["api:app"]}
                assert (await client.post("/apps/demo/webhooks", json=wish)).status_code == 201
            for number in range(6):
                await client.patch("/apps/demo", json={"maintenance": number % 2 == 0})
            told = [json.loads((await quick.requests.get())[1])["data"]["maintenance"] for _ in range(6)]
            assert told == [True, False] * 3
            assert slow.requests.qsize() == 1
            slow.hold.set()
            for _ in range(6):
                await slow.requests.get()

    play(tmp_path, scenario)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_receiver_that_never_ends_its_answer_holds_no_thread(said):
    def trickle(server):
        with contextlib.suppress(OSError), server.accept()[0] as client:
            client.sendall(said)
            while client.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        hook = Webhook("1", "1", url, ["api:app"], "notify", "secret", None, 0.0, 0.0)
        try:
            assert post(Reach(local=True), hook, {}, Patience(20.0, 0.05)) == Ended(None, "TimeoutError")
        finally:
            socket.create_connection(server.getsockname()).close()  # if nobody came, it still waits for somebody
            thread.join()


def test_dynos_that_come_and_go_are_told_of(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client, web="serve")
        async with listening(platform, 200) as (url, receiver):
            wish = {"url": url, "level": "notify", "include": ["api:dyno"]}
            assert (await client.post("/apps/demo/webhooks", json=wish)).status_code == 201
            for quantity in (2, 1):
                await client.patch("/apps/demo/formation/web", json={"quantity": quantity})
                seen = set()
                while not any(word[0] == "web.2" for word in seen):
                    event = json.loads((await receiver.requests.get())[1])
                    seen.add((event["data"]["name"], event["action"], event["data"]["state"]))
                assert ("web.2", "create" if quantity == 2 else "destroy", "up") in seen

    play(tmp_path, scenario)


def test_level_sync_is_tried_again_and_level_notify_is_not(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        async with listening(platform, 500, 500, 200) as (patient, _), receiving(500) as (brief, _):
            for level, url in (("sync", patient), ("notify", brief)):
                wish = {"url": url, "level": level, "include": ["api:app"]}
                assert (await client.post("/apps/demo/webhooks", json=wish)).status_code == 201
            await client.patch("/apps/demo", json={"maintenance": True})

            async def over():
                rows = (await client.get("/apps/demo/webhook-deliveries")).json()
                ended = {row["webhook"]["level"]: row for row in rows if row["next_attempt_at"] is None}
                return ended if len(ended) == 2 else None

            ended = await platform.db.until(over)
            assert (ended["sync"]["status"], ended["notify"]["status"]) == ("succeeded", "failed")
            assert (ended["sync"]["num_attempts"], ended["notify"]["num_attempts"]) == (3, 1)

    play(tmp_path, scenario)


def test_what_a_server_did_not_deliver_the_next_one_does(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/"

        async def scenario(platform, client):
            app = await make_app(platform, client)
            async with listening(platform, 200, retry_s=(3600.0,)) as (url, receiver):
                wish = {"url": dead, "level": "sync", "include": ["api:app"]}
                hook = (await client.post("/apps/demo/webhooks", json=wish)).json()
                await client.patch("/apps/demo", json={"maintenance": True})

                async def retrying():
                    rows = (await client.get("/apps/demo/webhook-deliveries")).json()
                    return rows if rows and rows[0]["status"] == "retrying" else None

                (row,) = await platform.db.until(retrying)
                assert row["last_attempt"]["error_class"] == "ConnectionRefusedError"
            platform.time += 3601
            async with listening(platform, 200) as (url, receiver):
                await platform.db.run(lambda tx: tables.webhooks.update(tx, hook["id"], url=url))
                await client.patch(f"/apps/demo/webhooks/{hook['id']}", json={"url": url})
                await client.patch("/apps/demo", json={"maintenance": False})
                bodies = [json.loads((await receiver.requests.get())[1]) for _ in range(2)]
                assert {body["data"]["maintenance"] for body in bodies} == {True, False}
            assert app["name"] == "demo"

        play(tmp_path, scenario)


def test_webhooks_that_cannot_be_are_refused_and_secrets_stay_secret(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        good = {"url": "https://example.com/", "level": "notify", "include": ["api:build"], "secret": "s3cr3t"}
        for change in (
            {"url": "ftp://x"}, {"url": "http://a\r\nb/"}, {"level": "loud"}, {"include": []}, {"include": "api:app"},
            {"include": ["api:nonsense"]}, {"secret": "a\r\nX: y"}, {"authorization": 5},
        ):
            answer = await client.post("/apps/demo/webhooks", json={**good, **change})
            assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params"), change
        made = await client.post("/apps/demo/webhooks", json=good)
        assert made.headers["Heroku-Webhook-Secret"] == "s3cr3t"
        path = f"/apps/demo/webhooks/{made.json()['id']}"
        changed = await client.patch(path, json={"include": ["api:app", "api:app"], "level": "sync"})
        assert (changed.json()["include"], changed.json()["level"]) == (["api:app"], "sync")
        for answer in (await client.get("/apps/demo/webhooks"), await client.get(path), await client.delete(path)):
            assert answer.status_code == 200
            assert "s3cr3t" not in answer.text
        assert (await client.get(path)).status_code == 404

    play(tmp_path, scenario)
