"""Binds ``$PORT``, says so, and listens only once something was written to the FIFO ``go``."""

import os
import signal
import socket

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(os.environ["PORT"])))
print("bound", flush=True)
with open("go") as go:
    go.read()
server.listen()
print("listens", flush=True)
while True:
    signal.pause()
