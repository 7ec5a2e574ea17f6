"""`procman check`: all findings at once, like a compiler, and where each effective value came from."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from itertools import starmap

from procman.cli.app import Examination, examine
from procman.cli.env import masked
from procman.cli.listing import columns, counted, emit, emit_json
from procman.cli.options import Given
from procman.cli.request import waiting
from procman.cli.settings import Settings, resolve
from procman.cli.settings_files import SettingsFileError, place_of
from procman.core.health import Checks
from procman.formats import advice, duration, envfile
from procman.formats.diagnostic import Diagnostic
from procman.formats.formation_arg import ALL
from procman.formats.limits import limit_written, written
from procman.formats.watch_rules import written as written_rules
from procman.supervisor.home import default_name

GIT_PATIENCE_S = 5.0  # a repository on a network disk; check must not hang on it


def check(given: Given, as_json: bool) -> int:
    """Print what is wrong and what would surprise; 1 if anything is an error, else 0. Starts nothing.

    Raises UsageError for a wrong flag; a wrong settings file is a finding.
    """
    waiting(given)
    environ = dict(os.environ)
    found: list[Diagnostic] = []
    try:
        settings = resolve(given, environ)
    except SettingsFileError as error:
        found += sorted(map(_mistake, (error, *error.further)), key=lambda mistake: (mistake.file, mistake.line or 0))
        named = {name: given.fields[name] for name in ("app_root", "procfile") if name in given.fields}
        settings = Settings(**{name: str(value) for name, value in named.items()})  # type: ignore[arg-type]
    examination = examine(settings, environ)
    found += examination.diagnostics
    found += advise(settings, examination, environ)
    failed = any(finding.severity == "error" for finding in found)
    if as_json:
        emit_json(
            {
                "processes": [list(process) for process in examination.app.processes],
                "env": {key: masked(key, value) for key, value in examination.file_env.items()},
                "diagnostics": [finding._asdict() for finding in found],
            }
        )
    else:
        _print(settings, examination, found)
    return 1 if failed else 0


def _mistake(error: SettingsFileError) -> Diagnostic:
    hint = f": {error.hint}" if error.hint else ""
    return Diagnostic(error.file, error.line, "error", "settings", error.reason + hint)


def advise(settings: Settings, examination: Examination, environ: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Where laptop, colleagues and Heroku would differ."""
    root = settings.app_root
    yield from _case_of_name(settings, examination)
    yield from advice.about_commands(examination.procfile, settings.procfile)
    yield from advice.about_ports(examination.procfile, settings.procfile)
    origins = examination.app.env_origins
    places = {}
    for key in examination.file_env:
        file, line = place_of(origins[key])
        places[key] = (file, line or 1)
    yield from advice.about_names(places)
    for file in examination.env_files:
        if _tracked_by_git(root, file):
            yield advice.tracked(file)
    have = {**environ, **examination.file_env}
    for file in advice.EXAMPLES:
        data = _content(root, file)
        if data is not None and file not in examination.env_files:
            yield from advice.about_example(
                file, envfile.parse(data, file, {}, interpolate=False).lines, have
            )
    data = _content(root, "app.json")
    if data is not None:
        yield from advice.about_app_json("app.json", data, have)


def _case_of_name(settings: Settings, examination: Examination) -> Iterator[Diagnostic]:
    """On disks that ignore case (macOS), a mis-cased Procfile opens all the same."""
    folder, name = os.path.split(os.path.join(settings.app_root, settings.procfile))
    if not examination.procfile.processes:
        return
    try:
        present = os.listdir(folder or ".")
    except OSError:
        return
    if name not in present:
        yield from (advice.miscased(name, other) for other in present if other.lower() == name.lower())


def _tracked_by_git(root: str, file: str) -> bool:
    """Whether git has the file in its index; False without git or a repository."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--error-unmatch", "--", file],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=GIT_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0


def _content(root: str, file: str) -> bytes | None:
    try:
        with open(os.path.join(root, file), "rb") as opened:
            return opened.read()
    except OSError:
        return None


def _print(settings: Settings, examination: Examination, found: list[Diagnostic]) -> None:
    for finding in found:
        emit(str(finding))
    errors = sum(finding.severity == "error" for finding in found)
    warnings = len(found) - errors
    types = counted(len(examination.app.processes), "process type")
    verdict = (
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        if found
        else "nothing to complain about"
    )
    emit(f"{settings.procfile}: {types}; {verdict}")
    emit("")
    for row in columns(effective_values(settings, examination)):
        emit(row)


def effective_values(settings: Settings, examination: Examination) -> Iterator[tuple[str, str, str]]:
    """Name, value and origin of everything a start would go by."""
    app = examination.app
    shown = {
        "app_root": app.root,
        "procfile": settings.procfile,
        "env_files": " ".join(examination.env_files) or "none",
        "interpolate": _yes(settings.interpolate),
        "port": str(app.base_port),
        "formation": " ".join(f"{name}={number}" for name, number in app.formation.items()) or "nothing",
        "except": " ".join(sorted(settings.excluded)) or "none",
        "quiet": " ".join(sorted(settings.quiet)) or "none",
        "restart": _per_type({name: policy.name for name, policy in settings.restart.items()}),
        "grace": _per_type({name: duration.written(seconds) for name, seconds in settings.grace.items()}),
        **bounds_shown(settings),
        "exit_with": settings.exit_with or "by policy",
        "timestamps": _yes(settings.timestamps),
        "prefix": _yes(settings.prefix),
        "color": _yes(settings.color),
        "tty": _yes(settings.tty),
        "log_format": settings.log_format,
        "watch": " ".join(written_rules(settings.watch)) or "nothing",
        "name": settings.name or default_name(app.root, settings.procfile),
        "detach": _yes(settings.detach),
    }
    origins = {**settings.origins, "port": app.base_port_origin, "formation": _formation_origin(settings)}
    origins["except"] = origins.get("excluded", "default")
    for name, value in shown.items():
        yield name.replace("_", "-"), value, origins.get(name, "default")


def asked(checks: Checks) -> str:
    """How dynos of a type are checked, in short: the ways, and whether that goes on."""
    ways = [next(name for name in ("http", "command", "notify") if getattr(probe, name)) for probe in checks.probes()]
    return "+".join(dict.fromkeys(ways)) + (":liveness" if checks.live else "")


def bounds_shown(settings: Settings) -> dict[str, str]:
    """Stop signals, quotas, limits, start order and checks, each only where there are any."""
    limits = {kind: ",".join(starmap(limit_written, by.items())) for kind, by in settings.limit.items()}
    shown = {
        "stop_signal": settings.stop_signal,
        "memory": {name: written(size) for name, size in settings.memory.items()},
        "limit": limits,
        "needs": {kind: "+".join(needed) for kind, needed in settings.needs.items()},
        "health": {kind: asked(checks) for kind, checks in settings.health.items()},
    }
    return {name: _per_type(values) for name, values in shown.items() if values}


def _formation_origin(settings: Settings) -> str:
    fields = ("types", "formation", "excluded")
    spoken = [
        settings.origins[field] for field in fields if settings.origins.get(field, "default") != "default"
    ]
    return ", ".join(spoken) or "default"


def _per_type(values: Mapping[str, str]) -> str:
    rest = [values[ALL]] if ALL in values else []
    return (
        " ".join([*rest, *(f"{name}={value}" for name, value in values.items() if name != ALL)])
        or "by policy"
    )


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "as the terminal"}[value]
