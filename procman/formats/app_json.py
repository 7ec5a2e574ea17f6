"""``app.json`` to values (Heroku: app-json-schema), with dokku's ``healthchecks`` and ``cron``, and one key of our own.

Heroku reads the file when an app is set up, not at every push; so what is wrong in it is told and never stops a build.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from procman.core.health import Checks, plain
from procman.core.order import cycle_in
from procman.formats import healthchecks
from procman.formats.diagnostic import Diagnostic

TYPE = re.compile(r"[-\w]{1,128}", re.ASCII)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST = 10_000  # characters of one text


class EnvVar(NamedTuple):
    """A config var to set when the app is made. ``generator``: ``secret`` asks for 64 hexadecimal digits."""

    value: str | None = None
    required: bool = True
    generator: str | None = None
    description: str | None = None


class TypeWish(NamedTuple):
    """What the first deploy gives a process type. Keys of our own: ``overlap``: old and new dynos may run side by
    side; ``needs``: types that are to be up before it starts.
    """

    quantity: int | None = None
    size: str | None = None
    overlap: bool = True
    needs: tuple[str, ...] = ()


class Check(NamedTuple):
    """An HTTP check of new web dynos, in seconds."""

    path: str
    timeout: float = 5.0
    within: float = 60.0


class CronJob(NamedTuple):
    """A command to be run at times."""

    command: str
    schedule: str


class AppJson(NamedTuple):
    """What we take from it."""

    name: str | None = None
    env: Mapping[str, EnvVar] = {}
    formation: Mapping[str, TypeWish] = {}
    buildpacks: tuple[str, ...] = ()
    scripts: Mapping[str, str] = {}
    checks: Mapping[str, Check] = {}
    probes: Mapping[str, Checks] = {}
    cron: tuple[CronJob, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    def facts(self) -> dict[str, Any]:
        """All of it as plain data for a slug's record; what is not said is left out."""
        said: dict[str, Any] = {
            "formation": {
                name: {"quantity": wish.quantity, "size": wish.size} for name, wish in self.formation.items()
            },
            "env": {name: variable._asdict() for name, variable in self.env.items()},
            "buildpacks": list(self.buildpacks),
            "scripts": dict(self.scripts),
            "postdeploy": self.scripts.get("postdeploy"),
            "health": {name: check._asdict() for name, check in self.checks.items()},
            "probes": {name: plain(checks) for name, checks in self.probes.items()},
            "needs": {name: list(wish.needs) for name, wish in self.formation.items() if wish.needs},
            "overlap": {name: False for name, wish in self.formation.items() if not wish.overlap},
            "cron": [job._asdict() for job in self.cron],
        }
        return {key: value for key, value in said.items() if value}

    def unmet(self, types: Collection[str], config: Collection[str]) -> Iterator[Diagnostic]:
        """What it says of process types that the app does not have, and what it requires and the config has not."""
        for name in self.formation:
            if name not in types:
                words = f"formation.{name} is ignored: there is no process type '{name}'"
                yield Diagnostic("app.json", None, "warning", "no-such-type", words)
        for name, wish in self.env.items():
            if wish.required and wish.value is None and wish.generator is None and name not in config:
                words = f"env.{name} is required and has no value: heroku config:set {name}=…"
                yield Diagnostic("app.json", None, "warning", "no-value", words)


def parse(data: bytes, file: str = "app.json", environment: str | None = None) -> AppJson:
    """Read it; never raises for what it holds. ``environment``: ``review`` or ``test``, whose keys then override."""
    try:
        root = json.loads(data.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError:
        return _refused(file, None, "not UTF-8")
    except json.JSONDecodeError as error:
        return _refused(file, error.lineno, f"not JSON: {error.msg} (column {error.colno})")
    except RecursionError:
        return _refused(file, None, "nested too deep")
    if not isinstance(root, dict):
        return _refused(file, 1, "not an object")
    others = root.get("environments")
    chosen = others.get(environment) if environment and isinstance(others, dict) else None
    return _Reader(file).read(root | chosen if isinstance(chosen, dict) else root)


def _refused(file: str, line: int | None, why: str) -> AppJson:
    return AppJson(diagnostics=(Diagnostic(file, line, "error", "bad-json", f"{why}; the file is ignored"),))


class _Reader:
    """Takes what has the right shape and notes what has not."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Diagnostic] = []

    def read(self, root: dict[str, Any]) -> AppJson:
        name, formation = root.get("name"), dict(self.formation(root))
        if ring := cycle_in({kind: wish.needs for kind, wish in formation.items()}):
            self.wrong("needs", f"types need each other: {' -> '.join(ring)}")
        return AppJson(
            name=name if isinstance(name, str) else None,
            env=dict(self.env(root)),
            formation=formation,
            buildpacks=tuple(self.buildpacks(root)),
            scripts=dict(self.scripts(root)),
            checks=dict(self.checks(root)),
            probes=dict(self.probes(root)),
            cron=tuple(self.cron(root)),
            diagnostics=tuple(self.found),
        )

    def wrong(self, place: str, wanted: str) -> None:
        self.found.append(Diagnostic(self.file, None, "warning", "bad-shape", f"{place} is ignored: {wanted}"))

    def items(self, root: dict[str, Any], key: str) -> Iterator[tuple[str, Any]]:
        value = root.get(key)
        if isinstance(value, dict):
            yield from value.items()
        elif value is not None:
            self.wrong(f"'{key}'", "not an object")

    def rows(self, root: dict[str, Any], key: str) -> Iterator[tuple[str, Any]]:
        value = root.get(key)
        if isinstance(value, list):
            yield from ((f"{key}[{number}]", row) for number, row in enumerate(value))
        elif value is not None:
            self.wrong(f"'{key}'", "not a list")

    def env(self, root: dict[str, Any]) -> Iterator[tuple[str, EnvVar]]:
        for name, said in self.items(root, "env"):
            row = said if isinstance(said, dict) else {"value": said}
            value, generator = row.get("value"), row.get("generator")
            if isinstance(value, bool | int | float):
                value = json.dumps(value)
            if not VARIABLE.fullmatch(name):
                self.wrong(f"env.{name}", "not a name for a config var")
            elif value is not None and (not isinstance(value, str) or len(value) > LONGEST or "\0" in value):
                self.wrong(f"env.{name}", "its value is not a text")
            elif generator not in (None, "secret"):
                self.wrong(f"env.{name}", f"no generator {generator!r}; there is 'secret'")
            else:
                text = row.get("description")
                required = row.get("required", True) is not False
                yield name, EnvVar(value, required, generator, text if isinstance(text, str) else None)

    def formation(self, root: dict[str, Any]) -> Iterator[tuple[str, TypeWish]]:
        for name, row in self.items(root, "formation"):
            if not TYPE.fullmatch(name) or not isinstance(row, dict):
                self.wrong(f"formation.{name}", "not a process type with quantity and size")
                continue
            quantity, size, overlap = row.get("quantity"), row.get("size"), row.get("overlap", True)
            if quantity is not None and (isinstance(quantity, bool) or not isinstance(quantity, int)):
                self.wrong(f"formation.{name}.quantity", "not a whole number")
                quantity = None
            elif quantity is not None and not 0 <= quantity <= 100:
                self.wrong(f"formation.{name}.quantity", "not between 0 and 100")
                quantity = None
            if not isinstance(overlap, bool):
                self.wrong(f"formation.{name}.overlap", "not true or false")
            needs = tuple(self.needs(name, row))
            yield name, TypeWish(quantity, size if isinstance(size, str) else None, overlap is not False, needs)

    def needs(self, name: str, row: dict[str, Any]) -> Iterator[str]:
        for place, kind in self.rows(row, "needs"):
            if isinstance(kind, str) and TYPE.fullmatch(kind) and kind != name:
                yield kind
            else:
                self.wrong(f"formation.{name}.{place}", "not another process type")

    def buildpacks(self, root: dict[str, Any]) -> Iterator[str]:
        for place, row in self.rows(root, "buildpacks"):
            url = row.get("url") if isinstance(row, dict) else row
            if isinstance(url, str) and 0 < len(url) <= LONGEST:
                yield url
            else:
                self.wrong(place, "it has no 'url'")

    def scripts(self, root: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for name, said in self.items(root, "scripts"):
            command = said.get("command") if isinstance(said, dict) else said
            if isinstance(command, str) and command.strip() and "\0" not in command:
                yield name, command
            else:
                self.wrong(f"scripts.{name}", "not a command")

    def checks(self, root: dict[str, Any]) -> Iterator[tuple[str, Check]]:
        for name, said in self.items(root, "healthchecks"):
            rows = [row for row in said if isinstance(row, dict)] if isinstance(said, list) else [said]
            startup = [row for row in rows if isinstance(row, dict) and row.get("type", "startup") == "startup"]
            paths = [row for row in startup if isinstance(row.get("path"), str) and row["path"].startswith("/")]
            if not paths:
                if any(isinstance(row, dict) and row.get("type") in ("readiness", "liveness") for row in rows):
                    continue
                self.wrong(f"healthchecks.{name}", "no startup check with a path that begins with '/'")
                continue
            row = paths[0]
            timeout = self.seconds(f"healthchecks.{name}.timeout", row.get("timeout"), 5.0)
            within = self.seconds(f"healthchecks.{name}.within", row.get("within"), 60.0)
            yield name, Check(row["path"], timeout, within)

    def probes(self, root: dict[str, Any]) -> Iterator[tuple[str, Checks]]:
        said = root.get("healthchecks")
        for name, rows in said.items() if isinstance(said, dict) else ():
            found = [row for row in (rows if isinstance(rows, list) else [rows]) if isinstance(row, dict)]
            if checks := healthchecks.read(f"healthchecks.{name}", found, self.wrong):
                yield name, checks

    def seconds(self, place: str, value: object, default: float) -> float:
        if value is None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 3600:
            return float(value)
        self.wrong(place, "not a number of seconds up to 3600")
        return default

    def cron(self, root: dict[str, Any]) -> Iterator[CronJob]:
        for place, row in self.rows(root, "cron"):
            command = row.get("command") if isinstance(row, dict) else None
            schedule = row.get("schedule") if isinstance(row, dict) else None
            if not isinstance(command, str) or not command.strip() or not isinstance(schedule, str):
                self.wrong(place, "it has no 'command' and 'schedule'")
            elif why := unreadable(schedule):
                self.wrong(place, why)
            else:
                yield CronJob(command, schedule.strip())


def unreadable(schedule: str) -> str:
    """Why that is no cron schedule; "" for one."""
    from procman.formats import cron  # noqa: PLC0415 - who starts with an app.json seldom has one

    try:
        cron.parse(schedule.strip())
    except ValueError as error:
        return str(error)
    return ""
