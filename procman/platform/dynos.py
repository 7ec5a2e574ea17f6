"""Dynos: listed, restarted, stopped; one-off dynos started, attached or not."""

import random
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from procman.core.plan import Plan
from procman.core.records import App, Release, Slug, User
from procman.core.sizes import DEFAULT_SIZE, SIZES, canonical
from procman.errors import ProcmanError
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.plans import make_plan
from procman.platform.refusals import Refusal, conflict, invalid, missing
from procman.runtimes.base import DynoState as DynoState  # noqa: PLC0414 - api/ reads it from here
from procman.runtimes.base import OneOff
from procman.store import tables
from procman.store.database import Tx

MOST_ONE_OFFS = 50  # at a time (Heroku: one-off dynos of Basic and Standard)


class Order(NamedTuple):
    """A one-off dyno that is asked for. ``env``: what the client's terminal and the user add."""

    command: str
    attach: bool = False
    env: Mapping[str, str] = {}
    size: str | None = None
    process_type: str | None = None
    tty: bool = True
    ttl: float | None = None


class Started(NamedTuple):
    """The dyno, and where a client may join it."""

    dyno: DynoState
    attach_url: str | None


def identity(app_id: str, dyno: DynoState) -> str:
    """A dyno's id: the same for as long as it is the same life."""
    return str(uuid.uuid5(uuid.UUID(app_id), f"{dyno.name}/{dyno.generation}/{dyno.run}"))


def shown(host: Host, app: App) -> list[DynoState]:
    """Those of the newest generation of each name, and one-offs (Heroku: preboot shows only the new ones)."""
    found: dict[str, DynoState] = {}
    for dyno in host.runtime.dynos(app.id):
        if dyno.name not in found or dyno.generation > found[dyno.name].generation:
            found[dyno.name] = dyno
    return sorted(found.values(), key=lambda dyno: (dyno.process_type, len(dyno.name), dyno.name))


def find(host: Host, app: App, name_or_id: str) -> DynoState:
    """Raises Refusal."""
    for dyno in shown(host, app):
        if name_or_id in (dyno.name, identity(app.id, dyno)):
            return dyno
    raise missing("dyno", name_or_id)


async def restart(host: Host, user: User, app: App, word: str | None = None) -> None:
    """Restart one dyno, one type, or all of the formation, in which case the new ones come first (preboot)."""
    if word is None:
        await noted(host, user, app, "restart all dynos")
        host.rollouts.poke(app.id, restart=True)
        return
    names = [dyno.name for dyno in shown(host, app) if word in (dyno.name, dyno.process_type, identity(app.id, dyno))]
    if not names:
        if not await has_type(host, app, word):
            raise missing("dyno" if "." in word else "process type", word)
        return
    await noted(host, user, app, f"restart {word}")
    await host.runtime.restart(app.id, names)


async def stop(host: Host, user: User, app: App, word: str) -> None:
    """Stop dynos; those of the formation come back by themselves (Heroku: ps:stop)."""
    names = [dyno.name for dyno in shown(host, app) if word in (dyno.name, dyno.process_type, identity(app.id, dyno))]
    if not names:
        if "." in word or not await has_type(host, app, word):
            raise missing("dyno" if "." in word else "process type", word)
        return
    await noted(host, user, app, f"stop {word}")
    for name in names:
        await host.runtime.stop(app.id, name)


async def has_type(host: Host, app: App, word: str) -> bool:
    """Whether the app has this process type, even without a dyno."""
    return await host.db.run(lambda tx: tables.formation.get(tx, app_id=app.id, type=word)) is not None


async def noted(host: Host, user: User, app: App, action: str) -> None:
    """Write it into the audit."""
    await host.db.run(lambda tx: audit.note(host, tx, user, app, action))


async def start(host: Host, user: User, app: App, order: Order) -> Started:
    """Start a one-off dyno. An attached one starts when its client has come. Raises Refusal."""
    plan, command = await host.db.run(lambda tx: prepare(host, tx, user, app, order))
    name = free_name(host, app, "run")
    window = window_of(order) if order.tty else None
    one_off = OneOff(name, command, plan, order.env, order.tty, window, order.ttl)
    size = next(iter(plan.types.values())).limits.size if plan.types else DEFAULT_SIZE
    dyno = DynoState(
        name, "run", plan.generation, plan.version, "starting", host.now(), None, None, 1, size, command, one_off=True
    )
    host.say(app.id, f"Starting process with command `{command}` by user {user.email}")
    if not order.attach:
        try:
            await host.runtime.start_one_off(app.id, one_off)
        except ProcmanError as error:
            raise Refusal("service_unavailable", f"{error}") from None
        return Started(dyno, None)
    if host.rendezvous is None:
        raise Refusal("not_implemented", "This server cannot attach clients: it runs without TLS.")
    ps = "heroku", name
    host.log.write(app.id, *ps, "State changed from created to starting")
    host.log.write(app.id, *ps, "Awaiting client")

    def give_up() -> None:
        host.log.write(app.id, *ps, "Error R13 (Attach error) -> Failed to attach to process")
        host.log.write(app.id, *ps, "Process exited with status 128")
        host.log.write(app.id, *ps, "State changed from starting to complete")

    seconds = host.settings.attach_timeout
    url = host.rendezvous.expect(lambda: host.runtime.attach_one_off(app.id, one_off), give_up, seconds)
    return Started(dyno, url)


def prepare(host: Host, tx: Tx, user: User, app: App, order: Order) -> tuple[Plan, str]:
    """What the one-off is made of: the current release's slug and config vars. Raises Refusal."""
    now = tables.apps.get(tx, id=app.id)
    release: Release | None = tables.releases.get(tx, id=now.release_id) if now else None
    slug: Slug | None = tables.slugs.get(tx, id=release.slug_id) if release and release.slug_id else None
    if release is None or slug is None or now is None:
        raise conflict("Cannot run one-off dynos: the app has no code yet. git push heroku main")
    if sum(dyno.one_off for dyno in host.runtime.dynos(app.id)) >= MOST_ONE_OFFS:
        raise invalid(f"Cannot run more than {MOST_ONE_OFFS} one-off dynos at a time.")
    size = canonical(order.size or DEFAULT_SIZE)
    if size is None:
        raise invalid(f"Couldn't find that dyno size ({order.size}).")
    features = {feature.name: feature.enabled for feature in tables.features.find(tx, app_id=app.id)}
    directory = host.layout.slug(slug.id)
    plan = make_plan(host.settings, now, release, slug, directory, (), features, now.generation)
    limited = {name: kind._replace(limits=SIZES[size]) for name, kind in plan.types.items()}
    audit.note(host, tx, user, app, "run")
    return plan._replace(types=limited), substitute(order.command, slug.process_types)


def substitute(command: str, process_types: Mapping[str, str]) -> str:
    """A process type as first word means that type's command (Heroku: one-off-dynos)."""
    first, blank, rest = command.partition(" ")
    return f"{process_types[first]}{blank}{rest}" if first in process_types else command


def free_name(host: Host, app: App, process_type: str) -> str:
    """``run.1234``, which no dyno of the app has."""
    taken = {dyno.name for dyno in host.runtime.dynos(app.id)}
    while (name := f"{process_type}.{random.randint(1000, 9999)}") in taken:  # noqa: S311 - a name, not a secret
        pass
    return name


def window_of(order: Order) -> tuple[int, int]:
    """Rows and columns as the client's environment tells them (Heroku client: LINES, COLUMNS)."""
    sizes: Sequence[str] = (str(order.env.get("LINES", "")), str(order.env.get("COLUMNS", "")))
    rows, columns = (int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65_536 else 0 for text in sizes)
    return rows or 24, columns or 80
