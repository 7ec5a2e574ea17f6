"""What the way to the first dyno needs of the standard library, by the doors that cost least.

``signal`` makes an ``enum`` of every number, ``collections`` and ``functools`` bring six modules each; what they add in
Python to what is built in is not needed there, and would be a fifth of the time to the first line. Checkers see the
real ones. ``signal``: numbers, where the real one has ``Signals``; names are told by ``signal_name``. See
docs/decisions/0028.
"""

# No checker reads the second half; the first is there to be imported from here.
# ruff: noqa: F401, PLC0414
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signal
    from collections import deque as deque
    from functools import partial as partial
else:
    import _signal as signal
    from _collections import deque
    from _functools import partial


def signal_name(signum: int) -> str:
    """``SIGKILL``; real-time signals have no names of their own."""
    names = (name for name in dir(signal) if name.startswith("SIG") and name[3:4] != "_")
    return next((name for name in names if getattr(signal, name) == signum), f"signal {signum}")
