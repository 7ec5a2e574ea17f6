"""Login in a browser: the client asks for two addresses, opens one, and waits at the other (Heroku client: login)."""

import hmac
import html
import math
from urllib.parse import parse_qs

from procman.api.authorizations import by_password
from procman.api.call import Answer, Call, Page, Right, Route
from procman.errors import TryLater
from procman.platform import authorizations, users
from procman.platform.logins import Pending
from procman.platform.refusals import Refusal
from procman.platform.users import SESSION_S

COOKIE = "procman_login"
MOST_BYTES = 8192
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:12vh auto;padding:0 1rem;color:#222}"
    "input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.25rem 0 1rem}"
    ".wrong{color:#b00020}"
)


async def begin(call: Call) -> Answer:
    """``POST /auth``."""
    pending = call.host.logins.begin((call.text("description", required=False) or "A login")[:200])
    answer = {
        "browser_url": f"/auth/browser/{pending.id}",
        "cli_url": f"/auth/cli/{pending.id}",
        "token": pending.token,
    }
    return Answer(answer, 201)


async def wait(call: Call) -> Answer:
    """``GET /auth/cli/ID``: held until somebody has logged in in the browser."""
    token = call.request.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        key = await call.host.logins.wait(call.params["id"], token)
    except KeyError:
        raise users.unauthorized() from None
    return Answer({"access_token": key} if key else {"error": "Nobody has logged in."})


async def show(call: Call) -> Page:
    """``GET /auth/browser/ID``."""
    return form(waiting(call))


async def finish(call: Call) -> Page:
    """``POST /auth/browser/ID``: the form, sent by the page that we made and no other."""
    pending = waiting(call)
    fields = {key: values[0] for key, values in parse_qs((await read(call)).decode("utf-8", "replace")).items()}
    cookie = call.request.cookies.get(COOKIE, "")
    ours = [hmac.compare_digest(text.encode(), pending.form.encode()) for text in (fields.get("form", ""), cookie)]
    if not all(ours) or call.request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refusal("forbidden", "This form was not sent from the login page.")
    email, password = fields.get("email", "").strip(), fields.get("password", "")
    try:
        login = await users.log_in(call.host, password)
        if login is None or login.user.email.lower() != email.lower():
            user = await by_password(call, email, password)
        else:
            user = login.user
    except Refusal as refusal:
        return form(pending, refusal.message, email, refusal.status)
    except TryLater as error:
        seconds = math.ceil(error.seconds)
        shown = form(pending, f"{error.what.capitalize()}. Try again in {seconds} seconds.", email, 429)
        return shown._replace(headers={**shown.headers, "Retry-After": str(seconds)})
    _, key = await authorizations.create(call.host, user, pending.description, str(int(SESSION_S)), session=True)
    call.host.logins.finish(pending, key)
    return page("<h1>Logged in</h1><p>You can close this page and return to the terminal.</p>")


def waiting(call: Call) -> Pending:
    """Raises Refusal."""
    pending = call.host.logins.find(call.params["id"])
    if pending is None:
        raise Refusal("not_found", "This login is over. Start another with heroku login.")
    return pending


async def read(call: Call) -> bytes:
    """The form's body. Raises Refusal."""
    data = b""
    async for chunk in call.chunks():
        data += chunk
        if len(data) > MOST_BYTES:
            raise Refusal("payload_too_large", "The form is too long.")
    return data


def form(pending: Pending, wrong: str = "", email: str = "", status: int = 200) -> Page:
    """The login page. It says who asks, so that nobody logs in for a stranger's terminal."""
    said = f'<p class="wrong">{html.escape(wrong)}</p>' if wrong else ""
    body = (
        f"<h1>Log in</h1><p>For <b>{html.escape(pending.description)}</b>. Go on only if you have just started this "
        f'login yourself.</p>{said}<form method="post"><input type="hidden" name="form" value="{pending.form}">'
        f'<label>E-mail<input name="email" type="email" autocomplete="username" required value="{html.escape(email)}">'
        '</label><label>Password or API key<input name="password" type="password" autocomplete="current-password" '
        "required></label><button>Log in</button></form>"
    )
    cookie = f"{COOKIE}={pending.form}; Path=/auth/browser; HttpOnly; SameSite=Strict; Max-Age=600"
    return page(body, status)._replace(headers={"Set-Cookie": cookie})


def page(body: str, status: int = 200) -> Page:
    """A page of ours."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>procman</title>'
        f"<style>{STYLE}</style>"
    )
    return Page(f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>', status)


ROUTES = (
    Route("POST", "/auth", begin, Right.ANYBODY),
    Route("GET", "/auth/cli/{id}", wait, Right.ANYBODY),
    Route("GET", "/auth/browser/{id}", show, Right.ANYBODY),
    Route("POST", "/auth/browser/{id}", finish, Right.ANYBODY, raw=True),
)
