"""Where an app's state is kept, and what happens when it cannot be."""

import os
import signal

import pytest

from procman.errors import ProcmanError
from procman.supervisor.home import Home, apps_dir, default_name


def test_the_state_is_ours_alone(tmp_path):
    home = Home(apps_dir({"XDG_STATE_HOME": str(tmp_path / "state")}), "app")
    assert home.take() == {}
    for path in (tmp_path / "state/procman", tmp_path / "state/procman/apps", tmp_path / "state/procman/apps/app"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state/procman/apps/app/lock").stat().st_mode & 0o777 == 0o600
    home.leave()


def test_a_home_that_cannot_be_written_is_replaced(tmp_path):
    found = apps_dir({"XDG_STATE_HOME": "/proc/nothing", "TMPDIR": str(tmp_path)})
    assert found == f"{tmp_path}/procman-{os.getuid()}/apps"


def test_a_relative_place_is_ignored_as_the_xdg_specification_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert apps_dir({"XDG_STATE_HOME": "rel"}) == apps_dir({}) == f"{tmp_path}/.local/state/procman/apps"


def test_without_any_place_that_is_one_clear_line():
    with pytest.raises(ProcmanError, match=r"cannot keep the state of app in /proc/1/x/apps/app: .*"):
        Home("/proc/1/x/apps", "app").take()


def test_namesakes_in_other_places_have_other_names():
    names = {default_name("/a/shop"), default_name("/b/shop"), default_name("/a/shop", "Procfile.dev")}
    assert len(names) == 3
    assert all(name.startswith("shop-") for name in names)


def test_a_procfile_is_the_same_however_its_path_is_written(tmp_path):
    root, link = tmp_path / "shop", tmp_path / "link"
    root.mkdir()
    link.symlink_to(root)
    plain, other = default_name(str(root)), default_name(str(root), "Procfile.dev")
    for path in ("./Procfile", f"{root}/Procfile", f"{link}/Procfile", f"{root}/../shop/Procfile", "../shop/Procfile"):
        assert default_name(str(root), path) == default_name(str(link), path) == plain
    assert default_name(str(root), f"{link}/Procfile.dev") == other
    assert default_name(str(root), f"{tmp_path}/Procfile") == default_name(str(root), "../Procfile") != plain
    (root / "there").symlink_to(tmp_path)
    assert default_name(str(root), "there/Procfile") == default_name(str(root), f"{root}/there/Procfile")


def test_a_start_without_a_home_works(workshop):
    workshop.procfile("a: echo ready; exec sleep 1000\n")
    env = {"XDG_STATE_HOME": "/proc/nothing", "TMPDIR": str(workshop.directory)}
    running = workshop.start(env=env)
    running.wait_for(r"\| ready")
    assert '"state": "up"' in workshop.call("ps", "--json", env=env).stdout
    running.finish(signal.SIGTERM)


def test_a_taken_home_says_who_has_it(tmp_path):
    one, two = Home(str(tmp_path), "app"), Home(str(tmp_path), "app")
    one.take()
    with pytest.raises(Exception, match=rf"it runs already \(pid {os.getpid()}\)"):
        two.take()
    one.leave()
    one.leave()
    assert two.take() == {}
    two.leave()


def test_whom_a_killed_starter_was_to_clear_up_after_is_not_forgotten(tmp_path):
    first, second, third = (Home(str(tmp_path), "app") for _ in range(3))
    first.take()
    first.write({"pid": 123, "started": 456, "name": "app"})
    os.close(first.fileno())  # killed
    assert second.take() == {"pid": "123", "started": "456"}
    os.close(second.fileno())  # killed while it cleared up
    assert third.take() == {"pid": "123", "started": "456"}
    third.leave()
    assert first.facts() == {}
