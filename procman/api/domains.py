"""Domains, and the certificates they are served with (SNI endpoints)."""

from procman.api import ranges, serialize
from procman.api.call import Answer, Call, Right, Route
from procman.api.serialize import Json
from procman.core.records import App, Domain, Endpoint
from procman.platform import certificates, domains
from procman.platform.host import Settings
from procman.platform.plans import stamp
from procman.platform.refusals import invalid


async def index(call: Call) -> Answer:
    """``GET /apps/X/domains``, in parts."""
    pairs = await domains.listed(call.host, call.app)
    keys = {"id": lambda pair: pair[0].id, "hostname": lambda pair: pair[0].hostname}
    return ranges.part(call, pairs, keys, lambda pair: shown(call.host.settings, call.app, *pair))


async def show(call: Call) -> Answer:
    """``GET /apps/X/domains/HOSTNAME``."""
    pair = await domains.shown(call.host, call.app, call.params["domain"])
    return Answer(shown(call.host.settings, call.app, *pair))


async def create(call: Call) -> Answer:
    """``POST /apps/X/domains``."""
    endpoint = call.text("sni_endpoint", required=False)
    pair = await domains.add(call.host, call.user, call.app, call.must("hostname"), endpoint)
    return Answer(shown(call.host.settings, call.app, *pair), 201)


async def update(call: Call) -> Answer:
    """``PATCH /apps/X/domains/HOSTNAME``: which certificate; null for none."""
    if "sni_endpoint" not in call.body:
        raise invalid("sni_endpoint is missing.")
    endpoint = call.text("sni_endpoint", required=False)
    pair = await domains.update(call.host, call.user, call.app, call.params["domain"], endpoint)
    return Answer(shown(call.host.settings, call.app, *pair))


async def destroy(call: Call) -> Answer:
    """``DELETE /apps/X/domains/HOSTNAME``."""
    pair = await domains.remove(call.host, call.user, call.app, call.params["domain"])
    return Answer(shown(call.host.settings, call.app, *pair))


def shown(settings: Settings, app: App, row: Domain, endpoint: Endpoint | None) -> Json:
    """As JSON. ``status`` none: nothing has to be waited for here."""
    return {
        "id": row.id,
        "app": serialize.reference(app),
        "hostname": row.hostname,
        "kind": row.kind,
        "cname": domains.target(settings, app) if row.kind == "custom" else None,
        "status": "none",
        "acm_status": None,
        "acm_status_reason": None,
        "sni_endpoint": {"id": endpoint.id, "name": endpoint.name} if endpoint else None,
        **serialize.times(row),
    }


async def index_endpoints(call: Call) -> Answer:
    """``GET /apps/X/sni-endpoints``."""
    return Answer([endpoint(call, *pair) for pair in await certificates.listed(call.host, call.app)])


async def show_endpoint(call: Call) -> Answer:
    """``GET /apps/X/sni-endpoints/NAME``."""
    return Answer(endpoint(call, *await certificates.shown(call.host, call.app, call.params["endpoint"])))


async def create_endpoint(call: Call) -> Answer:
    """``POST /apps/X/sni-endpoints``."""
    chain, key = call.must("certificate_chain"), call.must("private_key")
    row = await certificates.add(call.host, call.user, call.app, chain, key)
    return Answer(endpoint(call, row, []), 201)


async def update_endpoint(call: Call) -> Answer:
    """``PATCH /apps/X/sni-endpoints/NAME``."""
    chain, key = call.must("certificate_chain"), call.must("private_key")
    row = await certificates.update(call.host, call.user, call.app, call.params["endpoint"], chain, key)
    return Answer(endpoint(call, *await certificates.shown(call.host, call.app, row.id)))


async def destroy_endpoint(call: Call) -> Answer:
    """``DELETE /apps/X/sni-endpoints/NAME``."""
    row = await certificates.remove(call.host, call.user, call.app, call.params["endpoint"])
    return Answer(endpoint(call, row, []))


def endpoint(call: Call, row: Endpoint, hostnames: list[str]) -> Json:
    """As JSON. Whether an authority that browsers trust signed it is not known here: only that it is self-signed."""
    facts = row.facts
    self_signed = facts.get("subject") == facts.get("issuer")
    return {
        "id": row.id,
        "app": serialize.reference(call.app),
        "name": row.name,
        "display_name": None,
        "cname": domains.target(call.host.settings, call.app),
        "certificate_chain": row.certificate,
        "domains": hostnames,
        "ssl_cert": {
            "acm": False,
            "ca_signed?": not self_signed,
            "self_signed?": self_signed,
            "cert_domains": facts.get("domains", []),
            "subject": facts.get("subject", ""),
            "issuer": facts.get("issuer", ""),
            "starts_at": stamp(facts.get("starts_at", 0)),
            "expires_at": stamp(facts.get("expires_at", 0)),
        },
        **serialize.times(row),
    }


ROUTES = (
    Route("GET", "/apps/{app}/domains", index, Right.APP),
    Route("POST", "/apps/{app}/domains", create, Right.APP),
    Route("GET", "/apps/{app}/domains/{domain}", show, Right.APP),
    Route("PATCH", "/apps/{app}/domains/{domain}", update, Right.APP),
    Route("DELETE", "/apps/{app}/domains/{domain}", destroy, Right.APP),
    Route("GET", "/apps/{app}/sni-endpoints", index_endpoints, Right.APP),
    Route("POST", "/apps/{app}/sni-endpoints", create_endpoint, Right.APP),
    Route("GET", "/apps/{app}/sni-endpoints/{endpoint}", show_endpoint, Right.APP),
    Route("PATCH", "/apps/{app}/sni-endpoints/{endpoint}", update_endpoint, Right.APP),
    Route("DELETE", "/apps/{app}/sni-endpoints/{endpoint}", destroy_endpoint, Right.APP),
)
