"""Webhooks, and what became of their deliveries."""

from typing import Any

from procman.api import serialize
from procman.api.call import Answer, Call, Right, Route
from procman.api.serialize import Json
from procman.core.records import App, Build, Delivery, Release, Webhook
from procman.platform import webhooks
from procman.platform.deliveries import Changed
from procman.platform.dynos import DynoState
from procman.platform.host import Host
from procman.platform.plans import stamp


async def index(call: Call) -> Answer:
    """``GET /apps/X/webhooks``."""
    return Answer([shown(call.app, row) for row in await webhooks.listed(call.host, call.app)])


async def show(call: Call) -> Answer:
    """``GET /apps/X/webhooks/ID``."""
    return Answer(shown(call.app, await webhooks.shown(call.host, call.app, call.params["webhook"])))


async def create(call: Call) -> Answer:
    """``POST /apps/X/webhooks``: the secret is told in a header, this once."""
    row = await webhooks.add(call.host, call.user, call.app, call.body)
    return Answer(shown(call.app, row), 201, {"Heroku-Webhook-Secret": row.secret})


async def update(call: Call) -> Answer:
    """``PATCH /apps/X/webhooks/ID``."""
    row = await webhooks.update(call.host, call.user, call.app, call.params["webhook"], call.body)
    return Answer(shown(call.app, row))


async def destroy(call: Call) -> Answer:
    """``DELETE /apps/X/webhooks/ID``."""
    return Answer(shown(call.app, await webhooks.remove(call.host, call.user, call.app, call.params["webhook"])))


def shown(app: App, row: Webhook) -> Json:
    """As JSON, without its secrets."""
    return {
        "id": row.id,
        "app": serialize.reference(app),
        "url": row.url,
        "include": row.include,
        "level": row.level,
        **serialize.times(row),
    }


async def deliveries(call: Call) -> Answer:
    """``GET /apps/X/webhook-deliveries``, newest first; ``eq[status]`` picks."""
    status = call.request.query_params.get("eq[status]")
    pairs = await webhooks.deliveries(call.host, call.app)
    return Answer([delivery(*pair) for pair in pairs if status in (None, pair[0].status)])


async def show_delivery(call: Call) -> Answer:
    """``GET /apps/X/webhook-deliveries/ID``."""
    return Answer(delivery(*await webhooks.delivery(call.host, call.app, call.params["delivery"])))


async def events(call: Call) -> Answer:
    """``GET /apps/X/webhook-events``: each once, however many were told."""
    found = {row.payload["id"]: event(row) for row, _ in await webhooks.deliveries(call.host, call.app)}
    return Answer(list(found.values()))


async def show_event(call: Call) -> Answer:
    """``GET /apps/X/webhook-events/ID``."""
    row, _ = await webhooks.delivery(call.host, call.app, call.params["event"])
    return Answer(event(row))


def delivery(row: Delivery, hook: Webhook) -> Json:
    """As JSON."""
    tried = {"id": row.id, "code": row.code, "error_class": row.error, "status": row.status, **serialize.times(row)}
    return {
        "id": row.id,
        "event": {"id": row.payload["id"], "include": row.event},
        "webhook": {"id": hook.id, "level": hook.level},
        "status": row.status,
        "num_attempts": row.attempts,
        "last_attempt": tried if row.attempts else None,
        "next_attempt_at": stamp(row.due_at) if row.due_at is not None else None,
        **serialize.times(row),
    }


def event(row: Delivery) -> Json:
    """As JSON."""
    return {"id": row.payload["id"], "include": row.event, "payload": row.payload, **serialize.times(row)}


def describe(host: Host, app: App, changed: Changed) -> Any:
    """What has changed, as a delivery tells it."""
    if isinstance(changed, Release):
        return serialize.release(host, changed, app, changed.id == app.release_id, changed.status != "failed")
    if isinstance(changed, Build):
        return serialize.build(host, changed, app)
    if isinstance(changed, DynoState):
        return serialize.dyno(changed, app, None)
    if isinstance(changed, App):
        return serialize.app(host, changed)
    return [serialize.formation(*pair, app) for pair in changed]


ROUTES = (
    Route("GET", "/apps/{app}/webhooks", index, Right.APP),
    Route("POST", "/apps/{app}/webhooks", create, Right.APP),
    Route("GET", "/apps/{app}/webhooks/{webhook}", show, Right.APP),
    Route("PATCH", "/apps/{app}/webhooks/{webhook}", update, Right.APP),
    Route("DELETE", "/apps/{app}/webhooks/{webhook}", destroy, Right.APP),
    Route("GET", "/apps/{app}/webhook-deliveries", deliveries, Right.APP),
    Route("GET", "/apps/{app}/webhook-deliveries/{delivery}", show_delivery, Right.APP),
    Route("GET", "/apps/{app}/webhook-events", events, Right.APP),
    Route("GET", "/apps/{app}/webhook-events/{event}", show_event, Right.APP),
)
