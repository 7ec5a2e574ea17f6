"""An answer with `--wait` comes when it is true, cannot become true any more, or at the time limit."""

import signal
import sys

from tests.formations import SLEEP, begin, listening, states


def test_wait_means_up_and_crashing_is_not(workshop, port):
    listening(workshop)
    web = f"test -e broken && exit 4; exec {sys.executable} web.py"
    running = begin(workshop, f"web: {web}\nworker: test $DYNO = worker.1 || exit 5; {SLEEP}\n", "-p", str(port))
    assert workshop.call("scale", "web=2", "--wait").returncode == 0
    assert states(workshop)["web.2"] == "up"
    (workshop.directory / "broken").touch()
    crashed = workshop.call("scale", "web=3", "--wait")
    assert crashed.returncode == 1
    assert "web.3 did not stay up: exited with status 4" in crashed.stderr
    assert "procman explain web.3" in crashed.stderr
    crashed = workshop.call("restart", "web.1", "--wait")
    assert (crashed.returncode, "web.1 did not stay up: exited with status 4" in crashed.stderr) == (1, True)
    # Types that bind no port are up at once; to be told that they stayed so for a moment is what waiting is for.
    crashed = workshop.call("scale", "worker=2", "--wait")
    assert (crashed.returncode, "worker.2 did not stay up: exited with status 5" in crashed.stderr) == (1, True)
    assert workshop.call("restart", "worker.1", "--wait").returncode == 0
    running.finish(signal.SIGTERM)
