"""Guessing is slowed down, by who guesses and at which account, and keeps nobody else out."""

import os
import socket
import sqlite3

import httpx
import pytest

from procman.errors import TryLater
from procman.gitpush.transport import Git
from procman.platform import users
from procman.platform.attempts import MOST_REMEMBERED, Attempts, Buckets
from procman.platform.callers import caller_of
from procman.platform.git_access import GitAccess
from tests.api_cases import play
from tests.test_api_keys import basic, fields_of

LOGIN = "/oauth/authorizations"
EVE, ANN, BOB = ("203.0.113.9", 1), ("198.51.100.7", 1), ("192.0.2.5", 1)
SERVER = ("192.0.2.1", 5000)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def tried(attempts, caller, email) -> bool:
    """Whether a wrong password was looked at."""
    try:
        attempts.begin(caller, email)
    except TryLater:
        return False
    return True


def test_a_bucket_fills_up_a_token_at_a_time():
    clock = Clock()
    bucket = Buckets(3, 10.0, clock)
    for _ in range(3):
        assert bucket.wait("eve") == 0
        bucket.take("eve")
    assert bucket.wait("eve") == 10
    assert bucket.wait("ann") == 0
    clock.now += 4
    assert bucket.wait("eve") == 6
    clock.now += 6
    assert bucket.wait("eve") == 0
    bucket.take("eve")
    assert bucket.wait("eve") == 10
    bucket.give_back("eve")
    assert bucket.wait("eve") == 0
    clock.now += 1000
    for _ in range(3):  # no more than three, however long nobody came
        bucket.take("eve")
    assert bucket.wait("eve") == 10


def test_only_the_latest_callers_are_remembered():
    bucket = Buckets(1, 1000.0, Clock())
    for number in range(MOST_REMEMBERED + 1):
        bucket.take(str(number))
    assert bucket.wait("0") == 0
    assert bucket.wait("1") == 1000


@pytest.mark.parametrize("every", [0.1, 1.0, 20.0, 600.0])
def test_one_attacker_never_locks_anybody_else_out(every):
    clock = Clock()
    attempts = Attempts(clock)
    looked_at = 0
    begun = clock.now
    while clock.now < begun + 3600:
        looked_at += tried(attempts, "eve", "ann@example.com")
        clock.now += every
        assert tried(attempts, "ann", "ann@example.com")
        attempts.right("ann", "ann@example.com")
        assert tried(attempts, "bob", "bob@example.com")
        attempts.right("bob", "bob@example.com")
    assert looked_at <= 10 + 3600 / 30


def test_many_attackers_on_one_account_guess_no_faster_than_its_bucket_fills():
    clock = Clock()
    attempts = Attempts(clock)
    looked_at = sum(tried(attempts, f"eve {number}", "ann@example.com") for number in range(1000))
    assert looked_at == 30
    clock.now += 3600
    looked_at = sum(tried(attempts, f"eve {number}", "ann@example.com") for number in range(1000))
    assert looked_at == 30
    assert tried(attempts, "eve 1000", "bob@example.com")


def calling(platform, ends=EVE, app=None) -> httpx.AsyncClient:
    """A client at another address."""
    transport = httpx.ASGITransport(app or platform.api, client=ends)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{SERVER[0]}:{SERVER[1]}")


def test_a_caller_that_guesses_is_told_when_to_come_back_and_others_log_in(tmp_path):
    async def scenario(platform, client):
        clock = Clock()
        platform.host.attempts = Attempts(clock)
        made = await client.post("/users", json={"email": "ann@example.com", "password": "correct horse"})
        wrong, right = basic("ann@example.com", "wrong"), basic("Ann@Example.com", "correct horse")
        async with calling(platform) as eve, calling(platform, ANN) as ann:
            for _ in range(10):
                assert (await eve.post(LOGIN, headers=wrong)).status_code == 401
            for headers in (wrong, basic("ann@example.com", "correct horse"), basic("nobody@example.com", "x")):
                stopped = await eve.post(LOGIN, headers=headers)
                assert (stopped.status_code, stopped.json()["id"]) == (429, "rate_limit")
                assert stopped.headers["Retry-After"] == "30"
                assert stopped.headers["RateLimit-Remaining"] == "0"
                assert stopped.json()["message"].endswith("Try again in 30 seconds.")
            assert (await eve.post(LOGIN, headers=basic("", made.json()["api_key"]))).status_code == 201
            assert (await ann.post(LOGIN, headers=right)).status_code in (201, 401)  # an e-mail's case is the store's
            assert (await ann.post(LOGIN, headers=basic("ann@example.com", "correct horse"))).status_code == 201
            clock.now += 30
            assert (await eve.post(LOGIN, headers=basic("ann@example.com", "correct horse"))).status_code == 201
            assert (await eve.post(LOGIN, headers=wrong)).status_code == 401
            assert (await eve.post(LOGIN, headers=wrong)).status_code == 429

    play(tmp_path, scenario)


def test_the_login_page_and_the_change_of_a_password_count_too(tmp_path):
    async def scenario(platform, client):
        platform.host.attempts = Attempts(Clock())
        asked = (await client.post("/auth", json={})).json()
        fields, _ = await fields_of(client, asked["browser_url"])
        await client.patch("/account", json={"new_password": "correct horse"})
        for _ in range(5):
            wrong = await client.post(asked["browser_url"], data={**fields, "password": "wrong"})
            assert wrong.status_code == 401
            wrong = await client.patch("/account", json={"password": "wrong", "new_password": "battery staple"})
            assert wrong.status_code == 401
        stopped = await client.post(asked["browser_url"], data={**fields, "password": "correct horse"})
        assert (stopped.status_code, "Try again in" in stopped.text) == (429, True)
        assert int(stopped.headers["Retry-After"]) in range(1, 31)
        stopped = await client.patch("/account", json={"password": "correct horse", "new_password": "battery staple"})
        assert stopped.status_code == 429
        assert (await client.patch("/account", json={"name": "Dev"})).status_code == 200
        done = await client.post(asked["browser_url"], data={**fields, "password": platform.key})
        assert done.status_code == 200

    play(tmp_path, scenario)


def test_a_new_password_that_will_not_do_is_no_guess_of_the_present_one(tmp_path):
    async def scenario(platform, client):
        await client.patch("/account", json={"new_password": "correct horse"})
        for old in ("correct horse", "wrong") * 6:  # the old one is not even looked at
            refused = await client.patch("/account", json={"password": old, "new_password": "short"})
            assert (refused.status_code, "8 characters or more" in refused.json()["message"]) == (422, True)
        done = await client.patch("/account", json={"password": "correct horse", "new_password": "battery staple"})
        assert done.status_code == 200

    play(tmp_path, scenario)


@pytest.mark.slow
def test_a_right_password_that_cannot_be_changed_now_is_no_wrong_one(tmp_path, monkeypatch):
    async def scenario(platform, client):
        await client.patch("/account", json={"new_password": "correct horse"})
        change = {"password": "correct horse", "new_password": "battery staple"}

        def full(tx, *words, **more):
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as disk:
            disk.setattr(users.tables.users, "update", full)
            for _ in range(11):
                assert (await client.patch("/account", json=change)).status_code == 503
        assert (await client.patch("/account", json=change)).status_code == 200

    play(tmp_path, scenario)


def test_what_cannot_be_an_account_is_not_remembered(tmp_path):
    async def scenario(platform, client):
        for _ in range(11):
            refused = await client.post(LOGIN, headers=basic(f"{'x' * 320}@example.com", "wrong"))
            assert refused.status_code == 401

    play(tmp_path, scenario)


def test_wrong_keys_are_stopped_and_right_ones_never(tmp_path):
    async def scenario(platform, client):
        clock = Clock()
        platform.host.attempts = Attempts(clock)
        git = Git(GitAccess(platform.host, platform.host.builds))
        refs = "/demo.git/info/refs?service=git-receive-pack"
        async with calling(platform) as api, calling(platform, app=git) as eve, calling(platform, BOB, git) as bob:
            for _ in range(30):
                assert (await api.get("/apps", headers={"Authorization": "Bearer guess"})).status_code == 401
                assert (await eve.get(refs, headers=basic("", "guess"))).status_code == 401
            stopped = await eve.get(refs, headers=basic("", "guess"))
            assert (stopped.status_code, stopped.headers["Retry-After"]) == (429, "1")
            assert stopped.text == "too many wrong keys from where you are\n"
            assert (await api.get("/apps", headers={"Authorization": "Bearer guess"})).status_code == 429
            assert (await api.get("/apps", headers={"Authorization": f"Bearer {platform.key}"})).status_code == 200
            assert (await eve.get(refs, headers=basic("", platform.key))).status_code == 404  # who it is, is known
            assert (await eve.get(refs)).status_code == 401  # git asks without a key first: that is no guess
            assert (await bob.get(refs, headers=basic("", "guess"))).status_code == 401
            clock.now += 1
            assert (await eve.get(refs, headers=basic("", "guess"))).status_code == 401

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("client", "caller"),
    [
        (None, "socket"),
        (("", 0), "socket"),
        (("203.0.113.9", 4000), "203.0.113.9"),
        (("2001:db8:1:2:3:4:5:6", 4000), "2001:db8:1:2::/64"),
        (("127.0.0.1", 1), "loopback"),
    ],
)
def test_a_caller_is_a_host_or_an_ipv6_network(client, caller):
    assert caller_of(client, ("127.0.0.1", 5000)) == caller


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_callers_on_this_host_are_told_apart_by_whose_process_they_are(family, host):
    with socket.create_server((host, 0), family=family) as server, socket.socket(family) as client:
        client.connect(server.getsockname())
        ends = client.getsockname()[:2], server.getsockname()[:2]
        assert caller_of(*ends) == f"user {os.geteuid()}"


def test_an_ipv6_socket_that_calls_an_ipv4_address_is_somebodys_too():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
        ends = ("127.0.0.1", client.getsockname()[1]), server.getsockname()
        assert caller_of(*ends) == f"user {os.geteuid()}"


def test_whoever_has_hung_up_is_not_taken_for_root():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            ends = client.getsockname(), server.getsockname()
        with server.accept()[0]:
            assert caller_of(*ends) == "loopback"
