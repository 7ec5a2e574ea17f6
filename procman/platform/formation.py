"""The formation: how many dynos of each type, and of which size. Changing it makes no release (Heroku: scaling)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from procman.core.records import App, FormationType, Slug, User
from procman.core.sizes import canonical
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.refusals import invalid, missing
from procman.platform.releases import scale_words
from procman.store import tables
from procman.store.database import Tx

QUANTITY = re.compile(r"[+-]?[0-9]{1,6}")
MOST_DYNOS = 100  # of one app (Heroku: dyno-scaling-and-process-limits)


class Update(NamedTuple):
    """One wish. ``quantity``: a number, or text such as ``+1`` (as the client sends it); None: as it is."""

    type: str
    quantity: object = None
    size: object = None


async def shown(host: Host, app: App) -> list[tuple[FormationType, str]]:
    """Every type with its command."""
    return await host.db.run(lambda tx: with_commands(tx, app))


async def update(host: Host, user: User, app: App, updates: Sequence[Update]) -> list[tuple[FormationType, str]]:
    """Apply all the wishes, or none. Returns the types asked for first, then the others. Raises Refusal."""

    def change(tx: Tx) -> tuple[list[tuple[FormationType, str]], str]:
        rows = {row.type: row for row in tables.formation.find(tx, app_id=app.id)}
        for wish in updates:
            if wish.type not in rows:
                raise missing("process type", wish.type)
            row = rows[wish.type]
            rows[wish.type] = row._replace(
                quantity=quantity(wish.quantity, row), size=size(wish.size, row), updated_at=host.now()
            )
        if sum(row.quantity for row in rows.values()) > MOST_DYNOS:
            raise invalid(f"An app may have {MOST_DYNOS} dynos at most.")
        for wish in updates:
            row = rows[wish.type]
            tables.formation.update(tx, row.id, quantity=row.quantity, size=row.size, updated_at=row.updated_at)
        words = scale_words(list(rows.values()))
        audit.note(host, tx, user, app, "scale", words)
        return with_commands(tx, app), words

    found, words = await host.db.run(change)
    host.say(app.id, f"Scaled to {words} by user {user.email}")
    host.tell("api:formation", "update", app)
    host.rollouts.poke(app.id)
    asked = [wish.type for wish in updates]
    return sorted(found, key=lambda pair: asked.index(pair[0].type) if pair[0].type in asked else len(asked))


def with_commands(tx: Tx, app: App) -> list[tuple[FormationType, str]]:
    """Rows of the types that the current slug has."""
    slug = current_slug(tx, app)
    types = slug.process_types if slug else {}
    return [(row, types[row.type]) for row in tables.formation.find(tx, app_id=app.id) if row.type in types]


def current_slug(tx: Tx, app: App) -> Slug | None:
    """The slug of the current release; before the first is rolled out, that of the one to come."""
    now = tables.apps.get(tx, id=app.id)
    release = tables.releases.get(tx, id=now.release_id) if now else None
    if release is None or release.slug_id is None:
        pending = tables.releases.select(
            tx, "WHERE app_id = ? AND slug_id IS NOT NULL ORDER BY version DESC LIMIT 1", (app.id,)
        )
        release = pending[0] if pending else None
    return tables.slugs.get(tx, id=release.slug_id) if release and release.slug_id else None


def quantity(wish: object, row: FormationType) -> int:
    """The sum is the server's: ``"2"``, ``2``, ``"+1"``, ``"-1"``. Raises Refusal."""
    if wish is None:
        return row.quantity
    text = str(wish)
    if isinstance(wish, bool) or not isinstance(wish, (int, str)) or not QUANTITY.fullmatch(text):
        raise invalid(f"Quantity of {row.type} must be a number of 6 digits at most, with + or - before it or none.")
    number = row.quantity + int(text) if text[0] in "+-" else int(text)
    if number < 0:
        raise invalid(f"Quantity of {row.type} cannot be {number}.")
    if number and row.type == "release":
        raise invalid(f"Quantity of release cannot be {number}: it runs by itself, once before each release.")
    return number


def size(wish: object, row: FormationType) -> str:
    """The size's canonical name. Raises Refusal."""
    if wish is None:
        return row.size
    name = canonical(str(wish.get("name", "")) if isinstance(wish, dict) else str(wish))
    if name is None:
        raise invalid(f"Couldn't find that dyno size ({wish}).")
    return name
