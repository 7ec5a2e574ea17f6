"""A listing that is shown anew every second, until Ctrl-C."""

import os
import sys
import time
from collections.abc import Callable

from procman.cli.listing import emit

HOME_AND_CLEAR = "\x1b[H\x1b[J"
PERIOD_S = 1.0


def fitted(lines: list[str], columns: int, rows: int) -> list[str]:
    """What a screen has room for; how many lines there are more is the last one."""
    if len(lines) > rows > 1:
        lines = [*lines[: rows - 1], f"... {len(lines) - rows + 1} more"]
    return [line[:columns] for line in lines[:rows]]


def refresh(render: Callable[[], str]) -> int:
    """Show what ``render`` gives, again and again; a terminal is cleared in between, cut to its size."""
    terminal = sys.stdout.isatty()
    while True:
        lines = render().splitlines()
        if terminal:
            columns, rows = os.get_terminal_size(1)
            lines = fitted(lines, columns, rows - 1)
        emit((HOME_AND_CLEAR if terminal else "") + "\n".join(lines))
        time.sleep(PERIOD_S)
