"""The formation, and the sizes of dynos."""

from procman.api import serialize
from procman.api.call import Answer, Call, Right, Route
from procman.core.sizes import SIZES
from procman.platform import formation
from procman.platform.formation import Update
from procman.platform.refusals import invalid, missing


async def index(call: Call) -> Answer:
    """``GET /apps/X/formation``."""
    return Answer([serialize.formation(*pair, call.app) for pair in await formation.shown(call.host, call.app)])


async def show(call: Call) -> Answer:
    """``GET /apps/X/formation/TYPE``."""
    word = call.params["type"]
    for row, command in await formation.shown(call.host, call.app):
        if word in (row.type, row.id):
            return Answer(serialize.formation(row, command, call.app))
    raise missing("process type", word)


async def update_all(call: Call) -> Answer:
    """``PATCH /apps/X/formation``: quantities come as text, with signs."""
    updates = call.body.get("updates")
    if not isinstance(updates, list) or not all(isinstance(wish, dict) for wish in updates):
        raise invalid("updates must be a list of objects.")
    wishes = [wish_of(str(wish.get("type") or wish.get("process") or wish.get("id") or ""), wish) for wish in updates]
    found = await formation.update(call.host, call.user, call.app, wishes)
    return Answer([serialize.formation(*pair, call.app) for pair in found])


async def update_one(call: Call) -> Answer:
    """``PATCH /apps/X/formation/TYPE``."""
    wish = wish_of(call.params["type"], call.body)
    found = await formation.update(call.host, call.user, call.app, [wish])
    return Answer(serialize.formation(*found[0], call.app))


def wish_of(process_type: str, wish: serialize.Json) -> Update:
    """One update as it was sent."""
    return Update(process_type, wish.get("quantity"), wish.get("size", wish.get("dyno_size")))


async def sizes(call: Call) -> Answer:
    """``GET /dyno-sizes``."""
    return Answer(
        [
            {"id": name, "name": name, "memory": limits.memory / (1 << 30), "cost": None, "compute": 1}
            for name, limits in SIZES.items()
        ]
    )


ROUTES = (
    Route("GET", "/apps/{app}/formation", index, Right.APP),
    Route("PATCH", "/apps/{app}/formation", update_all, Right.APP),
    Route("GET", "/apps/{app}/formation/{type}", show, Right.APP),
    Route("PATCH", "/apps/{app}/formation/{type}", update_one, Right.APP),
    Route("GET", "/dyno-sizes", sizes, Right.ANYBODY),
)
