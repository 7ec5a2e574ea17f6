"""Prints ``ready``, and its terminal's rows and columns whenever it is told that they changed."""

import os
import signal


def show(*_: object) -> None:
    size = os.get_terminal_size(1)
    print("size", size.lines, size.columns, flush=True)


signal.signal(signal.SIGWINCH, show)
print("ready", flush=True)
while True:
    signal.pause()
