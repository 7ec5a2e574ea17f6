"""Keys: authorizations, logins by password, sessions."""

from procman.api import serialize
from procman.api.call import Answer, Call, Right, Route
from procman.api.credentials import basic, key_of
from procman.core.records import Authorization, User
from procman.platform import authorizations, users

LONGEST_EMAIL = 320  # letters (RFC 3696); what was meant is remembered, and any guesser chooses it


async def index(call: Call) -> Answer:
    """``GET /oauth/authorizations``: only the text of the key that asks is told; no other is known."""
    return Answer([shown(call, row) for row in await authorizations.listed(call.host, call.user)])


async def show(call: Call) -> Answer:
    """``GET /oauth/authorizations/ID``."""
    return Answer(shown(call, await authorizations.shown(call.host, call.logged_in, call.params["id"])))


async def create(call: Call) -> Answer:
    """``POST /oauth/authorizations``: by a key, or by e-mail and password (Heroku client: login -i)."""
    header = call.request.headers.get("authorization", "")
    login = await users.log_in(call.host, key_of(header))
    if login is None:
        user = await by_password(call, *basic(header))
    else:
        user = login.user
    body = call.body
    words = call.text("description", required=False)
    row, key = await authorizations.create(call.host, user, words, body.get("expires_in"), body.get("scope"))
    return Answer(serialize.authorization(row, user, call.host.now(), key), 201)


async def by_password(call: Call, email: str, password: str) -> User:
    """Raises Refusal; TryLater after several wrong ones, without even looking."""
    if not email or len(email) > LONGEST_EMAIL:
        raise users.unauthorized()
    caller = call.caller
    call.host.attempts.begin(caller, email.lower())
    user = await users.log_in_by_password(call.host, email, password)
    if user is None:
        raise users.unauthorized()
    call.host.attempts.right(caller, email.lower())
    return user


async def update(call: Call) -> Answer:
    """``PATCH /oauth/authorizations/ID``: its description."""
    words = call.must("description")
    return Answer(shown(call, await authorizations.describe(call.host, call.user, call.params["id"], words)))


async def rotate(call: Call) -> Answer:
    """``POST /oauth/authorizations/ID/actions/regenerate-tokens``."""
    row, key = await authorizations.rotate(call.host, call.user, call.params["id"])
    return Answer(serialize.authorization(row, call.user, call.host.now(), key))


async def revoke(call: Call) -> Answer:
    """``DELETE /oauth/authorizations/ID``."""
    return Answer(shown(call, await authorizations.revoke(call.host, call.logged_in, call.params["id"])))


def shown(call: Call, row: Authorization) -> serialize.Json:
    """As JSON."""
    own = row.id == call.logged_in.authorization.id
    token = key_of(call.request.headers.get("authorization", "")) if own else None
    return serialize.authorization(row, call.user, call.host.now(), token)


async def sessions(call: Call) -> Answer:
    """``GET /oauth/sessions``: logins by browser."""
    rows = await authorizations.listed(call.host, call.user, sessions=True)
    return Answer([session(call, row) for row in rows])


async def end_session(call: Call) -> Answer:
    """``DELETE /oauth/sessions/~``: log out."""
    return Answer(session(call, await authorizations.end_session(call.host, call.logged_in, call.params["id"])))


def session(call: Call, row: Authorization) -> serialize.Json:
    """As JSON."""
    expires = round(row.expires_at - call.host.now()) if row.expires_at is not None else None
    return {"id": row.id, "description": row.description, "expires_in": expires, **serialize.times(row)}


async def list_users(call: Call) -> Answer:
    """``GET /users``."""
    return Answer([{**serialize.account(user), "admin": user.admin} for user in await authorizations.users(call.host)])


async def add_user(call: Call) -> Answer:
    """``POST /users``: an account; its first key is told, this once."""
    password = call.text("password", required=False)
    if password is not None:
        users.check_new_password(password)
    user, key = await authorizations.add_user(call.host, call.user, call.must("email"), password, call.flag("admin"))
    return Answer({**serialize.account(user), "admin": user.admin, "api_key": key}, 201)


async def remove_user(call: Call) -> Answer:
    """``DELETE /users/EMAIL``."""
    return Answer(serialize.account(await authorizations.remove_user(call.host, call.user, call.params["who"])))


ROUTES = (
    Route("GET", "/oauth/authorizations", index, Right.USER),
    Route("POST", "/oauth/authorizations", create, Right.ANYBODY),
    Route("GET", "/oauth/authorizations/{id}", show, Right.USER),
    Route("PATCH", "/oauth/authorizations/{id}", update, Right.USER),
    Route("DELETE", "/oauth/authorizations/{id}", revoke, Right.USER),
    Route("POST", "/oauth/authorizations/{id}/actions/regenerate-tokens", rotate, Right.USER),
    Route("GET", "/oauth/sessions", sessions, Right.USER),
    Route("DELETE", "/oauth/sessions/{id}", end_session, Right.USER),
    Route("GET", "/users", list_users, Right.ADMIN),
    Route("POST", "/users", add_user, Right.ADMIN),
    Route("DELETE", "/users/{who}", remove_user, Right.ADMIN),
)
