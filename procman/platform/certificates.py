"""Certificates of custom domains (SNI endpoints): checked by a handshake before they are kept, key and all.

The chain is in the database; chain and key together lie in ``certificates/ID.pem``, 0600, as HAProxy reads them.
"""

import asyncio
import os
import re
import secrets
import ssl
import tempfile
from typing import Any, NamedTuple

from procman.core.records import App, Endpoint, User
from procman.files import write_private
from procman.platform import audit
from procman.platform.host import Host
from procman.platform.layout import Layout
from procman.platform.refusals import Refusal, invalid, missing
from procman.store import tables
from procman.store.database import Tx

MOST_BYTES = 256 << 10
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Facts(NamedTuple):
    """What a certificate says of itself."""

    domains: list[str]
    subject: str
    issuer: str
    starts_at: float
    expires_at: float


async def listed(host: Host, app: App) -> list[tuple[Endpoint, list[str]]]:
    """All of the app's, each with the host names that use it."""

    def find_all(tx: Tx) -> list[tuple[Endpoint, list[str]]]:
        domains = tables.domains.find(tx, app_id=app.id)
        rows = tables.endpoints.find(tx, app_id=app.id)
        return [(row, [each.hostname for each in domains if each.endpoint_id == row.id]) for row in rows]

    return await host.db.run(find_all)


async def shown(host: Host, app: App, word: str) -> tuple[Endpoint, list[str]]:
    """One by name or id. Raises Refusal."""
    for row, domains in await listed(host, app):
        if word in (row.name, row.id):
            return row, domains
    raise missing("SSL endpoint", word[:200])


async def add(host: Host, user: User, app: App, chain: str, key: str) -> Endpoint:
    """Keep a certificate. Raises Refusal when it cannot be served with this key."""
    facts = await asyncio.to_thread(check, chain, key)
    endpoint_id = host.new_id()
    await asyncio.to_thread(write, host.layout, endpoint_id, chain, key)

    def insert(tx: Tx) -> Endpoint:
        now = host.now()
        name = f"{app.name}-{secrets.randbelow(90_000) + 10_000}"
        audit.note(host, tx, user, app, "add certificate", name)
        return tables.endpoints.insert(tx, Endpoint(endpoint_id, app.id, name, chain, now, now, facts._asdict()))

    row = await host.db.run(insert)
    await host.traffic.route(app.id)
    return row


async def update(host: Host, user: User, app: App, word: str, chain: str, key: str) -> Endpoint:
    """Another certificate in its place, for the same domains. Raises Refusal."""
    row, _ = await shown(host, app, word)
    facts = await asyncio.to_thread(check, chain, key)
    await asyncio.to_thread(write, host.layout, row.id, chain, key)

    def change(tx: Tx) -> None:
        tables.endpoints.update(tx, row.id, certificate=chain, facts=facts._asdict(), updated_at=host.now())
        audit.note(host, tx, user, app, "update certificate", row.name)

    await host.db.run(change)
    await host.traffic.route(app.id)
    return (await shown(host, app, row.id))[0]


async def remove(host: Host, user: User, app: App, word: str) -> Endpoint:
    """Forget it; its domains are served without. Raises Refusal."""
    row, _ = await shown(host, app, word)

    def delete(tx: Tx) -> None:
        tables.endpoints.delete(tx, id=row.id)
        audit.note(host, tx, user, app, "remove certificate", row.name)

    await host.db.run(delete)
    await host.traffic.route(app.id)
    if os.path.exists(path := file_of(host.layout, row.id)):
        os.unlink(path)
    return row


def find(tx: Tx, app: App, word: str) -> Endpoint:
    """By name or id. Raises Refusal."""
    found = tables.endpoints.get(tx, app_id=app.id, name=word) or tables.endpoints.get(tx, app_id=app.id, id=word)
    if found is None:
        raise missing("SSL endpoint", word[:200])
    return found


def file_of(layout: Layout, endpoint_id: str) -> str:
    """Chain and key in one file."""
    return layout.certificate(endpoint_id)


def write(layout: Layout, endpoint_id: str, chain: str, key: str) -> None:
    """Atomically, readable by the server alone."""
    write_private(file_of(layout, endpoint_id), f"{chain.strip()}\n{key.strip()}\n".encode())


def check(chain: str, key: str) -> Facts:
    """What the certificate says, once a client has shaken hands with it. Raises Refusal; never repeats the key."""
    blocks = PEM.findall(chain)
    if not blocks:
        raise invalid("No certificate given is a PEM-encoded certificate.")
    if "-----BEGIN" not in key or "PRIVATE KEY-----" not in key:
        raise invalid("The private key is not PEM-encoded.")
    if len(chain) + len(key) > MOST_BYTES:
        raise Refusal("payload_too_large", f"Certificate and key are over {MOST_BYTES >> 10} KB.")
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # made with mode 0600
            file.write(f"{chain}\n{key}\n")
            file.flush()
            server.load_cert_chain(file.name, password=lambda: "")  # never ask the terminal
        return facts_of(shake_hands(server, blocks[0]))
    except (ssl.SSLError, ValueError, OSError) as error:
        told = getattr(error, "verify_message", "") or getattr(error, "reason", None) or "it cannot be read"
        reason = str(told).lower().replace("_", " ")
        raise invalid(f"The certificate cannot be served with this key: {reason}.") from None


def shake_hands(server: ssl.SSLContext, certificate: str) -> dict[str, Any]:
    """The certificate as a client sees it that trusts it; without any network."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for _ in range(8):  # either end goes on as soon as the other has answered
        shaken = [advance(end) for end in ends]
        if all(shaken):
            return ends[0].getpeercert() or {}
    raise ValueError("no handshake")


def advance(end: ssl.SSLObject) -> bool:
    """Whether this end has done its part."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def facts_of(found: dict[str, Any]) -> Facts:
    """From the form in which Python tells them."""
    names = [value for kind, value in found.get("subjectAltName", ()) if kind == "DNS"]
    subject = {key: value for part in found.get("subject", ()) for key, value in part}
    common = subject.get("commonName")
    if common and common not in names and not names:
        names = [common]
    return Facts(
        names, words(found.get("subject", ())), words(found.get("issuer", ())),
        ssl.cert_time_to_seconds(found["notBefore"]), ssl.cert_time_to_seconds(found["notAfter"]),
    )


def words(parts: Any) -> str:
    """``/C=DE/CN=example.com``, as the client shows subject and issuer."""
    short = {"commonName": "CN", "organizationName": "O", "countryName": "C", "organizationalUnitName": "OU"}
    return "".join(f"/{short.get(key, key)}={value}" for part in parts for key, value in part)
