"""Health checks of real dynos: by HTTP, by a command and by what they tell of themselves."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.harness import DEADLINE_S
from tests.test_endurance import LONG_S, patience
from tests.test_outliving import detach, end, kill, log, pids, rows, supervisor_of
from tests.test_upgrade_local import upgrade

WEB = "web: exec python3 $CHILDREN/healthy.py\n"
SERVICE = "db: exec python3 $CHILDREN/notifying.py\n"
CHECKED = '[health.web]\nhttp = "/health"\n'
ALIVE = 'liveness = true\nevery = "100ms"\nfailures = 2\n'
NOTIFY = "[health.db]\nnotify = true\n"


def settings(shop, text: str) -> None:
    (shop.directory / ".procman.toml").write_text(text)


def answer(shop, status: str) -> None:
    """What the web process answers from now on."""
    (shop.directory / "health.new").write_text(status)
    os.replace(shop.directory / "health.new", shop.directory / "health")


def order(shop, notice: str) -> None:
    """Have the service tell this."""
    with open(shop.directory / "orders", "w") as orders:
        orders.write(f"{notice}\n")


def state(shop, dyno: str) -> str:
    return rows(shop)[dyno]["state"]


def until(found) -> None:
    """Ask, each time anew, until it is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not found():
        assert time.monotonic() < deadline, "it has not come true"


def test_a_dyno_with_a_readiness_check_is_starting_until_it_is_healthy(workshop):
    workshop.procfile(WEB)
    settings(workshop, CHECKED)
    answer(workshop, "503")
    running = workshop.start()
    running.wait_for("asked for /health")
    running.wait_for("asked for /health")
    row = rows(workshop)["web.1"]
    assert (row["state"], row["finding"]) == ("starting", "GET /health was answered with 503")
    said = workshop.call("explain", "web.1").stdout
    assert "; last health check: GET /health was answered with 503" in said
    answer(workshop, "204")
    running.wait_for("State changed from starting to up")
    assert rows(workshop)["web.1"]["finding"] == ""
    assert running.finish(signal.SIGTERM) == 143


def test_a_server_that_turns_sick_is_started_again_and_the_log_and_explain_say_why(workshop):
    workshop.procfile(WEB)
    settings(workshop, CHECKED + ALIVE)
    running = workshop.start()
    running.wait_for("State changed from starting to up")
    answer(workshop, "500")
    running.wait_for("Health check failed 2 times in a row: GET /health was answered with 500")
    running.wait_for("Stopping all processes with SIGTERM")
    running.wait_for("State changed from up to crashed")
    answer(workshop, "200")
    running.wait_for("begun")
    running.wait_for("State changed from starting to up")
    assert rows(workshop)["web.1"]["restarts"] == 1
    assert "failed its health check: GET /health was answered with 500" in workshop.call("explain", "web.1").stdout
    assert running.finish(signal.SIGTERM) == 143


def test_a_server_that_keeps_us_waiting_is_sick_and_the_policy_says_what_comes_then(workshop):
    workshop.procfile(WEB)
    settings(workshop, CHECKED + ALIVE + 'timeout = "100ms"\n')
    running = workshop.start("--restart", "never")
    running.wait_for("State changed from starting to up")
    answer(workshop, "")
    running.wait_for("Health check failed 2 times in a row: GET /health was not answered within 0.1 seconds")
    running.wait_for("Not restarted .policy never.: killed by SIGTERM .failed its health check")
    assert running.finish() == 143


def test_who_is_not_healthy_in_time_is_told_of_and_killed_where_the_policy_kills(workshop):
    workshop.procfile(WEB)
    settings(workshop, CHECKED + 'within = "300ms"\n')
    answer(workshop, "404")
    running = workshop.start("--restart", "heroku")
    why = r"Process failed its health check \(GET /health"
    running.wait_for(rf"Error R10 \(Boot timeout\) -> {why}")
    running.wait_for("Stopping process with SIGKILL")
    assert running.finish(signal.SIGTERM) == 143


def test_a_command_is_run_in_the_dynos_environment_and_killed_with_all_it_started_when_it_is_late(workshop):
    workshop.procfile("db: exec sleep 1000\n")
    check = "echo $DYNO in $PWD >> asked; sleep 1000 & test -e ready && exit 0; test -e slow && wait; exit 3"
    settings(workshop, f"[health.db]\ncommand = '{check}'\ntimeout = \"200ms\"\n")
    running = workshop.start()
    running.wait_for("Starting process")
    until(lambda: rows(workshop)["db.1"]["finding"] == f"`{check}` ended with status 3")
    (workshop.directory / "slow").touch()
    until(lambda: rows(workshop)["db.1"]["finding"] == f"`{check}` has not ended within 0.2 seconds")
    assert state(workshop, "db.1") == "starting"
    (workshop.directory / "ready").touch()
    running.wait_for("State changed from starting to up")
    asked = (workshop.directory / "asked").read_text().splitlines()
    assert set(asked) == {f"db.1 in {workshop.directory}"}
    assert running.finish(signal.SIGTERM) == 143
    assert workshop.wait_until_gone() == []


def test_a_service_tells_that_it_is_ready_what_it_does_and_that_it_is_alive(workshop):
    workshop.procfile(SERVICE)
    settings(workshop, NOTIFY + 'liveness = true\nevery = "300ms"\nfailures = 1\n')
    running = workshop.start()
    running.wait_for("begun 300000")
    order(workshop, "STATUS=Replaying")
    running.wait_for("told STATUS")
    row = rows(workshop)["db.1"]
    assert (row["state"], row["finding"], row["note"]) == ("starting", "READY=1 has not come", "Replaying")
    assert "it says: Replaying" in workshop.call("explain", "db.1").stdout
    order(workshop, "READY=1|STATUS=Serving")
    running.wait_for("State changed from starting to up")
    running.wait_for("Health check failed once: WATCHDOG=1 has not come for 0.3 seconds")
    running.wait_for("begun 300000")
    assert running.finish(signal.SIGTERM) == 143


def test_a_dyno_that_was_up_stays_up_and_can_tell_when_our_program_is_replaced(workshop):
    workshop.procfile(WEB + SERVICE)
    settings(workshop, CHECKED + NOTIFY)
    running = workshop.start()
    running.wait_for(r"web.1 .*to up")
    until((workshop.directory / "orders").exists)
    before = pids(workshop)
    assert upgrade(workshop)["ok"]
    assert (state(workshop, "web.1"), state(workshop, "db.1")) == ("up", "starting")
    order(workshop, "READY=1")
    running.wait_for(r"db.1 .*to up")
    assert upgrade(workshop)["ok"]
    assert (pids(workshop), state(workshop, "db.1")) == (before, "up")
    assert running.finish(signal.SIGTERM) == 143


def test_the_next_supervisor_goes_on_checking_what_a_killed_one_left(workshop):
    workshop.procfile(WEB + SERVICE)
    settings(workshop, CHECKED + ALIVE + NOTIFY)
    pid = detach(workshop)
    until(lambda: state(workshop, "web.1") == "up" and (workshop.directory / "orders").exists())
    before = pids(workshop)
    kill(pid)
    detach(workshop)
    assert (pids(workshop), state(workshop, "web.1"), state(workshop, "db.1")) == (before, "up", "starting")
    order(workshop, "READY=1")
    until(lambda: state(workshop, "db.1") == "up")
    answer(workshop, "500")
    until(lambda: rows(workshop)["web.1"]["restarts"] > 0)
    assert "Health check failed 2 times in a row: GET /health was answered with 500" in log(workshop)
    end(workshop)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[health.web]\n", ".procman.toml:1: web: one of http, command and notify is wanted"),
        ('[health.web]\nhttp = "/"\nnotify = true\n', "web: one of http, command and notify is wanted, not http and"),
        ('[health.web]\nhttp = "health"\n', "web.http: 'health' is no path that begins with '/'"),
        ('[health.web]\nhttp = "/"\nwithin = "soon"\n', "web.within: not a duration such as 30, 30s, 500ms or 5m"),
        ('[health.web]\nhttp = "/"\nhttps = true\n', "web: there is no 'https': there are http, command"),
        ('[health.all]\nhttp = "/"\n', "'all' is not a process type"),
        ('[health]\nweb = "/"\n', "web: a table is wanted"),
        ("health = 3\n", "a table by type is wanted, such as"),
        ('[health.wbe]\nhttp = "/"\n', "no process type 'wbe' in Procfile: did you mean 'web'?"),
    ],
)
def test_what_is_no_check_is_refused_where_it_is_written(workshop, text, why):
    workshop.procfile(WEB)
    settings(workshop, text)
    refused = workshop.call("start")
    assert refused.returncode in (1, 2)
    assert why in refused.stderr
    assert "Traceback" not in refused.stderr


def test_checks_come_from_app_json_in_dokkus_form(workshop):
    workshop.procfile(WEB + "worker: exec sleep 1000\n")
    (workshop.directory / "app.json").write_text(
        '{"healthchecks": {"web": [{"type": "startup", "path": "/"}, {"type": "readiness", "path": "/ready"},'
        ' {"type": "liveness", "command": ["test", "!", "-e", "sick"], "attempts": 1, "wait": 0.1}],'
        ' "gone": [{"type": "readiness", "path": "/"}]}, "formation": {"worker": {"needs": ["web"]}}}'
    )
    running = workshop.start()
    running.wait_for("Waiting for web")
    running.wait_for("asked for /ready")
    running.wait_for(r"worker.1 .*to up")
    (workshop.directory / "sick").touch()
    running.wait_for("Health check failed once: `test '!' -e sick` ended with status 1")
    assert running.finish(signal.SIGTERM) == 143


def test_somebody_elses_word_at_the_socket_is_no_trouble(workshop):
    workshop.procfile(SERVICE)
    settings(workshop, NOTIFY)
    running = workshop.start()
    running.wait_for("begun")
    environ = Path(f"/proc/{pids(workshop)['db.1']}/environ").read_bytes().split(b"\0")
    (path,) = (Path(os.fsdecode(word[14:])) for word in environ if word.startswith(b"NOTIFY_SOCKET="))
    assert path.parent.stat().st_mode & 0o077 == 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        for words in (b"", b"\xff\xfe=\n=\n", b"READY", b"READY=0", b"X" * 100_000):
            teller.sendto(words, str(path))
    assert path.exists()
    assert state(workshop, "db.1") == "starting"
    order(workshop, "READY=1")
    running.wait_for("State changed from starting to up")
    assert running.finish(signal.SIGTERM) == 143
    assert not path.parent.exists()


def test_a_check_that_hangs_ends_with_a_procman_that_is_killed(workshop):
    workshop.procfile("db: exec sleep 1000\n")
    check = "touch asked; trap : TERM; while :; do sleep 1000; done"
    settings(workshop, f'[health.db]\ncommand = "{check}"\ntimeout = "1h"\n')
    running = workshop.start()
    until((workshop.directory / "asked").exists)
    assert running.finish(signal.SIGKILL) == 137
    assert workshop.wait_until_gone() == []


def test_who_waits_for_the_start_waits_for_health_and_one_that_is_starting_goes_on_under_the_next(workshop):
    workshop.procfile(WEB + "worker: exec sleep 1000\n")
    settings(workshop, CHECKED + 'within = "1h"\n[needs]\nworker = ["web"]\n')
    answer(workshop, "503")
    waited = workshop.call("start", "--detach", "--wait-timeout", "500ms")
    assert waited.returncode == 1
    assert "web.1 is not up after 0.5s, nor worker.1" in waited.stderr
    before = pids(workshop)
    kill(supervisor_of(workshop))
    detach(workshop)
    assert state(workshop, "web.1") == "starting"
    answer(workshop, "200")
    until(lambda: state(workshop, "worker.1") == "up")
    assert pids(workshop)["web.1"] == before["web.1"]
    end(workshop)


def test_other_checks_are_in_force_after_a_reload(workshop):
    workshop.procfile(WEB)
    running = workshop.start()
    running.wait_for("State changed from starting to up")
    settings(workshop, CHECKED)
    assert workshop.call("reload").returncode == 0
    running.wait_for("asked for /health")
    running.wait_for("State changed from starting to up")
    settings(workshop, "")
    assert workshop.call("reload").returncode == 0
    running.wait_for("State changed from starting to up")
    assert rows(workshop)["web.1"]["restarts"] == 2
    assert running.finish(signal.SIGTERM) == 143


def test_once_all_are_up_nothing_wakes_us_unless_it_is_asked_for(workshop):
    workshop.procfile(WEB + SERVICE + "worker: exec sleep 1000\n")
    settings(workshop, CHECKED + NOTIFY + '[health.worker]\ncommand = "true"\n[needs]\nworker = ["web", "db"]\n')
    running = workshop.start()
    until((workshop.directory / "orders").exists)
    running.wait_for("web.1 .*to up")
    assert rows(workshop)["worker.1"]["waits_for"] == "db"
    until(lambda: 30 < patience(running.pid) < 60)  # until the boot timeout of the one that has not told yet
    order(workshop, "READY=1")
    running.wait_for("worker.1 .*to up")
    until(lambda: patience(running.pid) > LONG_S)
    assert running.finish(signal.SIGTERM) == 143
