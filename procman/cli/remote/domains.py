"""Domains and the certificates that they are served with over https."""

from collections.abc import Iterable, Sequence
from typing import Any

from procman.cli.listing import emit
from procman.cli.options import Given
from procman.cli.remote.apps import Own, each, said
from procman.cli.remote.connection import path
from procman.cli.remote.target import Target, target
from procman.errors import ProcmanError, UsageError

Row = dict[str, Any]


def add(told: Given, own: Own) -> int:
    """Serve the app under these names too; each with --cert, or else the newest certificate that covers it."""
    meant = target(told)
    named = told.fields.get("cert")
    owned = [] if named else listed(meant, "sni-endpoints")

    def call(word: str) -> Row:
        fitting = [row for row in owned if covers(row["ssl_cert"]["cert_domains"], word)]
        chosen = named or (max(fitting, key=lambda row: str(row["created_at"]))["name"] if fitting else None)
        body = {"hostname": word, "sni_endpoint": chosen}
        return dict(meant.server.call("POST", path("apps", meant.app, "domains"), body))

    def say(answers: Sequence[Row], words: str) -> None:
        said(own, answers, "\n".join([f"Adding {words} to {meant.app}... done", *served(answers)]))

    return each(told.arguments, call, "add", say)


def update(told: Given, own: Own) -> int:
    """Serve names with another certificate."""
    meant, certificate = target(told), told.fields.get("cert")
    if not certificate:
        hint = "procman certs, then procman domains:update HOSTNAME --cert NAME"
        raise UsageError("cannot update domains: --cert NAME is wanted", hint)

    def say(answers: Sequence[Row], words: str) -> None:
        said(own, answers, f"Updating {words} to use {certificate}... done")

    return each(told.arguments, lambda word: bind(meant, word, certificate), "update", say)


def add_certificate(told: Given, own: Own) -> int:
    """Keep a certificate, and serve every domain of the app that it covers with it."""
    meant = target(told)
    made = meant.server.call("POST", path("apps", meant.app, "sni-endpoints"), files(told))
    names = made["ssl_cert"]["cert_domains"]
    own_names = sorted(row["hostname"] for row in listed(meant, "domains") if row["kind"] == "custom")
    covered = [name for name in own_names if covers(names, name)]
    if not own["json"]:
        emit(f"Adding SSL certificate to {meant.app}... done, {made['name']}")
    if not covered:
        none = f"It covers no domain of {meant.app} yet, only {', '.join(names)}: procman domains:add HOSTNAME"
        return said(own, made, none)

    def say(answers: Sequence[Row], words: str) -> None:
        domains = [row["hostname"] for row in answers]
        said(own, {**made, "domains": domains}, "\n".join(served(answers)))

    return each(covered, lambda word: bind(meant, word, made["name"]), "serve", say)


def update_certificate(told: Given, own: Own) -> int:
    """Put another certificate, such as its renewal, in the place of one; its domains stay with it."""
    meant, body = target(told), files(told)
    name = told.fields.get("certificate")
    if not name:
        names = [row["name"] for row in listed(meant, "sni-endpoints")]
        if len(names) != 1:
            which = f"{meant.app} has {', '.join(names) or 'none'}"
            raise UsageError(f"cannot tell which certificate is meant: {which}", "procman certs:update --name NAME …")
        name = names[0]
    answer = meant.server.call("PATCH", path("apps", meant.app, "sni-endpoints", str(name)), body)
    serves = ", ".join(sorted(answer["domains"])) or "no domain: procman domains:update HOSTNAME --cert NAME"
    text = f"Updating SSL certificate {answer['name']} for {meant.app}... done"
    return said(own, answer, f"{text}\nIt serves {serves}")


def listed(meant: Target, name: str) -> list[Row]:
    """What the app has of these."""
    found: list[Row] = meant.server.get(path("apps", meant.app, name))
    return found


def bind(meant: Target, hostname: str, certificate: object) -> Row:
    """Have a domain served with a certificate."""
    where = path("apps", meant.app, "domains", hostname)
    return dict(meant.server.call("PATCH", where, {"sni_endpoint": certificate}))


def covers(names: Iterable[str], hostname: str) -> bool:
    """Whether a certificate for these names is good for a domain; a star stands for one label (RFC 6125)."""
    wanted = hostname.lower().rstrip(".")
    return bool({wanted, "*." + wanted.partition(".")[2]} & {name.lower() for name in names})


def served(rows: Iterable[Row]) -> list[str]:
    """Which of them is served over https now, a line for each."""
    return [f"https://{row['hostname']} is served with {row['sni_endpoint']['name']}" for row in rows
            if row["sni_endpoint"]]


def files(told: Given) -> dict[str, str]:
    """Chain and key, out of the two PEM files that are named. Raises ProcmanError."""
    if len(told.arguments) != 2:
        raise UsageError("cannot use these words: two files are wanted", "procman certs:add chain.pem key.pem")
    texts = []
    for name in told.arguments:
        try:
            with open(name, encoding="ascii") as file:
                texts.append(file.read())
        except (OSError, UnicodeDecodeError) as error:
            raise ProcmanError(f"cannot read {name}: {getattr(error, 'strerror', None) or 'no PEM file'}") from None
    return {"certificate_chain": texts[0], "private_key": texts[1]}
