"""Bare `procman`: says what would run here and how to start it, or how to write a Procfile."""

import os

from procman.cli.app import Examination, examine
from procman.cli.listing import columns, counted, emit
from procman.cli.options import Given
from procman.cli.settings import Settings, resolve
from procman.core.formation import list_words

HOW_TO_WRITE_ONE = """\
A Procfile is a text file in the root of your app. Each line names a process type and its command:

  web: gunicorn app:app --bind 0.0.0.0:$PORT
  worker: python worker.py

Write one, then: procman start"""


def overview(given: Given) -> int:
    """Explain and offer; 0 where something can be started, else 1."""
    environ = dict(os.environ)
    settings = resolve(given, environ)
    examination = examine(settings, environ)
    if examination.errors:
        return _refuse(settings, examination)
    app = examination.app
    emit(f"{settings.procfile} in {app.root}:\n")
    rows = [(_quantity(app.formation.get(name, 0), name), command) for name, command in app.processes]
    for row in columns(rows):
        emit(row)
    start = _words("start", given)
    offers = [
        (start, f"run {list_words(app.formation) or 'nothing'}, with ports from {app.base_port}"),
        (f"{start} {app.processes[0][0]}=2", "run two of one type alone"),
        (_words("run", given) + " CMD", "run one command with the same variables"),
        (_words("check", given), "look for mistakes, and for what Heroku would do otherwise"),
        ("procman help", "all verbs and options"),
    ]
    emit("")
    for row in columns(offers):
        emit(row)
    return 0


def _refuse(settings: Settings, examination: Examination) -> int:
    errors = examination.errors
    if any(error.code == "no-procfile" for error in errors):
        message = next(error.message for error in errors if error.code == "no-procfile")
        emit(f"{settings.procfile}: {message}\n")
        emit(HOW_TO_WRITE_ONE)
    else:
        emit(f"{settings.procfile} cannot be started yet: {counted(len(errors), 'error')}\n")
        for error in errors:
            emit(f"  {error}")
    return 1


def _quantity(number: int, name: str) -> str:
    if number == 1:
        return name
    return f"{name} x{number}" if number else f"{name} (only when named)"


def _words(verb: str, given: Given) -> str:
    """The command line to type, with the app root and Procfile that were given."""
    flags = [
        f"{flag} {given.fields[name]}"
        for flag, name in (("-d", "app_root"), ("-f", "procfile"))
        if name in given.fields
    ]
    return " ".join(["procman", verb, *flags])
