"""What an Authorization header says."""

import base64
import binascii


def key_of(authorization: str) -> str:
    """The key of ``Bearer KEY`` or, as git and old tools send it, ``Basic BASE64(anything:KEY)``."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    return basic(authorization)[1]


def basic(authorization: str) -> tuple[str, str]:
    """User and password of basic authorisation; empty when it is none."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
