"""Numbers: for Prometheus, and for a dashboard."""

from collections.abc import AsyncIterator

from procman.api.call import Answer, Call, Right, Route, Stream
from procman.logs.metrics_text import CONTENT_TYPE
from procman.platform.host import Numbers
from procman.platform.refusals import Refusal


async def of_server(call: Call) -> Stream:
    """``GET /metrics``: all apps, in Prometheus's text format; a scraper gives its key as a bearer token."""
    text = await numbers(call).text()

    async def chunks() -> AsyncIterator[bytes]:
        yield text

    return Stream(chunks(), CONTENT_TYPE)


async def of_app(call: Call) -> Answer:
    """``GET /apps/X/metrics``: totals and the day's history."""
    return Answer(await numbers(call).summary(call.app))


def numbers(call: Call) -> Numbers:
    """Who keeps them. Raises Refusal."""
    if call.host.numbers is None:
        raise Refusal("service_unavailable", "This server keeps no metrics.")
    return call.host.numbers


ROUTES = (
    Route("GET", "/metrics", of_server, Right.ADMIN),
    Route("GET", "/apps/{app}/metrics", of_app, Right.APP),
)
