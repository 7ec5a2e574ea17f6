"""When a formation can be asked: its socket listens before the first dyno starts; who serves it comes a moment later.

Whoever has read a dyno's line may ask about that dyno at once. The kernel lets him wait in the socket's queue for the
few milliseconds in which JSON and sockets are imported, which no line has to wait for.
"""

import os

from procman.lean import signal
from procman.supervisor.loop import FOREVER, Loop
from procman.typed import Callable

SOON_S = 0.05  # when the dynos that say something at once have said it
BREATH_S = 1.0  # where it cannot be done now, it is not tried again sooner


def postpone(loop: Loop, listener: int, serve: Callable[[], None], at_once: bool = False) -> None:
    """Call ``serve`` in a moment, or when somebody knocks at ``listener`` or asks by SIGUSR2, which it is to heed.

    ``at_once``: somebody waits for it already.
    """
    if at_once:
        serve()
        return
    due, heard = loop.now() + SOON_S, True

    def begin() -> None:
        nonlocal due, heard
        if due == FOREVER:
            return
        if heard:
            loop.unwatch(listener)
            heard = False
        try:
            from procman.cli import upgrading  # noqa: F401 - and with it all that serves
        except (ImportError, OSError):  # no descriptor is left to read a module with
            due = loop.now() + BREATH_S
        else:
            due = FOREVER
            serve()

    def pass_on(signum: int) -> None:
        begin()
        if due == FOREVER:  # by now it has another handler
            os.kill(os.getpid(), signum)

    loop.watch(listener, begin)
    loop.on_deadline(lambda: due, lambda now: begin())
    loop.on_signals([signal.SIGUSR2], pass_on)
