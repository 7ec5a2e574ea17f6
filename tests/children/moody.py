"""A web dyno that answers until it is told, by a request's path, how not to take connections any more.

``/deaf``: it fills its own backlog and accepts nothing; ``/refuse``: nobody listens; each until ``SIGUSR1``.
"""

import os
import signal
import socket

PORT = int(os.environ["PORT"])
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def listen() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", PORT))
    listener.listen(0)
    return listener


def fill() -> list[socket.socket]:
    """Connections that nobody accepts, until no more fit in: what comes now is not even refused."""
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", PORT))
    return waiting


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    listener = listen()
    print("listens", flush=True)
    while True:
        client, _ = listener.accept()
        head = client.recv(65536)
        mood = head.split(b" ")[1:2]
        waiting: list[socket.socket] = []
        if mood == [b"/refuse"]:
            listener.close()
        if mood == [b"/deaf"]:
            waiting = fill()
        client.sendall(ANSWER if head else b"")
        client.close()
        if mood in ([b"/deaf"], [b"/refuse"]):
            print("sulks", flush=True)
            signal.sigwait({signal.SIGUSR1})
            for one in (listener, *waiting):
                one.close()
            listener = listen()


main()
