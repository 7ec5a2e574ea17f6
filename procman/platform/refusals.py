"""What the platform says no with: Heroku's error ids, their HTTP status, and a sentence (Heroku: platform-api)."""

from collections.abc import Mapping

STATUS: Mapping[str, int] = {
    "bad_request": 400,
    "unauthorized": 401,
    "delinquent": 402,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "request_timeout": 408,
    "conflict": 409,
    "gone": 410,
    "payload_too_large": 413,
    "requested_range_not_satisfiable": 416,
    "invalid_params": 422,
    "rate_limit": 429,
    "internal_server_error": 500,
    "not_implemented": 501,
    "service_unavailable": 503,
}


class Refusal(Exception):
    """``identity``: one of ``STATUS``. ``resource``: what could not be found."""

    def __init__(self, identity: str, message: str, resource: str | None = None) -> None:
        super().__init__(message)
        self.identity = identity
        self.message = message
        self.resource = resource

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.identity]


def missing(resource: str, name: str | None = None) -> Refusal:
    """404: ``Couldn't find that app.``; resources are words of the API (``app``, ``process type``)."""
    words = f"that {resource} ({name})" if name else f"that {resource}"
    return Refusal("not_found", f"Couldn't find {words}.", resource.replace(" ", "_"))


def invalid(message: str) -> Refusal:
    """422."""
    return Refusal("invalid_params", message)


def conflict(message: str) -> Refusal:
    """409."""
    return Refusal("conflict", message)


def forbidden(message: str) -> Refusal:
    """403."""
    return Refusal("forbidden", message)
