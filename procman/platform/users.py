"""Users, their keys, and who may touch which app."""

import hashlib
import hmac
import secrets
from typing import NamedTuple

from procman.core.records import App, Authorization, User, is_email
from procman.platform.host import Host
from procman.platform.refusals import Refusal, invalid, missing
from procman.store import tables
from procman.store.database import Tx

SESSION_S = 30 * 86_400
SHORTEST_PASSWORD = 8
SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}


class Login(NamedTuple):
    """A caller who has proved who he is, and by which key."""

    user: User
    authorization: Authorization


def new_key() -> str:
    """A fresh API key."""
    return f"HRKU-{secrets.token_urlsafe(32)}"


def digest(key: str) -> str:
    """What is stored of a key: keys have 256 random bits, so a plain hash cannot be turned back."""
    return hashlib.sha256(key.encode()).hexdigest()


def hash_password(password: str) -> str:
    """Salted scrypt, as text."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **SCRYPT).hex()}"


def check_password(password: str, stored: str | None) -> bool:
    """Whether it is the one that was hashed."""
    salt, _, wanted = (stored or "00$").partition("$")
    found = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **SCRYPT).hex()
    return hmac.compare_digest(found, wanted)


def insert_user(host: Host, tx: Tx, email: str, password: str | None = None, admin: bool = False) -> User:
    """A new account. Raises Refusal."""
    if not is_email(email):
        raise invalid(f"'{email}' is not an e-mail address.")
    if tables.users.get(tx, email=email):
        raise invalid(f"E-mail {email} is already taken")
    now = host.now()
    hashed = hash_password(password) if password else None
    return tables.users.insert(tx, User(host.new_id(), email, None, hashed, admin, now, now))


def insert_key(
    host: Host, tx: Tx, user: User, description: str, lasts: float | None = None, session: bool = False
) -> tuple[Authorization, str]:
    """A new key of a user, and its text, which is not kept."""
    now, key = host.now(), new_key()
    expires = now + lasts if lasts is not None else None
    row = Authorization(
        host.new_id(), user.id, digest(key), description, ["global"], session, expires, now, now
    )
    return tables.authorizations.insert(tx, row), key


async def log_in(host: Host, key: str) -> Login | None:
    """Whose key it is; None for a wrong or expired one."""

    def find(tx: Tx) -> Login | None:
        found = tables.authorizations.get(tx, token_hash=digest(key))
        if found is None or (found.expires_at is not None and found.expires_at < host.now()):
            return None
        user = tables.users.get(tx, id=found.user_id)
        return Login(user, found) if user else None

    return await host.db.run(find)


async def log_in_by_password(host: Host, email: str, password: str) -> User | None:
    """The user with this password; None for a wrong one, after as long a time."""
    user = await host.db.run(lambda tx: tables.users.get(tx, email=email))
    right = await host.passwords.run(check_password, password, user.password if user else None)
    return user if right else None


def check_new_password(password: str) -> None:
    """Raises Refusal for one that will not do."""
    if len(password) < SHORTEST_PASSWORD:
        raise invalid(f"A password must have {SHORTEST_PASSWORD} characters or more.")


async def prove_password(host: Host, user: User, password: str) -> None:
    """Who has a password must know it. Raises Refusal. The caller counts the guess (``attempts``)."""
    if user.password and not await host.passwords.run(check_password, password, user.password):
        raise unauthorized()


async def change_account(host: Host, user: User, name: str | None, new_password: str | None) -> User:
    """Another name, or another password, which was checked."""
    hashed = await host.passwords.run(hash_password, new_password) if new_password else user.password

    def change(tx: Tx) -> User:
        changed = user._replace(name=user.name if name is None else name, password=hashed, updated_at=host.now())
        tables.users.update(tx, user.id, name=changed.name, password=hashed, updated_at=changed.updated_at)
        return changed

    return await host.db.run(change)


def can_use(tx: Tx, user: User, app: App) -> bool:
    """Whether the user may work on the app: its owner, an admin, a collaborator."""
    if user.admin or app.owner_id == user.id:
        return True
    return tables.collaborators.get(tx, app_id=app.id, user_id=user.id) is not None


def find_app(tx: Tx, user: User, name_or_id: str) -> App:
    """An app of the user's. What is a stranger's does not exist. Raises Refusal."""
    app = tables.apps.get(tx, name=name_or_id) or tables.apps.get(tx, id=name_or_id)
    if app is None or not can_use(tx, user, app):
        raise missing("app")
    return app


def unauthorized() -> Refusal:
    """401."""
    return Refusal("unauthorized", "Invalid credentials provided.")
