"""``alone.py NAME``: takes a name that one process of a host can have, prints ``mine``; status 9 if it is taken."""

import signal
import socket
import sys

own = socket.socket(socket.AF_UNIX)
try:
    own.bind("\0" + sys.argv[1])
except OSError:
    sys.exit(9)
print("mine", flush=True)
while True:
    signal.pause()
