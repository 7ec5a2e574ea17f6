"""What else an app has: domains, drains, features, buildpacks, collaborators, webhooks; each listed, added, removed."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from procman.cli.listing import columns
from procman.cli.options import Given
from procman.cli.remote.apps import Own, each, said
from procman.cli.remote.connection import path
from procman.cli.remote.target import target
from procman.errors import ProcmanError, UsageError

Row = dict[str, Any]
Action = Callable[[Given, Own], int]


class Resource(NamedTuple):
    """A list under an app.

    ``shown``: its columns. ``body``: what adding a word sends. ``find``: what a row may be called by; None: the path
    takes the word itself.
    """

    title: str
    name: str
    shown: tuple[tuple[str, Callable[[Row], object]], ...]
    body: Callable[[str, Given], Row] | None = None
    find: Callable[[Row], Sequence[object]] | None = None

    def list(self, told: Given, own: Own) -> int:
        """All of them."""
        meant = target(told)
        found = meant.server.get(path("apps", meant.app, self.name))
        heads = tuple(head for head, _ in self.shown)
        rows = [tuple(str(value(row) if value(row) is not None else "") for _, value in self.shown) for row in found]
        lines = columns([heads, *rows], "") if rows else [f"{meant.app} has no {self.title.lower()}."]
        return said(own, found, "\n".join([f"=== {meant.app} {self.title}", *lines]))

    def add(self, told: Given, own: Own) -> int:
        """Those that are named."""
        assert self.body is not None
        meant = target(told)
        if not told.arguments:
            raise UsageError(f"cannot add nothing to the {self.title.lower()} of {meant.app}")
        where, body = path("apps", meant.app, self.name), self.body
        return each(
            told.arguments,
            lambda word: meant.server.call("POST", where, body(word, told)),
            "add",
            lambda answers, words: said(own, answers, f"Adding {words} to {meant.app}... done"),
        )

    def remove(self, told: Given, own: Own) -> int:
        """Those that are named."""
        meant = target(told)
        where = path("apps", meant.app, self.name)
        found = meant.server.get(where) if self.find else []

        def call(word: str) -> Any:
            name = word
            if self.find:
                meaning = [row for row in found if word in self.find(row)]
                if not meaning:
                    raise ProcmanError(f"cannot remove {word}: {meant.app} has no such entry")
                name = str(meaning[0]["id"])
            return meant.server.call("DELETE", f"{where}{path(name)}")

        def say(answers: Sequence[Row], words: str) -> None:
            said(own, answers, f"Removing {words} from {meant.app}... done")

        return each(told.arguments, call, "remove", say)

    def switch(self, on: bool) -> Action:
        """A verb that turns those that are named on or off."""

        def change(told: Given, own: Own) -> int:
            meant = target(told)
            where = path("apps", meant.app, self.name)
            doing = "Enabling" if on else "Disabling"
            return each(
                told.arguments,
                lambda word: meant.server.call("PATCH", f"{where}{path(word)}", {"enabled": on}),
                "enable" if on else "disable",
                lambda answers, words: said(own, answers, f"{doing} {words} for {meant.app}... done"),
            )

        return change


DOMAINS = Resource(
    "Domains",
    "domains",
    (
        ("HOSTNAME", lambda row: row["hostname"]),
        ("KIND", lambda row: row["kind"]),
        ("CERTIFICATE", lambda row: (row["sni_endpoint"] or {}).get("name")),
    ),
)
DRAINS = Resource(
    "Drains",
    "log-drains",
    (("URL", lambda row: row["url"]), ("TOKEN", lambda row: row["token"])),
    lambda word, told: {"url": word},
)
FEATURES = Resource(
    "Features",
    "features",
    (
        ("", lambda row: "[+]" if row["enabled"] else "[ ]"),
        ("NAME", lambda row: row["name"]),
        ("WHAT", lambda row: row["description"]),
    ),
)
ACCESS = Resource(
    "Access",
    "collaborators",
    (("EMAIL", lambda row: row["user"]["email"]), ("ROLE", lambda row: row["role"])),
    lambda word, told: {"user": word},
)
WEBHOOKS = Resource(
    "Webhooks",
    "webhooks",
    (
        ("ID", lambda row: row["id"]),
        ("URL", lambda row: row["url"]),
        ("INCLUDE", lambda row: ",".join(row["include"])),
        ("LEVEL", lambda row: row["level"]),
    ),
    find=lambda row: (row["id"], row["url"]),
)
CERTS = Resource(
    "Certificates",
    "sni-endpoints",
    (
        ("NAME", lambda row: row["name"]),
        ("EXPIRES", lambda row: row["ssl_cert"]["expires_at"]),
        ("DOMAINS", lambda row: ", ".join(sorted(row["domains"]))),
    ),
)


def add_webhook(told: Given, own: Own) -> int:
    """Have changes told to these addresses; what each signs with is told this once, in the answer's head."""
    meant = target(told)
    where = path("apps", meant.app, "webhooks")
    wish = {
        "include": str(told.fields.get("include") or "api:release").split(","),
        "level": str(told.fields.get("level") or "notify"),
        **{field: told.fields[field] for field in ("secret", "authorization") if told.fields.get(field)},
    }

    def call(word: str) -> Row:
        made, head = meant.server.answer("POST", where, {"url": word, **wish})
        return {**made, "secret": head["Heroku-Webhook-Secret"]}

    def say(answers: Sequence[Row], words: str) -> None:
        secrets = "\n".join(row["secret"] for row in answers)
        said(own, answers, f"Adding {words} to {meant.app}... done\n=== Webhooks Signing Secret\n{secrets}")

    return each(told.arguments, call, "add", say)


def buildpacks(told: Given, own: Own) -> int:
    """The app's buildpacks, in order."""
    meant = target(told)
    found = meant.server.get(path("apps", meant.app, "buildpack-installations"))
    lines = [f"{at}. {row['buildpack']['name']}" for at, row in enumerate(found, 1)]
    none = f"{meant.app} has no buildpacks set: they are detected."
    return said(own, found, "\n".join([f"=== {meant.app} Buildpacks", *lines]) if lines else none)


def change_buildpacks(verb: str) -> Action:
    """``add``, ``set``, ``remove`` or ``clear``; ``--index`` says where."""

    def change(told: Given, own: Own) -> int:
        meant = target(told)
        where = path("apps", meant.app, "buildpack-installations")
        now = [row["buildpack"]["url"] for row in meant.server.get(where)]
        names = [row["buildpack"]["name"] for row in meant.server.get(where)]
        after = arranged(verb, now, names, list(told.arguments), str(told.fields.get("index") or ""))
        answer = meant.server.call("PUT", where, {"updates": [{"buildpack": url} for url in after]})
        listed = ", ".join(row["buildpack"]["name"] for row in answer) or "detected ones"
        return said(own, answer, f"Buildpacks of {meant.app}: {listed}. The next push uses them.")

    return change


def arranged(verb: str, now: list[str], names: list[str], words: list[str], index: str) -> list[str]:
    """The list as it shall be. ``index``: from 1. Raises UsageError."""
    if index and not (index.isdigit() and int(index) > 0):
        raise UsageError(f"cannot use --index {index}: a number from 1 is wanted")
    at = int(index) - 1 if index else len(now)
    if verb == "clear":
        return []
    if not words and not (verb == "remove" and index):
        raise UsageError(f"cannot {verb} nothing: a buildpack is wanted", f"procman buildpacks:{verb} heroku/python")
    if verb == "remove":
        gone = {now[at]} if index and at < len(now) else {url for url, name in zip(now, names, strict=True)
                                                           if url in words or name in words}
        if not gone:
            raise ProcmanError("cannot remove that buildpack: the app has no such one", "procman buildpacks")
        return [url for url in now if url not in gone]
    if verb == "set":
        return [*now[:at], *words, *now[at + 1 :]] if index else words
    return [*now[:at], *words, *now[at:]]


enable = FEATURES.switch(True)
disable = FEATURES.switch(False)
add_buildpack = change_buildpacks("add")
set_buildpack = change_buildpacks("set")
remove_buildpack = change_buildpacks("remove")
clear_buildpacks = change_buildpacks("clear")
