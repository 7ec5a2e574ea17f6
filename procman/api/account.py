"""The caller's account, and what every client asks on the way."""

from procman.api import serialize
from procman.api.call import Answer, Call, Right, Route
from procman.platform import users
from procman.platform.refusals import missing


async def show(call: Call) -> Answer:
    """``GET /account``."""
    return Answer(serialize.account(call.user))


async def update(call: Call) -> Answer:
    """``PATCH /account``: ``name``; ``new_password`` with the old ``password``, if there is one."""
    name, password, new = (call.text(key, required=False) for key in ("name", "password", "new_password"))
    if new is not None:
        users.check_new_password(new)  # before the old one is looked at: this is no guess of it
        await prove_password(call, password or "")
    return Answer(serialize.account(await users.change_account(call.host, call.user, name, new)))


async def prove_password(call: Call, password: str) -> None:
    """Raises Refusal for a wrong one; TryLater after several of them, without even looking."""
    who = call.caller, call.user.email.lower()
    call.host.attempts.begin(*who)
    await users.prove_password(call.host, call.user, password)
    call.host.attempts.right(*who)


async def features(call: Call) -> Answer:
    """``GET /account/features``: there are none of the account's own."""
    return Answer([])


async def feature(call: Call) -> Answer:
    """``GET /account/features/F``: so that the client looks among the app's (Heroku client: labs:enable)."""
    raise missing("account feature")


async def rate_limits(call: Call) -> Answer:
    """``GET /account/rate-limits``: calls are not counted here."""
    return Answer({"remaining": 4500})


async def quota(call: Call) -> Answer:
    """``GET /accounts/ID/actions/get-quota``: no hours are counted here (Heroku client: ps of Eco dynos)."""
    raise missing("quota")


ROUTES = (
    Route("GET", "/account", show, Right.USER),
    Route("PATCH", "/account", update, Right.USER),
    Route("GET", "/users/~", show, Right.USER),
    Route("GET", "/account/features", features, Right.USER),
    Route("GET", "/account/features/{feature}", feature, Right.USER),
    Route("GET", "/account/rate-limits", rate_limits, Right.USER),
    Route("GET", "/accounts/{account}/actions/get-quota", quota, Right.USER),
)
