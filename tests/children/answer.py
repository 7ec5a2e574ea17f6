"""``answer.py STATUS...``: an HTTP server on ``$PORT`` that answers with each status in turn, the last for ever.

``-`` answers nothing and keeps the connection. Prints ``got HOST PATH`` for each request.
"""

import os
import socket
import sys

statuses, kept = sys.argv[1:], []
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    peer, _ = server.accept()
    head = b""
    while b"\r\n\r\n" not in head and (chunk := peer.recv(4096)):
        head += chunk
    lines = head.decode().split("\r\n")
    host = next((line[6:] for line in lines if line.startswith("Host: ")), "")
    print("got", host, lines[0].split(" ")[1], flush=True)
    status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
    if status == "-":
        kept.append(peer)
        continue
    peer.sendall(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode())
    peer.close()
