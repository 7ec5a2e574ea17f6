"""What is said to a running HAProxy, as text; and what it should not have answered. Pure."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from procman.router.arrangement import STICKY, Arrangement, Slot
from procman.router.configuration import APPS, HOSTS, address_of, server_options
from procman.router.pages import ERROR_URLS, MAINTENANCE_URLS
from procman.router.settings import Timeouts
from procman.router.sites import Server, Site, page_url

Map = Mapping[str, str]
FINE = ("New server registered.", "Server deleted.", "IP changed from", "no need to change", "port changed from")
SPECIAL = frozenset(" ;\\'\"")

NOTHING: Map = MappingProxyType({})


class Maps(NamedTuple):
    """The content of HAProxy's maps: host to app, app to state and slot, app to pages of its own."""

    hosts: Map = NOTHING
    apps: Map = NOTHING
    error_pages: Map = NOTHING
    maintenance_pages: Map = NOTHING

    def files(self) -> dict[str, Map]:
        """By the names of their files."""
        return dict(zip((HOSTS, APPS, ERROR_URLS, MAINTENANCE_URLS), self, strict=True))


def maps_of(sites: Iterable[Site], arrangement: Arrangement) -> Maps:
    """What the maps shall hold."""
    hosts: dict[str, str] = {}
    apps: dict[str, str] = {}
    errors: dict[str, str] = {}
    maintenance: dict[str, str] = {}
    for site in sites:
        apps[site.app_id] = f"{site.condition}:{arrangement.routes[site.app_id]}"
        hosts.update(dict.fromkeys(site.hosts, site.app_id))
        if site.error_page_url:
            errors[site.app_id] = page_url(site.error_page_url)
        if site.maintenance_page_url:
            maintenance[site.app_id] = page_url(site.maintenance_page_url)
    return Maps(hosts, apps, errors, maintenance)


def file_text(entries: Map) -> str:
    """A map as a file."""
    return "".join(f"{key} {value}\n" for key, value in entries.items())


def read_file(data: bytes) -> Map:
    """The same back."""
    return dict(line.split(" ", 1) for line in data.decode().splitlines() if " " in line)


def quoted(word: str) -> str:
    """A word of a command, with nothing in it that HAProxy would read as more than itself."""
    return "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in word)


def enter(before: Arrangement, after: Arrangement, times: Timeouts) -> list[str]:
    """Make every server known and ready that shall get requests."""
    commands = []
    for name, slot in after.slots.items():
        old = before.slots.get(name, Slot(slot.app_id))
        known = {server.label: server for server in old.servers()}
        for server in slot.serving:
            if server in old.serving:
                continue
            there = known.get(server.label)
            commands += introduce(name, server, times) if there is None else return_(name, server, there)
            if name.startswith(STICKY):
                commands.append(f"enable dynamic-cookie backend {name}")  # HAProxy 2.6 gives new servers none by itself
    return commands


def introduce(slot: str, server: Server, times: Timeouts) -> list[str]:
    """A server that is new."""
    place = f"{slot}/{server.label}"
    return [
        f"add server {place} {address_of(server)} {server_options(server, times)}",
        f"enable health {place}",
        f"enable server {place}",
    ]


def return_(slot: str, server: Server, there: Server) -> list[str]:
    """A server that left, or that has another address now."""
    place = f"{slot}/{server.label}"
    moved = [f"set server {place} addr {server.host} port {server.port}"] if server != there else []
    return [*moved, f"set server {place} state ready"]


def change_maps(before: Maps, after: Maps) -> list[str]:
    """Make the maps so: what is new first, hosts last; then what goes, hosts first. Each ``set`` is one step."""
    comes: list[str] = []
    goes: list[str] = []
    order = (APPS, ERROR_URLS, MAINTENANCE_URLS, HOSTS)
    for file in order:
        old, new = before.files()[file], after.files()[file]
        for key, value in new.items():
            if key not in old:
                comes.append(f"add map {file} {key} {quoted(value)}")
            elif old[key] != value:
                comes.append(f"set map {file} {key} {quoted(value)}")
        goes = [f"del map {file} {key}" for key in old if key not in new] + goes
    return comes + goes


def leave(before: Arrangement, after: Arrangement) -> list[str]:
    """No new request for servers that left a slot that others go on in. (To a slot that was left leads no route.)"""
    commands = []
    left = set(after.left())
    for name, slot in after.slots.items():
        if name not in left:
            served = {server.label for server in before.slots[name].serving} if name in before.slots else set()
            commands += [hold(name, server.label) for server in slot.leaving if server.label in served]
    return commands


def hold(slot: str, label: str) -> str:
    """No new requests; those it has go on."""
    return f"set server {slot}/{label} state maint"


def delete(slot: str, label: str) -> str:
    """Forget a server; HAProxy refuses while a connection is left."""
    return f"del server {slot}/{label}"


def complaint(answer: str) -> str | None:
    """The first line of an answer that is not the quiet of success."""
    for line in answer.splitlines():
        if line.strip() and not line.startswith(FINE):
            return line.strip()
    return None
