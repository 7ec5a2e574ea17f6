"""`procman attach`: a real terminal on a dyno's pty, joined from another real terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys

from procman.supervisor.terminal import set_size

DEBUGGED = """\
x = 41
breakpoint()
print("after", x + 1, flush=True)
import signal
signal.pause()
"""


class Seat:
    """Somebody at a terminal who runs a command in it."""

    def __init__(self, workshop, *args: str, rows: int = 30, columns: int = 90):
        self.master, slave = pty.openpty()
        set_size(self.master, rows, columns)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "procman", *args],
            cwd=workshop.directory,
            env=workshop.env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = b""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, pattern: str) -> None:
        while not (found := re.search(pattern.encode(), self.seen)):
            assert select.select([self.master], [], [], 20)[0], f"no {pattern!r} in {self.seen!r}"
            try:
                chunk = os.read(self.master, 4096)
            except OSError:
                raise AssertionError(f"ended without {pattern!r}: {self.seen!r}") from None
            self.seen += chunk
        self.seen = self.seen[found.end() :]

    def leave(self) -> int:
        """Read to the end; the exit status."""
        while select.select([self.master], [], [], 20)[0]:
            try:
                chunk = os.read(self.master, 4096)
            except OSError:
                break
            if not chunk:
                break
            self.seen += chunk
        os.close(self.master)
        return self.process.wait(60)


def started(workshop, program: str):
    (workshop.directory / "program.py").write_text(program)
    workshop.procfile("a: exec python program.py\nb: exec sleep 1000\n")
    return workshop.start("--tty")


def test_pdb_works_over_attach(workshop):
    running = started(workshop, DEBUGGED)
    running.wait_for(r"\(Pdb\) ")
    seat = Seat(workshop, "attach", "a.1")
    seat.wait_for(r"Attached to a\.1; ctrl-\] detaches")
    seat.wait_for(r"\(Pdb\) ")  # what was on the dyno's screen already
    seat.type("p x + 1000\r")
    seat.wait_for("1041")
    seat.type("c\r")
    seat.wait_for("after 42")
    seat.type("\x1d")
    assert seat.leave() == 0
    assert b"Detached from a.1" in seat.seen
    running.wait_for("after 42")  # the log has it too
    assert workshop.call("ps", "a.1", "--json").stdout.count('"state": "up"') == 1
    running.finish(signal.SIGTERM)


def test_ctrl_c_goes_to_the_dyno_and_its_end_ends_the_attachment(workshop):
    running = started(
        workshop,
        "import signal, sys\nsignal.signal(signal.SIGINT, lambda *_: sys.exit('interrupted'))\n"
        "print('ready', flush=True)\nsignal.pause()\n",
    )
    running.wait_for("ready")
    seat = Seat(workshop, "attach", "a.1")
    seat.wait_for("ready")
    seat.type("\x03")
    seat.wait_for("interrupted")
    assert seat.leave() == 1
    assert b"a.1 has ended" in seat.seen
    running.wait_for("Process exited with status 1")
    running.finish(signal.SIGTERM)


def test_the_dyno_takes_the_size_of_who_attaches(workshop):
    with open(f"{workshop.env['CHILDREN']}/window.py") as program:
        running = started(workshop, program.read())
    running.wait_for("ready")
    seat = Seat(workshop, "attach", "a.1")
    seat.wait_for("size 30 90")
    set_size(seat.master, 44, 55)
    os.kill(seat.process.pid, signal.SIGWINCH)
    seat.wait_for("size 44 55")
    seat.type("\x1d")
    assert seat.leave() == 0
    running.finish(signal.SIGTERM)


def test_a_terminal_without_a_size_attaches_too(workshop):
    """Such as a script's, which types."""
    with open(f"{workshop.env['CHILDREN']}/window.py") as program:
        running = started(workshop, program.read())
    running.wait_for("ready")
    seat = Seat(workshop, "attach", "a.1", rows=0, columns=0)
    seat.wait_for("Attached to a.1")
    seat.wait_for("ready")
    seat.type("\x1d")
    assert seat.leave() == 0
    running.finish(signal.SIGTERM)


def test_a_dyno_without_a_terminal_cannot_be_attached_to(workshop):
    workshop.procfile("a: echo ready; exec sleep 1000\n")
    running = workshop.start()
    running.wait_for(r"\| ready")
    done = workshop.call("attach", "a.1")
    assert done.returncode == 1
    assert "cannot attach to a.1: it runs without a terminal\n  hint: start the formation with procman start --tty" in (
        done.stderr
    )
    running.finish(signal.SIGTERM)
