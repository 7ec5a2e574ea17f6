"""What the database says of an app: what is to run, what is to be released, and the plan that comes of it."""

from typing import NamedTuple

from procman.core.plan import Plan
from procman.core.records import App, Release, Slug
from procman.platform.host import Host
from procman.platform.plans import make_plan
from procman.store import tables
from procman.store.database import Tx

PROVEN_STEADY_S = 1.0  # for which a worker has to stay up that has done so before


class Situation(NamedTuple):
    """``slug``: of the current release."""

    app: App
    pending: list[Release]
    current: Release | None
    slug: Slug | None


def look(tx: Tx, app_id: str) -> Situation | None:
    """What the database says of an app; None when it is gone."""
    app = tables.apps.get(tx, id=app_id)
    if app is None:
        return None
    current = tables.releases.get(tx, id=app.release_id)
    slug = tables.slugs.get(tx, id=current.slug_id) if current and current.slug_id else None
    return Situation(app, tables.releases.find(tx, app_id=app_id, status="pending"), current, slug)


def next_generation(tx: Tx, app_id: str) -> int:
    """One that the app never had."""
    app = tables.apps.get(tx, id=app_id)
    assert app is not None
    tables.apps.update(tx, app_id, last_generation=app.last_generation + 1)
    return app.last_generation + 1


def plan_of(host: Host, tx: Tx, app: App, release: Release, slug: Slug, generation: int) -> Plan:
    """What the runtime is to make true."""
    formation = tables.formation.find(tx, app_id=app.id)
    features = {feature.name: feature.enabled for feature in tables.features.find(tx, app_id=app.id)}
    plan = make_plan(host.settings, app, release, slug, host.layout.slug(slug.id), formation, features, generation)
    return plan._replace(steady_s=PROVEN_STEADY_S) if is_proven(tx, release) else plan


def is_proven(tx: Tx, release: Release) -> bool:
    """Whether these very dynos have come up before: a rollback, or a restart of what runs."""
    found = tables.releases.find(tx, app_id=release.app_id, slug_id=release.slug_id, status="succeeded")
    return any(earlier.config == release.config for earlier in found)


def standing(plan: Plan) -> Plan:
    """The plan once it is in force: whatever does not come up from now on is tried again by the dyno rules."""
    return plan._replace(rollout="restart", steady_s=PROVEN_STEADY_S)
