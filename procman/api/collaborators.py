"""Collaborators, and the transfer of apps."""

from procman.api import serialize
from procman.api.call import Answer, Call, Right, Route
from procman.api.serialize import Json
from procman.core.records import App, Collaborator
from procman.platform import collaborators
from procman.platform.plans import stamp
from procman.platform.refusals import invalid
from procman.platform.users import find_app


async def index(call: Call) -> Answer:
    """``GET /apps/X/collaborators``: the owner among them."""
    return Answer([shown(call.app, row) for row in await collaborators.listed(call.host, call.app)])


async def show(call: Call) -> Answer:
    """``GET /apps/X/collaborators/EMAIL``."""
    return Answer(shown(call.app, await collaborators.shown(call.host, call.app, call.params["who"])))


async def create(call: Call) -> Answer:
    """``POST /apps/X/collaborators``: ``user`` is an e-mail or an id."""
    row = await collaborators.add(call.host, call.user, call.app, call.must("user"))
    return Answer(shown(call.app, row), 201)


async def destroy(call: Call) -> Answer:
    """``DELETE /apps/X/collaborators/EMAIL``."""
    row = await collaborators.remove(call.host, call.user, call.app, call.params["who"])
    return Answer(shown(call.app, row))


def shown(app: App, row: Collaborator) -> Json:
    """As JSON."""
    return {
        "id": row.id,
        "app": serialize.reference(app),
        "user": {"id": row.user_id, "email": row.email, "federated": False},
        "role": row.role,
        "permissions": [],
        **serialize.times(row),
    }


async def transfer(call: Call) -> Answer:
    """``POST /account/app-transfers``: done at once, nobody has to accept."""
    name, recipient = call.must("app"), call.body.get("recipient")
    word = recipient.get("email") or recipient.get("id") if isinstance(recipient, dict) else recipient
    if not isinstance(word, str):
        raise invalid("recipient must be an e-mail.")
    app = await call.host.db.run(lambda tx: find_app(tx, call.user, name))
    moved = await collaborators.transfer(call.host, call.user, app, word)
    answer = {
        "id": call.host.new_id(),
        "app": serialize.reference(moved),
        "owner": {"id": app.owner_id, "email": app.owner_email},
        "recipient": {"id": moved.owner_id, "email": moved.owner_email},
        "state": "accepted",
        "created_at": stamp(moved.updated_at),
        "updated_at": stamp(moved.updated_at),
    }
    return Answer(answer, 201)


ROUTES = (
    Route("GET", "/apps/{app}/collaborators", index, Right.APP),
    Route("POST", "/apps/{app}/collaborators", create, Right.OWNER),
    Route("GET", "/apps/{app}/collaborators/{who}", show, Right.APP),
    Route("DELETE", "/apps/{app}/collaborators/{who}", destroy, Right.APP),
    Route("POST", "/account/app-transfers", transfer, Right.USER),
)
