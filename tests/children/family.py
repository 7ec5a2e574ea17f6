"""A root with every kind of descendant that other managers lose: each prints its kind and pid, ignores SIGTERM.

``family.py``: the root waits. ``family.py crash``: the root exits with status 3 once all have spoken.
"""

import os
import signal
import sys


def live(kind: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.write(1, f"{kind} {os.getpid()}\n".encode())
    os.write(ready, b".")
    while True:
        signal.pause()


def child(kind: str, session: bool = False, twice: bool = False, bare: bool = False) -> None:
    if os.fork():
        return
    if session:
        os.setsid()
    if twice and os.fork():
        os._exit(0)
    if bare:  # no environment, so no token to find it by
        code = f"import os,signal;signal.signal(signal.SIGTERM,signal.SIG_IGN);os.write(1,b'{kind} %d\\n'%os.getpid());"
        os.set_inheritable(ready, True)
        code += f"os.write({ready},b'.');signal.pause()"
        os.execve(sys.executable, [sys.executable, "-c", code], {})
    live(kind)


waiting, ready = os.pipe()
child("same-session")
child("own-session", session=True)
child("daemon", session=True, twice=True)
child("orphan", twice=True)
child("bare-daemon", session=True, twice=True, bare=True)
got = b""
while len(got) < 5:
    got += os.read(waiting, 5)
os.write(1, b"family ready\n")
if sys.argv[1:] == ["crash"]:
    sys.exit(3)
while True:
    signal.pause()
