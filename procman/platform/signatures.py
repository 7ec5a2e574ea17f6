"""Words in URLs that prove what they say: for the addresses that clients follow without a key.

The secret is made once and kept in the database, so they survive restarts of the server.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from procman.platform.host import Host
from procman.store.database import Tx

SETTING = "signing_secret"


def secret(tx: Tx) -> bytes:
    """This server's."""
    found = tx.execute("SELECT value FROM settings WHERE name = ?", (SETTING,)).fetchone()
    if found is None:
        found = (secrets.token_hex(32),)
        tx.execute("INSERT INTO settings VALUES (?, ?)", (SETTING, found[0]))
    return bytes.fromhex(found[0])


async def sign(host: Host, purpose: str, facts: Mapping[str, Any], lasts: float) -> str:
    """A word that holds the facts for so many seconds. They can be read by whoever has it, not changed."""
    body = json.dumps({**facts, "until": round(host.now() + lasts)}, separators=(",", ":"), sort_keys=True).encode()
    key = await host.db.run(secret)
    return f"{encoded(body)}.{encoded(seal(key, purpose, body))}"


async def read(host: Host, purpose: str, word: str) -> dict[str, Any] | None:
    """What a word says; None if it is not one of ours for this purpose, or is over."""
    body, _, mark = word.partition(".")
    key = await host.db.run(secret)
    try:
        text, given = decoded(body), decoded(mark)
    except (ValueError, binascii.Error):
        return None
    if not hmac.compare_digest(given, seal(key, purpose, text)):
        return None
    facts: dict[str, Any] = json.loads(text)
    return facts if facts["until"] > host.now() else None


def seal(key: bytes, purpose: str, body: bytes) -> bytes:
    """What only this server can make."""
    return hmac.digest(key, purpose.encode() + b"\0" + body, hashlib.sha256)


def encoded(data: bytes) -> str:
    """For URLs."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
