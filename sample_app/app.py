"""The web process: a page that shows which dyno serves it, and addresses that make that dyno suffer."""

import os
import sqlite3
import time
from collections.abc import Callable

import dyno
import ending
from flask import Flask, Response, jsonify, redirect, render_template, request
from store import Store, database_path
from werkzeug.exceptions import BadRequest

MEGABYTE = 1024 * 1024


def create_app(
    store: Store,
    crash: Callable[[], None] = ending.crash,
    leave: Callable[[int], None] = ending.leave,
) -> Flask:
    """Build the app around its data; tests pass ends of their own that end nothing."""
    app = Flask(__name__)
    began = time.monotonic()
    leaked: list[bytes] = []

    @app.get("/")
    def page():
        """Count a visit and show the dyno; JSON if asked."""
        facts = _facts(began) | {"visits": store.visit()}
        if _wants_json():
            return jsonify(facts)
        return render_template("page.html", facts=facts, jobs=store.latest_jobs(), greeting=_greeting())

    @app.get("/health")
    def health():
        """Say that the dyno can serve, without counting a visit."""
        store.visits()  # raises, and so answers 503, if the database is of no use
        return jsonify(status="ok", dyno=dyno.name(), pid=os.getpid())

    @app.post("/jobs")
    def add_job():
        """Put a job into the worker's queue."""
        seconds = _number("seconds", default=2, low=0, high=60)
        number = store.enqueue("button", seconds)
        return jsonify(job=number) if _wants_json() else redirect("/", 303)

    @app.route("/crash", methods=["GET", "POST"])
    def crash_now():
        """Kill the whole web dyno without an answer: SIGKILL for gunicorn's master and all its workers.

        `ending.crash` says how. The client sees its connection closed ("Empty reply from server").
        """
        dyno.say(f"{dyno.name()} is asked to crash")
        crash()
        return _answer("still alive")  # only where a test passed another `crash`

    @app.route("/exit", methods=["GET", "POST"])
    def exit_now():
        """End the web dyno in good order with `?status=` (1 unless said)."""
        status = int(_number("status", default=1, low=0, high=255))
        dyno.say(f"{dyno.name()} is asked to exit with status {status}")
        leave(status)
        return _answer(f"{dyno.name()} ends with status {status}", status=status)

    @app.route("/leak", methods=["GET", "POST"])
    def leak():
        """Take `?mb=` megabytes of memory (50 unless said) and never give them back."""
        size = int(_number("mb", default=50, low=1, high=1024))
        leaked.append(b"x" * (size * MEGABYTE))  # written to, or the kernel would only promise it
        total = sum(map(len, leaked)) // MEGABYTE
        return _answer(f"{dyno.name()} keeps {total} MB", mb=total)

    @app.get("/slow")
    def slow():
        """Answer after `?seconds=` (5 unless said); Heroku's router gives up after 30 (H12)."""
        seconds = _number("seconds", default=5, low=0, high=300)
        time.sleep(seconds)
        return _answer(f"{dyno.name()} answers after {seconds:g} s", seconds=seconds)

    @app.errorhandler(sqlite3.Error)
    @app.errorhandler(OSError)
    def no_database(error: Exception):
        """Say why in one line, to the log and to the client, instead of a traceback."""
        reason = f"cannot use the database {store.path}: {error}; try: procman run release"
        dyno.say(reason)
        return Response(reason + "\n", 503, mimetype="text/plain")

    return app


def _facts(began: float) -> dict[str, object]:
    return {
        "dyno": dyno.name(),
        "port": os.environ.get("PORT") or request.environ.get("SERVER_PORT"),
        "release": dyno.release(),
        "pid": os.getpid(),
        "up_seconds": int(time.monotonic() - began),
    }


def _greeting() -> str:
    return os.environ.get("GREETING") or "Hello"


def _wants_json() -> bool:
    accepted = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return request.values.get("format") == "json" or accepted == "application/json"


def _answer(sentence: str, **facts: object) -> Response:
    return jsonify(facts) if _wants_json() else Response(sentence + "\n", mimetype="text/plain")


def _number(field: str, default: float, low: float, high: float) -> float:
    """A number from the query or the form; 400 with the reason if it is none or out of bounds."""
    text = request.values.get(field) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:  # never true of nan
        raise BadRequest(f"cannot use {field}={text}: a number from {low} to {high} is wanted")
    return number


app = create_app(Store(database_path()))
