"""What the platform remembers: one value a row. Times are seconds since the epoch; ids are UUIDs in their text form."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class User(NamedTuple):
    """Somebody with an account. ``password``: salted hash, or None for who may only use keys."""

    id: str
    email: str
    name: str | None
    password: str | None
    admin: bool
    created_at: float
    updated_at: float


def is_email(text: str) -> bool:
    """Whether it may be somebody's address: a little is asked of it, as nothing is sent there."""
    local, _, domain = text.partition("@")
    return bool(local and domain) and not any(letter.isspace() or letter in "<>\"'\\" for letter in text)


class Authorization(NamedTuple):
    """A key: its SHA-256 (keys are random, so no salt), what it is for and until when. ``session``: made by a login."""

    id: str
    user_id: str
    token_hash: str
    description: str
    scope: list[str]
    session: bool
    expires_at: float | None
    created_at: float
    updated_at: float


class App(NamedTuple):
    """An app. ``release_id``: the current release. ``generation``: what runs it; ``last_generation``: the last number
    that was given to one, also in vain.

    ``uid``: the user its dynos run as, None: the server's own. ``first_port``: of its block of ports.
    """

    id: str
    name: str
    owner_id: str
    owner_email: str
    maintenance: bool
    release_id: str | None
    generation: int
    last_generation: int
    uid: int | None
    first_port: int
    description: str | None  # what the buildpack called it
    created_at: float
    updated_at: float
    released_at: float | None


class Slug(NamedTuple):
    """Built code. ``state``: ``pending`` (upload awaited), ``ready``, ``collected``. ``facts``: what app.json said."""

    id: str
    app_id: str
    state: str
    process_types: Mapping[str, str]
    commit_hash: str | None
    commit_description: str | None
    checksum: str | None
    size: int | None
    stack: str
    description: str | None
    facts: Mapping[str, Any]
    created_at: float
    updated_at: float


class Release(NamedTuple):
    """Slug and config vars under a version number. ``status``: pending, succeeded, failed or expired.

    ``output``: name of the release phase's output file, if it had one. ``reason``: why it failed or expired.
    """

    id: str
    app_id: str
    version: int
    description: str
    status: str
    slug_id: str | None
    config: Mapping[str, str]
    user_id: str
    user_email: str
    output: str | None
    created_at: float
    updated_at: float
    reason: str = ""


class FormationType(NamedTuple):
    """How many dynos of a process type there shall be, and of which size."""

    id: str
    app_id: str
    type: str
    quantity: int
    size: str
    created_at: float
    updated_at: float


class Build(NamedTuple):
    """One act of building. ``status``: pending, succeeded or failed."""

    id: str
    app_id: str
    user_id: str
    user_email: str
    status: str
    buildpacks: list[str]
    source: Mapping[str, Any]
    commit_hash: str | None
    slug_id: str | None
    release_id: str | None
    created_at: float
    updated_at: float


class Domain(NamedTuple):
    """A host name of an app. ``kind``: ``heroku`` for the one that comes with it, or ``custom``."""

    id: str
    app_id: str
    hostname: str
    kind: str
    endpoint_id: str | None
    created_at: float
    updated_at: float


class Endpoint(NamedTuple):
    """A certificate with its key (in a file named by the id), served by SNI. ``facts``: what it says of itself."""

    id: str
    app_id: str
    name: str
    certificate: str
    created_at: float
    updated_at: float
    facts: Mapping[str, Any]


class Drain(NamedTuple):
    """Where an app's log is copied to. ``token``: how the receiver tells drains apart, ``d.UUID``."""

    id: str
    app_id: str
    url: str
    token: str
    created_at: float
    updated_at: float


class Feature(NamedTuple):
    """A switch of an app that was set; what there is to switch is known by the platform."""

    id: str
    app_id: str
    name: str
    enabled: bool
    created_at: float
    updated_at: float


class Buildpack(NamedTuple):
    """One of an app's buildpacks, in their order."""

    id: str
    app_id: str
    ordinal: int
    url: str


class Collaborator(NamedTuple):
    """Who may work on an app besides its owner."""

    id: str
    app_id: str
    user_id: str
    email: str
    role: str
    created_at: float
    updated_at: float


class Webhook(NamedTuple):
    """Who is told of an app's changes. ``authorization``: the header of that name to send along."""

    id: str
    app_id: str
    url: str
    include: list[str]
    level: str
    secret: str
    authorization: str | None
    created_at: float
    updated_at: float


class Delivery(NamedTuple):
    """One change on its way to one webhook. ``status``: pending, retrying, succeeded or failed.

    ``due_at``: of the next try. ``code``, ``error``: how the last one ended.
    """

    id: str
    app_id: str
    webhook_id: str
    event: str
    payload: Mapping[str, Any]
    status: str
    attempts: int
    due_at: float | None
    code: int | None
    error: str | None
    created_at: float
    updated_at: float


class Change(NamedTuple):
    """A line of the audit: who did what to which app, and when. Never a secret value."""

    id: str
    at: float
    email: str
    app_id: str | None
    app_name: str | None
    action: str
    detail: str


class Source(NamedTuple):
    """A tarball that somebody may upload, and then build."""

    id: str
    app_id: str | None
    secret: str
    created_at: float
