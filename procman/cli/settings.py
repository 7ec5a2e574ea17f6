"""What the user asked for, from whichever place: flags, .procman.toml, pyproject.toml, .foreman, defaults."""

import os

from procman.cli.options import OPTIONS, Given
from procman.cli.settings_files import HEALTH, Raw, SettingsFileError, place_of, read_layers
from procman.core.health import Checks
from procman.core.restart import DEV, RestartPolicy
from procman.errors import UsageError
from procman.formats import formation_arg
from procman.formats.formation_arg import ALL
from procman.typed import Callable, Mapping, NamedTuple, Sequence, TypeVar

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")

LOG_FORMATS = ("text", "json", "heroku")
LONGEST_NAME = 255  # bytes: it is a folder's
HIGHEST_PORT = 65_535
_LABELS = {option.name: option.label for option in (*OPTIONS["start"], HEALTH)}
_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


class Settings(NamedTuple):
    """Every effective value of a `procman start`, typed and checked. In per-type mappings, "*": the rest."""

    app_root: str = "."
    procfile: str = "Procfile"
    env_files: tuple[str, ...] | None = None  # None: ".env" if it is there
    interpolate: bool = True
    port: int | None = None
    types: Mapping[str, int | None] = {}  # `start web=2 worker`; "*": `all=N`; empty: all but release
    formation: Mapping[str, int] = {}  # -m/-c; "*" is `all=N`
    quiet: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    restart: Mapping[str, RestartPolicy] = {}  # "*" always present after resolve()
    grace: Mapping[str, float] = {}  # seconds; empty: the policy's own
    exit_with: str | None = None  # a type, "any", "none", or None for the policy's own behaviour
    timestamps: bool = True
    prefix: bool = True
    color: bool | None = None  # None: decide by terminal and NO_COLOR, FORCE_COLOR, TERM
    tty: bool | None = None  # None: a pty for the dynos when our stdout is a terminal
    log_format: str = "text"  # text, json, heroku
    name: str | None = None  # None: made from the app root
    detach: bool = False
    needs: Mapping[str, tuple[str, ...]] = {}  # by type, those that are to be up before it starts
    health: Mapping[str, Checks] = {}
    watch: Mapping[str, tuple[str, ...]] = {}  # globs by type; empty: nothing is watched
    stop_signal: Mapping[str, str] = {}  # full names; empty: SIGTERM
    memory: Mapping[str, int] = {}  # bytes of the quota
    limit: Mapping[str, Mapping[str, int]] = {}  # by type and prlimit's name
    origins: Mapping[str, str] = {}  # field name -> where its value came from, for `procman check`


def resolve(given: Given, environ: Mapping[str, str]) -> Settings:
    """Flags, then .procman.toml, [tool.procman] of pyproject.toml, .foreman, defaults: the first that speaks
    wins.

    ``environ`` serves only to resolve ``~/`` in paths. Files are looked for in the app root; one that names
    another app root means a folder beside itself. Raises UsageError naming the flag, or SettingsFileError naming file
    and line, with all else that is wrong in the files.
    """
    mistakes: list[SettingsFileError] = []
    raw = _gather(given, environ, mistakes)
    values = _Values(raw, mistakes)
    settings = _settings(values, _types(given.arguments), environ)
    if not os.path.isdir(settings.app_root):
        values.refuse("app_root", f"'{settings.app_root}' is no directory")
    if mistakes:
        mistakes[0].further = mistakes[1:]
        raise mistakes[0]
    origins = {name: raw[name].origin if name in raw else "default" for name in Settings._fields[:-1]}
    if settings.types:
        origins["types"] = "the command line"
    return settings._replace(origins=origins)


def _gather(given: Given, environ: Mapping[str, str], mistakes: list[SettingsFileError]) -> dict[str, Raw]:
    """Of each field that anybody speaks of, what the first in that order says."""
    asked = given.fields.get("app_root", ".")
    root = _path(asked if isinstance(asked, str) else ".", environ)
    if not os.path.isdir(root):
        raise UsageError(f"cannot use --app-root: '{root}' is no directory")
    if not os.access(root, os.X_OK):
        raise UsageError(f"cannot use --app-root: '{root}': permission denied")
    raw: dict[str, Raw] = {}
    for layer in reversed(read_layers(root, mistakes)):
        raw.update(layer)
    if "app_root" in raw:
        moved = raw["app_root"]
        raw["app_root"] = moved._replace(value=os.path.join(root, _path(_text(moved), environ)))
    for name, value in given.fields.items():
        if name in Settings._fields:
            raw[name] = Raw(value, _LABELS[name])
    return raw


def _types(words: Sequence[str]) -> dict[str, int | None]:
    try:
        return formation_arg.parse_types(words)
    except ValueError as error:
        raise UsageError(f"cannot use the command line: {error}") from None


def _settings(values: "_Values", types: Mapping[str, int | None], environ: Mapping[str, str]) -> Settings:
    return Settings(
        app_root=_path(values.text("app_root", "."), environ),
        procfile=_path(values.text("procfile", "Procfile"), environ),
        env_files=values.each("env_files", lambda texts: _env_files(texts, environ), None),
        interpolate=values.switch("interpolate") is not False,
        port=values.one("port", port_number),
        types=types,
        formation=values.each("formation", formation_arg.parse_counts, {}),
        quiet=values.each("quiet", formation_arg.parse_names, frozenset()),
        excluded=values.each("excluded", formation_arg.parse_names, frozenset()),
        restart={ALL: DEV, **values.each("restart", _policies, {})},
        grace=values.each("grace", _graces, {}),
        exit_with=values.one("exit_with", _exit_with),
        timestamps=values.switch("timestamps") is not False,
        prefix=values.switch("prefix") is not False,
        color=values.switch("color"),
        tty=values.switch("tty"),
        log_format=values.one("log_format", _log_format) or "text",
        name=values.one("name", _name),
        detach=bool(values.switch("detach")),
        needs=values.each("needs", _needs, {}),
        health=values.each("health", _health, {}),
        watch=values.each("watch", _watched, {}),
        stop_signal=values.each("stop_signal", _stop_signals, {}),
        memory=values.each("memory", _quotas, {}),
        limit=values.each("limit", _limits, {}),
    )


def port_number(text: str) -> int:
    """A port that a process may bind. ValueError says why not."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"'{text}' is not a port number")
    number = int(text[:9])
    if not 1 <= number <= HIGHEST_PORT:
        raise ValueError(f"{text} is not between 1 and {HIGHEST_PORT}")
    if number < 1024 and os.geteuid() != 0 and number < _first_unprivileged():
        raise ValueError(f"{text}: only root may use ports below {_first_unprivileged()}")
    return number


def _first_unprivileged() -> int:
    try:
        with open(_UNPRIVILEGED, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024 if os.path.exists("/proc") else 0  # macOS lets anybody bind low ports


class _Values:
    """Raw values by field, and how to make checked ones of them. What files say wrongly is added to ``mistakes``."""

    def __init__(self, raw: Mapping[str, Raw], mistakes: list[SettingsFileError]) -> None:
        self._raw = raw
        self._mistakes = mistakes

    def text(self, name: str, default: str) -> str:
        return _text(self._raw[name]) if name in self._raw else default

    def switch(self, name: str) -> bool | None:
        return bool(self._raw[name].value) if name in self._raw else None

    def one(self, name: str, read: Callable[[str], T]) -> T | None:
        return self._checked(name, read, self.text(name, ""), None) if name in self._raw else None

    def each(self, name: str, read: Callable[[list[str]], T], default: T) -> T:
        if name not in self._raw:
            return default
        value = self._raw[name].value
        return self._checked(name, read, value if isinstance(value, list) else [str(value)], default)

    def _checked(self, name: str, read: Callable[[U], T], value: U, default: V) -> T | V:
        try:
            return read(value)
        except ValueError as error:
            self.refuse(name, str(error))
            return default

    def refuse(self, name: str, reason: str) -> None:
        """A field is wrong: note at which line, or raise UsageError for the flag that it came from."""
        origin = self._raw[name].origin
        if origin.startswith("-"):
            raise UsageError(f"cannot use {origin}: {reason}") from None
        file, line = place_of(origin)
        self._mistakes.append(SettingsFileError(file, line, _LABELS[name].removeprefix("--"), reason))


def _text(raw: Raw) -> str:
    return raw.value if isinstance(raw.value, str) else ""


def _path(path: str, environ: Mapping[str, str]) -> str:
    """Shells leave ``~/`` alone in ``--env=~/x``, and nobody expands it in a file."""
    return environ["HOME"] + path[1:] if path.startswith("~/") and "HOME" in environ else path


def _env_files(texts: list[str], environ: Mapping[str, str]) -> tuple[str, ...] | None:
    return tuple(_path(item, environ) for item in formation_arg.items(texts))


def _policies(texts: list[str]) -> dict[str, RestartPolicy]:
    from procman.formats.restart_policy import parse

    return parse(texts)


def _graces(texts: list[str]) -> dict[str, float]:
    from procman.formats import duration

    graces = {}
    for item in formation_arg.items(texts):
        try:
            kind, time = _typed(item)
            graces[kind] = duration.parse(time)
        except ValueError as error:
            raise ValueError(f"'{item}': {error}") from None
    return graces


def _watched(texts: list[str]) -> dict[str, tuple[str, ...]]:
    from procman.formats.watch_rules import parse

    return parse(texts)


def _stop_signals(texts: list[str]) -> dict[str, str]:
    from procman.formats import signal_name

    return {kind: signal_name.parse(word) for kind, word in map(_typed, formation_arg.items(texts))}


def _quotas(texts: list[str]) -> dict[str, int]:
    from procman.formats.limits import parse_memory

    return {kind: parse_memory(size) for kind, size in map(_typed, formation_arg.items(texts))}


def _limits(texts: list[str]) -> dict[str, dict[str, int]]:
    from procman.formats.limits import parse_limit
    from procman.supervisor.bounds import refuse_impossible

    limits: dict[str, dict[str, int]] = {}
    for kind, text in map(_typed, formation_arg.items(texts)):
        name, value = parse_limit(text)
        refuse_impossible(name, value)
        limits.setdefault(kind, {})[name] = value
    return limits


def _needs(texts: list[str]) -> dict[str, tuple[str, ...]]:
    from procman.formats.needs import parse

    return parse(texts)


def _health(texts: list[str]) -> dict[str, Checks]:
    from procman.formats.health import parse

    return parse(texts)


def _typed(item: str) -> tuple[str, str]:
    """``web=512M`` as type and the rest; ``512M`` is of all types."""
    name, equals, rest = item.rpartition("=")
    return (formation_arg.parse_type(name), rest) if equals else (ALL, rest)


def _exit_with(text: str) -> str:
    if text in {"any", "none"}:
        return text
    if text == "all":
        raise ValueError("'all' is not a process type: did you mean 'any'?")
    return formation_arg.parse_type(text)


def _name(text: str) -> str:
    if not text or "/" in text or "\0" in text or text.startswith("."):
        raise ValueError(f"'{text}' is no name: one has no '/', and does not begin with '.'")
    if len(os.fsencode(text)) > LONGEST_NAME:
        raise ValueError(f"'{text[:20]}…' is too long: {LONGEST_NAME} bytes are the most")
    return text


def _log_format(text: str) -> str:
    if text not in LOG_FORMATS:
        raise ValueError(f"'{text}' is not one of {', '.join(LOG_FORMATS)}")
    return text
