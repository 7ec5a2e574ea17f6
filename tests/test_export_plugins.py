"""`procman export` with other people's exporters and templates, and honcho with ours."""

import os
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
import yaml

from procman.cli import export as verb
from procman.cli.options import Given
from procman.errors import ProcmanError
from procman.export import exporters
from tests.exported import make_shop, tree  # noqa: F401 - a fixture

MINE = """
    from honcho.export.base import BaseExport, File, dashrepl

    class Export(BaseExport):
        def get_template_loader(self):
            import jinja2
            return jinja2.DictLoader({"one": "{{ app }} {{ user }} {{ process.name }} {{ process.env.PORT }}"})

        def render(self, processes, context):
            for process in processes:
                text = self.get_template("one").render(process=process, **context)
                yield File(dashrepl(process.name) + ".mine", text, executable=True)

    class Broken(BaseExport):
        def get_template_loader(self):
            import jinja2
            return jinja2.DictLoader({})

        def render(self, processes, context):
            raise RuntimeError(processes[0].env["SECRET"])

    class Outside(Broken):
        def render(self, processes, context):
            yield File("fine", "")
            yield File("../outside", "")
"""


@pytest.fixture
def theirs(shop, tmp_path):
    """Somebody else's package with exporters, installed."""
    place = tmp_path / "site"
    (place / "mine-1.0.dist-info").mkdir(parents=True)
    (place / "mine-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (place / "mine-1.0.dist-info/entry_points.txt").write_text(
        "[honcho_exporters]\nmine = mine:Export\nbroken = mine:Broken\noutside = mine:Outside\nlost = absent:Export\n"
    )
    (place / "mine.py").write_text(textwrap.dedent(MINE))
    shop.env["PYTHONPATH"] = f"{place}{os.pathsep}{shop.env['PYTHONPATH']}"
    return shop


def test_an_exporter_of_another_package_works_as_it_is(theirs):
    done = theirs.call("export", "mine", "out", "-a", "shop", "-u", "me", "-p", "7000")
    assert (done.stderr, done.stdout) == ("", "Wrote out/web-1.mine\nWrote out/my_worker-1.mine\n")
    assert (theirs.directory / "out/web-1.mine").read_text() == "shop me web.1 7000"
    assert os.access(theirs.directory / "out/web-1.mine", os.X_OK)
    assert "mine" in theirs.call("export", "nothing", "out").stderr


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("broken", "its exporter ended with RuntimeError"),
        ("outside", "it would write '../outside'"),
        ("lost", "absent:Export cannot be loaded: No module named 'absent'"),
    ],
)
def test_an_exporter_that_fails_is_named_and_writes_nothing(theirs, name, complaint):
    done = theirs.call("export", name, "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not (theirs.directory / "out").exists()


def test_honcho_s_exporter_by_another_name_gets_our_templates_too(theirs, tmp_path):
    points = tmp_path / "site/mine-1.0.dist-info/entry_points.txt"
    points.write_text("[honcho_exporters]\nunits = honcho.export.systemd:Export\n")
    assert theirs.call("export", "units", "out", "-a", "shop").stderr == ""
    assert "TimeoutStopSec=30" in (theirs.directory / "out/shop-web-1.service").read_text()


def test_without_jinja2_it_says_what_to_install(shop, monkeypatch):
    monkeypatch.setattr(exporters, "find_spec", lambda name: None)
    with pytest.raises(ProcmanError) as refusal:
        verb.export(Given({}, ["systemd", "out"]), {})
    assert refusal.value.hint == "pip install 'procman[export]'"


def test_templates_of_one_s_own_come_first_and_ours_stand_in(shop):
    (shop.directory / "mine").mkdir()
    (shop.directory / "mine/process.service").write_text("{{ process.name }} {{ process.cmd|percentescape }}\n")
    assert shop.call("export", "systemd", "out", "-a", "shop", "-t", "mine").stderr == ""
    assert (shop.directory / "out/shop-web-1.service").read_text() == "web.1 exec app $PORT\n"
    assert "WantedBy=multi-user.target" in (shop.directory / "out/shop.target").read_text()


def test_honcho_s_own_templates_work(shop):
    import honcho.export

    own = Path(honcho.export.__file__).parent / "templates"
    for name in ("systemd", "supervisord", "upstart", "runit"):
        done = shop.call("export", name, f"out/{name}", "-a", "shop", "-t", str(own / name))
        assert (done.stderr, done.returncode) == ("", 0)
    assert (shop.directory / "out/runit/shop-web-1/env/SECRET").read_text() == "hunter2"


@pytest.mark.parametrize(
    ("template", "complaint"), [("{{ nothing }}", "'nothing' is undefined"), ("{% oh", "process.service:1: ")]
)
def test_a_template_that_is_wrong_is_named(shop, template, complaint):
    (shop.directory / "mine").mkdir()
    (shop.directory / "mine/process.service").write_text(template)
    done = shop.call("export", "systemd", "out", "-t", "mine")
    assert complaint in done.stderr
    assert not (shop.directory / "out").exists()


def test_honcho_can_use_our_exporters(shop):
    honcho = shutil.which("honcho", path=shop.env["PATH"])
    for name in ("compose", "kubernetes", "launchd"):
        words = [honcho, "export", "-a", "shop", "-c", "release=0", name, f"out/{name}"]
        subprocess.run(words, cwd=shop.directory, env=shop.env, check=True, capture_output=True, timeout=60)
    found = yaml.safe_load((shop.directory / "out/compose/compose.yaml").read_text())
    assert found["services"]["web-1"]["environment"]["SECRET"] == "hunter2"
    assert len(tree(shop.directory / "out")) == 1 + 3 + 2
