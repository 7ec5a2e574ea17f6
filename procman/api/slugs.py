"""Code that comes in by upload: slugs that are built already, and sources to build."""

from procman.api import serialize
from procman.api.call import Answer, Call, Download, Right, Route
from procman.core.records import Slug
from procman.platform import slugs, sources
from procman.platform.refusals import invalid, missing
from procman.platform.slugs import Wish


async def create(call: Call) -> Answer:
    """``POST /apps/X/slugs``: answers where to PUT it."""
    types = call.body.get("process_types")
    if not isinstance(types, dict):
        raise invalid("process_types must be an object.")
    stack = call.body.get("stack")
    wish = Wish(
        types,
        call.text("checksum", required=False),
        call.text("commit", required=False),
        call.text("commit_description", required=False),
        stack.get("name") if isinstance(stack, dict) else call.text("stack", required=False),
        call.text("buildpack_provided_description", required=False),
    )
    slug = await slugs.create(call.host, call.user, call.app, wish)
    return Answer(await shown(call, slug), 201)


async def show(call: Call) -> Answer:
    """``GET /apps/X/slugs/ID``: answers where to GET it."""
    return Answer(await shown(call, await slugs.shown(call.host, call.app, call.params["slug"])))


async def shown(call: Call, slug: Slug) -> serialize.Json:
    """As JSON."""
    method = "PUT" if slug.state == "pending" else "GET"
    url = await slugs.url(call.host, slug) if slug.state != "collected" else None
    return serialize.slug(slug, {"method": method, "url": url})


async def put(call: Call) -> Answer:
    """``PUT /slug-blobs/WORD``: the packed slug itself."""
    await slugs.put(call.host, await slugs.find(call.host, call.params["word"]), call.chunks())
    return Answer({})


async def get(call: Call) -> Download:
    """``GET /slug-blobs/WORD``."""
    slug = await slugs.find(call.host, call.params["word"])
    if slug.state != "ready":
        raise missing("slug")
    return Download(call.host.layout.packed_slug(slug.id))


async def create_source(call: Call) -> Answer:
    """``POST /sources``, ``POST /apps/X/sources``: where to PUT a tarball, and where a build may GET it."""
    source = await sources.create(call.host, call.app if "app" in call.params else None)
    url = sources.url(call.host, source)
    return Answer({"source_blob": {"get_url": url, "put_url": url}}, 201)


async def put_source(call: Call) -> Answer:
    """``PUT /sources/ID/SECRET``."""
    source = await sources.find(call.host, call.params["id"], call.params["secret"])
    await sources.put(call.host, source, call.chunks())
    return Answer({})


async def get_source(call: Call) -> Download:
    """``GET /sources/ID/SECRET``."""
    source = await sources.find(call.host, call.params["id"], call.params["secret"])
    return Download(sources.path_of(call.host, source))


ROUTES = (
    Route("POST", "/apps/{app}/slugs", create, Right.APP),
    Route("GET", "/apps/{app}/slugs/{slug}", show, Right.APP),
    Route("PUT", "/slug-blobs/{word}", put, Right.ANYBODY, raw=True),
    Route("GET", "/slug-blobs/{word}", get, Right.ANYBODY),
    Route("POST", "/sources", create_source, Right.USER),
    Route("POST", "/apps/{app}/sources", create_source, Right.APP),
    Route("PUT", "/sources/{id}/{secret}", put_source, Right.ANYBODY, raw=True),
    Route("GET", "/sources/{id}/{secret}", get_source, Right.ANYBODY),
)
