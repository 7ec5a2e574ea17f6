"""Buildpack installations, and the look-up of short names that the client makes at a registry."""

from procman.api.call import Answer, Call, Right, Route
from procman.api.serialize import Json
from procman.core.records import Buildpack
from procman.platform import buildpacks
from procman.platform.refusals import invalid


async def index(call: Call) -> Answer:
    """``GET /apps/X/buildpack-installations``."""
    return Answer([shown(row) for row in await buildpacks.listed(call.host, call.app)])


async def replace(call: Call) -> Answer:
    """``PUT /apps/X/buildpack-installations``: all of them."""
    updates = call.body.get("updates")
    if not isinstance(updates, list):
        raise invalid("updates must be a list of objects.")
    words = [update.get("buildpack") if isinstance(update, dict) else None for update in updates]
    if not all(isinstance(word, str) for word in words):
        raise invalid("Each update must have a buildpack: a URL, or a name that this server knows, as heroku/python.")
    rows = await buildpacks.replace(call.host, call.user, call.app, [str(word) for word in words])
    return Answer([shown(row) for row in rows])


def shown(row: Buildpack) -> Json:
    """As JSON."""
    return {"ordinal": row.ordinal, "buildpack": {"url": row.url, "name": buildpacks.name_of(row.url)}}


async def registered(call: Call) -> Answer:
    """``GET /buildpacks/heroku%2Fpython``: the client stores what it is given as ``blob_url``."""
    name = call.params["name"]
    url = buildpacks.registered(name)
    namespace, _, short = name.partition("/")
    return Answer({"id": url, "name": short, "namespace": namespace, "blob_url": url, "category": "languages"})


ROUTES = (
    Route("GET", "/apps/{app}/buildpack-installations", index, Right.APP),
    Route("PUT", "/apps/{app}/buildpack-installations", replace, Right.APP),
    Route("GET", "/buildpacks/{name}", registered, Right.ANYBODY),
)
