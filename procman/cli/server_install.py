"""`procman server install`: a systemd unit that starts the server at boot and keeps it alive."""

import os

from procman.cli.install import SYSTEM_UNITS, next_steps, program, user_units, variables, write
from procman.cli.listing import emit
from procman.cli.options import Given
from procman.cli.server import directory, first_port, number, owner, router_host, timeouts
from procman.errors import ProcmanError
from procman.formats.server_unit import MARKER, ServerUnit

FILE = "procman-server.service"


def install(told: Given) -> int:
    """Write the unit, or print it; then say what is left to type."""
    system = bool(told.fields.get("system"))
    if system and "data" not in told.fields:
        told = told._replace(fields={**told.fields, "data": "/var/lib/procman"})
    procman = program()
    environment = variables(dict(os.environ), os.path.dirname(procman[0]), system)
    try:
        text = ServerUnit([*procman, "server", *flags(told)], environment, system).text()
    except ValueError as error:
        raise ProcmanError(f"cannot install the server: {error}") from None
    if told.fields.get("print"):
        emit(text.rstrip("\n"))
        return 0
    path = os.path.join(SYSTEM_UNITS if system else user_units(os.environ), FILE)
    write(path, text, MARKER)
    emit("\n".join([f"Wrote {path}", "Now type:", *(f"  {line}" for line in next_steps(FILE, system))]))
    return 0


def flags(told: Given) -> list[str]:
    """What was said, one word each; the data directory always, as systemd's environment may mean another."""
    words = [f"--data={directory(told)}"]
    ports = (("port", "--port"), ("router_port", "--router-port"), ("router_https_port", "--router-https-port"))
    first_port(told)
    for field, flag in (*ports, ("first_port", "--first-port")):
        if field in told.fields:
            words.append(f"{flag}={number(told, field, 0)}")
    if told.fields.get("router") is False:
        words.append("--no-router")
    if told.fields.get("push_creates"):
        words.append("--push-creates-apps")
    if told.fields.get("allow_local"):
        words.append("--allow-local-addresses")
    for field, flag in (("build_timeout", "--build-timeout"), ("slug_limit", "--slug-limit")):
        if isinstance(told.fields.get(field), str):
            words.append(f"{flag}={told.fields[field]}")
    for check in (timeouts, router_host, owner):  # now, and not when systemd starts it
        check(told)
    texts = ("router_timeouts", "--router-timeouts"), ("router_host", "--router-host"), ("domain", "--domain")
    for field, flag in (*texts, ("owner", "--owner")):
        if isinstance(told.fields.get(field), str):
            words.append(f"{flag}={told.fields[field]}")
    return words
