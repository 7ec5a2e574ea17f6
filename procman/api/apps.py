"""Apps."""

from procman.api import serialize
from procman.api.call import Answer, Call, Right, Route
from procman.platform import apps
from procman.platform.refusals import invalid


async def index(call: Call) -> Answer:
    """``GET /apps``: all that the caller may use."""
    found = await apps.listed(call.host, call.user, everyones=True)
    return Answer([serialize.app(call.host, app) for app in found])


async def own(call: Call) -> Answer:
    """``GET /users/~/apps``: those that the caller owns, and those he works on."""
    found = await apps.listed(call.host, call.user, everyones=not call.user.admin)
    return Answer([serialize.app(call.host, app) for app in found])


async def create(call: Call) -> Answer:
    """``POST /apps``."""
    check_stack(call, "stack")
    region = call.body.get("region")
    if region is not None and region != call.host.settings.region:
        raise invalid(f"Couldn't find that region: there is {call.host.settings.region}.")
    app = await apps.create(call.host, call.user, call.text("name", required=False))
    return Answer(serialize.app(call.host, app), 201)


async def show(call: Call) -> Answer:
    """``GET /apps/X``."""
    return Answer(await described(call))


async def described(call: Call) -> serialize.Json:
    """The app with the size of its slug."""
    slug = await apps.slug_of(call.host, call.app)
    return serialize.app(call.host, call.app, slug.size if slug else None)


async def update(call: Call) -> Answer:
    """``PATCH /apps/X``: name, maintenance, build stack."""
    app = call.app
    check_stack(call, "build_stack")
    if "maintenance" in call.body:
        app = await apps.set_maintenance(call.host, call.user, app, call.flag("maintenance"))
    if "name" in call.body:
        app = await apps.rename(call.host, call.user, app, call.must("name"))
    return Answer(serialize.app(call.host, app))


def check_stack(call: Call, key: str) -> None:
    """Raises Refusal: this host has one."""
    stack = call.body.get(key)
    if stack is not None and stack != call.host.settings.stack:
        raise invalid(f"Couldn't find that stack ({str(stack)[:60]}): there is {call.host.settings.stack}.")


async def destroy(call: Call) -> Answer:
    """``DELETE /apps/X``."""
    await apps.destroy(call.host, call.user, call.app)
    return Answer(serialize.app(call.host, call.app))


async def stacks(call: Call) -> Answer:
    """``GET /stacks``: this host."""
    name = call.host.settings.stack
    return Answer([{"id": name, "name": name, "state": "public", "default": True}])


async def regions(call: Call) -> Answer:
    """``GET /regions``: here."""
    name = call.host.settings.region
    provider = {"name": "procman", "region": name}
    region = {"id": name, "name": name, "description": "This host", "country": "", "locale": "", "provider": provider}
    return Answer([{**region, "private_capable": False}])


ROUTES = (
    Route("GET", "/apps", index, Right.USER),
    Route("POST", "/apps", create, Right.USER),
    Route("GET", "/users/~/apps", own, Right.USER),
    Route("GET", "/apps/{app}", show, Right.APP),
    Route("PATCH", "/apps/{app}", update, Right.APP),
    Route("DELETE", "/apps/{app}", destroy, Right.OWNER),
    Route("GET", "/stacks", stacks, Right.USER),
    Route("GET", "/regions", regions, Right.USER),
)
