"""From a release and a formation to the plan that a supervisor runs. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from procman.core.health import Checks, from_plain
from procman.core.model import WEB
from procman.core.order import cycle_in
from procman.core.plan import Health, Plan, TypePlan
from procman.core.records import App, FormationType, Release, Slug
from procman.core.sizes import DEFAULT_SIZE, SIZES
from procman.platform.host import Settings

FIRST_BYTE_S = 30.0  # what the router waits for (Heroku: http-routing, H12)
ANSWERS = Health("/", FIRST_BYTE_S, 60.0, any_answer=True)


def make_plan(
    settings: Settings,
    app: App,
    release: Release,
    slug: Slug,
    directory: str,
    formation: Sequence[FormationType],
    features: Mapping[str, bool],
    generation: int,
) -> Plan:
    """What a generation of the app shall be. ``directory``: the unpacked slug."""
    wished = {row.type: row for row in formation}
    types = {name: type_plan(slug, name, wished.get(name)) for name in slug.process_types}
    return Plan(
        app_id=app.id,
        app_name=app.name,
        generation=generation,
        release_id=release.id,
        version=release.version,
        directory=directory,
        types=types,
        env=environment(settings, app, release, slug, features),
        ports=(app.first_port, settings.ports_per_app),
        mount=settings.mount,
        rollout="preboot" if features.get("preboot", True) else "restart",
        runtime_metrics=features.get("log-runtime-metrics", False),
    )


def type_plan(slug: Slug, name: str, wished: FormationType | None) -> TypePlan:
    """What dynos of one type are, and how many are ``wished``."""
    return TypePlan(
        slug.process_types[name],
        wished.quantity if wished else 0,
        SIZES[wished.size if wished else DEFAULT_SIZE],
        overlaps(slug.facts, name),
        health(slug.facts, name),
        checks(slug.facts, name),
        needs(slug.facts, name, slug.process_types),
    )


def environment(
    settings: Settings, app: App, release: Release, slug: Slug, features: Mapping[str, bool]
) -> dict[str, str]:
    """Config vars, and the dyno metadata if that feature is on (Heroku: dyno-metadata)."""
    env = {"LANG": "C.UTF-8", **release.config}
    if features.get("runtime-dyno-metadata"):
        commit = slug.commit_hash or ""
        env |= {
            "HEROKU_APP_ID": app.id,
            "HEROKU_APP_NAME": app.name,
            "HEROKU_APP_DEFAULT_DOMAIN_NAME": f"{app.name}.{settings.domain}",
            "HEROKU_RELEASE_CREATED_AT": stamp(release.created_at),
            "HEROKU_RELEASE_VERSION": f"v{release.version}",
            "HEROKU_SLUG_COMMIT": commit,
            "HEROKU_SLUG_DESCRIPTION": release.description,
            "HEROKU_BUILD_COMMIT": commit,
            "HEROKU_BUILD_DESCRIPTION": release.description,
        }
    return env


def overlaps(facts: Mapping[str, Any], process_type: str) -> bool:
    """Whether old and new dynos of the type may run side by side: unless the app says ``overlap: false``."""
    said = facts.get("overlap", {})
    return bool(said.get(process_type, True)) if isinstance(said, Mapping) else True


def health(facts: Mapping[str, Any], process_type: str) -> Health | None:
    """The HTTP check that app.json asks for; without one, a web dyno has to answer something before it gets requests.

    Many a server binds its port before it has loaded the app, and ends when it cannot.
    """
    said = facts.get("health", {})
    check = said.get(process_type) if isinstance(said, Mapping) else None
    if not isinstance(check, Mapping) or "path" not in check:
        found = checks(facts, process_type)
        if found and found.ready:
            return None  # it is not up before it has shown more
        return ANSWERS if process_type == WEB else None
    return Health(str(check["path"]), float(check.get("timeout", 5.0)), float(check.get("within", 60.0)))


def checks(facts: Mapping[str, Any], process_type: str) -> Checks | None:
    """What app.json wants to be asked of every dyno."""
    row = facts.get("probes", {}).get(process_type)
    return from_plain(row) if row else None


def needs(facts: Mapping[str, Any], process_type: str, known: Collection[str]) -> tuple[str, ...]:
    """The types that are to be up before it starts; none where they need each other, as none could start."""
    said = facts.get("needs", {})
    if cycle_in(said):
        return ()
    return tuple(kind for kind in said.get(process_type, ()) if kind in known)


def stamp(seconds: float) -> str:
    """``2015-04-02T18:00:42Z``: the API's and the metadata's form of a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
