"""`procman forever start` and the actions on what runs."""

import os
import re
import select

import pytest

from tests.forever import STEADY, script
from tests.harness import DEADLINE_S, poll
from tests.proc import command, is_alive


def test_start_tells_what_it_started(forever, workshop):
    script(workshop, STEADY)
    started = forever.begin("--uid", "shop", "app.sh", "--port", "1")
    assert started.returncode == 0
    (row,) = forever.list()
    assert started.stdout == (
        f"Started app.sh: uid shop, index 0, name forever-shop, forever pid {row['forever']}, pid {row['pid']}, "
        f"log {forever.home('shop')}/log\n"
    )
    assert row["running"]
    poll(lambda: command(row["pid"]).startswith("sleep"))


def test_start_fails_when_it_does_not_come_up_and_goes_on_trying(forever, workshop):
    script(workshop, "test -e ready || { echo no database; exit 9; }; " + STEADY)
    started = forever("start", "--uid", "shop", "--spinSleepTime", "50", "app.sh")
    assert (started.returncode, started.stdout) == (1, "")
    assert started.stderr.startswith(
        "procman: app.sh (uid shop) does not stay up: exited with status 9; it is tried again until it does\n"
    )
    log = forever.follow("shop")
    log.wait_for("app.1.: no database")
    (workshop.directory / "ready").write_text("")
    log.wait_for("app.1.: up")
    assert forever("stop", "shop").returncode == 0
    assert log.finish() == 0


@pytest.mark.parametrize("flag", ["-l", "-o", "-e", "--pidFile"])
def test_a_file_that_cannot_be_written_is_told_before_anything_starts(forever, workshop, flag):
    script(workshop, STEADY)
    (workshop.directory / "taken").mkdir()
    for name, reason in (("missing/x", "No such file or directory"), ("taken", "Is a directory")):
        other = "-e" if flag != "-e" else "-o"
        answer = forever("start", other, "good.log", flag, name, "app.sh")
        assert (answer.returncode, answer.stdout) == (1, "")
        said = f"procman: cannot write {workshop.directory}/{name}: {reason}\n  hint: {flag} FILE\n"
        assert answer.stderr == said
    assert forever.list() == []
    assert not list(workshop.directory.glob("good*"))


def test_a_log_that_is_a_pipe_may_find_its_reader_later(forever, workshop):
    script(workshop, "read go < gate; echo words; exec sleep 1000\n")
    for name in ("fifo", "gate"):
        os.mkfifo(workshop.directory / name)
    assert forever.begin("-o", "fifo", "--pidFile", "app.pid", "app.sh").returncode == 0
    assert not (workshop.directory / "app.pid.new").exists()
    reader = os.open(workshop.directory / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    (workshop.directory / "gate").write_text("\n")
    assert select.select([reader], [], [], DEADLINE_S)[0]
    assert os.read(reader, 100) == b"words\n"
    os.close(reader)


def test_a_place_for_state_that_cannot_be_is_refused(forever, workshop):
    script(workshop, STEADY)
    answer = forever("start", "-p", "app.sh", "app.sh")
    assert answer.returncode == 1
    said = f"cannot keep state in {workshop.directory}/app.sh/apps: Not a directory\n  hint: -p DIR\n"
    assert answer.stderr == f"procman: {said}"


def test_start_fails_when_nothing_will_run(forever, workshop):
    script(workshop, "exit 9\n")
    assert forever("start", "app.js").returncode == 1
    started = forever("start", "-m", "1", "--uid", "once", "app.sh")
    assert started.returncode == 1
    assert started.stderr == (
        "procman: app.sh (uid once) does not stay up: exited with status 9; it is not tried again (-m 1)\n"
        "  hint: procman forever logs once\n"
    )
    assert workshop.wait_until_gone() == []
    started = forever("start", "-m", "3", "--spinSleepTime", "1000000", "--uid", "thrice", "app.sh")
    assert started.returncode == 1
    assert "status 9; it is tried again, up to 3 runs in all (-m 3)\n" in started.stderr


def test_a_pause_may_be_longer_than_the_kernel_can_wait(forever, workshop):
    script(workshop, "exit 9\n")
    assert forever("start", "--uid", "slow", "--spinSleepTime", "9" * 12, "app.sh").returncode == 1
    (row,) = forever.list()
    assert row["state"].startswith("crashed: exited with status 9, next try in ")
    assert forever("stop", "slow").returncode == 0


def test_one_is_found_by_every_name_it_has(forever, workshop):
    script(workshop, STEADY)
    script(workshop, STEADY, "other.sh")
    assert forever.begin("--uid", "other", "other.sh").returncode == 0
    for name in ("uid", "id", "index", "pid", "forever", "script", "path"):
        assert forever.begin("--uid", "one", "--id", "mine", "app.sh").returncode == 0
        row = {**forever.list()[-1], "path": str(workshop.directory / "app.sh")}
        stopped = forever("stop", str(row[name]))
        assert stopped.stdout == "Stopped app.sh (uid one)\n", name
        assert not is_alive(row["pid"])
        assert not is_alive(row["forever"])
    missing = forever("stop", "nothing")
    assert missing.returncode == 1
    assert "there are other" in missing.stderr
    assert [row["uid"] for row in forever.list()] == ["other"]
    assert forever("stopbypid", str(forever.list()[0]["pid"])).returncode == 0


def test_restart_and_restartall(forever, workshop):
    script(workshop, STEADY)
    for uid in ("a", "b"):
        forever.begin("--uid", uid, "app.sh")
    before = {row["uid"]: row for row in forever.list()}
    assert forever("restart", "a").stdout == "Restarted app.sh (uid a)\n"
    middle = {row["uid"]: row for row in forever.list()}
    assert middle["a"]["pid"] != before["a"]["pid"]
    assert middle["b"]["pid"] == before["b"]["pid"]
    assert forever("restartall", "a").returncode == forever("stopall", "a").returncode == 2
    assert forever.list()[0]["pid"] == middle["a"]["pid"]
    assert forever("restartall").returncode == 0
    after = {row["uid"]: row for row in forever.list()}
    assert {after[uid]["pid"] for uid in "ab"}.isdisjoint({middle[uid]["pid"] for uid in "ab"})
    assert [after[uid]["forever"] for uid in "ab"] == [before[uid]["forever"] for uid in "ab"]
    assert forever("stopall").stdout == "Stopped app.sh (uid a)\nStopped app.sh (uid b)\n"


def test_logs(forever, workshop):
    script(workshop, "for i in 1 2 3 4 5; do echo line $i; done; " + STEADY)
    forever.begin("--uid", "shop", "app.sh")
    assert f"[0]  shop  {forever.home('shop')}/log" in forever("logs").stdout
    log = forever.follow("0")
    log.wait_for("app.1.: up")
    assert len(forever("logs", "-n", "3", "app.sh").stdout.splitlines()) == 3
    assert forever("stopall").returncode == 0
    assert log.finish() == 0
    assert re.findall(r"line \d", log.text()) == [f"line {number}" for number in range(1, 6)]
    assert "line 1" in forever("logs", "shop").stdout  # of one that has ended, too
    assert "shop" not in forever("logs").stdout


def test_a_scripts_log_is_that_of_the_one_that_runs_or_else_ran_last(forever, workshop):
    script(workshop, "echo I am $1; " + STEADY)
    for uid in ("x", "a"):
        assert forever.begin("--uid", uid, "app.sh", uid).returncode == 0
        assert forever("stop", uid).returncode == 0
    assert "I am a\n" in forever("logs", "app.sh").stdout
    assert forever.begin("--uid", "b", "app.sh", "b").returncode == 0
    assert "I am b\n" in forever("logs", "app.sh").stdout
    assert forever.begin("--uid", "c", "app.sh", "c").returncode == 0
    several = forever("logs", "app.sh")
    assert (several.returncode, several.stdout) == (1, "")
    assert several.stderr == (
        "procman: cannot show the log of app.sh: several run, b, c\n  hint: procman forever logs c\n"
    )
    two = forever("logs", "b", "c")
    assert (two.returncode, two.stdout) == (2, "")
    assert two.stderr.startswith("procman: cannot show the log of c too: one at a time\n")


def test_a_formation_like_any_other(forever, workshop):
    script(workshop, STEADY)
    forever.begin("--uid", "shop", "app.sh")
    assert "forever-shop" in workshop.call("list").stdout
    assert "exec ./app.sh" in workshop.call("ps", "--name", "forever-shop").stdout
    assert workshop.call("reload", "--name", "forever-shop").returncode == 1
    assert workshop.call("scale", "--name", "forever-shop", "app=2").returncode == 1
    assert workshop.call("shutdown", "--name", "forever-shop").returncode == 0


def test_state_elsewhere(forever, workshop):
    script(workshop, STEADY)
    place = workshop.directory / "place"
    assert forever.begin("-p", "place", "--uid", "shop", "-l", "x.log", "app.sh").returncode == 0
    assert forever.list() == []
    assert "shop" in forever("list", "-p", "place").stdout
    assert "shop" in forever("list", env={"FOREVER_ROOT": str(place)}).stdout
    assert (place / "x.log").exists()
    assert forever("stopall", "-p", "place").returncode == 0


def test_state_elsewhere_by_a_json_file(forever, workshop):
    script(workshop, STEADY)
    text = '{"script": "app.sh", "uid": "shop", "path": "place", "logFile": "x.log"}'
    (workshop.directory / "x.json").write_text(text)
    assert forever.begin("x.json").returncode == 0
    assert forever.list() == []
    assert "shop" in forever("list", "-p", "place").stdout
    assert (workshop.directory / "place/x.log").exists()
    assert forever("stopall", "-p", "place").returncode == 0
    assert forever.begin("-p", "other", "x.json").returncode == 0
    assert "shop" in forever("list", "-p", "other").stdout
    assert forever("stopall", "-p", "other").returncode == 0


def test_a_home_that_cannot_be_written_keeps_nothing_from_running(forever, workshop):
    script(workshop, "echo life\n")
    answer = forever("-m", "1", "app.sh", env={"XDG_STATE_HOME": "/dev/null/state"})
    assert (answer.returncode, answer.stdout) == (0, "life\n")
