"""The sample app: its pages in this process, its dynos as real ones, started from its own Procfile."""

import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "sample_app"
WAIT_S = 20  # for a line or an end: a limit for a broken app, no good one comes near it

sys.path.insert(0, str(SAMPLE))  # its modules are top-level ones, as on Heroku


def entries(procfile: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+): (.+)$", procfile.read_text(), re.MULTILINE))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- the files --


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


# -- the pages, without a server --


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


# -- the data --


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


# -- the dynos --


class Dyno:
    """One entry of the sample app's Procfile, run by a shell as a process manager would."""

    def __init__(self, kind: str, database: Path, **env: str) -> None:
        command = entries(SAMPLE / "Procfile")[kind].replace("0.0.0.0", "127.0.0.1")
        inherited = {k: v for k, v in os.environ.items() if k not in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.port = free_port() if kind == "web" else 0
        self.process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=SAMPLE,
            env=inherited
            | {"PATH": path, "DYNO": f"{kind}.1", "PORT": str(self.port), "DATABASE_PATH": str(database)}
            | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.output = ""

    def line(self, pattern: str) -> None:
        """Wait for a line that matches and take everything up to its end."""
        while not (found := re.search(rf"{pattern}.*\n", self.output)):
            assert self._read(), f"ended without {pattern!r}:\n{self.output}"
        self.output = self.output[found.end() :]

    def end(self) -> tuple[int, str]:
        """Wait until every process of the dyno has ended: only then is its output at an end."""
        while self._read():
            pass
        return self.process.wait(WAIT_S), self.output

    def get(self, address: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request("GET", address)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def close(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # the session is ours: see start_new_session
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()

    def _read(self) -> bool:
        ready, _, _ = select.select([self.process.stdout], [], [], WAIT_S)
        assert ready, f"nothing came for {WAIT_S} s after:\n{self.output}"
        chunk = os.read(self.process.stdout.fileno(), 65536)
        self.output += chunk.decode()
        return bool(chunk)


@pytest.fixture
def start(store):
    """Start dynos of the sample app; all are gone after the test."""
    started = []

    def start_one(kind: str, **env: str) -> Dyno:
        started.append(Dyno(kind, store.path, **env))
        return started[-1]

    yield start_one
    for dyno in started:
        dyno.close()


def test_release_prepares_once(start, store):
    status, output = start("release", HEROKU_RELEASE_VERSION="v3").end()
    assert (status, output) == (0, f"release v3: database {store.path}\napplied 3 migration(s)\n")
    assert start("release").end() == (
        0,
        f"release local: database {store.path}\nnothing to do: it is up to date\n",
    )


def test_release_that_cannot_says_why(start, store):
    store.path.parent.write_text("in the way")
    status, output = start("release").end()
    assert status == 1
    assert output.startswith(f"cannot prepare the database {store.path}: ")
    assert output.count("\n") == 1


def test_worker_finishes_its_job_when_told_to_stop(start, store):
    store.enqueue("button", 0.3)
    store.enqueue("button", 0.3)
    worker = start("worker")
    worker.line("job 1 .* started")
    worker.process.send_signal(signal.SIGTERM)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.end() == (0, "job 1 (button) done in 0.3 s\nstopped after 1 job(s)\n")
    assert [job.state for job in store.latest_jobs()] == ["waiting", "done"]


def test_killed_worker_does_its_job_again(start, store):
    store.enqueue("button", 30)
    worker = start("worker")
    worker.line("job 1 .* started")
    worker.process.kill()
    assert worker.end()[0] == -signal.SIGKILL
    again = start("worker")
    again.line("an earlier run of worker.1 left 1 job")
    again.line("job 1 .* started")


def test_clock_ticks_without_filling_the_queue_and_stops(start, store):
    clock = start("clock", CLOCK_INTERVAL="0.05")
    clock.line("tick 1: queued job 1")
    clock.line("tick 2: the last job still waits for a worker")
    store.finish(store.claim("worker.1"))
    clock.line("queued job 2")
    clock.process.send_signal(signal.SIGTERM)
    status, output = clock.end()
    assert status == 0
    assert re.search(r"stopped after \d+ tick\(s\)\n$", output)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("kind", "asleep", "last"),
    [
        ("worker", "ready for jobs", "stopped after 0 job(s)\n"),
        ("clock", "tick 1", "stopped after 1 tick(s)\n"),
    ],
)
def test_sleepers_wake_to_stop(start, kind, asleep, last, number):
    dyno = start(kind, WORKER_POLL="3600", CLOCK_INTERVAL="3600")
    dyno.line(asleep)
    dyno.process.send_signal(number)
    assert dyno.end() == (0, last)


@pytest.mark.parametrize("interval", ["0", "-1", "soon", "nan", "inf"])
def test_clock_refuses_an_interval_that_is_none(start, interval):
    status, output = start("clock", CLOCK_INTERVAL=interval).end()
    assert status == 1
    assert output.startswith(f"cannot use CLOCK_INTERVAL={interval}: a number of seconds above 0 is wanted")


def test_crash_kills_master_and_workers(start, store):
    web = start("web", WEB_CONCURRENCY="2")
    web.line("Booting worker")
    web.line("Booting worker")
    assert json.loads(web.get("/?format=json")[1])["dyno"] == "web.1"
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        web.get("/crash")
    status, output = web.end()  # the end of the output: no worker is left
    assert status == -signal.SIGKILL
    assert "web.1 is asked to crash\n" in output
    assert store.visit() == 2, "the count outlives the crash"


def test_exit_answers_and_ends_the_dyno_with_the_status(start):
    web = start("web")
    web.line("Listening at")
    assert web.get("/exit?status=3") == (200, "web.1 ends with status 3\n")
    assert web.end()[0] == 3


def test_web_stops_with_status_0_when_told_and_logs_its_requests(start):
    web = start("web")
    web.line("Listening at")
    assert web.get("/health")[0] == 200
    web.line(r"GET /health 200 in \d+ ms")
    web.process.send_signal(signal.SIGTERM)
    assert web.end()[0] == 0
