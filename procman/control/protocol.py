"""Requests and answers on the wire: newline-delimited JSON, bounded."""

import json

from procman.typed import Any, Mapping

REQUEST_LIMIT = 64 << 10  # bytes of a request line
PATIENCE_S = 10.0  # for a client to finish its request line; idle ones are let go

Message = dict[str, Any]  # JSON objects: the one place where values have no static type


class BadRequest(ValueError):
    """Not a request; the text says why and is sent back."""


def encode(message: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def decode_request(line: bytes) -> Message:
    """A request with its ``verb``. Raises BadRequest."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise BadRequest("cannot read the request: not a line of JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("verb"), str):
        raise BadRequest("cannot read the request: an object with a verb is wanted")
    return message


def decode_answer(line: bytes) -> Message:
    """An answer of the supervisor's, which is trusted to be well-formed."""
    message: Message = json.loads(line)
    return message


def refusal(what: str, hint: str | None = None) -> Message:
    """The last answer to what cannot be done."""
    return {"ok": False, "error": what, "hint": hint}
