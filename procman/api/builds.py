"""Builds."""

from typing import Any

from procman.api import ranges, serialize
from procman.api.call import Answer, Call, Right, Route
from procman.platform import build_sources, buildpacks
from procman.platform.builds import Order
from procman.platform.refusals import invalid


async def index(call: Call) -> Answer:
    """``GET /apps/X/builds``, in parts."""
    found = await call.host.builds.listed(call.app)
    keys: dict[str, Any] = {"started_at": lambda build: int(build.created_at * 1000), "id": lambda build: build.id}
    return ranges.part(call, found, keys, lambda build: serialize.build(call.host, build, call.app))


async def create(call: Call) -> Answer:
    """``POST /apps/X/builds``: of a tarball at some address; goes on while the answer is read."""
    blob = call.body.get("source_blob")
    if not isinstance(blob, dict) or not all(isinstance(value, str | None) for value in blob.values()):
        raise invalid("source_blob must be an object of strings.")
    if not blob.get("url"):
        raise invalid("source_blob.url is missing.")
    bring = await build_sources.from_url(call.host, blob["url"], blob.get("checksum"))
    source = {key: blob[key] for key in ("url", "checksum", "version") if blob.get(key)}
    order = Order(bring, blob.get("version"), blob.get("version_description"), chosen(call), source)
    build, _ = await call.host.builds.start(call.user, call.app, order)
    return Answer(serialize.build(call.host, build, call.app), 201)


def chosen(call: Call) -> list[str] | None:
    """The buildpacks of this build alone; None: the app's. Raises Refusal."""
    wished = call.body.get("buildpacks")
    if wished is None:
        return None
    if not isinstance(wished, list) or not all(isinstance(each, dict) for each in wished):
        raise invalid("buildpacks must be a list of objects.")
    return [buildpacks.canonical(str(each.get("url") or each.get("name") or "")) for each in wished]


async def show(call: Call) -> Answer:
    """``GET /apps/X/builds/ID``."""
    return Answer(serialize.build(call.host, await call.host.builds.found(call.app, call.params["build"]), call.app))


async def cancel(call: Call) -> Answer:
    """``DELETE /apps/X/builds/ID``."""
    build = await call.host.builds.cancel(call.user, call.app, call.params["build"])
    return Answer(serialize.build(call.host, build, call.app))


async def purge_cache(call: Call) -> Answer:
    """``DELETE /apps/X/build-cache``."""
    await call.host.builds.purge_cache(call.user, call.app)
    return Answer({})


ROUTES = (
    Route("GET", "/apps/{app}/builds", index, Right.APP),
    Route("POST", "/apps/{app}/builds", create, Right.APP),
    Route("GET", "/apps/{app}/builds/{build}", show, Right.APP),
    Route("DELETE", "/apps/{app}/builds/{build}", cancel, Right.APP),
    Route("DELETE", "/apps/{app}/build-cache", purge_cache, Right.APP),
)
