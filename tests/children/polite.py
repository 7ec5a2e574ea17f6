"""``polite.py NAME``: prints ``NAME ready``, and on SIGTERM ``NAME-term``; then it ends."""

import os
import signal
import sys

name = sys.argv[1]


def leave(*_: object) -> None:
    os.write(1, f"{name}-term\n".encode())
    os._exit(0)


signal.signal(signal.SIGTERM, leave)
os.write(1, f"{name} ready\n".encode())
while True:
    signal.pause()
