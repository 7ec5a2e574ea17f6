"""Log sessions: a look at an app's log that somebody asked for, under an address that carries its own proof."""

from typing import Any, NamedTuple

from procman.core.records import App, User
from procman.platform import signatures
from procman.platform.host import Host
from procman.platform.refusals import Refusal, invalid
from procman.platform.users import can_use
from procman.store import tables
from procman.store.database import Tx

PURPOSE = "log session"
LASTS_S = 86_400.0  # a client that tails comes back to the same address after a gap
LINES = 100  # Heroku client: logs
MOST_LINES = 100_000


class Wish(NamedTuple):
    """What is to be seen. ``dyno``: ``web.1``, or a type as the client sends it."""

    lines: int = LINES
    tail: bool = False
    source: str | None = None
    dyno: str | None = None
    process_type: str | None = None


class Session(NamedTuple):
    """A session that exists."""

    id: str
    url: str
    created_at: float


async def create(host: Host, user: User, app: App, wish: Wish) -> Session:
    """Raises Refusal."""
    if wish.source not in (None, "", "app", "heroku"):
        raise invalid("source must be app or heroku.")
    if wish.lines < 0:
        raise invalid("lines must not be negative.")
    facts = {"app": app.id, "user": user.id, **wish._replace(lines=min(wish.lines, MOST_LINES))._asdict()}
    word = await signatures.sign(host, PURPOSE, facts, LASTS_S)
    return Session(host.new_id(), f"{host.settings.api_url}/streams/{word}", host.now())


async def find(host: Host, word: str) -> tuple[App, Wish]:
    """What the address stands for, if its maker may still see it. Raises Refusal."""
    facts = await signatures.read(host, PURPOSE, word)
    found = await host.db.run(lambda tx: owner_of(tx, facts)) if facts else None
    if facts is None or found is None:
        raise Refusal("not_found", "Couldn't find that log session: it is over. Start another.", "log_session")
    return found, Wish(*(facts[field] for field in Wish._fields))


def owner_of(tx: Tx, facts: dict[str, Any]) -> App | None:
    """The app, if it and the user's right to it still exist."""
    app, user = tables.apps.get(tx, id=facts["app"]), tables.users.get(tx, id=facts["user"])
    return app if app and user and can_use(tx, user, app) else None
