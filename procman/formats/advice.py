"""Where an app that runs here would differ on Heroku or on a colleague's machine. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from procman.core.formation import port_variable
from procman.formats.diagnostic import Diagnostic
from procman.formats.procfile import Procfile

SET_PER_DYNO = {
    "DYNO": "procman and Heroku set it for every dyno: this value is not used",
    "PS": "procman and Heroku set it for every dyno: this value is not used",
    "PORT": "the first port here (each dyno gets its own); on Heroku, never set it as a config var",
}
EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist")


class LocalOnly(NamedTuple):
    """A kind of command that makes sense on a laptop and not in production."""

    pattern: str
    reason: str


_WORD = r"(?:^|[\s;&|(=/])"  # where a command's name may begin
_END = r"(?=$|[\s;&|)])"
_LOCAL_ONLY = (
    LocalOnly(
        rf"{_WORD}(nodemon|watchexec|watchmedo|entr|onchange){_END}",
        "watches files, which never change there",
    ),
    LocalOnly(rf"\s(--(?:reload|watch)){_END}", "watches files, which never change there"),
    LocalOnly(
        rf"{_WORD}(flask run|manage\.py runserver|webpack-dev-server|webpack serve|next dev|php -S){_END}",
        "is a server for development only",
    ),
    LocalOnly(
        rf"{_WORD}(redis-server|postgres|mongod|mysqld|memcached|mailcatcher|mailhog|elasticsearch|ngrok){_END}",
        "is a service of this machine: there, use an add-on and its config var",
    ),
    LocalOnly(rf"{_WORD}(docker|docker-compose|podman|sudo|brew){_END}", "is not there"),
    LocalOnly(r"(?:^|[\s=:])((?:\./)?\.?v?env/bin/)", "is a virtual environment of this machine"),
    LocalOnly(r"(?:^|[\s=:\"'])((?:/home/|/Users/|~/)[^\s/]*)", "is a path of this machine"),
)
_READS_PORT_ITSELF = (
    r"(?:^|[\s/])(?:gunicorn(?!.*\s(?:-b|--bind))|heroku-php-\w+|(?:rails|rackup) s(?:erver)?)"
)
_LOOPBACK = r"(127\.0\.0\.1|localhost):?\$?\{?PORT"


def about_commands(procfile: Procfile, file: str) -> Iterator[Diagnostic]:
    """What in the commands depends on the laptop."""
    for name, command in procfile.processes:
        line = procfile.lines[name]
        if name == "web":
            yield from _about_web(command, file, line)
        for kind in _LOCAL_ONLY:
            match = re.search(kind.pattern, command)
            if match:
                message = f"'{name}' uses '{match[1]}': on Heroku, that {kind.reason}"
                yield Diagnostic(file, line, "warning", "local-only", message)


def about_ports(procfile: Procfile, file: str) -> Iterator[Diagnostic]:
    """Types whose ports the others would find by one and the same variable."""
    holders: dict[str, str] = {}
    for name, _ in procfile.processes:
        variable = port_variable(name)
        if variable in holders:
            message = f"{variable} is the port of '{name}', and that of '{holders[variable]}' has no variable"
            yield Diagnostic(file, procfile.lines[name], "warning", "shared-port", message)
        holders[variable] = name


def _about_web(command: str, file: str, line: int) -> Iterator[Diagnostic]:
    if "PORT" not in command and not re.search(_READS_PORT_ITSELF, command):
        message = (
            "'web' never mentions $PORT: Heroku ends it after 60 s (R10) unless the program itself reads PORT"
        )
        yield Diagnostic(file, line, "warning", "no-port", message)
    loopback = re.search(_LOOPBACK, command)
    if loopback:
        message = f"'web' listens on {loopback[1]} only, where Heroku's router cannot reach it: use 0.0.0.0"
        yield Diagnostic(file, line, "warning", "loopback", message)


def about_names(places: Mapping[str, tuple[str, int]]) -> Iterator[Diagnostic]:
    """Variables of env files (name → file and line) that are not the env file's business."""
    for name, reason in SET_PER_DYNO.items():
        if name in places:
            file, line = places[name]
            yield Diagnostic(file, line, "warning", "set-per-dyno", f"{name}: {reason}")


def about_example(file: str, keys: Mapping[str, int], have: Iterable[str]) -> Iterator[Diagnostic]:
    """Keys (with their lines) of an example env file that nothing sets here."""
    for key in sorted(set(keys).difference(have), key=keys.__getitem__):
        message = f"{key} is in {file}, but no env file sets it"
        yield Diagnostic(file, keys[key], "warning", "missing-key", message)


def about_app_json(file: str, data: bytes, have: Iterable[str]) -> Iterator[Diagnostic]:
    """Whether app.json can be read, and its env (Dev Center: app-json-schema) that nothing sets here."""
    try:
        text = data.decode("utf-8-sig")
        content = json.loads(text)
    except UnicodeDecodeError:
        yield Diagnostic(file, None, "warning", "app-json", "not UTF-8: Heroku cannot read it")
        return
    except json.JSONDecodeError as error:
        yield Diagnostic(
            file, error.lineno, "warning", "app-json", f"not JSON: {error.msg} (column {error.colno})"
        )
        return
    except RecursionError:
        yield Diagnostic(
            file, None, "warning", "app-json", "not JSON that anybody can read: nested too deeply"
        )
        return
    env = content.get("env", {}) if isinstance(content, dict) else None
    if not isinstance(env, dict):
        yield Diagnostic(file, None, "warning", "app-json", "not an object with an 'env' object in it")
        return
    present = set(have)
    for key, wish in env.items():
        optional = isinstance(wish, dict) and wish.get("required") is False
        if key not in present and not optional:
            given = isinstance(wish, str) or (
                isinstance(wish, dict) and ("value" in wish or "generator" in wish)
            )
            message = f"{key} is required, but no env file sets it" + (
                " (Heroku fills it in)" if given else ""
            )
            yield Diagnostic(file, _line_of(text, key), "warning", "missing-key", message)


def tracked(file: str) -> Diagnostic:
    remedy = f"git rm --cached {file}, and add it to .gitignore"
    message = f"tracked by git, so its secrets are in every clone: {remedy}"
    return Diagnostic(file, None, "warning", "tracked-env", message)


def miscased(file: str, on_disk: str) -> Diagnostic:
    message = (
        f"the file's name is '{on_disk}': this disk does not mind, Heroku ignores it: mv {on_disk} {file}"
    )
    return Diagnostic(file, None, "warning", "mis-cased", message)


def _line_of(text: str, key: str) -> int | None:
    match = re.search(rf"{re.escape(json.dumps(key))}\s*:", text)
    return text.count("\n", 0, match.start()) + 1 if match else None
