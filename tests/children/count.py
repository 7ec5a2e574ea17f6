"""Prints 1 to 10, and ten more numbers on each SIGUSR1 (queued ones too: they are counted by a pipe)."""

import os
import signal

reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.set_wakeup_fd(writer)
number = 0
while True:
    for _ in range(10):
        number += 1
        os.write(1, b"%d\n" % number)
    while not os.read(reader, 1):
        pass
