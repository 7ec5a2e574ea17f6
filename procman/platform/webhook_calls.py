"""One call of a webhook: what it says, how it is signed, and how it ended (Heroku: app-webhooks-schema)."""

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from procman import __version__
from procman.core.records import Webhook
from procman.platform.plans import stamp
from procman.reach import FAILURES, Patience, Reach

PATIENCE = Patience(15.0, 30.0)  # who answers byte by byte would hold a thread for ever


class Ended(NamedTuple):
    """How a try ended: a status, or what went wrong instead."""

    code: int | None
    error: str | None

    @property
    def good(self) -> bool:
        """Any 2xx."""
        return self.code is not None and 200 <= self.code < 300


def message(
    event_id: str, event: str, action: str, data: Any, now: float, hook: Webhook, delivery_id: str
) -> dict[str, Any]:
    """The body as Heroku sends it (Heroku: app-webhooks-schema)."""
    return {
        "id": event_id,
        "action": action,
        "created_at": stamp(now),
        "updated_at": stamp(now),
        "published_at": stamp(now),
        "data": data,
        "previous_data": {},
        "resource": event.removeprefix("api:"),
        "sequence": None,
        "version": "application/vnd.heroku+json; version=3",
        "webhook_metadata": {
            "attempt": {"id": delivery_id},
            "delivery": {"id": delivery_id},
            "event": {"id": event_id, "include": event},
            "webhook": {"id": hook.id},
        },
    }


def signature(secret: str, body: bytes) -> str:
    """``Heroku-Webhook-Hmac-SHA256``."""
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def kind_of(error: Exception) -> str:
    """What went wrong, as a class (Heroku: app-webhooks-schema)."""
    if isinstance(error, TimeoutError):
        return "TimeoutError"
    return "NameResolutionError" if isinstance(error, socket.gaierror) else type(error).__name__


def post(reach: Reach, hook: Webhook, payload: Mapping[str, Any], patience: Patience = PATIENCE) -> Ended:
    """One try, on this thread. Redirects are not followed; what is answered is not kept."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"procman/{__version__}",
        "Heroku-Webhook-Hmac-SHA256": signature(hook.secret, body),
    }
    if hook.authorization:
        headers["Authorization"] = hook.authorization
    parts = urlsplit(hook.url)
    connection = reach.http(parts.hostname or "", parts.port, parts.scheme == "https", patience)
    try:
        connection.request("POST", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", body, headers)
        return Ended(connection.getresponse().status, None)
    except FAILURES as error:
        return Ended(None, kind_of(error))
    finally:
        connection.close()
