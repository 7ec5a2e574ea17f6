"""Collaborators: who may work on an app besides its owner; and the passing on of an app."""

from procman.core.records import App, Collaborator, User
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.refusals import forbidden, invalid, missing
from procman.platform.users import find_app
from procman.store import tables
from procman.store.database import Tx


async def listed(host: Host, app: App) -> list[Collaborator]:
    """The owner first, then the others."""
    others = await host.db.run(lambda tx: tables.collaborators.find(tx, app_id=app.id))
    return [owner(app), *others]


async def shown(host: Host, app: App, word: str) -> Collaborator:
    """One by e-mail or id. Raises Refusal."""
    for row in await listed(host, app):
        if word in (row.id, row.user_id) or word.lower() == row.email.lower():
            return row
    raise missing("collaborator", word)


def owner(app: App) -> Collaborator:
    """The owner, who has no row of his own."""
    return Collaborator(app.owner_id, app.id, app.owner_id, app.owner_email, "owner", app.created_at, app.created_at)


async def add(host: Host, user: User, app: App, word: str) -> Collaborator:
    """Let somebody who has an account work on the app. ``word``: e-mail or id. Raises Refusal."""

    def insert(tx: Tx) -> Collaborator:
        found = known_user(tx, word)
        if found.id == app.owner_id or tables.collaborators.get(tx, app_id=app.id, user_id=found.id):
            raise invalid(f"User {found.email} is already a collaborator on app {app.name}")
        now = host.now()
        row = Collaborator(host.new_id(), app.id, found.id, found.email, "collaborator", now, now)
        audit.note(host, tx, user, app, "add collaborator", found.email)
        return tables.collaborators.insert(tx, row)

    row = await host.db.run(insert)
    host.tell("api:collaborator", "create", app)
    return row


async def remove(host: Host, user: User, app: App, word: str) -> Collaborator:
    """The owner may remove anybody, a collaborator himself. Raises Refusal."""
    found = await shown(host, app, word)
    if found.role == "owner":
        raise invalid("The owner of an app cannot leave it: heroku apps:transfer")
    if user.id not in (app.owner_id, found.user_id) and not user.admin:
        raise forbidden(f"You do not have access to the app {app.name}: only its owner may do this.")

    def delete(tx: Tx) -> None:
        tables.collaborators.delete(tx, id=found.id)
        audit.note(host, tx, user, app, "remove collaborator", found.email)

    await host.db.run(delete)
    host.tell("api:collaborator", "destroy", app)
    return found


async def transfer(host: Host, user: User, app: App, word: str) -> App:
    """Give the app to another user, at once; the old owner stays as a collaborator. Raises Refusal."""
    if user.id != app.owner_id and not user.admin:
        raise forbidden(f"You do not have access to the app {app.name}: only its owner may do this.")

    def change(tx: Tx) -> App:
        to = known_user(tx, word)
        if to.id == app.owner_id:
            raise invalid(f"App {app.name} is already owned by {to.email}")
        now = host.now()
        tables.collaborators.delete(tx, app_id=app.id, user_id=to.id)
        before = Collaborator(host.new_id(), app.id, app.owner_id, app.owner_email, "collaborator", now, now)
        tables.collaborators.insert(tx, before)
        tables.apps.update(tx, app.id, owner_id=to.id, owner_email=to.email, updated_at=now)
        audit.note(host, tx, user, app, "transfer app", to.email)
        return find_app(tx, to, app.id)

    moved = await host.db.run(change)
    host.tell("api:app", "update", moved)
    return moved


def known_user(tx: Tx, word: str) -> User:
    """Raises Refusal: nobody is invited by mail here."""
    found = tables.users.get(tx, id=word) or by_email(tx, word)
    if found is None:
        raise invalid(f"There is no user {word[:200]} on this server: procman users:add EMAIL")
    return found


def by_email(tx: Tx, email: str) -> User | None:
    """However it is written."""
    found = tables.users.select(tx, "WHERE email = ? COLLATE NOCASE", (email,))
    return found[0] if found else None
