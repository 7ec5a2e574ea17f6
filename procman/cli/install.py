"""`procman install systemd`: a unit that starts this app's formation at boot and keeps procman itself alive."""

import os
import pwd
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence

from procman.cli.app import load
from procman.cli.listing import emit
from procman.cli.options import OPTIONS, PASSED_ON, Given
from procman.cli.settings import Settings, resolve
from procman.core.model import profile_of
from procman.errors import ProcmanError, UsageError
from procman.formats.systemd_unit import MARKER, Unit, unit_name
from procman.supervisor.home import Home, apps_dir, default_name

SYSTEM_UNITS = "/etc/systemd/system"


def install(told: Given, _own: Mapping[str, bool]) -> int:
    """Write the unit, or print it; then say what is left to type."""
    if told.arguments[:1] != ["systemd"]:
        word = told.arguments[0] if told.arguments else ""
        raise UsageError(f"cannot install for '{word}': systemd is what there is", "procman install systemd")
    if told.fields.get("system") and told.fields.get("user"):
        raise UsageError("cannot use --user with --system: a unit is for one of both", "procman install systemd")
    told = Given(told.fields, told.arguments[1:])
    environ = dict(os.environ)
    settings = resolve(told, environ)
    system = bool(told.fields.get("system"))
    name = settings.name or default_name(load(settings, environ).root, settings.procfile)
    try:
        file, text = unit_name(name), unit_of(told, settings, name, environ).text()
    except ValueError as error:
        raise ProcmanError(f"cannot install {name!a}: {error}") from None
    if told.fields.get("print"):
        emit(text.rstrip("\n"))
        return 0
    path = os.path.join(SYSTEM_UNITS if system else user_units(environ), file)
    write(path, text)
    emit("\n".join([f"Wrote {path}", "Now type:", *(f"  {line}" for line in next_steps(file, system))]))
    if Home(apps_dir(environ), name).is_running():
        emit(f"It runs already, without systemd; before all that:\n  procman shutdown --name {shlex.quote(name)}")
    return 0


def unit_of(told: Given, settings: Settings, name: str, environ: Mapping[str, str]) -> Unit:
    """The unit of what `procman start` would do with the same words."""
    system = bool(told.fields.get("system"))
    procman = program()
    root = told.fields.get("app_root")
    started = [*procman, "start", f"--name={name}", "--no-timestamps", *flags(told), *told.arguments]
    return Unit(
        name,
        started,
        [*procman, "reload", f"--name={name}"],
        os.path.abspath(os.path.expanduser(root if isinstance(root, str) else ".")),
        variables(environ, os.path.dirname(procman[0]), system),
        longest_grace(settings, environ),
        run_as(told, environ),
        system,
    )


def program() -> list[str]:
    """How this very procman is started, by absolute path; links stay links, as they survive upgrades."""
    beside = os.path.join(os.path.dirname(sys.executable), "procman")
    for script in (sys.argv[0], beside):
        if os.path.basename(script) == "procman" and os.path.isfile(script) and os.access(script, os.X_OK):
            return [os.path.abspath(script)]
    return [sys.executable, "-m", "procman"]


def flags(told: Given) -> list[str]:
    """What was said, for a start in the app root: one word each, so that no value can be taken for a flag."""
    words = []
    for option in OPTIONS["start"]:
        value = told.fields.get(option.name)
        if option.name not in PASSED_ON or option.name == "app_root" or value is None:
            continue
        if isinstance(value, bool):
            words.append(option.label if value else option.off[0])
        else:
            words += [f"{option.label}={one}" for one in (value if isinstance(value, list) else [str(value)])]
    return words


def variables(environ: Mapping[str, str], beside: str, system: bool) -> list[tuple[str, str]]:
    """What dynos cannot do without: systemd's own PATH knows no version manager and no virtual environment."""
    path = environ.get("PATH", os.defpath)
    path = path if beside in path.split(os.pathsep) else f"{beside}{os.pathsep}{path}"
    # Ours alone: with it `procman ps` of this user finds what the unit started.
    state = "" if system else environ.get("XDG_STATE_HOME", "")
    return [("PATH", path), *([("XDG_STATE_HOME", state)] if state else [])]


def longest_grace(settings: Settings, environ: Mapping[str, str]) -> float:
    """Seconds that stopping may take, by the type that may take longest."""
    restart, grace = settings.restart, settings.grace
    return max(
        profile_of(name, restart.get(name, restart["*"]), grace.get(name, grace.get("*"))).grace
        for name, _ in load(settings, environ).processes
    )


def run_as(told: Given, environ: Mapping[str, str]) -> str | None:
    """The user of a system unit: the one named, or who typed `sudo`. A user unit has its user already."""
    user = told.fields.get("run_as")
    if not told.fields.get("system"):
        if user is not None:
            raise UsageError("cannot use --run-as: a user unit runs as its user", "procman install systemd --system")
        return None
    user = user if isinstance(user, str) else environ.get("SUDO_USER")
    if user is None:
        return None
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        raise UsageError(f"cannot use --run-as: there is no user '{user}'") from None


def user_units(environ: Mapping[str, str]) -> str:
    """Where systemd looks for this user's units."""
    config = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(config):  # as apps_dir has it
        config = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(config, "systemd", "user")


def write(path: str, text: str, marker: str = MARKER) -> None:
    """Put the unit there whole or not at all, in the place of nothing but an earlier one of ours."""
    folder = os.path.dirname(path)
    try:
        if os.path.lexists(path) and not is_ours(path, marker):
            raise ProcmanError(
                f"cannot write {path}: it is there already, and not procman's", "another --name, or --print to compare"
            )
        os.makedirs(folder, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=folder, prefix=".procman-")
        try:
            with open(fd, "w", encoding="utf-8") as file:
                os.fchmod(fd, 0o644)
                file.write(text)
                file.flush()
                os.fsync(fd)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        sync(folder)
    except OSError as error:
        again = shlex.join([*program(), *sys.argv[1:]])
        hint = f"sudo {again}" if folder == SYSTEM_UNITS and os.geteuid() else "procman install systemd --print"
        raise ProcmanError(f"cannot write {path}: {error.strerror}", hint) from None


def is_ours(path: str, marker: str = MARKER) -> bool:
    """Whether procman wrote this unit."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(marker)) == marker.encode()


def sync(folder: str) -> None:
    """Make the new name last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def next_steps(file: str, system: bool) -> Sequence[str]:
    """The commands that make systemd take the unit up; a user's own units start at boot only with lingering."""
    unit = shlex.quote(file)
    if system:
        sudo = "sudo " if os.geteuid() else ""
        return (
            f"{sudo}systemctl daemon-reload",
            f"{sudo}systemctl enable --now {unit}",
            f"systemctl status {unit}",
            f"journalctl -fu {unit}",
        )
    return (
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {unit}",
        f"systemctl --user status {unit}",
        f"journalctl --user -fu {unit}",
        "loginctl enable-linger",
    )
