"""Apps: listed, made, shown, renamed, destroyed, opened; their git remote."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from procman.cli.listing import columns, emit, emit_json
from procman.cli.options import Given
from procman.cli.remote.connection import path
from procman.cli.remote.target import git, server, target
from procman.errors import ProcmanError, UsageError

Own = dict[str, bool]


def listed(told: Given, own: Own) -> int:
    """Every app that the caller may use."""
    found = server().get("/apps")
    if own["json"]:
        emit_json(found)
    elif not found:
        emit("No apps. procman apps:create NAME")
    else:
        emit("\n".join(app["name"] for app in found))
    return 0


def create(told: Given, own: Own) -> int:
    """Make an app, and a git remote for it in a work tree."""
    name = word(told, "NAME", optional=True)
    app = server().call("POST", "/apps", {"name": name} if name else {})
    if own["json"]:
        emit_json(app)
    else:
        emit(f"Creating {app['name']}... done\n{app['web_url']} | {app['git_url']}")
    if git("rev-parse", "--is-inside-work-tree") == "true" and not told.fields.get("no_remote"):
        remote, url = str(told.fields.get("remote") or "heroku"), app["git_url"]
        if remote not in git("remote").split():
            set_remote(remote, url)
        elif git("remote", "get-url", remote) != url:  # somebody pushes there: it is left alone, as by Heroku's client
            hint = f"procman git:remote -a {app['name']} --remote {remote}, to push there"
            print(f"procman: the git remote {remote} leads elsewhere, and stays so\n  hint: {hint}", file=sys.stderr)
    return 0


def set_remote(name: str, url: str) -> None:
    """The git remote that pushes go to."""
    verb = "set-url" if name in git("remote").split() else "add"
    subprocess.run(["git", "remote", verb, name, url], check=False)


def remotes_to(url: str) -> list[str]:
    """The git remotes here that lead just there."""
    return [name for name in git("remote").split() if git("remote", "get-url", "--push", name) == url]


def show(told: Given, own: Own) -> int:
    """What is known of an app."""
    meant = target(told)
    app = meant.server.get(path("apps", meant.app))
    if own["json"]:
        emit_json(app)
        return 0
    dynos = meant.server.get(path("apps", meant.app, "dynos"))
    types = [dyno["type"] for dyno in dynos]
    rows = [
        ("Dynos:", ", ".join(f"{name}: {types.count(name)}" for name in sorted(set(types))) or "none"),
        ("Git URL:", app["git_url"]),
        ("Owner:", app["owner"]["email"]),
        ("Maintenance:", "on" if app["maintenance"] else "off"),
        ("Slug Size:", f"{(app['slug_size'] or 0) / (1 << 20):.1f} MB"),
        ("Stack:", app["stack"]["name"]),
        ("Web URL:", app["web_url"]),
    ]
    emit("\n".join([f"=== {app['name']}", *columns(rows, "")]))
    return 0


def rename(told: Given, own: Own) -> int:
    """Give an app another name; the remote follows."""
    meant = target(told)
    wish = {"name": word(told, "NEWNAME")}
    old = meant.server.get(path("apps", meant.app))
    app = meant.server.call("PATCH", path("apps", meant.app), wish)
    for name in remotes_to(old["git_url"]):
        set_remote(name, app["git_url"])
    return said(own, app, f"Renaming {meant.app} to {app['name']}... done")


def transfer(told: Given, own: Own) -> int:
    """Give an app to another user, at once; the old owner may still work on it."""
    meant, email = target(told), word(told, "EMAIL")
    answer = meant.server.call("POST", "/account/app-transfers", {"app": meant.app, "recipient": email})
    return said(own, answer, f"Transferring {meant.app} to {answer['recipient']['email']}... done")


def destroy(told: Given, own: Own) -> int:
    """End an app for good, and git remotes that lead to it; its name has to be said twice, or typed."""
    named = word(told, "NAME", optional=True)
    meant = target(Given({**told.fields, "app": named}) if named else told)
    confirmed = told.fields.get("confirm")
    if confirmed is None and os.isatty(0):
        emit(f"This ends {meant.app} and removes its code, releases and logs. Type its name to go on:")
        confirmed = input("> ").strip()
    if confirmed != meant.app:
        raise ProcmanError(f"cannot destroy {meant.app}: not confirmed", f"--confirm {meant.app}")
    app = meant.server.call("DELETE", path("apps", meant.app))
    for name in remotes_to(app["git_url"]):
        git("remote", "remove", name)
    return said(own, app, f"Destroying {meant.app}... done")


def open_app(told: Given, own: Own) -> int:
    """Show where it is served, in a browser if there is one."""
    import webbrowser

    meant = target(told)
    url = meant.server.get(path("apps", meant.app))["web_url"]
    emit(url)
    if os.isatty(1) or sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        webbrowser.open(url)  # elsewhere it would be a browser in text, and write over what others read
    return 0


def maintenance(told: Given, own: Own) -> int:
    """Whether the app is in maintenance mode."""
    meant = target(told)
    app = meant.server.get(path("apps", meant.app))
    return said(own, app, "on" if app["maintenance"] else "off")


def maintenance_on(told: Given, own: Own) -> int:
    """Let the router answer for the app."""
    return set_maintenance(told, own, True)


def maintenance_off(told: Given, own: Own) -> int:
    """Send requests to its dynos again."""
    return set_maintenance(told, own, False)


def set_maintenance(told: Given, own: Own, on: bool) -> int:
    """Turn it on or off."""
    meant = target(told)
    app = meant.server.call("PATCH", path("apps", meant.app), {"maintenance": on})
    doing = "Enabling" if on else "Disabling"
    return said(own, app, f"{doing} maintenance mode for {meant.app}... done")


def git_remote(told: Given, own: Own) -> int:
    """Let a git remote lead to the app."""
    meant = target(told)
    url = meant.server.get(path("apps", meant.app))["git_url"]
    name = str(told.fields.get("remote") or "heroku")
    set_remote(name, url)
    emit(f"set git remote {name} to {url}")
    return 0


def git_clone(told: Given, own: Own) -> int:
    """Clone the app's repository."""
    meant = target(told)
    url = meant.server.get(path("apps", meant.app))["git_url"]
    folder = word(told, "DIRECTORY", optional=True) or meant.app
    return subprocess.run(["git", "clone", "-o", "heroku", url, folder], check=False).returncode


def word(told: Given, name: str, optional: bool = False) -> str:
    """The one word that the verb takes. Raises UsageError."""
    if len(told.arguments) > 1 or (not told.arguments and not optional):
        raise UsageError(f"cannot use these words: one {name} is wanted")
    return told.arguments[0] if told.arguments else ""


def said(own: Own, answer: object, text: str) -> int:
    """Print the answer, or what it means."""
    if own["json"]:
        emit_json(answer)
    else:
        emit(text)
    return 0


def each(
    words: Sequence[str], call: Callable[[str], Any], verb: str, say: Callable[[list[Any], str], object]
) -> int:
    """Call for one word after the other, then ``say`` the answers and their words: also those before a refused one.

    Raises ProcmanError, which names the word.
    """
    answers: list[Any] = []
    refusal = None
    for word in words:
        try:
            answers.append(call(word))
        except ProcmanError as error:
            what = error.what if word in error.what else f"cannot {verb} {word}: {error.what}"
            refusal = ProcmanError(what, error.hint, error.exit_code)
            break
    if answers:
        say(answers, ", ".join(words[: len(answers)]))
    if refusal:
        raise refusal
    return 0
