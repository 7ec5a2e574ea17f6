"""Which app has which slot, and which dynos are servers there: pure, and kept on disk as JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from procman.router.sites import Server, Site

PLAIN, STICKY = "app", "sticky"


class Slot(NamedTuple):
    """A backend in use. ``serving``: get new requests. ``leaving``: only end those that they have."""

    app_id: str
    serving: tuple[Server, ...] = ()
    leaving: tuple[Server, ...] = ()

    def servers(self) -> tuple[Server, ...]:
        """All that it knows."""
        return self.serving + self.leaving


class Arrangement(NamedTuple):
    """``plain``, ``sticky``: how many slots there are of each kind; ``slots``: those in use, by name; ``routes``: the
    slot to which an app's new requests go. A slot in use without a route is one that an app has left.
    """

    plain: int
    sticky: int
    slots: Mapping[str, Slot] = {}
    routes: Mapping[str, str] = {}

    def names(self) -> list[str]:
        """Every slot there is."""
        return [f"{PLAIN}-{n}" for n in range(self.plain)] + [f"{STICKY}-{n}" for n in range(self.sticky)]

    def left(self) -> list[str]:
        """Slots in use to which no new request goes."""
        current = set(self.routes.values())
        return [name for name in self.slots if name not in current]


def arrange(
    before: Arrangement, sites: Iterable[Site], usable: frozenset[tuple[str, str]] | None = None
) -> Arrangement:
    """The arrangement that these sites need. ``usable``: slot and label of servers that answer, None: all do.

    An app's dynos that have none in common with those before are given a slot of their own: the switch in one step.
    """
    slots, routes = dict(before.slots), dict(before.routes)
    counts = {PLAIN: before.plain, STICKY: before.sticky}
    wanted = {site.app_id: site for site in sites}
    for app_id in [app_id for app_id in routes if app_id not in wanted]:
        vacate(slots, routes.pop(app_id))
    for app_id, site in wanted.items():
        kind = STICKY if site.session_affinity else PLAIN
        name = routes.get(app_id)
        if name is not None and stays(name, slots[name], site, usable) and name.startswith(f"{kind}-"):
            slots[name] = replaced(slots[name], site.servers)
            continue
        if name is not None:
            vacate(slots, name)
        routes[app_id] = free = free_name(slots, kind, counts)
        slots[free] = Slot(app_id, site.servers)
    for kind, count in counts.items():
        # Ahead of need: who is left over from before the reload that this takes knows the lower half of them.
        used = sum(name.startswith(kind) for name in slots)
        counts[kind] = count * 2 if 2 * used > count else count
    return Arrangement(counts[PLAIN], counts[STICKY], slots, routes)


def stays(name: str, slot: Slot, site: Site, usable: frozenset[tuple[str, str]] | None) -> bool:
    """Whether a site's dynos go on in the slot it has: as some stay, or as there is nothing to switch from."""
    if not site.servers or set(site.servers) & set(slot.serving):
        return True
    return not any(usable is None or (name, server.label) in usable for server in slot.serving)


def replaced(slot: Slot, servers: tuple[Server, ...]) -> Slot:
    """The slot with these servers for new requests; what served before and is not among them leaves."""
    labels = {server.label for server in servers}
    leaving = tuple(server for server in slot.servers() if server.label not in labels)
    return Slot(slot.app_id, servers, leaving)


def vacate(slots: dict[str, Slot], name: str) -> None:
    """All leave: nothing new comes here, as no route leads here."""
    slots[name] = replaced(slots[name], ())
    if not slots[name].leaving:
        del slots[name]


def free_name(slots: Mapping[str, Slot], kind: str, counts: dict[str, int]) -> str:
    """The first slot that is free; if none is, twice as many."""
    number = next(n for n in range(len(slots) + 1) if f"{kind}-{n}" not in slots)
    while number >= counts[kind]:
        counts[kind] *= 2
    return f"{kind}-{number}"


def forget(arrangement: Arrangement, name: str, label: str) -> Arrangement:
    """A server that left has gone; with its last one, a slot without a route is free."""
    slots = dict(arrangement.slots)
    slot = slots[name]
    slots[name] = slot._replace(leaving=tuple(server for server in slot.leaving if server.label != label))
    if not slots[name].servers() and name in arrangement.left():
        del slots[name]
    return arrangement._replace(slots=slots)


def encode(arrangement: Arrangement) -> bytes:
    """Its text form."""
    return json.dumps(arrangement, indent=1).encode()


def decode(data: bytes) -> Arrangement:
    """The same back. Raises ValueError."""
    try:
        plain, sticky, slots, routes = json.loads(data)
        known = {
            name: Slot(app_id, tuple(Server(*row) for row in serving), tuple(Server(*row) for row in leaving))
            for name, (app_id, serving, leaving) in slots.items()
        }
        return Arrangement(int(plain), int(sticky), known, {key: known[name] and name for key, name in routes.items()})
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not an arrangement: {error!r}") from None
