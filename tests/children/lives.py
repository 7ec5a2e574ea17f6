"""Numbered lines without end, each by one write; how many there were outlives this process, in $LIVES.

The count is kept in shared memory, so that it is true whenever the process is killed: it lags by one line at most.
Binds $PORT if it is a web dyno.
"""

import mmap
import os
import select
import socket
import struct

LINES, PAUSE_S = 20, 0.05
name = f"{os.environ['DYNO']}.{os.getpid()}.{os.urandom(4).hex()}"
with open(f"{os.environ['LIVES']}/{name}", "w+b") as file:
    file.truncate(8)
    count = mmap.mmap(file.fileno(), 8)
if name.startswith("web."):
    server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
number = 0
while True:
    for _ in range(LINES):
        number += 1
        line = b"life %s %d %s end\n" % (name.encode(), number, b"x" * (number % 50))
        assert os.write(1, line) == len(line)
        struct.pack_into("q", count, 0, number)
    select.select([], [], [], PAUSE_S)
