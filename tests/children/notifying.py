"""Tells how it is by sd_notify, as it is told to: each line of the FIFO ``orders`` is a notice to send."""

import os
import socket

address = os.environ["NOTIFY_SOCKET"]
if not os.path.exists("orders"):
    os.mkfifo("orders")
orders = os.fdopen(os.open("orders", os.O_RDWR), "r")
print(f"begun {os.environ.get('WATCHDOG_USEC', '-')}", flush=True)
for order in orders:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        teller.sendto(order.strip().replace("|", "\n").encode(), address)
    print(f"told {order.strip()}", flush=True)
