"""Dynos."""

from collections.abc import Sequence

from procman.api import serialize
from procman.api.call import Answer, Call, Right, Route
from procman.platform import dynos, releases
from procman.platform.dynos import DynoState, Order
from procman.platform.refusals import invalid


async def index(call: Call) -> Answer:
    """``GET /apps/X/dynos``."""
    return Answer(await rendered(call, dynos.shown(call.host, call.app)))


async def show(call: Call) -> Answer:
    """``GET /apps/X/dynos/web.1``."""
    found = dynos.find(call.host, call.app, call.params["dyno"])
    return Answer((await rendered(call, [found]))[0])


async def rendered(call: Call, found: Sequence[DynoState], attach_url: str | None = None) -> list[serialize.Json]:
    """As JSON, each with its release."""
    ids = {release.version: release.id for release, _ in await releases.listed(call.host, call.app)}
    return [serialize.dyno(dyno, call.app, ids.get(dyno.version), attach_url) for dyno in found]


async def create(call: Call) -> Answer:
    """``POST /apps/X/dynos``: a one-off dyno."""
    ttl = call.body.get("time_to_live")
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int) or ttl < 1):
        raise invalid("time_to_live must be a number of seconds.")
    command = call.must("command")
    if "\0" in command:
        raise invalid("command must not contain a NUL.")
    order = Order(
        command,
        call.flag("attach"),
        environment(call),
        call.text("size", required=False),
        call.text("type", required=False),
        not call.flag("force_no_tty"),
        ttl,
    )
    started = await dynos.start(call.host, call.user, call.app, order)
    return Answer((await rendered(call, [started.dyno], started.attach_url))[0], 201)


def environment(call: Call) -> dict[str, str]:
    """What the client adds: numbers are fine too (it sends COLUMNS so). Raises Refusal."""
    env = call.body.get("env") or {}
    if not isinstance(env, dict) or not all(isinstance(value, str | int) for value in env.values()):
        raise invalid("env must be an object of strings.")
    if any(not key or "=" in key or "\0" in f"{key}{value}" for key, value in env.items()):
        raise invalid("env must have names without =, and no NUL.")
    return {str(key): str(value) for key, value in env.items()}


async def restart_all(call: Call) -> Answer:
    """``DELETE /apps/X/dynos``."""
    await dynos.restart(call.host, call.user, call.app)
    return Answer({}, 202)


async def restart_one(call: Call) -> Answer:
    """``DELETE /apps/X/dynos/web.1``, ``DELETE /apps/X/formations/web``."""
    await dynos.restart(call.host, call.user, call.app, call.params["word"])
    return Answer({}, 202)


async def stop(call: Call) -> Answer:
    """``POST /apps/X/dynos/web.1/actions/stop``, ``POST /apps/X/formations/web/actions/stop``."""
    await dynos.stop(call.host, call.user, call.app, call.params["word"])
    return Answer({}, 202)


ROUTES = (
    Route("GET", "/apps/{app}/dynos", index, Right.APP),
    Route("POST", "/apps/{app}/dynos", create, Right.APP),
    Route("DELETE", "/apps/{app}/dynos", restart_all, Right.APP),
    Route("GET", "/apps/{app}/dynos/{dyno}", show, Right.APP),
    Route("DELETE", "/apps/{app}/dynos/{word}", restart_one, Right.APP),
    Route("DELETE", "/apps/{app}/formations/{word}", restart_one, Right.APP),
    Route("POST", "/apps/{app}/dynos/{word}/actions/stop", stop, Right.APP),
    Route("POST", "/apps/{app}/formations/{word}/actions/stop", stop, Right.APP),
)
