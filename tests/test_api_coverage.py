"""The API as data: no route twice, every command of the client spoken of, the page in docs/ current."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from procman.api.commands import COMMANDS, State, fate
from procman.api.coverage import CLIENT, render
from procman.api.routes import ROUTES
from tests.heroku_client import FOLDER

DOCS = Path(__file__).parent.parent / "docs"
MANIFEST = FOLDER / "node_modules" / "heroku" / "oclif.manifest.json"


def test_the_page_is_current():
    page = (DOCS / "api-coverage.md").read_text()
    assert page == render(), "python -m procman.api.coverage > docs/api-coverage.md"


def test_no_two_routes_answer_the_same_request():
    shapes = Counter((route.method, re.sub(r"\{\w+\}", "{}", route.path)) for route in ROUTES)
    assert [shape for shape, count in shapes.items() if count > 1] == []


def test_every_handler_says_what_it_serves():
    silent = [route.path for route in ROUTES if not route.handler.__doc__ and "lacking" not in str(route.handler)
              and "refusing" not in str(route.handler)]
    assert silent == []


def test_no_command_has_two_fates():
    assert [name for name, count in Counter(row.name for row in COMMANDS).items() if count > 1] == []
    assert all(row.why for row in COMMANDS if row.state is not State.WORKS)


def test_every_command_of_the_pinned_client_has_a_fate_and_no_other():
    manifest = json.loads(MANIFEST.read_text())
    assert manifest["version"] == CLIENT
    commands = {name for name, about in manifest["commands"].items() if not about.get("hidden")}
    assert sorted(name for name in commands if fate(name) is None) == []
    known = {*manifest["commands"], *(alias for about in manifest["commands"].values() for alias in about["aliases"])}
    for row in COMMANDS:
        pattern = row.name.removesuffix("*")
        assert any(name == row.name or (row.name.endswith(":*") and name.startswith(pattern)) for name in known), row


@pytest.mark.parametrize("session", sorted((FOLDER / "sessions").glob("*.txt")), ids=lambda path: path.stem)
def test_the_sessions_show_no_command_that_is_said_to_be_absent(session):
    aliases = {
        "create": "apps:create", "rollback": "releases:rollback", "destroy": "apps:destroy", "login": "auth:login",
    }
    for line in session.read_text().splitlines():
        if line.startswith("$ heroku "):
            name = line.split()[2]
            row = fate(aliases.get(name, name))
            assert row is not None, name
            assert row.state is not State.ABSENT, name
