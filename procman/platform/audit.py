"""Who did what, and when: a line for each change, written in the change's own transaction."""

from procman.core.records import App, Change, User
from procman.platform.host import Host
from procman.store import tables
from procman.store.database import Tx


def note(host: Host, tx: Tx, user: User, app: App | None, action: str, detail: str = "") -> None:
    """Write the line. ``detail`` must hold no secret: names of config vars, never values."""
    app_id, app_name = (app.id, app.name) if app else (None, None)
    tables.changes.insert(tx, Change(host.new_id(), host.now(), user.email, app_id, app_name, action, detail))


async def changes(host: Host, app: App | None, limit: int = 200) -> list[Change]:
    """The latest changes, of one app or all, oldest first."""
    where = {"app_id": app.id} if app else {}
    found = await host.db.run(lambda tx: tables.changes.find(tx, order="at DESC, rowid DESC", limit=limit, **where))
    return found[::-1]
