"""Log sessions: asked for with a key, then read without one, at an address that carries its own proof."""

from procman.api.call import Answer, Call, Right, Route, Stream
from procman.logs import stream
from procman.platform import log_sessions
from procman.platform.log_sessions import LINES, Wish
from procman.platform.plans import stamp
from procman.platform.refusals import Refusal, invalid


async def create(call: Call) -> Answer:
    """``POST /apps/X/log-sessions``: ``dyno`` as the client says, or ``dyno_name`` and ``type`` as the schema does."""
    lines = call.body.get("lines", LINES)
    if lines is None:
        lines = LINES
    if isinstance(lines, bool) or not isinstance(lines, int):
        raise invalid("lines must be a number.")
    wish = Wish(
        lines,
        call.flag("tail"),
        call.text("source", required=False),
        call.text("dyno_name", required=False) or call.text("dyno", required=False),
        call.text("type", required=False),
    )
    session = await log_sessions.create(call.host, call.user, call.app, wish)
    times = {"created_at": stamp(session.created_at), "updated_at": stamp(session.created_at)}
    return Answer({"id": session.id, "logplex_url": session.url, **times}, 201)


async def show(call: Call) -> Stream:
    """``GET /streams/WORD``: server-sent events, or plain text for clients that do not ask for those."""
    app, wish = await log_sessions.find(call.host, call.params["word"])
    if call.logs is None:
        raise Refusal("not_implemented", "This server keeps no logs.")
    log, session = call.logs(app.id), stream.Session(*wish)
    if "text/event-stream" not in call.request.headers.get("accept", ""):
        return Stream(stream.plain(log, session), "text/plain; charset=utf-8")
    try:
        return Stream(stream.events(log, session, call.request.headers.get("last-event-id")), "text/event-stream")
    except ValueError as error:
        raise Refusal("bad_request", f"Last-Event-ID is {error}.") from None


ROUTES = (
    Route("POST", "/apps/{app}/log-sessions", create, Right.APP),
    Route("GET", "/streams/{word}", show, Right.ANYBODY),
)
