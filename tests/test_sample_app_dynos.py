"""The sample app's dynos as real ones, started from its own Procfile."""

import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import free_port
from tests.sample import SAMPLE, WAIT_S, entries


@pytest.fixture
def store(tmp_path):
    from store import Store

    return Store(tmp_path / "data" / "sample.sqlite3")


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
    store.enqueue("button", 2)
    store.enqueue("button", 2)
    worker = start("worker")
    worker.line("job 1 .* started")
    worker.process.send_signal(signal.SIGTERM)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.end() == (0, "job 1 (button) done in 2 s\nstopped after 1 job(s)\n")
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
