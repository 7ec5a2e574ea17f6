"""The audit: who did what, and when."""

from procman.api.call import Answer, Call, Right, Route
from procman.api.serialize import Json
from procman.core.records import Change
from procman.platform import audit
from procman.platform.plans import stamp
from procman.platform.refusals import invalid

MOST = 10_000


async def of_app(call: Call) -> Answer:
    """``GET /apps/X/changes?max=N``: the latest, oldest first."""
    return Answer([shown(change) for change in await audit.changes(call.host, call.app, most(call))])


async def of_server(call: Call) -> Answer:
    """``GET /changes?max=N``."""
    return Answer([shown(change) for change in await audit.changes(call.host, None, most(call))])


def most(call: Call) -> int:
    """How many are asked for. Raises Refusal."""
    text = call.request.query_params.get("max", "200")
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 0 < int(text) <= MOST):
        raise invalid(f"max must be a number from 1 to {MOST}.")
    return int(text)


def shown(change: Change) -> Json:
    """As JSON."""
    app = {"id": change.app_id, "name": change.app_name} if change.app_id else None
    return {
        "id": change.id,
        "created_at": stamp(change.at),
        "user": {"email": change.email},
        "app": app,
        "action": change.action,
        "detail": change.detail,
    }


ROUTES = (
    Route("GET", "/apps/{app}/changes", of_app, Right.APP),
    Route("GET", "/changes", of_server, Right.ADMIN),
)
