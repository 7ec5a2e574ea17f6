"""Prints ``ready PID`` and ignores SIGTERM, SIGINT and SIGHUP."""

import os
import signal

for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(signum, signal.SIG_IGN)
print("ready", os.getpid(), flush=True)
while True:
    signal.pause()
