"""The sample app: its files, its pages and its data, in this process."""

import json
import os
import re
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.sample import ROOT, SAMPLE, WAIT_S, entries


def test_both_procfiles_run_the_same_commands():
    here, there = entries(ROOT / "Procfile"), entries(SAMPLE / "Procfile")
    assert list(there) == ["web", "worker", "clock", "release"]
    assert here == {kind: f"cd sample_app && exec {command}" for kind, command in there.items()}


def test_app_json_and_env_example_name_the_same_variables_with_the_same_values():
    described = json.loads((SAMPLE / "app.json").read_text())
    example = dict(re.findall(r"^(\w+)=(.*)$", (SAMPLE / ".env.example").read_text(), re.MULTILINE))
    assert {key: entry["value"] for key, entry in described["env"].items()} == example
    assert not any(entry["required"] for entry in described["env"].values())
    assert set(described["formation"]) == set(entries(SAMPLE / "Procfile")) - {"release"}


def test_every_requirement_is_pinned():
    lines = (SAMPLE / "requirements.txt").read_text().split()
    assert lines
    assert all(re.fullmatch(r"[a-z]+==[\d.]+", line) for line in lines)


@pytest.fixture
def store(tmp_path):
    from store import Store

    return Store(tmp_path / "data" / "sample.sqlite3")


@pytest.fixture
def ends():
    """What /crash and /exit asked for."""
    return []


@pytest.fixture
def client(store, ends, monkeypatch):
    from app import create_app

    monkeypatch.setenv("DYNO", "web.7")
    monkeypatch.setenv("PORT", "5060")
    for name in ("HEROKU_RELEASE_VERSION", "GREETING"):
        monkeypatch.delenv(name, raising=False)
    return create_app(store, crash=lambda: ends.append("crash"), leave=ends.append).test_client()


def test_page_shows_the_dyno_and_counts_visits(client, monkeypatch):
    monkeypatch.setenv("GREETING", "<b>Ahoy")
    assert client.get("/").status_code == 200
    page = client.get("/").text
    for fact in (
        "<dd>web.7</dd>",
        "<dd>5060</dd>",
        "<dd>local</dd>",
        f"<dd>{os.getpid()}, ",
        "<dd>2</dd>",
        "&lt;b&gt;Ahoy",
    ):
        assert fact in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page), (
        "the page must need nothing from elsewhere"
    )


def test_page_in_json(client, monkeypatch):
    monkeypatch.setenv("HEROKU_RELEASE_VERSION", "v12")
    facts = client.get("/", headers={"Accept": "application/json"}).json
    assert facts.pop("up_seconds") >= 0
    assert facts == {"dyno": "web.7", "port": "5060", "release": "v12", "pid": os.getpid(), "visits": 1}
    assert client.get("/?format=json").json["visits"] == 2


def test_health_counts_no_visit(client):
    assert client.get("/health").json == {"status": "ok", "dyno": "web.7", "pid": os.getpid()}
    assert client.get("/?format=json").json["visits"] == 1


def test_button_queues_a_job_and_the_page_lists_it(client, store):
    assert client.post("/jobs").status_code == 303
    assert client.post("/jobs", data={"seconds": "0", "format": "json"}).json == {"job": 2}
    assert [job.seconds for job in store.latest_jobs()] == [0, 2]
    assert "<td>job 2</td><td>button</td><td>waiting</td>" in client.get("/").text
    assert client.get("/jobs").status_code == 405, "a link that is only looked at must not add a job"


def test_crash_and_exit_reach_the_ends(client, ends, capfd):
    client.get("/crash")
    client.get("/exit")
    assert client.post("/exit?status=3").text == "web.7 ends with status 3\n"
    assert ends == ["crash", 1, 3]
    assert capfd.readouterr().out.splitlines()[0] == "web.7 is asked to crash"


def test_leak_adds_up_and_slow_says_how_slow(client):
    assert client.get("/leak?mb=1").text == "web.7 keeps 1 MB\n"
    assert client.get("/leak?mb=2&format=json").json == {"mb": 3}
    assert client.get("/slow?seconds=0").text == "web.7 answers after 0 s\n"


@pytest.mark.parametrize(
    "address",
    [
        "/exit?status=256",
        "/exit?status=-1",
        "/exit?status=x",
        "/leak?mb=0",
        "/leak?mb=nan",
        "/slow?seconds=inf",
    ],
)
def test_bad_numbers_are_refused_with_the_bounds(client, ends, address):
    answer = client.get(address)
    assert answer.status_code == 400
    assert f"cannot use {address.partition('?')[2]}: a number from " in answer.text
    assert ends == []


@pytest.mark.parametrize("address", ["/", "/health"])
def test_unusable_database_is_one_line(client, store, address):
    store.path.parent.write_text("a file where the folder should be")
    answer = client.get(address)
    assert answer.status_code == 503
    assert answer.text.startswith(f"cannot use the database {store.path}: ")
    assert answer.text.count("\n") == 1


def test_tables_appear_by_themselves_and_again_when_the_file_is_gone(store):
    assert store.visit() == 1
    assert store.prepare() == 0
    store.path.unlink()
    assert store.visit() == 1


def test_half_migrated_file_gets_the_rest(store, monkeypatch):
    import store as module

    with monkeypatch.context() as older:
        older.setattr(module, "MIGRATIONS", module.MIGRATIONS[:1])
        store.visit()
    assert store.enqueue("a", 0) == 1, "its table came with the first use"
    assert store.prepare() == 0
    assert store.visits() == 1


def test_jobs_are_claimed_in_order_once_and_come_back_to_their_dyno(store):
    first, second = store.enqueue("a", 0), store.enqueue("b", 0)
    assert store.claim("worker.1").id == first
    assert store.claim("worker.2").id == second
    assert store.claim("worker.1") is None
    assert store.take_back("worker.1") == 1
    again = store.claim("worker.1")
    assert again.id == first
    store.finish(again)
    assert store.take_back("worker.1") == 0
    assert [(job.state, job.dyno) for job in store.latest_jobs()] == [
        ("running", "worker.2"),
        ("done", "worker.1"),
    ]


def test_old_jobs_are_forgotten(store, monkeypatch):
    import store as module

    monkeypatch.setattr(module, "KEPT_JOBS", 2)
    for _ in range(5):
        store.enqueue("a", 0)
        store.finish(store.claim("worker.1"))
    assert [job.id for job in store.latest_jobs()] == [5, 4]


def _use(path: Path, together, results) -> None:
    from store import Store

    store, me, claimed = Store(path), os.getpid(), []
    together.wait(WAIT_S)  # so that all find the file missing
    for turn in range(25):
        store.visit()
        store.enqueue_once(f"job {turn} of {me}", 0)
        claimed.append(store.claim("worker.1").id)
    results.put(claimed)


def test_processes_share_a_file_that_none_prepared(store):
    context = get_context("spawn")
    together, results = context.Barrier(4), context.Queue()
    users = [context.Process(target=_use, args=(store.path, together, results)) for _ in range(4)]
    for user in users:
        user.start()
    try:
        claimed = [number for _ in users for number in results.get(timeout=WAIT_S)]
    finally:
        for user in users:
            user.join(WAIT_S)
            user.kill()
    assert store.visits() == 100
    assert sorted(claimed) == list(range(1, 101)), "each job went to exactly one process"
