"""The app as it would run: Procfile and env files read, formation and environment worked out."""

import os
from errno import EFBIG

from procman.cli.options import Given
from procman.cli.settings import Settings, port_number, resolve
from procman.cli.settings_files import place_of
from procman.errors import ProcmanError
from procman.formats import procfile
from procman.formats.diagnostic import Diagnostic
from procman.formats.formation_arg import ALL
from procman.formats.procfile import Procfile
from procman.typed import Iterable, Iterator, Mapping, NamedTuple

DEFAULT_PORT = 5000  # foreman, honcho
DEFAULT_ENV_FILE = ".env"
MOST_BYTES = 8 << 20  # `-f /dev/zero` must not eat the memory


class App(NamedTuple):
    """All that a supervisor needs to know of an app, but for what differs by dyno (PORT, DYNO, PS)."""

    root: str  # absolute
    processes: tuple[tuple[str, str], ...]  # every type of the Procfile with its command, in file order
    formation: dict[str, int]  # what is to run, in file order; no zeros
    env: dict[str, str]  # the caller's environment and the env files
    env_origins: dict[str, str]  # "FILE:LINE", "environment" or "default"
    base_port: int
    base_port_origin: str  # also "--port" and places in settings files
    warnings: tuple[Diagnostic, ...] = ()


class Examination(NamedTuple):
    """An app with all that is wrong with it; ``app`` is whole as far as the findings allow."""

    app: App
    procfile: Procfile
    file_env: dict[str, str]  # what the env files set
    env_files: tuple[str, ...]  # the ones that were read, named as the user did
    diagnostics: tuple[Diagnostic, ...]

    @property
    def errors(self) -> list[Diagnostic]:
        return [finding for finding in self.diagnostics if finding.severity == "error"]


def load(settings: Settings, environ: Mapping[str, str], procfile_needed: bool = True) -> App:
    """The app, or a ProcmanError (exit code 1) with one line for each error. Only reads files.

    ``procfile_needed`` False is for `procman run`: it works without a Procfile and without anything to start.
    """
    examination = examine(settings, environ, procfile_needed)
    errors = examination.errors
    if errors and errors[0].code in ("unknown-type", "unknown-need"):  # slips need no list of findings
        slip = errors[0].file.startswith("-") or errors[0].file == "the command line"
        slip = slip or errors[0].code == "unknown-need"
        raise ProcmanError("\n".join(map(_refusal, errors)), exit_code=2 if slip else 1)
    if len(errors) == 1:
        missing = errors[0].code == "no-procfile"
        hint = "procman, which tells how to write one" if missing else _check_of(settings)
        raise ProcmanError(_refusal(errors[0]), hint)
    if errors:
        listed = "\n".join(str(error) for error in errors)
        raise ProcmanError(f"cannot use this app: {len(errors)} errors\n{listed}", _check_of(settings))
    if procfile_needed and not examination.app.formation:
        raise _nothing_left(settings, examination.app)
    return examination.app


def examine(settings: Settings, environ: Mapping[str, str], procfile_needed: bool = True) -> Examination:
    """Read everything and report everything; raises nothing for what the user's files contain."""
    found: list[Diagnostic] = []
    parsed = _read_procfile(settings, procfile_needed)
    found += parsed.diagnostics
    names = [name for name, _ in parsed.processes]
    if procfile_needed and names:
        found += _unknown_types(settings, names)
        found += _unnamed_types(settings)
    file_env: dict[str, str] = {}
    origins = dict.fromkeys(environ, "environment")
    read: list[str] = []
    for name, data in _env_files(settings, found):
        from procman.formats import envfile  # an app without env files does not pay for it

        read.append(name)
        file = envfile.parse(data, name, {**environ, **file_env}, settings.interpolate)
        found += file.diagnostics
        file_env.update(file.values)
        origins.update((key, f"{name}:{line}") for key, line in file.lines.items())
    env = {**environ, **file_env}
    if "PYTHONUNBUFFERED" not in env:  # or a Python child's prints wait in its buffer, as in the peers
        env["PYTHONUNBUFFERED"] = "1"
        origins["PYTHONUNBUFFERED"] = "default"
    port, port_origin = _base_port(settings, env, origins, found)
    warnings = tuple(finding for finding in found if finding.severity == "warning")
    app = App(
        _absolute(settings.app_root),
        parsed.processes,
        formation_of(settings, names),
        env,
        origins,
        port,
        port_origin,
        warnings,
    )
    return Examination(app, parsed, file_env, tuple(read), tuple(found))


def formation_of(settings: Settings, names: Iterable[str]) -> dict[str, int]:
    """How many of which type run, in file order: those named or all but ``release``, once unless told."""
    types, wished = settings.types, settings.formation
    formation = {}
    for name in names:
        unnamed_release = name == "release" and name not in types and name not in wished
        if name in settings.excluded or unnamed_release or (types and name not in types and ALL not in types):
            continue
        everyone = {} if name == "release" else {**wished, **types}  # `all=3` does not mean the release step
        said = (types.get(name), wished.get(name), everyone.get(ALL), 1)
        quantity = next(number for number in said if number is not None)
        if quantity:
            formation[name] = quantity
    return formation


def _read_procfile(settings: Settings, needed: bool) -> Procfile:
    name = settings.procfile
    try:
        return procfile.parse(_read(settings, name), name)
    except FileNotFoundError:
        if not needed:
            return Procfile((), {}, ())
        code, message = (
            "no-procfile",
            f"not found in {_absolute(settings.app_root)}{_lookalike(settings)}",
        )
    except OSError as error:
        code, message = "unreadable", _reason(error)
    except ValueError:
        code, message = "unreadable", "no file can be called that"
    return Procfile((), {}, (Diagnostic(name, None, "error", code, message),))


def process_types(told: Given) -> dict[str, str]:
    """Those of the Procfile that the command line means, with their commands; none where nothing can be read."""
    fields = {name: value for name, value in told.fields.items() if name in {"app_root", "procfile"}}
    try:
        return dict(_read_procfile(resolve(Given(fields), os.environ), False).processes)
    except ProcmanError:
        return {}


def _lookalike(settings: Settings) -> str:
    """What to do about a missing Procfile, when its folder holds something that looks like one."""
    folder, wanted = os.path.split(os.path.join(settings.app_root, settings.procfile))
    try:
        present = sorted(os.listdir(folder or "."))
    except OSError:
        return ""
    for name in present:
        if name.lower() in {wanted.lower(), f"{wanted.lower()}.txt"}:
            return (
                f", but '{name}' is: rename it with 'mv {name} {wanted}' (Heroku ignores any other spelling)"
            )
    variants = [name for name in present if name.startswith(f"{wanted}.")]
    return f": did you mean -f {variants[0]}?" if variants else ""


def _env_files(settings: Settings, found: list[Diagnostic]) -> Iterator[tuple[str, bytes]]:
    """Name and content of each env file; a missing .env is fine, a missing named one is a finding."""
    implied = settings.env_files is None
    for name in settings.env_files if settings.env_files is not None else (DEFAULT_ENV_FILE,):
        try:
            yield name, _read(settings, name)
        except FileNotFoundError:
            path = os.path.join(settings.app_root, name)
            if os.path.islink(path):
                message = f"a link to '{os.readlink(path)}', which is not there"
                found.append(Diagnostic(name, None, "error", "unreadable", message))
            elif not implied:
                message = f"no such env file in {_absolute(settings.app_root)}"
                found.append(Diagnostic(name, None, "error", "no-env-file", message))
        except OSError as error:
            if implied and isinstance(error, IsADirectoryError):  # a virtual environment can be called .env
                message = "a directory, not an env file: no variables are read"
                found.append(Diagnostic(name, None, "warning", "env-directory", message))
            else:
                found.append(Diagnostic(name, None, "error", "unreadable", _reason(error)))
        except ValueError:
            found.append(Diagnostic(name, None, "error", "unreadable", "no file can be called that"))


def _read(settings: Settings, name: str) -> bytes:
    with open(os.path.join(settings.app_root, name), "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(EFBIG, f"larger than {MOST_BYTES >> 20} MiB, so not a file that somebody wrote")
    return data


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        raise ProcmanError("cannot work here: the current directory was removed", "cd ~") from None


def _reason(error: OSError) -> str:
    if isinstance(error, IsADirectoryError):
        return "a directory, not a file"
    reason = error.strerror or "cannot be read"
    return reason[:1].lower() + reason[1:]


def _base_port(
    settings: Settings, env: Mapping[str, str], origins: Mapping[str, str], found: list[Diagnostic]
) -> tuple[int, str]:
    if settings.port is not None:
        return settings.port, settings.origins.get("port", "--port")
    if env.get("PORT", "") == "":
        return DEFAULT_PORT, "default"
    origin = origins["PORT"]
    try:
        return port_number(env["PORT"]), origin
    except ValueError as error:
        file, line = place_of(origin)
        found.append(Diagnostic(file, line, "error", "bad-port", f"PORT: {error}"))
        return DEFAULT_PORT, "default"


def _unknown_types(settings: Settings, names: list[str]) -> Iterator[Diagnostic]:
    """Process types that options speak of and the Procfile does not."""
    exit_with = settings.exit_with
    asked: dict[str, Iterable[str]] = {
        "types": settings.types,
        "formation": settings.formation,
        "quiet": settings.quiet,
        "excluded": settings.excluded,
        "restart": settings.restart,
        "grace": settings.grace,
        "stop_signal": settings.stop_signal,
        "memory": settings.memory,
        "limit": settings.limit,
        "watch": settings.watch,
        "needs": {*settings.needs, *(name for needed in settings.needs.values() for name in needed)},
        "health": settings.health,
        "exit_with": [] if exit_with in {None, "any", "none"} else [str(exit_with)],
    }
    for field, types in asked.items():
        if settings.origins.get(field) == "app.json":
            continue  # Heroku and dokku do not mind types that are not there
        for unknown in sorted(set(types).difference(names) - {ALL}):
            file, line = place_of(settings.origins.get(field, field))
            said = f"no process type '{unknown}' in {settings.procfile}: {_nearest(unknown, names)}"
            if field == "needs":
                code, message = "unknown-need", said
            else:
                code, message = "unknown-type", said
            yield Diagnostic(file, line, "error", code, message)


def _unnamed_types(settings: Settings) -> Iterator[Diagnostic]:
    """Types of which a flag wants so many, and which the words beside it leave out (so do honcho and foreman)."""
    flag = settings.origins.get("formation", "")
    if not settings.types or ALL in settings.types or not flag.startswith("-"):
        return
    for name, number in settings.formation.items():
        if number and name not in settings.types and name != ALL:
            message = f"{name}={number} means nothing, as '{name}' is not named: add '{name}' to the words"
            yield Diagnostic(flag, None, "warning", "not-named", message)


def _refusal(error: Diagnostic) -> str:
    place = error.file if error.line is None else f"{error.file}:{error.line}"
    return f"cannot use {place}: {error.message}"


def _check_of(settings: Settings) -> str:
    """`procman check` of the same files."""
    from shlex import join

    files = {
        "app_root": ["-d", settings.app_root],
        "procfile": ["-f", settings.procfile],
        "env_files": ["-e", ",".join(settings.env_files or ())],
    }
    said = [files[field] for field in files if settings.origins.get(field, "").startswith("--")]
    return join(["procman", "check", *(word for words in said for word in words)])


def _nearest(unknown: str, names: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(unknown, names, 1)
    return f"did you mean '{near[0]}'?" if near else f"there is {', '.join(names)}"


def _nothing_left(settings: Settings, app: App) -> ProcmanError:
    names = [name for name, _ in app.processes]
    if names == ["release"]:
        return ProcmanError("cannot use this app: the Procfile has only a release step", "procman start release")
    why = (
        "nothing is left after the options"
        if settings.types or settings.formation or settings.excluded
        else "no type"
    )
    return ProcmanError(
        f"cannot use this app: {why}: the Procfile has {', '.join(names)}", f"procman start {names[0]}"
    )
