"""Users of a server, for its administrators; and everybody's own keys."""

from procman.cli.listing import columns, emit, emit_json
from procman.cli.options import Given
from procman.cli.remote.apps import Own, said, word
from procman.cli.remote.connection import path
from procman.cli.remote.target import server


def listed(told: Given, own: Own) -> int:
    """Everybody with an account."""
    found = server().get("/users")
    if own["json"]:
        emit_json(found)
    else:
        emit("\n".join(columns([(user["email"], "admin" if user["admin"] else "") for user in found], "")))
    return 0


def add(told: Given, own: Own) -> int:
    """Make an account, and show its first key."""
    user = server().call("POST", "/users", {"email": word(told, "EMAIL"), "admin": bool(told.fields.get("admin"))})
    return said(own, user, f"Made the account {user['email']}. Its key, shown this once:\n{user['api_key']}")


def remove(told: Given, own: Own) -> int:
    """Take an account away, with its keys."""
    user = server().call("DELETE", path("users", word(told, "EMAIL")))
    return said(own, user, f"Removed the account {user['email']}.")


def keys(told: Given, own: Own) -> int:
    """The caller's keys, by what they are for."""
    found = server().get("/oauth/authorizations")
    if own["json"]:
        emit_json(found)
    else:
        emit("\n".join(columns([(key["id"], key["description"], key["created_at"]) for key in found], "")))
    return 0


def add_key(told: Given, own: Own) -> int:
    """Make a key, and show it."""
    body = {"description": " ".join(told.arguments)} if told.arguments else {}
    key = server().call("POST", "/oauth/authorizations", body)
    return said(own, key, f"Made the key {key['id']}, shown this once:\n{key['access_token']['token']}")


def remove_key(told: Given, own: Own) -> int:
    """Make a key good for nothing."""
    key = server().call("DELETE", path("oauth", "authorizations", word(told, "ID")))
    return said(own, key, f"Removed the key {key['id']}.")
