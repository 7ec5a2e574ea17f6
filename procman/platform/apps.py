"""Apps: made, renamed, looked at, destroyed."""

import asyncio
import os
import re
import secrets
import shutil
from collections.abc import Iterable

from procman.core.records import App, Domain, Release, Slug, User
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.refusals import Refusal, invalid
from procman.platform.users import find_app
from procman.store import tables
from procman.store.database import Tx

NAME = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")  # Heroku: platform-api, app name
SHORTEST, LONGEST = 3, 30  # characters
RULE = (
    "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and "
    "dashes."
)
ADJECTIVES = "autumn calm crimson dry fast frozen gentle late lucky misty polar quiet rough silent still warm young"
NOUNS = "bay brook cloud dawn field fog forest harbor hill lake leaf meadow moon river shore sky stone valley wind"


async def create(host: Host, user: User, name: str | None) -> App:
    """A new app with its first two releases, as on Heroku. Raises Refusal."""

    def insert(tx: Tx) -> App:
        chosen = name or invent_name(tx)
        check_name(tx, chosen)
        now = host.now()
        app_id = host.new_id()
        app = App(
            app_id, chosen, user.id, user.email, False, None, 0, 0, next_uid(host, tx), next_port(host, tx), None,
            now, now, None,
        )
        first, second = (
            Release(
                host.new_id(), app_id, version, words, "succeeded", None, {}, user.id, user.email, None, now, now
            )
            for version, words in ((1, "Initial release"), (2, "Enable Logplex"))
        )
        tables.apps.insert(tx, app._replace(release_id=second.id))
        for release in (first, second):
            tables.releases.insert(tx, release)
        hostname = f"{chosen}.{host.settings.domain}"
        tables.domains.insert(tx, Domain(host.new_id(), app_id, hostname, "heroku", None, now, now))
        audit.note(host, tx, user, app, "create app")
        return app._replace(release_id=second.id)

    app = await host.db.run(insert)
    for version, words in ((1, "Initial release"), (2, "Enable Logplex")):
        host.say(app.id, f"{words} by user {user.email}")
        host.say(app.id, f"Release v{version} created by user {user.email}")
    host.tell("api:app", "create", app)
    return app


async def listed(host: Host, user: User, everyones: bool = False) -> list[App]:
    """The user's own apps; with ``everyones`` all that he may use."""

    def find(tx: Tx) -> list[App]:
        if not everyones:
            return tables.apps.find(tx, owner_id=user.id)
        if user.admin:
            return tables.apps.find(tx)
        where = (
            "WHERE owner_id = ? OR id IN (SELECT app_id FROM collaborators WHERE user_id = ?) ORDER BY name"
        )
        return tables.apps.select(tx, where, (user.id, user.id))

    return await host.db.run(find)


async def slug_of(host: Host, app: App) -> Slug | None:
    """The slug of the current release."""

    def find(tx: Tx) -> Slug | None:
        release = tables.releases.get(tx, id=app.release_id)
        return tables.slugs.get(tx, id=release.slug_id) if release and release.slug_id else None

    return await host.db.run(find)


async def rename(host: Host, user: User, app: App, name: str) -> App:
    """Another name; the host name that came with the app changes with it. Raises Refusal."""

    def change(tx: Tx) -> App:
        check_name(tx, name)
        tables.apps.update(tx, app.id, name=name, updated_at=host.now())
        own = tables.domains.get(tx, app_id=app.id, kind="heroku")
        if own:
            tables.domains.update(tx, own.id, hostname=f"{name}.{host.settings.domain}", updated_at=host.now())
        audit.note(host, tx, user, app, "rename app", f"{app.name} to {name}")
        return find_app(tx, user, app.id)

    renamed = await host.db.run(change)
    await host.traffic.route(app.id)
    host.tell("api:app", "update", renamed)
    return renamed


async def set_maintenance(host: Host, user: User, app: App, on: bool) -> App:
    """Maintenance mode: the router answers for the app (Heroku: maintenance-mode)."""

    def change(tx: Tx) -> App:
        tables.apps.update(tx, app.id, maintenance=on, updated_at=host.now())
        audit.note(host, tx, user, app, f"maintenance {'on' if on else 'off'}")
        return find_app(tx, user, app.id)

    changed = await host.db.run(change)
    await host.traffic.route(app.id)
    host.tell("api:app", "update", changed)
    return changed


async def destroy(host: Host, user: User, app: App) -> None:
    """End everything of an app and forget it: dynos first, then the rows, then files.

    A database that takes nothing, as its disk is full, says so before anything has ended.
    """
    await host.db.run(lambda tx: audit.note(host, tx, user, app, "destroy app"))
    await host.builds.drop(app)
    await host.rollouts.drop(app.id)
    await host.runtime.remove(app.id)
    await host.part(app)

    def delete(tx: Tx) -> tuple[list[str], list[str], list[str], list[str]]:
        slugs = [slug.id for slug in tables.slugs.find(tx, app_id=app.id)]
        endpoints = [endpoint.id for endpoint in tables.endpoints.find(tx, app_id=app.id)]
        uploads = [source.id for source in tables.sources.find(tx, app_id=app.id)]
        outputs = [str(build.source.get("output", "")) for build in tables.builds.find(tx, app_id=app.id)]
        outputs += [release.output for release in tables.releases.find(tx, app_id=app.id) if release.output]
        tables.builds.delete(tx, app_id=app.id)
        tables.releases.delete(tx, app_id=app.id)
        tables.apps.delete(tx, id=app.id)
        return slugs, endpoints, uploads, [name for name in outputs if name]

    slugs, endpoints, uploads, outputs = await host.db.run(delete)
    await host.traffic.route(app.id)
    host.log.forget(app.id)
    layout = host.layout
    folders = (layout.home(app.id), layout.repository(app.id), layout.path("cache", app.id), *map(layout.slug, slugs))
    files = (
        layout.deploy_lock(app.id),
        layout.build_lock(app.id),
        *map(layout.packed_slug, slugs),
        *(layout.certificate(endpoint) for endpoint in endpoints),
        *(layout.source(upload) for upload in uploads),
        *map(layout.output, outputs),
    )
    await asyncio.to_thread(remove, folders, files)
    host.tell("api:app", "destroy", app)


def remove(folders: Iterable[str], files: Iterable[str]) -> None:
    """Take away what is there of them."""
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
    for path in files:
        if os.path.exists(path):
            os.unlink(path)


def check_name(tx: Tx, name: str) -> None:
    """Raises Refusal when no app can be called that, in Heroku's words."""
    if len(name) < SHORTEST:
        raise invalid(f"Name is too short (minimum is {SHORTEST} characters)")
    if len(name) > LONGEST:
        raise invalid(f"Name is too long (maximum is {LONGEST} characters)")
    if not NAME.fullmatch(name) or "--" in name:
        raise invalid(RULE)
    if tables.apps.get(tx, name=name):
        raise invalid(f"Name {name} is already taken")


def invent_name(tx: Tx) -> str:
    """A free name, for who gives none."""
    while True:
        name = "-".join(
            (secrets.choice(ADJECTIVES.split()), secrets.choice(NOUNS.split()), str(secrets.randbelow(90_000) + 10_000))
        )
        if not tables.apps.get(tx, name=name):
            return name


def next_port(host: Host, tx: Tx) -> int:
    """The first port of the lowest free block."""
    settings = host.settings
    taken = {row[0] for row in tx.execute("SELECT first_port FROM apps")}
    for port in range(settings.first_port, settings.last_port, settings.ports_per_app):
        if port not in taken:
            return port
    raise Refusal("service_unavailable", f"No ports are left below {settings.last_port} for another app.")


def next_uid(host: Host, tx: Tx) -> int | None:
    """A user id that no app has had that still exists; None where all run as the server's own user."""
    if host.settings.first_uid is None:
        return None
    taken = {row[0] for row in tx.execute("SELECT uid FROM apps")}
    uid = host.settings.first_uid
    while uid in taken:
        uid += 1
    return uid
