"""Which app is meant: the flag, HEROKU_APP, or the git remote of the directory."""

import os
import re
import subprocess
from collections.abc import Mapping
from urllib.parse import urlsplit

from procman.cli.options import Given
from procman.cli.remote.connection import Server, find_place
from procman.errors import UsageError


class Target:
    """A server, and the app on it that is meant."""

    def __init__(self, server: Server, app: str) -> None:
        self.server = server
        self.app = app


def server() -> Server:
    """The server that the environment, or this host, means."""
    return Server(find_place(os.environ))


def target(told: Given) -> Target:
    """Server and app. Raises UsageError when no app is meant."""
    name = app_name(told.fields, os.environ)
    if name is None:
        raise UsageError("cannot tell which app is meant", "procman apps, then -a NAME")
    return Target(server(), name)


def app_name(fields: Mapping[str, object], environ: Mapping[str, str]) -> str | None:
    """The app's name, as the client finds it (Heroku client: -a, HEROKU_APP, git remotes)."""
    if isinstance(app := fields.get("app"), str):
        return app
    if environ.get("HEROKU_APP"):
        return environ["HEROKU_APP"]
    wanted = fields.get("remote")
    found = remotes(environ)
    if isinstance(wanted, str):
        if wanted not in found:
            raise UsageError(f"cannot use --remote {wanted}: no such git remote leads to an app", "git remote -v")
        return found[wanted]
    names = set(found.values())
    if len(names) > 1:
        chosen = git("config", "heroku.remote")
        if chosen in found:
            return found[chosen]
        raise UsageError(f"cannot tell which app is meant: remotes lead to {', '.join(sorted(names))}", "-r REMOTE")
    return names.pop() if names else None


def remotes(environ: Mapping[str, str]) -> dict[str, str]:
    """Git remote to app name, of those that lead to the server."""
    hosts = {environ.get("HEROKU_GIT_HOST", ""), urlsplit(environ.get("HEROKU_HOST", "")).netloc} - {""}
    found = {}
    for line in git("remote", "-v").splitlines():
        parts = re.split(r"\s+", line)
        url = urlsplit(parts[1]) if len(parts) > 1 else urlsplit("")
        place = url.netloc.rpartition("@")[2]
        ours = place in hosts or (not hosts and parts[0] == "heroku")
        if ours and url.path.endswith(".git"):
            found[parts[0]] = url.path.strip("/").removesuffix(".git")
    return found


def git(*words: str) -> str:
    """What git prints here; nothing outside of a work tree, or without git."""
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
