"""Log drains."""

from procman.api import serialize
from procman.api.call import Answer, Call, Right, Route
from procman.api.serialize import Json
from procman.core.records import App, Drain
from procman.platform import drains


async def index(call: Call) -> Answer:
    """``GET /apps/X/log-drains``."""
    return Answer([shown(call.app, drain) for drain in await drains.listed(call.host, call.app)])


async def create(call: Call) -> Answer:
    """``POST /apps/X/log-drains``."""
    return Answer(shown(call.app, await drains.add(call.host, call.user, call.app, call.must("url"))), 201)


async def show(call: Call) -> Answer:
    """``GET /apps/X/log-drains/URL``: the URL encoded as one segment, or id, or token."""
    return Answer(shown(call.app, await drains.shown(call.host, call.app, call.params["drain"])))


async def destroy(call: Call) -> Answer:
    """``DELETE /apps/X/log-drains/URL``."""
    return Answer(shown(call.app, await drains.remove(call.host, call.user, call.app, call.params["drain"])))


def shown(app: App, row: Drain) -> Json:
    """As JSON."""
    return {
        "id": row.id,
        "app": serialize.reference(app),
        "url": row.url,
        "token": row.token,
        "addon": None,
        **serialize.times(row),
    }


ROUTES = (
    Route("GET", "/apps/{app}/log-drains", index, Right.APP),
    Route("POST", "/apps/{app}/log-drains", create, Right.APP),
    Route("GET", "/apps/{app}/log-drains/{drain}", show, Right.APP),
    Route("DELETE", "/apps/{app}/log-drains/{drain}", destroy, Right.APP),
)
