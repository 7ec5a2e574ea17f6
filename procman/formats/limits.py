"""What a dyno may use, as people type it: ``512M`` of memory, and ``nofile:1024`` by the names of prlimit(1)."""

import re

UNLIMITED = -1  # as the kernel has it: RLIM_INFINITY
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = r"([0-9]{1,12})([KMGT]?)(?:I?B)?"
# Name, and whether it is counted in bytes: prlimit(1), getrlimit(2).
NAMES = {
    "as": True,
    "core": True,
    "cpu": False,
    "data": True,
    "fsize": True,
    "memlock": True,
    "msgqueue": True,
    "nofile": False,
    "nproc": False,
    "rtprio": False,
    "sigpending": False,
    "stack": True,
}


def parse_memory(text: str) -> int:
    """Bytes of ``512M``. ValueError for anything else, also for a number alone: it could be of bytes or megabytes."""
    found = re.fullmatch(_SIZE, text.strip().upper())
    if not found or not found[2]:
        raise ValueError(f"'{text}' is not a size such as 512M or 1G")
    if not int(found[1]):
        raise ValueError(f"'{text}' is no memory at all")
    return int(found[1]) * _UNITS[found[2]]


def parse_limit(text: str) -> tuple[str, int]:
    """Name and number of ``nofile:1024``, ``fsize:10M``, ``core:unlimited``. ValueError says what is wrong."""
    name, colon, value = text.strip().partition(":")
    if not colon:
        raise ValueError(f"'{text}' is not NAME:N, such as nofile:1024")
    if name not in NAMES:
        from difflib import get_close_matches  # noqa: PLC0415 - for who made a mistake

        near = get_close_matches(name.lower().removeprefix("rlimit_"), NAMES, 1)
        raise ValueError(f"no limit '{name}': " + (f"did you mean '{near[0]}'?" if near else ", ".join(NAMES)))
    if value == "unlimited":
        return name, UNLIMITED
    found = re.fullmatch(_SIZE, value.upper())
    if not found or (found[2] and not NAMES[name]):
        wanted = "a size such as 10M" if NAMES[name] else "a whole number"
        raise ValueError(f"'{text}': '{value}' is not {wanted}, or unlimited")
    return name, int(found[1]) * _UNITS[found[2]]


def limit_written(name: str, value: int) -> str:
    """``nofile:1024``: the shortest exact way to write a limit."""
    if value == UNLIMITED:
        return f"{name}:unlimited"
    return f"{name}:{written(value) if NAMES[name] else value}"


def written(size: int) -> str:
    """The shortest exact way to write a size: ``512M``."""
    for unit in ("T", "G", "M", "K"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)
