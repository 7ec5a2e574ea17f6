"""`procman export`: what `procman start` would run, written as another manager's files."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from procman.cli.environment import callers, dyno_env, shell
from procman.cli.interruption import ENDINGS, handling, leave
from procman.cli.listing import emit
from procman.cli.local_app import LAST_PORT, LocalApp
from procman.cli.options import Given
from procman.cli.request import text
from procman.cli.settings import Settings, resolve
from procman.core.formation import wanted_dynos
from procman.core.health import Checks, Probe
from procman.core.model import RELEASE, WEB
from procman.errors import ProcmanError, UsageError
from procman.export.exporters import exporter, formats
from procman.export.processes import GRACE_S, Process
from procman.formats import app_json

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?"


def export(told: Given, _own: Mapping[str, bool]) -> int:
    """Write the files, and say which."""
    if len(told.arguments) != 2:
        raise UsageError(
            "cannot export: a FORMAT and a LOCATION are wanted", f"procman export {'|'.join(formats())} LOCATION"
        )
    name, location = told.arguments
    in_image = bool(getattr(exporter(name), "in_image", False))
    from procman.export.delivery import deliver
    from procman.export.rendering import render

    environ = callers(os.environ)
    settings = resolve(Given(told.fields), environ)
    local = LocalApp(settings, environ, lambda: settings)
    processes = processes_of(local, settings, in_image)
    context = context_of(told, local.app.root, in_image)
    folder = os.path.abspath(os.path.expanduser(location))
    with handling(ENDINGS, leave):
        done = deliver(folder, f"{context['app']}.{name}", render(name, template_dir(told), processes, context))
    lines = [f"Wrote {os.path.join(location, path)}" for path in done.written]
    lines += [f"Removed {os.path.join(location, path)}: no longer in the formation" for path in done.removed]
    lines += [f"Kept {os.path.join(location, path)}: changed since procman wrote it" for path in done.kept]
    emit("\n".join(lines))
    return 0


def processes_of(local: LocalApp, settings: Settings, in_image: bool) -> list[Process]:
    """Every dyno that `procman start` would start, but for release: it ends, and is no service."""
    facts = local.one_off()
    origins = local.app.env_origins
    base = {key: value for key, value in local.app.env.items() if origins.get(key) != "environment"}
    base.setdefault("PYTHONUNBUFFERED", "1")  # also where it was in the environment: another's will not have it
    if not in_image and "PATH" not in base:  # a manager's own knows no virtual environment and no version manager
        base["PATH"] = facts["env"].get("PATH", os.defpath)
    dynos = wanted_dynos({kind: count for kind, count in local.app.formation.items() if kind != RELEASE})
    if not dynos:
        raise ProcmanError("cannot export: only release is left, which is no service", "procman run release")
    startup = startup_checks(local.app.root)
    running = dict.fromkeys(dyno.process_type for dyno in dynos)
    made = []
    for dyno in dynos:
        kind, profile = dyno.process_type, local.profile(dyno)
        port = local.port(dyno)
        if port > LAST_PORT:
            raise ProcmanError(f"cannot give {dyno} a port: {port} is over {LAST_PORT}", "choose a lower --port")
        env = dyno_env(base, dyno, facts["types"], facts["base_port"])
        process = Process(str(dyno), facts["processes"][kind], kind in settings.quiet, env, kind, port)
        made.append(
            process._replace(
                # To systemd and launchd no seconds are all the seconds there are.
                grace=max(1, math.ceil(settings.grace.get(kind, settings.grace.get("*", GRACE_S)))),
                checks=local.checks(dyno) or (startup.get(kind) if kind == WEB else None),
                stop_signal=profile.stop_signal,
                memory=local.bounds(dyno).memory,
                needs=tuple(name for name in profile.needs if name in running),
                rank=rank(kind, settings.needs),
            )
        )
    return made


def rank(kind: str, needs: Mapping[str, Sequence[str]]) -> int:
    """How many types are to be up before it, one after the other; the settings have no circle."""
    return max((1 + rank(name, needs) for name in needs.get(kind, ())), default=0)


def startup_checks(root: str) -> dict[str, Checks]:
    """How app.json has new dynos asked whether they are up, where nothing else is said of that."""
    try:
        with open(os.path.join(root, "app.json"), "rb") as file:
            found = app_json.parse(file.read()).checks
    except OSError:
        return {}
    return {
        kind: Checks(Probe(http=check.path, timeout=check.timeout), within=check.within)
        for kind, check in found.items()
    }


def context_of(told: Given, root: str, in_image: bool) -> dict[str, Any]:
    """What honcho gives exporters: app, app_root, log, shell, user; and ``image`` and ``given_user`` for ours."""
    app = checked(told, "app", NAME) or default_name(root)
    user = checked(told, "user", USER)
    program = text(told, "shell") or ("/bin/sh" if in_image else shell())
    if not os.path.isabs(program):
        raise UsageError(f"cannot use --shell {program}: it is no absolute path", "--shell /bin/sh")
    log = os.path.abspath(os.path.expanduser(text(told, "log") or f"/var/log/{app}"))
    image = text(told, "image") or None
    return {
        "app": app,
        "app_root": root,
        "log": log,
        "shell": program,
        "user": user or app,
        "given_user": user,
        "image": image,
    }


def checked(told: Given, field: str, pattern: str) -> str | None:
    """A field that goes into files unquoted, and into their names."""
    value = text(told, field)
    if field in told.fields and not re.fullmatch(pattern, value, re.ASCII):
        raise UsageError(f"cannot use --{field} {value!a}: letters, digits, '-', '_' and '.' make one")
    return value or None


def default_name(root: str) -> str:
    """The app root's own name, as honcho and foreman have it, without what file names should not have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", os.path.basename(root)).strip("-.")[:63] or "app"


def template_dir(told: Given) -> str | None:
    """The folder of the user's templates."""
    folder = text(told, "template_dir")
    if not folder:
        return None
    folder = os.path.abspath(os.path.expanduser(folder))
    if not os.path.isdir(folder):
        raise UsageError(f"cannot use --template-dir: '{folder}' is no directory")
    return folder
