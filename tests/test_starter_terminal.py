"""A one-off dyno at a terminal: its shell has job control, Ctrl-C reaches programs only, a hang-up ends all."""

import os
import select
import signal

from procman.supervisor.proctable import snapshot
from procman.supervisor.slug_copy import make_folder
from procman.supervisor.starter import Place, dyno_env, launch
from procman.supervisor.terminal import open_pty
from tests.isolated import DEADLINE_S, MOUNT, Dyno, Ground, make_ground, wait_until  # noqa: F401 - a fixture
from tests.proc import children, name


class Seat(Dyno):
    """A dyno whose controlling terminal is ours to type at."""

    def __init__(self, ground: Ground, command: str) -> None:
        folder = make_folder(ground.dynos, "run.1234.0.1")
        env = {**dyno_env({"PS1": "", "TERM": "dumb"}, "run.1234", 5000, MOUNT), "HISTFILE": ""}
        chain = launch(ground.isolation, Place(folder, ground.slug, MOUNT), command, env)
        self.said, slave, path = open_pty(24, 80)
        self.stdin = os.dup(self.said)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, path, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ]
        self.pid = os.posix_spawn(chain.argv[0], chain.argv, chain.env, file_actions=actions, setsid=True)
        os.close(slave)
        self.output = b""

    def status(self) -> int:
        """Read the terminal until the root has ended; what it left behind may still hold that open."""
        root = os.pidfd_open(self.pid)
        while ready := select.select([self.said, root], [], [], DEADLINE_S)[0]:
            if self.said not in ready:
                break
            try:
                self.output += os.read(self.said, 65_536)
            except OSError:  # EIO: nobody has the terminal open any more
                break
        assert select.select([root], [], [], DEADLINE_S)[0], f"it goes on: {self.output!r}"
        for fd in (root, self.stdin, self.said):
            os.close(fd)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return code if code >= 0 else 128 - code


def test_a_shell_at_a_terminal_has_job_control_and_its_status_is_the_dynos(ground: Ground):
    def deed():
        seat = Seat(ground, "bash --norc")
        seat.tell("stty size; echo flags=$-")
        flags = seat.wait_for("^flags=(\\w+)")[1].decode()
        seat.tell("sleep 1000 & sleep 1000; echo not ''reached")
        wait_until(lambda: foreground(seat) == "sleep")
        os.write(seat.stdin, b"\x03")
        wait_until(lambda: foreground(seat) == "bash")
        seat.tell("jobs; exit 7")
        status = seat.status()
        return flags, status, seat.output.decode()

    ground.require()
    flags, status, output = ground.as_user(deed)
    assert "i" in flags and "m" in flags
    assert "24 80" in output
    assert "not reached" not in output
    assert "Running" in output
    assert status == 7


def foreground(seat: Seat) -> str:
    """The program that has the terminal."""
    return name(os.tcgetpgrp(seat.said))


def test_ctrl_c_at_a_program_that_catches_it_leaves_the_dyno_alone(ground: Ground):
    def deed():
        seat = Seat(ground, "sh -c 'trap \"echo caught\" INT; echo ready; read a || read a; exit 4'")
        seat.wait_for("^ready")
        os.write(seat.stdin, b"\x03")
        seat.wait_for("caught")
        seat.tell("")
        return seat.status()

    ground.require()
    assert ground.as_user(deed) == 4


def test_ctrl_c_at_a_program_that_does_not_catch_it_ends_the_dyno_with_130(ground: Ground):
    def deed():
        seat = Seat(ground, "sh -c 'echo ready; exec sleep 1000'; echo not reached")
        seat.wait_for("^ready")
        wait_until(lambda: "sleep" in below(seat))
        os.write(seat.stdin, b"\x03")
        status = seat.status()
        return status, "not reached" in seat.output.decode()

    ground.require()
    assert ground.as_user(deed) == [130, False]


def below(seat: Seat) -> list[str]:
    """Programs that the dyno's shell has started."""
    return [name(pid) for pid in children(seat.pid)]


def hang_up(seat: Seat) -> None:
    """SIGHUP to every process, as the supervisor does: a shell with job control has left the dyno's group."""
    for process in snapshot().family([seat.pid]):
        os.kill(process.pid, signal.SIGHUP)


def test_a_program_that_ignores_the_hang_up_keeps_the_dyno(ground: Ground):
    """So that there is something to say R16 about."""

    def deed():
        seat = Seat(ground, "sh -c 'trap \"\" HUP; echo ready; read a; exit 5'; echo no")
        seat.wait_for("^ready")
        for _ in range(3):
            hang_up(seat)
        alive = os.waitid(os.P_PID, seat.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        seat.tell("")
        return alive, seat.status()

    ground.require()
    assert ground.as_user(deed) == [True, 5]


def test_a_hang_up_ends_a_shell_and_so_the_dyno(ground: Ground):
    def deed():
        seat = Seat(ground, "bash --norc")
        seat.tell("echo re''ady")
        seat.wait_for("^ready")
        hang_up(seat)
        return seat.status()

    ground.require()
    assert ground.as_user(deed) == 129
