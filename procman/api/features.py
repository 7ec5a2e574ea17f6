"""App features."""

import uuid

from procman.api.call import Answer, Call, Right, Route
from procman.api.serialize import Json
from procman.core.records import App
from procman.platform import features
from procman.platform.features import Switch
from procman.platform.plans import stamp


async def index(call: Call) -> Answer:
    """``GET /apps/X/features``: ``heroku features`` shows the general ones, ``heroku labs`` the others."""
    return Answer([shown(call.app, switch) for switch in await features.listed(call.host, call.app)])


async def show(call: Call) -> Answer:
    """``GET /apps/X/features/NAME``."""
    return Answer(shown(call.app, await features.shown(call.host, call.app, call.params["feature"])))


async def update(call: Call) -> Answer:
    """``PATCH /apps/X/features/NAME``."""
    call.must_have("enabled")
    name, enabled = call.params["feature"], call.flag("enabled")
    return Answer(shown(call.app, await features.switch(call.host, call.user, call.app, name, enabled)))


def shown(app: App, switch: Switch) -> Json:
    """As JSON."""
    known, row = switch
    return {
        "id": row.id if row else str(uuid.uuid5(uuid.UUID(app.id), known.name)),
        "name": known.name,
        "display_name": known.display_name,
        "description": known.description,
        "doc_url": f"https://devcenter.heroku.com/articles/{known.name}",
        "feedback_email": None,
        "enabled": switch.enabled,
        "state": known.state,
        "created_at": stamp(row.created_at if row else app.created_at),
        "updated_at": stamp(row.updated_at if row else app.created_at),
    }


ROUTES = (
    Route("GET", "/apps/{app}/features", index, Right.APP),
    Route("GET", "/apps/{app}/features/{feature}", show, Right.APP),
    Route("PATCH", "/apps/{app}/features/{feature}", update, Right.APP),
)
