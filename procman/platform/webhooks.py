"""Webhooks: who is told of an app's changes (Heroku: app-webhooks). How they are told is ``deliveries``' business."""

import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from procman.core.records import App, Delivery, User, Webhook
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.refusals import invalid, missing
from procman.reach import AddressRefused, Reach
from procman.store import tables
from procman.store.database import Tx

ENTITIES = (
    "api:app", "api:build", "api:collaborator", "api:domain", "api:dyno", "api:formation", "api:release",
)
NEVER_HERE = ("api:addon", "api:addon-attachment", "api:sni-endpoint")  # accepted, as Heroku does; nothing happens
LEVELS = ("notify", "sync")
MOST = 10  # of one app (Heroku: limits)


async def listed(host: Host, app: App) -> list[Webhook]:
    """All of the app's."""
    return await host.db.run(lambda tx: tables.webhooks.find(tx, app_id=app.id))


async def shown(host: Host, app: App, word: str) -> Webhook:
    """One by id. Raises Refusal."""
    return await host.db.run(lambda tx: find(tx, app, word))


async def add(host: Host, user: User, app: App, wish: Mapping[str, object]) -> Webhook:
    """Raises Refusal."""
    url, include = checked_url(wish.get("url"), host.reach), checked_include(wish.get("include"))
    level = checked_level(wish.get("level"))
    secret = checked_text("secret", wish.get("secret")) or secrets.token_hex(32)
    authorization = checked_text("authorization", wish.get("authorization"))

    def insert(tx: Tx) -> Webhook:
        if len(tables.webhooks.find(tx, app_id=app.id)) >= MOST:
            raise invalid(f"An app may have {MOST} webhooks at most.")
        now = host.now()
        row = Webhook(host.new_id(), app.id, url, include, level, secret, authorization, now, now)
        audit.note(host, tx, user, app, "add webhook", row.id)
        return tables.webhooks.insert(tx, row)

    return await host.db.run(insert)


async def update(host: Host, user: User, app: App, word: str, wish: Mapping[str, object]) -> Webhook:
    """Change what is given. Raises Refusal."""
    changes: dict[str, object] = {}
    if wish.get("url") is not None:
        changes["url"] = checked_url(wish["url"], host.reach)
    if wish.get("include") is not None:
        changes["include"] = checked_include(wish["include"])
    if wish.get("level") is not None:
        changes["level"] = checked_level(wish["level"])
    for field in ("secret", "authorization"):
        if wish.get(field) is not None:
            changes[field] = checked_text(field, wish[field])

    def change(tx: Tx) -> Webhook:
        row = find(tx, app, word)
        tables.webhooks.update(tx, row.id, **changes, updated_at=host.now())
        audit.note(host, tx, user, app, "update webhook", row.id)
        return find(tx, app, word)

    return await host.db.run(change)


async def remove(host: Host, user: User, app: App, word: str) -> Webhook:
    """With all that is still to be delivered. Raises Refusal."""

    def delete(tx: Tx) -> Webhook:
        row = find(tx, app, word)
        tables.webhooks.delete(tx, id=row.id)
        audit.note(host, tx, user, app, "remove webhook", row.id)
        return row

    return await host.db.run(delete)


async def deliveries(host: Host, app: App) -> list[tuple[Delivery, Webhook]]:
    """The latest, newest first."""

    def find_all(tx: Tx) -> list[tuple[Delivery, Webhook]]:
        hooks = {row.id: row for row in tables.webhooks.find(tx, app_id=app.id)}
        rows = tables.deliveries.find(tx, order="created_at DESC", limit=1000, app_id=app.id)
        return [(row, hooks[row.webhook_id]) for row in rows if row.webhook_id in hooks]

    return await host.db.run(find_all)


async def delivery(host: Host, app: App, word: str) -> tuple[Delivery, Webhook]:
    """One by its id or its event's. Raises Refusal."""
    for row, hook in await deliveries(host, app):
        if word in (row.id, row.payload.get("id")):
            return row, hook
    raise missing("webhook delivery")


def find(tx: Tx, app: App, word: str) -> Webhook:
    """Raises Refusal."""
    found = tables.webhooks.get(tx, app_id=app.id, id=word)
    if found is None:
        raise missing("webhook")
    return found


def checked_url(url: object, reach: Reach) -> str:
    """Raises Refusal."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        usable = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not isinstance(url, str) or not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise invalid("url must be an http or https URL.")
    try:
        reach.check(parts.hostname or "")
    except AddressRefused as error:
        raise invalid(f"url: {error}.") from None
    return url


def checked_include(include: object) -> list[str]:
    """Raises Refusal."""
    if not isinstance(include, Sequence) or isinstance(include, str) or not include:
        raise invalid("include must be a list of entities.")
    for entity in include:
        if entity not in ENTITIES + NEVER_HERE:
            raise invalid(f"include has an unknown entity: there is {', '.join(ENTITIES)}.")
    return [str(entity) for entity in dict.fromkeys(include)]


def checked_level(level: object) -> str:
    """Raises Refusal."""
    if level not in LEVELS:
        raise invalid("level must be notify or sync.")
    return str(level)


def checked_text(name: str, value: object) -> str | None:
    """Raises Refusal. Goes into a header, so it must stay in its line."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 1000:
        raise invalid(f"{name} must be a printable string.")
    return value or None
