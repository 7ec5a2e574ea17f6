"""Domains: the host names of an app, its own and custom ones (Heroku: custom-domains)."""

import contextlib
import re

from procman.core.records import App, Domain, Endpoint, User
from procman.platform import audit, certificates
from procman.platform.host import Host, Settings
from procman.platform.refusals import invalid, missing
from procman.store import tables
from procman.store.database import Tx

LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
MOST = 1000  # of one app (Heroku: custom-domains)


async def listed(host: Host, app: App) -> list[tuple[Domain, Endpoint | None]]:
    """All of the app's, each with its certificate."""

    def find_all(tx: Tx) -> list[tuple[Domain, Endpoint | None]]:
        endpoints = {row.id: row for row in tables.endpoints.find(tx, app_id=app.id)}
        return [(row, endpoints.get(row.endpoint_id or "")) for row in tables.domains.find(tx, app_id=app.id)]

    return await host.db.run(find_all)


async def shown(host: Host, app: App, word: str) -> tuple[Domain, Endpoint | None]:
    """One by host name or id. Raises Refusal."""
    return await host.db.run(lambda tx: with_endpoint(tx, find(tx, app, word)))


async def add(
    host: Host, user: User, app: App, hostname: str, endpoint: str | None = None
) -> tuple[Domain, Endpoint | None]:
    """Serve the app under this name too. ``endpoint``: a certificate's name or id. Raises Refusal."""
    name = canonical(host.settings, hostname)

    def insert(tx: Tx) -> Domain:
        taken = tables.domains.select(tx, "WHERE hostname = ? COLLATE NOCASE", (name,))
        if taken:
            whose = "already added to this app" if taken[0].app_id == app.id else "currently in use by another app"
            raise invalid(f"{name} is {whose}.")
        if len(tables.domains.find(tx, app_id=app.id)) > MOST:
            raise invalid(f"An app may have {MOST} domains at most.")
        now = host.now()
        certificate = certificates.find(tx, app, endpoint).id if endpoint else None
        audit.note(host, tx, user, app, "add domain", name)
        return tables.domains.insert(tx, Domain(host.new_id(), app.id, name, "custom", certificate, now, now))

    domain = await host.db.run(insert)
    await host.traffic.route(app.id)
    host.tell("api:domain", "create", app)
    return await shown(host, app, domain.id)


async def update(host: Host, user: User, app: App, word: str, endpoint: str | None) -> tuple[Domain, Endpoint | None]:
    """Serve it with another certificate, or (None) with none of its own. Raises Refusal."""

    def change(tx: Tx) -> tuple[Domain, Endpoint | None]:
        row = custom(tx, app, word)
        certificate = certificates.find(tx, app, endpoint).id if endpoint else None
        tables.domains.update(tx, row.id, endpoint_id=certificate, updated_at=host.now())
        audit.note(host, tx, user, app, "update domain", row.hostname)
        return with_endpoint(tx, find(tx, app, row.id))

    pair = await host.db.run(change)
    await host.traffic.route(app.id)
    host.tell("api:domain", "update", app)
    return pair


async def remove(host: Host, user: User, app: App, word: str) -> tuple[Domain, Endpoint | None]:
    """Serve it no longer. Raises Refusal."""

    def delete(tx: Tx) -> tuple[Domain, Endpoint | None]:
        row = custom(tx, app, word)
        pair = with_endpoint(tx, row)
        tables.domains.delete(tx, id=row.id)
        audit.note(host, tx, user, app, "remove domain", row.hostname)
        return pair

    pair = await host.db.run(delete)
    await host.traffic.route(app.id)
    host.tell("api:domain", "destroy", app)
    return pair


def find(tx: Tx, app: App, word: str) -> Domain:
    """Raises Refusal."""
    found = tables.domains.get(tx, app_id=app.id, id=word)
    with contextlib.suppress(UnicodeError):
        found = found or tables.domains.get(tx, app_id=app.id, hostname=in_ascii(word))
    if found is None:
        raise missing("domain name", word[:200])
    return found


def custom(tx: Tx, app: App, word: str) -> Domain:
    """One that may be changed. Raises Refusal."""
    row = find(tx, app, word)
    if row.kind != "custom":
        raise invalid(f"{row.hostname} comes with the app and cannot be changed: heroku apps:rename")
    return row


def with_endpoint(tx: Tx, row: Domain) -> tuple[Domain, Endpoint | None]:
    """A domain and its certificate."""
    return row, tables.endpoints.get(tx, id=row.endpoint_id) if row.endpoint_id else None


def canonical(settings: Settings, hostname: str) -> str:
    """A custom domain as it is kept: see ``in_ascii``. Raises Refusal."""
    try:
        name = in_ascii(hostname)
    except UnicodeError:
        raise invalid(f"{hostname[:200]} is not a domain name.") from None
    labels = name.split(".")
    plain = labels[1:] if labels[0] == "*" and len(labels) > 2 else labels
    if len(name) > 253 or len(labels) < 2 or not all(LABEL.fullmatch(label) for label in plain):
        raise invalid(f"{hostname[:200]} is not a domain name.")
    if name == settings.domain or name.endswith(f".{settings.domain}"):
        raise invalid(f"{name} is one of this server's own names: apps get them by their name.")
    return name


def in_ascii(hostname: str) -> str:
    """Lower case, without the root's dot, international names in their ASCII form. Raises UnicodeError."""
    name = hostname.strip().rstrip(".").lower()
    return name if name.isascii() else name.encode("idna").decode()


def target(settings: Settings, app: App) -> str:
    """What a custom domain's CNAME shall point to."""
    return f"{app.name}.{settings.domain}"
