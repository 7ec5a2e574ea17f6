"""An app's buildpacks, and the names that this server knows without asking Heroku's registry."""

import re
from urllib.parse import urlsplit

from procman.builds.buildpack import BUILTIN
from procman.builds.buildpack import name_of as builtin_name
from procman.core.records import App, Buildpack, User
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.refusals import invalid, missing
from procman.store import tables
from procman.store.database import Tx

NAME = re.compile(r"[A-Za-z0-9_-]{1,60}/[A-Za-z0-9_.-]{1,60}")
URN = "urn:buildpack:"
SCHEMES = ("https", "http", "git", "ssh")
MOST = 20


async def listed(host: Host, app: App) -> list[Buildpack]:
    """In the order in which they build."""
    return await host.db.run(lambda tx: tables.buildpacks.find(tx, app_id=app.id))


async def replace(host: Host, user: User, app: App, words: list[str]) -> list[Buildpack]:
    """Other ones from the next build on. ``words``: URLs or names. Raises Refusal."""
    had = {row.url for row in await listed(host, app)}  # a name of before, which was taken then, may stay
    urls = [word if word in had else canonical(word) for word in words]
    if len(urls) > MOST:
        raise invalid(f"An app may have {MOST} buildpacks at most.")
    if len(set(urls)) != len(urls):
        raise invalid("A buildpack can be set only once.")

    def change(tx: Tx) -> list[Buildpack]:
        tables.buildpacks.delete(tx, app_id=app.id)
        rows = [Buildpack(host.new_id(), app.id, ordinal, url) for ordinal, url in enumerate(urls)]
        for row in rows:
            tables.buildpacks.insert(tx, row)
        audit.note(host, tx, user, app, "set buildpacks", " ".join(name_of(url) for url in urls))
        return rows

    return await host.db.run(change)


def canonical(word: str) -> str:
    """``urn:buildpack:heroku/python`` for a name; a URL, and a path on the server, as it is. Raises Refusal."""
    name = word.removeprefix(URN)
    if NAME.fullmatch(name):
        if builtin_name(name) not in BUILTIN:
            known = ", ".join(f"heroku/{each}" for each in BUILTIN)
            raise invalid(f"There is no buildpack {name} here, but {known}. Give the git URL of another.")
        return f"{URN}{name}"
    try:
        parts = urlsplit(word)
    except ValueError:
        parts = urlsplit("")
    clean = word.isprintable() and " " not in word
    if clean and parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return parts.path
    if clean and (word.startswith("/") or (parts.scheme in SCHEMES and (parts.netloc or parts.path))):
        return word
    raise invalid(f"Invalid buildpack: {word[:200]} is neither a name such as heroku/python nor a URL.")


def name_of(url: str) -> str:
    """As people call it; of a URL no more than where it is."""
    if url.startswith(URN):
        return url.removeprefix(URN)
    if url.startswith("/"):
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def registered(name: str) -> str:
    """The URL of a name that this server can build with. Raises Refusal."""
    if builtin_name(name) not in BUILTIN:
        raise missing("buildpack", name)
    return f"{URN}{name}"
