"""An app to export, and dynos as exporters are handed them, with whatever a value or a command may hold."""

import os
import pwd
import re
from pathlib import Path

import pytest
from hypothesis import strategies as st

from procman.export.processes import Process
from procman.export.rendering import render

PROCFILE = "web: exec app $PORT\nmy_worker: exec work\nrelease: migrate\n"
USER = pwd.getpwuid(os.geteuid()).pw_name
SPECIAL = "'\"\\$%;# \n\t\r`!{}[]()*~=,:&|<>-0aé\u20ac\U0001f600\x85\u2028\ufeff\x7f\x01"
TEXTS = st.text(
    st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=30
)
COMMANDS = TEXTS.map(lambda text: "x" + re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text))
NASTY = {
    "PLAIN": "simple",
    "EMPTY": "",
    "QUOTES": "it's \"here\"",
    "ENDS": "'both'",
    "PERCENT": "100% %(here)s %h %%",
    "DOLLARS": "$HOME ${HOME} $(id) $$",
    "COMMENT": "a ; b # c",
    "NEWLINES": "one\ntwo\n\n",
    "BLANKS": " before and after ",
    "BACKSLASH": "a\\b\\n\\",
    "UNICODE": "café € 😀",
    "CONTROL": "tab\tbell\x07escape\x1b",
    "NO": "off",
    "BRACES": "{{ jinja }} {% raw %} [a] *x &y !z",
}


def process(kind="web", number=1, env=None, cmd="exec app", **more) -> Process:
    port = 5000 + number - 1
    own = {"PORT": str(port), "DYNO": f"{kind}.{number}", "PS": f"{kind}.{number}"}
    return Process(f"{kind}.{number}", cmd, False, {**(env or {}), **own}, kind, port, **more)


def exported(name: str, *processes: Process, **context) -> dict[str, str]:
    known = {"app": "shop", "app_root": "/srv/shop", "log": "/var/log/shop", "shell": "/bin/sh", "user": USER}
    files = render(name, None, processes, {**known, "image": None, "given_user": None, **context})
    return {file.path: file.content for file in files}


@pytest.fixture(name="shop")
def make_shop(workshop):
    workshop.procfile(PROCFILE)
    (workshop.directory / ".env").write_text("SECRET=hunter2\n")
    return workshop


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
