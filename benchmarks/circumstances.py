"""Where and when a run was made; nothing that names the machine."""

import os
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.peers import Manager

COMMAND = "make bench"
BUSY = 0.5  # of a load average, from which on a machine is not idle
PATIENCE_S = 180.0  # with one that is not
LOOK_S = 5.0  # the kernel's own step


def circumstances(managers: Sequence[Manager], load: float) -> str:
    """Date, command, machine, versions. ``load``: the load average of the minute before."""
    versions = ", ".join(f"{manager.name} {manager.version}" for manager in managers if manager.present)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, `{COMMAND}`: {os.cpu_count()} cores ({processor()}), {memory_gib()} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}.\n"
        f"{business(load)}{priority()}\n\nVersions: {versions}."
    )


def settle() -> float:
    """Wait for what was done before, such as an installation; the load average then."""
    os.sync()
    deadline = time.monotonic() + PATIENCE_S
    while (load := os.getloadavg()[0]) >= BUSY and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return load


def business(load: float) -> str:
    """Whether others used the machine as well."""
    if load < BUSY:
        return f"The machine was idle before (load average {load:.1f})."
    return f"The machine was **not idle**: load average {load:.1f} before the first measure."


def priority() -> str:
    """What was done about that."""
    real_time = os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR)
    return " Everything measured ran in a real-time class, before whatever else ran." if real_time else ""


def processor() -> str:
    """The model, where the kernel tells."""
    try:
        told = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        told = []
    models = [line.split(":", 1)[1].strip() for line in told if line.startswith("model name")]
    return ", ".join([*models[:1], platform.machine()])


def memory_gib() -> int:
    """Of the machine."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30))
