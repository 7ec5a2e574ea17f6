"""Authorizations: keys that users make, look through and revoke; a login is one of them, with an end."""

from procman.core.records import Authorization, User
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.refusals import forbidden, invalid, missing
from procman.platform.users import Login, digest, insert_key, insert_user, new_key
from procman.store import tables
from procman.store.database import Tx

LONGEST_S = 10 * 365 * 86_400


async def listed(host: Host, user: User, sessions: bool = False) -> list[Authorization]:
    """The user's keys that are still good; with ``sessions`` only logins by browser."""
    rows = await host.db.run(lambda tx: tables.authorizations.find(tx, user_id=user.id))
    now = host.now()
    return [row for row in rows if (row.expires_at is None or row.expires_at > now) and (row.session or not sessions)]


async def shown(host: Host, login: Login, word: str) -> Authorization:
    """One by id. ``~``: the caller's own, if it is a key and not a login. Raises Refusal."""
    own = login.authorization
    if word == "~":
        # Heroku client, logout: what ~ names is the account's API key, which a logout leaves alone.
        if own.session or own.expires_at is not None:
            raise missing("authorization")
        return own
    return await host.db.run(lambda tx: find(tx, login.user, word))


def find(tx: Tx, user: User, word: str) -> Authorization:
    """Raises Refusal."""
    found = tables.authorizations.get(tx, id=word, user_id=user.id)
    if found is None:
        raise missing("authorization")
    return found


async def create(
    host: Host, user: User, description: str | None, lasts: object = None, scope: object = None, session: bool = False
) -> tuple[Authorization, str]:
    """A new key, with its text, which is told once. ``lasts``: seconds, also as text. Raises Refusal."""
    if scope not in (None, [], ["global"]):
        raise invalid("scope must be global: keys of this server are not divided further.")
    seconds = seconds_of(lasts)
    words = (description or "Long-lived user authorization")[:255]

    def insert(tx: Tx) -> tuple[Authorization, str]:
        audit.note(host, tx, user, None, "create authorization", words)
        return insert_key(host, tx, user, words, seconds, session)

    return await host.db.run(insert)


def seconds_of(lasts: object) -> float | None:
    """Raises Refusal. The client sends what was typed, as text."""
    if lasts is None:
        return None
    text = str(lasts)
    if isinstance(lasts, bool) or not (text.isascii() and text.isdigit()) or not 0 < int(text[:12]) <= LONGEST_S:
        raise invalid("expires_in must be a number of seconds.")
    return float(text)


async def describe(host: Host, user: User, word: str, description: str) -> Authorization:
    """Other words for a key. Raises Refusal."""

    def change(tx: Tx) -> Authorization:
        row = find(tx, user, word)
        tables.authorizations.update(tx, row.id, description=description[:255], updated_at=host.now())
        return find(tx, user, word)

    return await host.db.run(change)


async def rotate(host: Host, user: User, word: str) -> tuple[Authorization, str]:
    """Another text for a key; the old one is good no longer. Raises Refusal."""
    key = new_key()

    def change(tx: Tx) -> Authorization:
        row = find(tx, user, word)
        tables.authorizations.update(tx, row.id, token_hash=digest(key), updated_at=host.now())
        audit.note(host, tx, user, None, "rotate authorization", row.description)
        return find(tx, user, word)

    return await host.db.run(change), key


async def revoke(host: Host, login: Login, word: str) -> Authorization:
    """A key is good no longer. Raises Refusal."""

    def delete(tx: Tx) -> Authorization:
        row = find(tx, login.user, login.authorization.id if word == "~" else word)
        tables.authorizations.delete(tx, id=row.id)
        audit.note(host, tx, login.user, None, "revoke authorization", row.description)
        return row

    return await host.db.run(delete)


async def end_session(host: Host, login: Login, word: str) -> Authorization:
    """Log out. ``~``: the login that asks. Raises Refusal."""
    own = login.authorization.id if word == "~" else word
    found = await host.db.run(lambda tx: tables.authorizations.get(tx, id=own, user_id=login.user.id))
    if found is None or not found.session:
        raise missing("session")
    return await revoke(host, login, found.id)


async def users(host: Host) -> list[User]:
    """Everybody with an account."""
    return await host.db.run(tables.users.find)


async def add_user(
    host: Host, admin: User, email: str, password: str | None, is_admin: bool = False
) -> tuple[User, str]:
    """A new account with its first key. Raises Refusal."""

    def insert(tx: Tx) -> tuple[User, str]:
        user = insert_user(host, tx, email, password, is_admin)
        audit.note(host, tx, admin, None, "add user", email)
        return user, insert_key(host, tx, user, "First key")[1]

    return await host.db.run(insert)


async def remove_user(host: Host, admin: User, word: str) -> User:
    """Take an account away, with its keys. Raises Refusal while it owns apps."""

    def delete(tx: Tx) -> User:
        found = tables.users.get(tx, id=word) or next(
            iter(tables.users.select(tx, "WHERE email = ? COLLATE NOCASE", (word,))), None
        )
        if found is None:
            raise missing("user")
        if found.id == admin.id:
            raise forbidden("You cannot remove yourself.")
        if apps := tables.apps.find(tx, owner_id=found.id):
            names = ", ".join(app.name for app in apps)
            raise invalid(f"{found.email} owns {names}: heroku apps:transfer -a {apps[0].name}")
        tables.users.delete(tx, id=found.id)
        audit.note(host, tx, admin, None, "remove user", found.email)
        return found

    return await host.db.run(delete)
