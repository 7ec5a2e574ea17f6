"""What requests are in HAProxy's hands at present."""

from collections.abc import Sequence

from procman.router.arrangement import Arrangement
from procman.router.runtime_socket import NotAnswering, RuntimeSocket, Usage


async def usage(socket: RuntimeSocket, slots: Sequence[str]) -> list[Usage]:
    """What is in use in these slots (-1: all), by the word of every worker. Raises NotAnswering."""
    found = await socket.processes()
    rows: list[Usage] = []
    for pid in filter(None, (found.worker, *found.old)):
        rows += await socket.usage(pid, slots)
    return rows


async def in_flight(socket: RuntimeSocket, arrangement: Arrangement, app_id: str, generation: int) -> int:
    """Requests at, or on their way to, an app's dynos of a generation; 0 when there is no HAProxy to have any."""
    slots = {name: slot for name, slot in arrangement.slots.items() if slot.app_id == app_id}
    meant = {(name, s.label) for name, slot in slots.items() for s in slot.servers() if s.generation == generation}
    # In a slot that is all of this generation, what still looks for its server counts too.
    others = {name for name, slot in slots.items() if any(s.generation != generation for s in slot.servers())}
    names = sorted({name for name, _ in meant})
    meant |= {(name, "BACKEND") for name in names if name not in others}
    try:
        rows = await usage(socket, names) if names else []
    except NotAnswering:
        return 0
    return sum(row.sessions + row.queued for row in rows if (row.slot, row.label) in meant)
