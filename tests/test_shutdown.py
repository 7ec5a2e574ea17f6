"""`procman shutdown`: when it returns, it is over."""

import signal


def test_shutdown_returns_when_everything_has_gone(workshop):
    workshop.procfile("a: python $CHILDREN/stubborn.py & exec python $CHILDREN/stubborn.py\n")
    running = workshop.start("-t", "0.2")
    running.wait_for("ready")
    done = workshop.call("shutdown")
    assert done.returncode == 0
    assert done.stdout.endswith(" is down\n")
    assert workshop.processes() == []
    assert running.finish() == 0
    again = workshop.start("-t", "0.2")  # the lock is free at once
    again.wait_for("ready")
    assert again.finish(signal.SIGINT) == 130
