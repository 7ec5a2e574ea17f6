"""Config vars."""

from procman.api.call import Answer, Call, Right, Route
from procman.platform import config_vars


async def show(call: Call) -> Answer:
    """``GET /apps/X/config-vars``."""
    return Answer(await config_vars.shown(call.host, call.app))


async def update(call: Call) -> Answer:
    """``PATCH /apps/X/config-vars``: null removes. A header, which is ours, tells the release that this makes."""
    after, release = await config_vars.change(call.host, call.user, call.app, call.body)
    return Answer(after, headers={"Procman-Release": str(release.version)} if release else {})


async def of_release(call: Call) -> Answer:
    """``GET /apps/X/releases/N/config-vars``."""
    release = await config_vars.of_release(call.host, call.app, call.params["release"])
    return Answer(dict(release.config))


ROUTES = (
    Route("GET", "/apps/{app}/config-vars", show, Right.APP),
    Route("PATCH", "/apps/{app}/config-vars", update, Right.APP),
    Route("GET", "/apps/{app}/releases/{release}/config-vars", of_release, Right.APP),
)
