"""What systemd hears from a real `procman start`; a datagram socket of ours stands in for it."""

import signal
import socket
import struct
import tempfile
from collections.abc import Iterator

import pytest

from procman.supervisor.loop import FOREVER, Loop
from procman.supervisor.notify import Notifier, address_of, interval
from tests.harness import DEADLINE_S

CREDENTIALS = struct.calcsize("3i")


class Manager:
    """systemd's end of the socket: what came, and who sent it."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.settimeout(DEADLINE_S)
        self.env = {"NOTIFY_SOCKET": address}

    def hear(self) -> tuple[dict[str, str], int]:
        """The next datagram's assignments, and the pid it came from."""
        data, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS))
        (pid, _, _) = struct.unpack("3i", ancillary[0][2])
        return dict(line.split("=", 1) for line in data.decode().split("\n")), pid

    def is_silent(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(DEADLINE_S)
        return False


@pytest.fixture(params=["path", "abstract"])
def manager(request) -> Iterator[Manager]:
    with tempfile.TemporaryDirectory() as directory:  # tmp_path is too long for an address
        address = f"@{directory}/notify" if request.param == "abstract" else f"{directory}/notify"
        made = Manager(address)
        yield made
        made.socket.close()


def test_ready_when_started_and_answering_then_status_then_stopping(workshop, manager):
    workshop.procfile("web: exec sleep 1000\nworker: exec sleep 1000\n")
    running = workshop.start("-m", "web=2", env=manager.env)
    said, pid = manager.hear()
    assert said == {"READY": "1", "STATUS": "Formation: web=2 worker=1"}
    assert pid == running.pid  # NotifyAccess=main
    answer = workshop.call("ps", "--json")
    assert answer.stdout.count('"pid": null') == 0
    assert workshop.call("scale", "worker=3").returncode == 0
    assert manager.hear()[0] == {"STATUS": "Formation: web=2 worker=3"}
    assert running.finish(signal.SIGTERM) == 143
    assert manager.hear() == ({"STOPPING": "1", "STATUS": "Stopping: SIGTERM received"}, pid)
    assert manager.is_silent()


def test_dynos_do_not_see_what_is_said_to_us(workshop, manager):
    workshop.procfile("worker: env | grep -cE '^(NOTIFY|WATCHDOG)'; exec sleep 1000\n")
    running = workshop.start(env={**manager.env, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"})
    running.wait_for(r"\| 0$")
    running.finish(signal.SIGTERM)


def test_signs_of_life_for_the_watchdog(workshop, manager):
    workshop.procfile("worker: exec sleep 1000\n")
    running = workshop.start(env={**manager.env, "WATCHDOG_USEC": "100000"})
    assert "READY" in manager.hear()[0]
    assert [manager.hear() for _ in range(3)] == [({"WATCHDOG": "1"}, running.pid)] * 3
    running.finish(signal.SIGTERM)


def test_no_sign_of_life_when_the_watchdog_is_another_process_s(workshop, manager):
    workshop.procfile("worker: exec sleep 1000\n")
    running = workshop.start(env={**manager.env, "WATCHDOG_USEC": "2", "WATCHDOG_PID": "1"})
    assert "READY" in manager.hear()[0]
    running.finish(signal.SIGTERM)
    assert "STOPPING" in manager.hear()[0]


@pytest.mark.parametrize("address", ["/nowhere/notify", "vsock:2:1", "relative", "@", f"/{'x' * 200}", ""])
def test_a_manager_that_cannot_be_told_does_no_harm(workshop, address):
    workshop.procfile("worker: echo up; exec sleep 1000\n")
    running = workshop.start(env={"NOTIFY_SOCKET": address})
    running.wait_for("up")
    assert workshop.call("ps").returncode == 0
    assert running.finish(signal.SIGTERM) == 143


def test_what_a_full_queue_did_not_take_is_told_later_and_in_order():
    loop = Loop()
    with tempfile.TemporaryDirectory() as directory:
        manager = Manager(f"{directory}/notify")
        notifier = Notifier(address_of(f"{directory}/notify"), loop)
        count = 0
        while not notifier._unsent:
            notifier.send(f"STATUS={count}")
            count += 1
        notifier.send("READY=1")
        (deadline, due), *_ = loop._deadlines
        assert loop.now() < deadline() < loop.now() + 2
        heard = [manager.hear()[0] for _ in range(count - 1)]
        due(loop.now())
        heard += [manager.hear()[0] for _ in range(2)]
        assert heard == [*({"STATUS": str(number)} for number in range(count)), {"READY": "1"}]
        assert deadline() == FOREVER  # nothing to do: no wake-up
        manager.socket.close()
        notifier._socket.close()
    loop.close()


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("60000000", "", 30.0),
        ("60000000", "42", 30.0),
        ("60000000", "43", FOREVER),
        ("60000000", "x", FOREVER),
        ("0", "", FOREVER),
        ("", "42", FOREVER),
        ("-5", "", FOREVER),
        ("²", "", FOREVER),
        ("1s", "", FOREVER),
    ],
)
def test_half_of_what_the_watchdog_grants(usec, pid, seconds):
    assert interval({"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}, 42) == seconds


def test_no_watchdog_no_deadline():
    loop = Loop()
    notifier = Notifier(address_of("/nowhere"), loop)
    assert [deadline() for deadline, _ in loop._deadlines] == [FOREVER]
    notifier._socket.close()
    loop.close()
