"""Releases, and the output of release phases."""

from procman.api import ranges, serialize
from procman.api.call import Answer, Call, Right, Route, Stream
from procman.core.records import Release
from procman.platform import releases
from procman.platform.refusals import missing


async def index(call: Call) -> Answer:
    """``GET /apps/X/releases``, in parts."""
    pairs = await releases.listed(call.host, call.app)
    return ranges.part(
        call,
        pairs,
        {"version": lambda pair: pair[0].version, "id": lambda pair: pair[0].id},
        lambda pair: shown(call, *pair),
    )


async def show(call: Call) -> Answer:
    """``GET /apps/X/releases/N``."""
    return Answer(await described(call, call.params["release"]))


async def create(call: Call) -> Answer:
    """``POST /apps/X/releases``: of a slug, or a rollback to a release."""
    if "slug" in call.body:
        words = call.text("description", required=False)
        made = await releases.release_slug(call.host, call.user, call.app, call.must("slug"), words)
    else:
        made = await releases.roll_back(call.host, call.user, call.app, call.must("release"))
    await call.host.rollouts.started(made)
    return Answer(await described(call, made.id), 201)


async def described(call: Call, word: str) -> serialize.Json:
    """One release as it is now."""
    return shown(call, *await releases.shown(call.host, call.app, word))


def shown(call: Call, release: Release, eligible: bool) -> serialize.Json:
    """As JSON."""
    return serialize.release(call.host, release, call.app, release.id == call.app.release_id, eligible)


async def output(call: Call) -> Stream:
    """``GET /outputs/NAME``: the output of a build or a release phase, as it grows; the name is the secret."""
    outputs = call.host.rollouts.outputs
    if not outputs.exists(call.params["name"]):
        raise missing("output")
    return Stream(outputs.read(call.params["name"]), "text/plain; charset=utf-8")


ROUTES = (
    Route("GET", "/apps/{app}/releases", index, Right.APP),
    Route("GET", "/apps/{app}/releases/{release}", show, Right.APP),
    Route("POST", "/apps/{app}/releases", create, Right.APP),
    Route("GET", "/outputs/{name}", output, Right.ANYBODY),
)
