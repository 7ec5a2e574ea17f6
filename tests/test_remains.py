"""No byte that a dyno wrote is lost, at whichever instruction its supervisor is killed, and whoever ends with it."""

import array
import fcntl
import os
import select
import signal
import termios
from functools import partial

import pytest

from procman.cli.detach import launch
from procman.core.model import DynoName
from procman.logs.formats import NoFormat, Source
from procman.logs.output import Output
from procman.logs.sink import Sink
from procman.logs.store import LogStore
from procman.supervisor.ends import open_fifo
from procman.supervisor.home import Home
from procman.supervisor.loop import Loop
from procman.supervisor.owed import Witness
from procman.supervisor.pump import Pump
from procman.supervisor.remains import Remains
from tests.harness import DEADLINE_S
from tests.served import Served, kind
from tests.test_adoption import end_and_wait, kill
from tests.test_holder import in_pipe
from tests.test_never_twice import home_in
from tests.test_outliving import detach, log, pids
from tests.test_outliving import kill as kill_pid

COUNT = "exec $PY -u $CHILDREN/count.py"
WORKER = DynoName("worker", 1)


@pytest.fixture
def served(workshop):
    return Served(workshop)


def wait_for_bytes(path: str, size: int) -> None:
    """Until a log pipe that nobody reads holds so much, without holding it for longer."""
    fd = open_fifo(path)
    while waiting_in(fd) < size:
        assert select.select([fd], [], [], DEADLINE_S)[0]
    os.close(fd)


def waiting_in(fd: int) -> int:
    """Bytes in a pipe."""
    found = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, found)
    return found[0]


def test_what_a_dyno_wrote_of_which_no_books_tell_is_in_the_log(served):
    """As when its supervisor was killed as soon as it had made it; and the dyno ends before the next one comes."""
    served.plan(1, types={"worker": kind(COUNT)})
    running = served.start()
    served.wait_for_log(r"app\[worker.1\]: 10$")
    pid = served.rows()["worker.1", 1]["pid"]
    kill(running)
    (served.home / "ledger.json").unlink()
    os.kill(pid, signal.SIGUSR1)
    wait_for_bytes(f"{served.home}/pipes/worker.1@1.1.out", len("11\n") * 10)
    end_and_wait(pid)
    running = served.start()
    served.wait_for_log(r"app\[worker.1\]: 10$(?s:.*)app\[worker.1\]: 10$")
    numbers = [int(line) for line in served.lines("worker.1", "app")]
    assert numbers == [*range(1, 21), *range(1, 11)]
    assert served.end(running) == 0
    assert not list((served.home / "pipes").iterdir())


def test_a_start_in_the_terminal_reads_them_too(workshop):
    workshop.procfile('worker: trap "echo last words; exit" USR1; echo ready; while :; do sleep 0.05; done\n')
    supervisor = detach(workshop, "--wait")
    home = home_in(workshop)
    pid = pids(workshop)["worker.1"]
    kill_pid(supervisor)
    os.unlink(home.ledger)
    os.kill(pid, signal.SIGUSR1)
    wait_for_bytes(f"{home.pipes}/worker.1.1.out", len("last words\n"))
    running = workshop.start()
    running.wait_for(r"worker\.1 +\| ready")
    assert "app[worker.1]: last words" in log(workshop)
    assert running.finish(signal.SIGTERM) == 143
    assert os.listdir(home.pipes) == []


@pytest.fixture
def home(tmp_path):
    home = Home(str(tmp_path / "apps"), "app")
    home.take()
    os.mkdir(home.pipes)
    yield home
    home.leave()


def fill(home: Home, name: str, text: bytes) -> int:
    """A log pipe with words in it; somebody who has it open."""
    os.mkfifo(f"{home.pipes}/{name}")
    fd = os.open(f"{home.pipes}/{name}", os.O_RDWR)
    os.write(fd, text)
    return fd


def lines(home: Home) -> list[str]:
    """Of the log, without their times."""
    with open(f"{home.log}/log.000001") as file:
        return [line.partition(" ")[2] for line in file.read().splitlines()]


def test_remains_are_told_under_their_names_and_go_but_for_what_is_kept(home):
    held = [
        fill(home, "worker.1.7.out", b"one\ntwo\nbegun"),
        fill(home, "worker.1.7.err", b"trouble\n"),
        fill(home, "my.type.2@5.1.out", b"three\n"),
        fill(home, "kept.1.1.out", b"not ours\n"),
    ]
    for name in ("worker.1.7.out.exit", "nonsense.out", "nonsense"):
        with open(f"{home.pipes}/{name}", "w"):
            pass
    Remains(home, [f"{home.pipes}/kept.1.1.out"]).tell()
    assert sorted(lines(home)) == [
        "app[my.type.2]: three",
        "app[worker.1]: begun",
        "app[worker.1]: one",
        "app[worker.1]: trouble",
        "app[worker.1]: two",
    ]
    assert sorted(os.listdir(home.pipes)) == ["kept.1.1.out", "nonsense", "nonsense.out"]
    assert in_pipe(f"{home.pipes}/kept.1.1.out") == b"not ours\n"
    for fd in held:
        os.close(fd)


def test_remains_whose_teller_was_killed_are_told_on_by_the_next(home):
    """He had written the first line, and no more."""
    held = fill(home, "worker.1.1.out", b"one\ntwo\n")
    store = LogStore(home.log)
    witness = Witness(home.log, store.place, lambda: False)
    owed = witness.owed(f"{home.pipes}/worker.1.1.out")
    owed.begin(b"one\ntwo\n", store.place())
    store.append(Source(WORKER, "app"), b"one\n", 0.0)
    for each in (owed, witness, store):
        each.close()
    Remains(home, ()).tell()
    assert lines(home) == ["app[worker.1]: one", "app[worker.1]: two"]
    os.close(held)


class Stalling:
    """A store whose disk stands still, or not."""

    def __init__(self):
        self.kept = b""
        self.waits = True

    def append(self, source, data, wall):
        self.kept += data

    def lend(self, work):
        work()
        return True

    def settle(self):
        """It has been waited for long enough."""


def test_last_words_that_a_disk_keeps_waiting_stay_in_their_pipe_until_they_are_written(tmp_path):
    """A chunk waits for the disk, and a neighbour's; more comes behind it; the dyno ends, and then the disk writes."""
    path, store, loop, gone = str(tmp_path / "worker.1.1.out"), Stalling(), Loop(), []
    beside = str(tmp_path / "worker.2.1.out")
    for each in (path, beside):
        os.mkfifo(each)
    dyno, neighbour = (os.open(each, os.O_RDWR) for each in (path, beside))
    output = Output(NoFormat(), Sink(os.open(os.devnull, os.O_WRONLY)), store=store)
    witness = Witness(str(tmp_path), lambda: (1, 0), lambda: store.waits)
    pump = Pump(loop, output, lambda: None, witness)
    streams = pump.add(WORKER, [(open_fifo(path), "stdout")])
    pump.be_careful(streams, [path], fresh=True)
    pump.be_careful(pump.add(DynoName("worker", 2), [(open_fifo(beside), "stdout")]), [beside], fresh=True)
    os.write(dyno, b"one\n")
    loop.turn()
    assert (store.kept, pump.owes()) == (b"one\n", True)
    os.write(neighbour, b"beside\n")
    loop.turn()
    os.write(dyno, b"two\nbegun")
    pump.drain(streams)
    pump.drain(streams, lambda: gone.append(path))
    assert (store.kept, gone) == (b"one\nbeside\ntwo\nbegun\n", [])
    assert (waiting_in(dyno), waiting_in(neighbour)) == (len("one\ntwo\nbegun"), len("beside\n"))
    store.waits = False
    pump.flush()
    assert (waiting_in(dyno), waiting_in(neighbour), gone, pump.owes()) == (0, 0, [path], False)
    assert store.kept == b"one\nbeside\ntwo\nbegun\n"
    os.close(dyno)
    os.close(neighbour)
    witness.close()
    loop.close()


def test_a_formation_whose_starter_was_killed_goes_on(tmp_path):
    """Killed by the supervisor itself, as it were, just before that one says that it is ready."""
    home = Home(str(tmp_path / "apps"), "app")
    home.take()
    words = str(tmp_path / "words")
    os.mkfifo(words)
    starter = os.fork()
    if not starter:
        launch(home, partial(kill_starter_and_say, words))
        os._exit(0)
    with open(words) as file:
        assert file.read() == "went on"
    assert os.waitpid(starter, 0)[1] == signal.SIGKILL
    home.leave()


def kill_starter_and_say(words: str, say) -> int:
    handle = os.pidfd_open(os.getppid())
    os.kill(os.getppid(), signal.SIGKILL)
    select.select([handle], [], [])
    say("ready")
    with open(words, "w") as file:
        file.write("went on")
    return 0
