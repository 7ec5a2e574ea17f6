"""Log drains: where an app's log is copied to (Heroku: log-drains)."""

from urllib.parse import urlsplit

from procman.core.records import App, Drain, User
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.refusals import invalid, missing
from procman.reach import AddressRefused, Reach
from procman.store import tables
from procman.store.database import Tx

SCHEMES = ("https", "http", "syslog", "syslog+tls")
MOST = 20  # of one app


async def listed(host: Host, app: App) -> list[Drain]:
    """All of the app's."""
    return await host.db.run(lambda tx: tables.drains.find(tx, app_id=app.id))


async def shown(host: Host, app: App, word: str) -> Drain:
    """One by id, URL or token. Raises Refusal."""
    return await host.db.run(lambda tx: find(tx, app, word))


async def add(host: Host, user: User, app: App, url: str) -> Drain:
    """Copy the app's log to this URL from now on. Raises Refusal."""
    check(url, host.reach)

    def insert(tx: Tx) -> Drain:
        if tables.drains.get(tx, app_id=app.id, url=url):
            raise invalid("Url has already been taken")
        if len(tables.drains.find(tx, app_id=app.id)) >= MOST:
            raise invalid(f"An app may have {MOST} log drains at most.")
        now = host.now()
        drain = Drain(host.new_id(), app.id, url, f"d.{host.new_id()}", now, now)
        audit.note(host, tx, user, app, "add log drain", place(url))
        return tables.drains.insert(tx, drain)

    drain = await host.db.run(insert)
    host.tell("api:log-drain", "create", app)
    return drain


async def remove(host: Host, user: User, app: App, word: str) -> Drain:
    """Stop copying. ``word``: id, URL or token. Raises Refusal."""

    def delete(tx: Tx) -> Drain:
        drain = find(tx, app, word)
        tables.drains.delete(tx, id=drain.id)
        audit.note(host, tx, user, app, "remove log drain", place(drain.url))
        return drain

    drain = await host.db.run(delete)
    host.tell("api:log-drain", "destroy", app)
    return drain


def find(tx: Tx, app: App, word: str) -> Drain:
    """Raises Refusal. The word may be a URL with a password: it is not repeated."""
    for column in ("id", "url", "token"):
        if found := tables.drains.get(tx, app_id=app.id, **{column: word}):
            return found
    raise missing("drain")


def check(url: str, reach: Reach) -> None:
    """Raises Refusal for what logs cannot be sent to."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url or len(url) > 2000:
        raise invalid(f"Url is invalid: it must begin with {', '.join(f'{name}://' for name in SCHEMES)} and a host.")
    try:
        reach.check(parts.hostname or "")
    except AddressRefused as error:
        raise invalid(f"Url is invalid: {error}.") from None


def place(url: str) -> str:
    """Scheme and host: what may be written down of a URL that can hold a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"
