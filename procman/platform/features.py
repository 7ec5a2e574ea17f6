"""App features: the switches an app has. What there is to switch is known here; the store knows what was switched."""

from typing import NamedTuple

from procman.core.records import App, Feature, User
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.refusals import missing
from procman.store import tables
from procman.store.database import Tx


class Known(NamedTuple):
    """A feature that this server has. ``state``: ``heroku features`` lists ``general`` ones, ``heroku labs`` others."""

    name: str
    display_name: str
    description: str
    state: str
    default: bool = False


KNOWN = (
    Known(
        "preboot", "Preboot", "New dynos come up before the old ones go: no request is lost in a deploy or restart",
        "general", default=True,  # unlike Heroku, where it costs a bigger size
    ),
    Known(
        "http-session-affinity", "Session Affinity", "Requests of one browser go to one web dyno, by a cookie",
        "general",
    ),
    Known(
        "http-end-to-end-continue", "End-to-end Continue", "The dyno, not the router, answers Expect: 100-continue",
        "general",
    ),
    Known(
        "log-runtime-metrics", "Runtime Metrics in Logs", "Load and memory of each dyno in the app's log every 20 s",
        "beta",
    ),
    Known(
        "runtime-dyno-metadata", "Dyno Metadata", "HEROKU_APP_NAME, HEROKU_RELEASE_VERSION and more in the environment",
        "beta",
    ),
)


class Switch(NamedTuple):
    """A feature as it stands for one app. ``row``: if somebody ever set it."""

    known: Known
    row: Feature | None

    @property
    def enabled(self) -> bool:
        """Whether it is on."""
        return self.row.enabled if self.row else self.known.default


async def listed(host: Host, app: App) -> list[Switch]:
    """All that there are."""
    rows = {row.name: row for row in await host.db.run(lambda tx: tables.features.find(tx, app_id=app.id))}
    return [Switch(known, rows.get(known.name)) for known in KNOWN]


async def shown(host: Host, app: App, name: str) -> Switch:
    """One of them, by its name or its row's id. Raises Refusal."""
    for switch in await listed(host, app):
        if name == switch.known.name or (switch.row and name == switch.row.id):
            return switch
    raise missing("app feature", name)


async def switch(host: Host, user: User, app: App, name: str, enabled: bool) -> Switch:
    """Turn it on or off; the dynos follow as far as they can without a restart. Raises Refusal."""
    known = (await shown(host, app, name)).known

    def change(tx: Tx) -> Feature:
        now = host.now()
        row = tables.features.get(tx, app_id=app.id, name=known.name)
        if row is None:
            row = tables.features.insert(tx, Feature(host.new_id(), app.id, known.name, enabled, now, now))
        elif row.enabled != enabled:
            tables.features.update(tx, row.id, enabled=enabled, updated_at=now)
            row = row._replace(enabled=enabled, updated_at=now)
        audit.note(host, tx, user, app, f"{'enable' if enabled else 'disable'} feature", known.name)
        return row

    row = await host.db.run(change)
    await host.traffic.route(app.id)
    host.rollouts.poke(app.id)
    host.tell("api:app", "update", app)
    return Switch(known, row)
