"""The first start: the owner's account, and the key by which this host's own command line speaks to the server."""

import os
import pwd

from procman.core.records import User
from procman.errors import ProcmanError
from procman.files import read_secret, write_private
from procman.platform.host import Host
from procman.platform.users import digest, insert_key, insert_user
from procman.store import tables
from procman.store.database import Tx

DESCRIPTION = "The owner's key, in owner.key"


def ensure_owner(host: Host, email: str | None = None) -> tuple[User, bool]:
    """The owner, and whether the account was made just now. ``owner.key`` holds a key of his that works.

    A key that was lost, or that a restored database does not know, is replaced. Raises ProcmanError.
    """
    path = host.layout.owner_key
    key = read_secret(path)
    address = email or f"{login_name()}@localhost"

    def ensure(tx: Tx) -> tuple[User, bool, str | None]:
        known = tables.authorizations.get(tx, token_hash=digest(key)) if key else None
        if known and (owner := tables.users.get(tx, id=known.user_id)):
            return owner, False, None
        admins = tables.users.find(tx, order="created_at", limit=1, admin=1)
        made = not admins
        owner = insert_user(host, tx, address, admin=True) if made else admins[0]
        return owner, made, insert_key(host, tx, owner, DESCRIPTION)[1]

    owner, made, fresh = host.db.call(ensure)
    if fresh:
        try:
            write_private(path, fresh.encode() + b"\n")
        except OSError as error:
            raise ProcmanError(f"cannot write the owner's key {path}: {error.strerror}") from None
    return owner, made


def login_name() -> str:
    """Who runs the server."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return "owner"
