"""`procman export`: what it writes is what start would run, for its owner alone, and in nobody else's place."""

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml

from procman.errors import ProcmanError
from procman.export import delivery
from procman.export.delivery import deliver
from procman.export.rendering import Rendered
from tests.exported import make_shop, tree  # noqa: F401 - a fixture
from tests.harness import poll

FORMATS = ["compose", "kubernetes", "launchd", "runit", "supervisord", "systemd", "upstart"]


def services(shop, *words: str) -> dict[str, dict[str, str]]:
    """The environment of each dyno, as compose.yaml has it."""
    done = shop.call("export", "compose", "out", *words)
    assert (done.stderr, done.returncode) == ("", 0)
    found = yaml.safe_load((shop.directory / "out/compose.yaml").read_text())
    return {name: row["environment"] for name, row in found["services"].items()}


@pytest.mark.parametrize("name", FORMATS)
def test_files_are_for_their_owner_alone_and_say_who_wrote_them(shop, name):
    done = shop.call("export", name, "out", "-a", "shop")
    written = [shop.directory / line.removeprefix("Wrote ") for line in done.stdout.splitlines()]
    assert (done.stderr, done.returncode) == ("", 0)
    assert {path.relative_to(shop.directory / "out").as_posix() for path in written} == set(
        tree(shop.directory / "out")
    ) - {f".shop.{name}.procman-export"}
    for path in (shop.directory / "out").rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o777 in {0o600, 0o700}
            assert os.access(path, os.X_OK) == path.read_text().startswith("#!") or os.geteuid() == 0
    assert not any("migrate" in text for text in tree(shop.directory / "out").values())
    assert name == "launchd" or all("Written by procman export" in path.read_text() for path in written)


def test_dynos_get_the_ports_and_names_that_start_gives_them(shop):
    found = services(shop, "-c", "web=2,my_worker=1", "-p", "7000")
    assert {name: (env["PORT"], env["DYNO"], env["PS"]) for name, env in found.items()} == {
        "web-1": ("7000", "web.1", "web.1"),
        "web-2": ("7001", "web.2", "web.2"),
        "my-worker-1": ("7100", "my_worker.1", "my_worker.1"),
    }
    assert found["web-2"] == {
        "SECRET": "hunter2", "WEB_PORT": "7000", "MY_WORKER_PORT": "7100", "RELEASE_PORT": "7200",
        "PYTHONUNBUFFERED": "1", "PORT": "7001", "DYNO": "web.2", "PS": "web.2",
    }  # fmt: skip


def test_the_first_port_comes_from_where_start_takes_it(shop):
    assert services(shop)["web-1"]["PORT"] == shop.env["PORT"]
    (shop.directory / ".env").write_text("PORT=7200\n")
    assert services(shop)["web-1"]["PORT"] == "7200"


def test_flags_choose_files_and_quantities_as_they_do_for_start(shop):
    (shop.directory / "elsewhere").mkdir()
    (shop.directory / "elsewhere/P").write_text("job: work\nother: work\n")
    (shop.directory / "elsewhere/one.env").write_text("ONE=1\n")
    found = services(shop, "-d", "elsewhere", "-f", "P", "-e", "one.env", "-m", "job=2,other=0")
    assert list(found) == ["job-1", "job-2"]
    assert found["job-1"]["ONE"] == "1"
    assert "SECRET" not in found["job-1"]


def test_a_host_s_formats_get_the_path_of_now_and_nothing_else_of_the_environment(shop):
    done = shop.call("export", "systemd", "out", "-a", "shop", env={"TOKEN": "of this shell"})
    unit = (shop.directory / "out/shop-web-1.service").read_text()
    assert done.returncode == 0
    assert f"PATH={shop.env['PATH']}" in unit
    assert "TOKEN" not in unit
    assert "HOME" not in unit


def test_settings_of_the_app_hold_there_too(shop):
    (shop.directory / ".procman.toml").write_text(
        'timeout = ["60", "my_worker=4.5s"]\nstop-signal = "web=INT"\nmemory = "web=512M"\n'
    )
    assert shop.call("export", "systemd", "out", "-a", "shop").stderr == ""
    web = (shop.directory / "out/shop-web-1.service").read_text()
    assert {"TimeoutStopSec=60", "KillSignal=SIGINT", f"MemoryMax={512 << 20}"} <= set(web.splitlines())
    assert "TimeoutStopSec=5\n" in (shop.directory / "out/shop-my_worker-1.service").read_text()
    (shop.directory / ".procman.toml").write_text('timeout = "0"\n')
    assert shop.call("export", "systemd", "out", "-a", "shop").stderr == ""
    unit = (shop.directory / "out/shop-web-1.service").read_text()
    assert "TimeoutStopSec=1\n" in unit  # 0 is for ever there

def test_checks_and_needs_of_the_app_hold_there_too(shop):
    (shop.directory / ".procman.toml").write_text('needs = ["web=my_worker"]\n[health.my_worker]\ncommand = "test 1"\n')
    (shop.directory / "app.json").write_text('{"healthchecks": {"web": [{"type": "startup", "path": "/up"}]}}')
    assert shop.call("export", "systemd", "out", "-a", "shop").stderr == ""
    web = (shop.directory / "out/shop-web-1.service").read_text()
    assert {"After=shop-my_worker.target", "Wants=shop-my_worker.target"} <= set(web.splitlines())
    assert "Wants" not in (shop.directory / "out/shop-my_worker-1.service").read_text()
    assert shop.call("export", "supervisord", "out", "-a", "shop").stderr == ""
    assert (shop.directory / "out/shop.conf").read_text().count("priority=101") == 1
    assert shop.call("export", "kubernetes", "out", "-a", "shop").stderr == ""
    (web, _), (worker,) = (
        yaml.safe_load_all((shop.directory / f"out/shop-{kind}.yaml").read_text()) for kind in ("web", "my-worker")
    )
    (web, worker) = (row["spec"]["template"]["spec"]["containers"][0] for row in (web, worker))
    assert web["readinessProbe"]["httpGet"]["path"] == "/up"
    for probe in ("startupProbe", "readinessProbe"):
        assert worker[probe]["exec"]["command"] == ["/bin/sh", "-c", "test 1"]
    assert shop.call("export", "systemd", "out", "-a", "shop", "-c", "my_worker=0").stderr == ""
    assert "my_worker" not in (shop.directory / "out/shop-web-1.service").read_text().replace("MY_WORKER", "")


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["nothing", "out"], 2, "cannot export to 'nothing': there is compose, kubernetes, launchd, runit"),
        (["systemd"], 2, "a FORMAT and a LOCATION are wanted"),
        (["systemd", "out", "more"], 2, "a FORMAT and a LOCATION are wanted"),
        (["systemd", "out", "-a", "../x"], 2, "cannot use --app '../x'"),
        (["systemd", "out", "-u", "a b"], 2, "cannot use --user 'a b'"),
        (["systemd", "out", "-s", "bash"], 2, "cannot use --shell bash"),
        (["systemd", "out", "-t", "nowhere"], 2, "cannot use --template-dir"),
        (["systemd", "out", "-c", "wbe=2"], 2, "no process type 'wbe'"),
        (["kubernetes", "out", "-u", "deploy"], 1, "Kubernetes knows users by number"),
        (["systemd", "Procfile"], 1, "cannot write "),
        (["systemd", "out", "-p", "65500"], 1, "is over 65535"),
        (["systemd", "out", "-c", "all=0,release=1"], 1, "only release is left"),
    ],
)
def test_refusals_leave_nothing(shop, words, status, complaint):
    before = tree(shop.directory)
    done = shop.call("export", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert complaint in done.stderr
    assert tree(shop.directory) == before
    assert not (shop.directory / "out").exists()


@pytest.mark.parametrize("line", [b"BAD=a\0b", b"'A.B'=1"])
def test_what_no_format_can_hold_is_refused_by_its_name(shop, line):
    (shop.directory / ".env").write_bytes(line + b"\nSECRET=hunter2\n")
    done = shop.call("export", "systemd", "out")
    assert done.returncode == 1
    assert "hunter2" not in done.stderr
    assert not (shop.directory / "out").exists()


def test_two_types_that_would_be_one_file_are_refused(shop):
    shop.procfile("web: a\nweb-1: b\n")
    done = shop.call("export", "upstart", "out", "-a", "shop")
    assert "two process types or dynos would have the file shop-web-1.conf" in done.stderr
    shop.procfile("web_x: a\nweb-x: b\n")
    assert "two services would be called 'web-x-1'" in shop.call("export", "compose", "out").stderr
    assert "would have the file shop-web-x.yaml" in shop.call("export", "kubernetes", "out", "-a", "shop").stderr
    assert not (shop.directory / "out").exists()


# -- where files stand already ------------------------------------------------------------------------------


def test_the_next_export_replaces_its_own_and_takes_away_what_is_no_longer_there(shop):
    shop.call("export", "runit", "out", "-a", "shop", "-c", "web=2")
    (shop.directory / "out/notes.txt").write_text("mine")
    done = shop.call("export", "runit", "out", "-a", "shop", "-p", "7000")
    assert "Removed out/shop-web-2/run: no longer in the formation\n" in done.stdout
    assert not (shop.directory / "out/shop-web-2").exists()
    assert "PORT=7000" in (shop.directory / "out/shop-web-1/run").read_text()
    assert (shop.directory / "out/notes.txt").read_text() == "mine"
    record = json.loads((shop.directory / "out/.shop.runit.procman-export").read_text())
    assert set(record) == set(tree(shop.directory / "out")) - {".shop.runit.procman-export", "notes.txt"}


def test_a_file_of_somebody_else_is_not_replaced(shop):
    (shop.directory / "out").mkdir()
    (shop.directory / "out/shop-web.target").write_text("by hand")
    done = shop.call("export", "systemd", "out", "-a", "shop")
    assert "shop-web.target: it is there already, and not procman's" in done.stderr
    assert tree(shop.directory / "out") == {"shop-web.target": "by hand"}


def test_a_file_that_was_changed_is_neither_replaced_nor_taken_away(shop):
    shop.call("export", "systemd", "out", "-a", "shop", "-c", "web=2")
    for number in (1, 2):
        with (shop.directory / f"out/shop-web-{number}.service").open("a") as file:
            file.write("# changed\n")
    done = shop.call("export", "systemd", "out", "-a", "shop", "-p", "7000")
    assert "shop-web-1.service: it was changed since procman wrote it" in done.stderr
    (shop.directory / "out/shop-web-1.service").unlink()
    done = shop.call("export", "systemd", "out", "-a", "shop")
    assert "Kept out/shop-web-2.service: changed since procman wrote it" in done.stdout
    assert (shop.directory / "out/shop-web-2.service").read_text().endswith("# changed\n")


def test_exports_of_two_apps_live_in_one_folder(shop):
    for app in ("a", "b", "a"):
        assert shop.call("export", "systemd", "out", "-a", app).returncode == 0
    assert {"a.target", "b.target"} <= set(tree(shop.directory / "out"))


def test_a_disk_that_fills_leaves_what_was_there(tmp_path, monkeypatch):
    old, new = [[Rendered(f"{name}/x", text, False) for name in "abc"] for text in ("old", "new")]
    deliver(str(tmp_path / "out"), "shop.x", old)
    before, written = tree(tmp_path), []

    def fsync(fd):
        written.append(fd)
        if len(written) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(delivery.os, "fsync", fsync)
    with pytest.raises(ProcmanError, match="no space left on device"):
        deliver(str(tmp_path / "out"), "shop.x", new)
    assert tree(tmp_path) == before
    written.clear()
    with pytest.raises(ProcmanError, match="no space left on device"):
        deliver(str(tmp_path / "fresh"), "shop.x", new)
    assert not (tmp_path / "fresh").exists()


def test_a_link_is_somebody_else_s(tmp_path):
    (tmp_path / "target").write_text("kept")
    (tmp_path / "x").symlink_to("target")
    with pytest.raises(ProcmanError, match="not procman's"):
        deliver(str(tmp_path), "shop.x", [Rendered("x", "kept", False)])
    assert (tmp_path / "target").read_text() == "kept"


def test_nothing_of_it_is_imported_by_start():
    asked = "import sys, procman.cli.start, procman.cli.group; print([m for m in sys.modules if 'export' in m])"
    assert subprocess.check_output([sys.executable, "-c", asked], text=True) == "[]\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_that_is_interrupted_leaves_nothing_of_what_it_had_written(shop, signum):
    statuses = []
    while 128 + signum not in statuses:  # unless it was done before that
        assert len(statuses) < 20, statuses
        out = shop.directory / f"units{len(statuses)}"
        running = shop.procman("export", "systemd", str(out), "-c", "web=400")
        poll(lambda out=out: out.is_dir(), every=0.0)
        os.kill(running.pid, signum)
        statuses.append(running.finish())
        left = os.listdir(out) if out.exists() else []
        assert not [name for name in left if name.startswith(".procman-")]
    assert set(statuses) <= {0, 128 + signum}
