"""Keys, users, and logins: by key, by password, in a browser."""

import asyncio
import base64
import re

from tests.api_cases import make_app, play


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_only_the_key_that_asks_is_listed_in_clear(tmp_path):
    async def scenario(platform, client):
        made = (await client.post("/oauth/authorizations", json={"description": "ci", "expires_in": "3600"})).json()
        token = made["access_token"]["token"]
        assert made["access_token"]["expires_in"] == 3600
        assert made["scope"] == ["global"]
        listed = {each["description"]: each for each in (await client.get("/oauth/authorizations")).json()}
        assert listed["test"]["access_token"]["token"] == platform.key
        assert listed["ci"]["access_token"]["token"] == "…"
        assert token.encode() not in (tmp_path / "data" / "procman.db-wal").read_bytes()
        async with platform.client(token) as other:
            assert (await other.get("/account")).json()["email"] == "dev@example.com"
            assert (await other.get(f"/oauth/authorizations/{made['id']}")).json()["access_token"]["token"] == token
            assert (await client.delete(f"/oauth/authorizations/{made['id']}")).status_code == 200
            assert (await other.get("/account")).status_code == 401

    play(tmp_path, scenario)


def test_a_key_ends_when_it_was_said_to_and_can_be_renewed_before(tmp_path):
    async def scenario(platform, client):
        made = (await client.post("/oauth/authorizations", json={"expires_in": 60})).json()
        renewed = (await client.post(f"/oauth/authorizations/{made['id']}/actions/regenerate-tokens")).json()
        async with platform.client(made["access_token"]["token"]) as old:
            assert (await old.get("/account")).status_code == 401
        async with platform.client(renewed["access_token"]["token"]) as new:
            assert (await new.get("/account")).status_code == 200
            platform.time += 61
            assert (await new.get("/account")).status_code == 401
        for bad in (0, -1, True, "soon", 1e30, [1]):
            answer = await client.post("/oauth/authorizations", json={"expires_in": bad})
            assert answer.status_code == 422, bad
        assert (await client.post("/oauth/authorizations", json={"scope": ["read"]})).status_code == 422

    play(tmp_path, scenario)


def test_a_password_gets_a_key_and_guessing_is_stopped(tmp_path):
    async def scenario(platform, client):
        made = await client.post("/users", json={"email": "ann@example.com", "password": "correct horse"})
        assert made.status_code == 201
        path, body = "/oauth/authorizations", {"description": "laptop", "expires_in": 2592000, "scope": ["global"]}
        good = await client.post(path, json=body, headers=basic("ann@example.com", "correct horse"))
        assert (good.status_code, good.json()["user"]["email"]) == (201, "ann@example.com")
        async with platform.client(good.json()["access_token"]["token"]) as anns:
            assert (await anns.get("/account")).json()["email"] == "ann@example.com"
        for _ in range(10):
            wrong = await client.post(path, json=body, headers=basic("ann@example.com", "battery staple"))
            assert (wrong.status_code, wrong.json()["message"]) == (401, "Invalid credentials provided.")
        stopped = await client.post(path, json=body, headers=basic("ann@example.com", "correct horse"))
        assert (stopped.status_code, stopped.json()["id"]) == (429, "rate_limit")
        by_key = await client.post(path, json=body, headers=basic("ann@example.com", made.json()["api_key"]))
        assert by_key.status_code == 201
        assert (await client.post(path, json=body, headers={"Authorization": ""})).status_code == 401

    play(tmp_path, scenario)


def test_a_password_is_set_with_a_key_and_changed_with_the_old_one(tmp_path):
    async def scenario(platform, client):
        assert (await client.patch("/account", json={"new_password": "short"})).status_code == 422
        named = await client.patch("/account", json={"name": "Dev", "new_password": "correct horse"})
        assert (named.status_code, named.json()["name"]) == (200, "Dev")
        assert "correct" not in named.text
        wrong = await client.patch("/account", json={"password": "guess", "new_password": "battery staple"})
        assert wrong.status_code == 401
        right = await client.patch("/account", json={"password": "correct horse", "new_password": "battery staple"})
        assert right.status_code == 200
        made = await client.post("/oauth/authorizations", json={}, headers=basic("dev@example.com", "battery staple"))
        assert made.status_code == 201

    play(tmp_path, scenario)


def test_users_are_the_administrators_business(tmp_path):
    async def scenario(platform, client):
        ann = (await client.post("/users", json={"email": "ann@example.com"})).json()
        async with platform.client(ann["api_key"]) as anns:
            for answer in (await anns.get("/users"), await anns.post("/users", json={"email": "x@example.com"})):
                assert (answer.status_code, answer.json()["id"]) == (403, "forbidden")
            await make_app(platform, anns, "anns")
        assert [each["email"] for each in (await client.get("/users")).json()] == [
            "dev@example.com", "ann@example.com",
        ]
        assert (await client.post("/users", json={"email": "ANN@example.com"})).status_code == 422
        assert (await client.post("/users", json={"email": "no mail"})).status_code == 422
        assert (await client.post("/users", json={"email": "b@example.com", "password": "short"})).status_code == 422
        owns = await client.delete("/users/ann@example.com")
        assert owns.json()["message"] == "ann@example.com owns anns: heroku apps:transfer -a anns"
        await client.delete("/apps/anns")
        assert (await client.delete("/users/ann@example.com")).status_code == 200
        assert (await client.delete("/users/dev@example.com")).status_code == 403
        async with platform.client(ann["api_key"]) as anns:
            assert (await anns.get("/account")).status_code == 401

    play(tmp_path, scenario)


async def fields_of(client, url):
    """What the login page's form holds, and its cookie."""
    shown = await client.get(url, headers={"Authorization": ""})
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
    assert "HttpOnly; SameSite=Strict" in shown.headers["set-cookie"]
    return {"form": re.search('name="form" value="([^"]+)"', shown.text)[1], "email": "dev@example.com"}, shown.text


def test_a_login_in_the_browser_hands_the_key_to_the_client_that_waits(tmp_path):
    async def scenario(platform, client):
        asked = (await client.post("/auth", json={"description": "CLI on <b>box</b>"})).json()
        waiting = asyncio.create_task(
            client.get(asked["cli_url"], headers={"Authorization": f"Bearer {asked['token']}"})
        )
        fields, text = await fields_of(client, asked["browser_url"])
        assert "CLI on &lt;b&gt;box&lt;/b&gt;" in text
        wrong = await client.post(asked["browser_url"], data={**fields, "password": "nonsense"})
        assert (wrong.status_code, "Invalid credentials" in wrong.text) == (401, True)
        done = await client.post(asked["browser_url"], data={**fields, "password": platform.key})
        assert (done.status_code, "You can close this page" in done.text) == (200, True)
        key = (await waiting).json()["access_token"]
        async with platform.client(key) as logged_in:
            sessions = (await logged_in.get("/oauth/sessions")).json()
            assert [each["description"] for each in sessions] == ["CLI on <b>box</b>"]
            assert (await logged_in.get("/oauth/authorizations/~")).json()["resource"] == "authorization"
            assert (await logged_in.delete("/oauth/sessions/~")).status_code == 200
            assert (await logged_in.get("/account")).status_code == 401
        again = await client.get(asked["cli_url"], headers={"Authorization": f"Bearer {asked['token']}"})
        assert again.status_code == 401
        over = await client.get(asked["browser_url"])
        assert over.status_code == 404

    play(tmp_path, scenario)


def test_a_login_is_waited_for_by_one_connection_at_a_time_the_latest(tmp_path):
    async def scenario(platform, client):
        asked = (await client.post("/auth", json={})).json()
        key = {"Authorization": f"Bearer {asked['token']}"}
        crowd = [asyncio.create_task(client.get(asked["cli_url"], headers=key)) for _ in range(5)]
        done, latest = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
        while len(latest) > 1:
            more, latest = await asyncio.wait(latest, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        assert {task.result().text for task in done} == {'{"error":"Nobody has logged in."}'}
        fields, _ = await fields_of(client, asked["browser_url"])
        await client.post(asked["browser_url"], data={**fields, "password": platform.key})
        assert (await latest.pop()).json()["access_token"].startswith("HRKU-")

    play(tmp_path, scenario)


def test_a_form_that_is_not_ours_logs_nobody_in(tmp_path):
    async def scenario(platform, client):
        asked = (await client.post("/auth", json={})).json()
        fields, _ = await fields_of(client, asked["browser_url"])
        data = {**fields, "password": platform.key}
        forged = await client.post(asked["browser_url"], data={**data, "form": "guess"})
        assert forged.status_code == 403
        cross = await client.post(asked["browser_url"], data=data, headers={"Sec-Fetch-Site": "cross-site"})
        assert cross.status_code == 403
        client.cookies.clear()
        assert (await client.post(asked["browser_url"], data=data)).status_code == 403
        assert (await client.post(asked["browser_url"], content=b"x" * 10_000)).status_code == 413
        stolen = await client.get(asked["cli_url"], headers={"Authorization": "Bearer guess"})
        assert stolen.status_code == 401

    play(tmp_path, scenario)


def test_logging_out_with_the_key_of_a_login_ends_it_and_leaves_long_lived_keys(tmp_path):
    async def scenario(platform, client):
        assert (await client.delete("/oauth/sessions/~")).json() == {
            "id": "not_found", "message": "Couldn't find that session.", "resource": "session",
        }
        own = (await client.get("/oauth/authorizations/~")).json()
        assert own["access_token"]["token"] == platform.key
        assert (await client.get("/account")).status_code == 200

    play(tmp_path, scenario)


def test_every_change_is_in_the_audit_with_who_did_it_and_without_secrets(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        await client.patch("/apps/demo/config-vars", json={"PASSWORD": "hunter2"})
        await client.post("/apps/demo/domains", json={"hostname": "www.example.com"})
        changes = (await client.get("/apps/demo/changes")).json()
        assert [(each["user"]["email"], each["action"], each["detail"]) for each in changes] == [
            ("dev@example.com", "create app", ""),
            ("dev@example.com", "release v3", "Set PASSWORD config vars"),
            ("dev@example.com", "add domain", "www.example.com"),
        ]
        assert len((await client.get("/apps/demo/changes?max=1")).json()) == 1
        assert (await client.get("/apps/demo/changes?max=-1")).status_code == 422
        everything = await client.get("/changes")
        assert "hunter2" not in everything.text
        _, key = platform.user("ann@example.com")
        async with platform.client(key) as anns:
            assert (await anns.get("/changes")).status_code == 403
            assert (await anns.get("/apps/demo/changes")).status_code == 404

    play(tmp_path, scenario)
