"""Many commands at the same time: each gets an answer that is true."""

import os
import random
import select
import threading

from procman.control.client import Client
from tests.formations import SLEEP, App
from tests.harness import DEADLINE_S
from tests.proc import environment


def test_concurrent_commands_on_one_dyno_are_each_answered_truly(workshop):
    """Afterwards there is exactly one instance, and it is what the last wish says."""
    app = App(workshop, f"worker: {SLEEP}\n", "--restart", "always")
    answers: list[tuple[str, dict]] = []
    commands = {
        "restart": {"dynos": ["worker.1"]},
        "stop": {"dynos": ["worker.1"]},
        "start": {"dynos": ["worker"]},
        "scale": {"formation": {"worker": "1"}},
        "kill": {"dynos": ["worker"], "signal": 9},
    }

    def pester(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(12):
            verb = choose.choice(list(commands))
            answers.append((verb, app.call(verb, **commands[verb])))

    threads = [threading.Thread(target=pester, args=(seed,)) for seed in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(answers) == 120
    for verb, answer in answers:
        if not answer["ok"]:
            assert answer["error"] in {
                "restart": ["worker.1 was stopped meanwhile", "worker.1 did not stay up: killed by SIGKILL"],
                "start": ["worker.1 was stopped meanwhile", "worker.1 did not stay up: killed by SIGKILL"],
                "stop": ["worker.1 was started again meanwhile"],
                "kill": ["cannot signal: none of these dynos runs"],
            }.get(verb, []), (verb, answer)
    assert app.call("stop", dynos=["worker"])["ok"]
    assert app.rows()["worker.1"]["state"] == "down"
    assert instances(workshop) == []
    assert app.call("start", dynos=["worker"], wait=True)["ok"]
    assert instances(workshop) == [app.rows()["worker.1"]["pid"]]
    app.end()


def instances(workshop) -> list[int]:
    """Processes of worker.1, by their environment."""
    return [pid for pid in workshop.processes() if environment(pid).get("DYNO") == "worker.1"]


def test_concurrent_scaling_ends_at_the_last_wish(workshop):
    app = App(workshop, f"worker: {SLEEP}\n")
    answers = []

    def pester(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(8):
            number = str(choose.randint(0, 4))
            answers.append((number, app.call("scale", formation={"worker": number}, wait=False)))

    threads = [threading.Thread(target=pester, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(answers) == 64
    assert {answer["error"].split(" ", 1)[1] for _, answer in answers if not answer["ok"]} <= {
        "was stopped meanwhile",
        "was started again meanwhile",
    }
    assert app.call("scale", formation={"worker": "2"})["formation"] == {"worker": 2}
    assert {name: row["state"] for name, row in app.rows().items()} == {"worker.1": "up", "worker.2": "up"}
    assert len([row["pid"] for row in app.rows().values()]) == len(set(instances(workshop))) + 1
    app.end()


def test_two_restarts_at_once_are_both_true(workshop):
    """The second comes while the first is under way: the same new life serves both."""
    trap = "trap 'read line < gate; exit 0' TERM; sleep 1000 & echo ready; while :; do wait; done"
    os.mkfifo(workshop.directory / "gate")
    app = App(workshop, f"worker: {trap}\n", "-t", "1h")
    with Client(app.path, DEADLINE_S) as first, Client(app.path, DEADLINE_S) as second:
        for client in (first, second):
            client.socket.sendall(b'{"verb":"restart","dynos":["worker"]}\n')
        assert app.rows()["worker.1"]["state"] in ("starting", "up")
        (workshop.directory / "gate").write_text("go\n")
        for client in (first, second):
            assert client.socket.recv(4096) == b'{"ok":true,"dynos":["worker.1"]}\n'
    assert app.rows()["worker.1"]["run"] == 2
    app.hurry()


def test_an_answer_waits_until_it_is_true_and_a_change_of_mind_is_told(workshop):
    trap = "trap 'read line < gate.$DYNO; exit 0' TERM; sleep 1000 & echo ready; while :; do wait; done"
    gates = [workshop.directory / f"gate.worker.{number}" for number in (1, 2)]
    for gate in gates:
        os.mkfifo(gate)
    app = App(workshop, f"worker: {trap}\n", "-m", "worker=2", "-t", "1h", dynos=2)
    with (
        Client(app.path, DEADLINE_S) as stopping,
        Client(app.path, DEADLINE_S) as scaling,
        Client(app.path, DEADLINE_S) as leaving,
    ):
        stopping.socket.sendall(b'{"verb":"stop","dynos":["worker.1"]}\n')
        scaling.socket.sendall(b'{"verb":"scale","formation":{"worker":"1"}}\n')
        leaving.socket.sendall(b'{"verb":"stop","dynos":["worker.1"]}\n')
        assert [row["state"] for row in app.rows().values()] == ["down", "down"]
        leaving.close()  # it does not wait any longer; the order stands
        assert not select.select([stopping.socket, scaling.socket], [], [], 0)[0]
        refusal = app.call("restart", dynos=["worker.2"])
        assert "cannot find worker.2" in refusal["error"]  # it is being scaled away, and no order brings it back
        with Client(app.path, DEADLINE_S) as starting:
            starting.socket.sendall(b'{"verb":"start","dynos":["worker"]}\n')
            assert b"worker.1 was started again meanwhile" in stopping.socket.recv(4096)
            app.call("ps")
            for gate in gates:
                gate.write_text("go\n")
                app.running.wait_for("Process exited with status 0")
            assert b'"ok":true' in starting.socket.recv(4096)
        assert b'"formation":{"worker":1}' in scaling.socket.recv(4096)
    assert {name: row["state"] for name, row in app.rows().items()} == {"worker.1": "up"}
    app.hurry()


def test_whoever_waits_learns_of_a_shutdown(workshop):
    trap = "trap 'read line < gate; exit 0' TERM; sleep 1000 & echo ready; while :; do wait; done"
    os.mkfifo(workshop.directory / "gate")
    app = App(workshop, f"worker: {trap}\n", "-t", "1h")
    with Client(app.path, DEADLINE_S) as restarting, Client(app.path, DEADLINE_S) as ending:
        restarting.socket.sendall(b'{"verb":"restart"}\n')
        app.running.wait_for("Stopping all processes")
        ending.socket.sendall(b'{"verb":"shutdown"}\n')
        assert b"the formation was shut down meanwhile" in restarting.socket.recv(4096)
        assert "shut down" in app.call("scale", formation={"worker": "3"})["error"]
        (workshop.directory / "gate").write_text("go\n")
        assert ending.socket.recv(4096) == b""
    assert app.running.finish() == 0
