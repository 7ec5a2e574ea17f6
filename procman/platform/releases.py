"""Releases: a slug and config vars under a version number. Made in one transaction, then rolled out by the worker."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from procman.core.records import App, FormationType, Release, Slug, User
from procman.core.sizes import DEFAULT_SIZE, canonical
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.refusals import Refusal, conflict, invalid, missing
from procman.store import tables
from procman.store.database import Tx


class Wish(NamedTuple):
    """A release to be: None leaves slug or config vars as they are."""

    description: str
    slug_id: str | None = None
    config: Mapping[str, str] | None = None


class Made(NamedTuple):
    """What the transaction did. ``scaled``: words for the log of a first deploy."""

    release: Release
    scaled: str | None


async def create(
    host: Host, user: User, app: App, wish: Callable[[Tx], Wish], more: Callable[[Tx, Release], None] | None = None
) -> Release:
    """Make a release. ``wish`` is asked, and ``more`` told, within the transaction. Raises Refusal.

    It is pending until it is rolled out; one that has nothing to run is succeeded at once.
    """

    def make(tx: Tx) -> Made:
        made = insert(host, tx, user, app.id, wish(tx))
        if more:
            more(tx, made.release)
        return made

    release, scaled = await host.db.run(make)
    host.say(app.id, f"{release.description} by user {user.email}")
    host.say(app.id, f"Release v{release.version} created by user {user.email}")
    if scaled:
        host.say(app.id, f"Scaled to {scaled} by user {user.email}")
    host.tell("api:release", "create", app)
    host.rollouts.poke(app.id)
    return release


def insert(host: Host, tx: Tx, user: User, app_id: str, wish: Wish) -> Made:
    """The release's row, the config vars and formation that come with it."""
    app = tables.apps.get(tx, id=app_id)
    if app is None:
        raise missing("app")
    pending = tables.releases.find(tx, app_id=app.id, status="pending")
    if busy := [release for release in pending if release.output and host.rollouts.is_in_phase(release)]:
        raise conflict(f"Release v{busy[0].version} is running its release command. Try again when it has ended.")
    last = tables.releases.find(tx, app_id=app.id, order="version DESC", limit=1)[0]
    config = config_vars(tx, app.id) if wish.config is None else dict(wish.config)
    slug_id = wish.slug_id or newest_slug(tx, app.id)
    now = host.now()
    release = Release(
        host.new_id(), app.id, last.version + 1, wish.description, "pending" if slug_id else "succeeded", slug_id,
        config, user.id, user.email, None, now, now,
    )
    tables.releases.insert(tx, release)
    if wish.config is not None:
        put_config_vars(tx, app.id, config)
    scaled = None
    if slug_id:
        slug = tables.slugs.get(tx, id=slug_id)
        assert slug is not None
        scaled = fit_formation(host, tx, app.id, slug)
    else:
        tables.apps.update(tx, app.id, release_id=release.id, updated_at=now)
    audit.note(host, tx, user, app, f"release v{release.version}", release.description)
    return Made(release, scaled)


def newest_slug(tx: Tx, app_id: str) -> str | None:
    """The slug that a config change runs on: of the newest release that did not fail, if there is one."""
    text = "WHERE app_id = ? AND slug_id IS NOT NULL ORDER BY status = 'failed', version DESC LIMIT 1"
    found = tables.releases.select(tx, text, (app_id,))
    return found[0].slug_id if found else None


def fit_formation(host: Host, tx: Tx, app_id: str, slug: Slug) -> str | None:
    """Give every type of the slug its row. The first slug with a web type gets one web dyno (Heroku: scaling)."""
    rows = {row.type: row for row in tables.formation.find(tx, app_id=app_id)}
    first = not rows
    now = host.now()
    for name in slug.process_types:
        if name in rows:
            continue
        said = slug.facts.get("formation", {}).get(name, {}) if first else {}
        quantity = said.get("quantity")
        if quantity is None or name == "release":
            quantity = int(first and name == "web")
        row = FormationType(
            host.new_id(), app_id, name, quantity, canonical(said.get("size") or "") or DEFAULT_SIZE, now, now
        )
        tables.formation.insert(tx, row)
    if not first or not slug.process_types:
        return None
    return scale_words(tables.formation.find(tx, app_id=app_id))


def scale_words(rows: list[FormationType]) -> str:
    """``web@2:Basic worker@1:Basic``."""
    return " ".join(f"{row.type}@{row.quantity}:{row.size}" for row in rows)


def config_vars(tx: Tx, app_id: str) -> dict[str, str]:
    """The config vars as they were last set."""
    found = tx.execute("SELECT name, value FROM config_vars WHERE app_id = ? ORDER BY name", (app_id,))
    return dict(found.fetchall())


def put_config_vars(tx: Tx, app_id: str, config: Mapping[str, str]) -> None:
    """Replace them all."""
    tx.execute("DELETE FROM config_vars WHERE app_id = ?", (app_id,))
    tx.executemany("INSERT INTO config_vars VALUES (?, ?, ?)", [(app_id, *pair) for pair in config.items()])


def find_release(tx: Tx, app: App, word: str) -> Release:
    """By id or version (``7`` or ``v7``). Raises Refusal."""
    version = word.removeprefix("v")
    if version.isascii() and version.isdigit() and len(version) < 10:
        found = tables.releases.get(tx, app_id=app.id, version=int(version))
    else:
        found = tables.releases.get(tx, app_id=app.id, id=word)
    if found is None:
        raise missing("release")
    return found


async def shown(host: Host, app: App, word: str) -> tuple[Release, bool]:
    """A release, and whether one may roll back to it. Raises Refusal."""

    def find(tx: Tx) -> tuple[Release, bool]:
        release = find_release(tx, app, word)
        return release, is_eligible(tx, release)

    return await host.db.run(find)


def is_eligible(tx: Tx, release: Release) -> bool:
    """Whether one may roll back to it: it has a slug that is still there, and did not fail."""
    if release.status == "failed" or release.slug_id is None:
        return False
    slug = tables.slugs.get(tx, id=release.slug_id)
    return slug is not None and slug.state == "ready"


async def roll_back(host: Host, user: User, app: App, word: str) -> Release:
    """A new release with an old one's slug and config vars (Heroku: releases, rollback). Raises Refusal."""

    def wish(tx: Tx) -> Wish:
        old = find_release(tx, app, word)
        if old.slug_id is None:
            raise invalid(f"Cannot roll back to v{old.version}: it has no slug.")
        if old.status == "failed":
            raise invalid(f"Cannot roll back to v{old.version}: it failed.")
        slug = tables.slugs.get(tx, id=old.slug_id)
        if slug is None or slug.state != "ready":
            raise Refusal("gone", f"Cannot roll back to v{old.version}: its slug was removed to save space.")
        return Wish(f"Rollback to v{old.version}", old.slug_id, old.config)

    return await create(host, user, app, wish)


async def release_slug(host: Host, user: User, app: App, slug_id: str, description: str | None = None) -> Release:
    """Release a slug that is there. Raises Refusal."""

    def wish(tx: Tx) -> Wish:
        slug = tables.slugs.get(tx, id=slug_id, app_id=app.id)
        if slug is None:
            raise missing("slug")
        if slug.state != "ready":
            raise invalid("That slug has not been uploaded.")
        return Wish(description or deploy_words(slug), slug.id)

    return await create(host, user, app, wish)


def deploy_words(slug: Slug) -> str:
    """``Deploy 1a2b3c4d``."""
    return f"Deploy {(slug.commit_hash or slug.id)[:8]}"


async def listed(host: Host, app: App) -> list[tuple[Release, bool]]:
    """All releases, oldest first, each with whether one may roll back to it."""

    def find(tx: Tx) -> list[tuple[Release, bool]]:
        ready = {row[0] for row in tx.execute("SELECT id FROM slugs WHERE app_id = ? AND state = 'ready'", (app.id,))}
        found = tables.releases.find(tx, app_id=app.id)
        return [(release, release.status != "failed" and release.slug_id in ready) for release in found]

    return await host.db.run(find)
