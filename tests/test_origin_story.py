"""The story that `procman forever` comes from: a Node app behind `npm run production`."""

import contextlib
import os
import signal
import socket

import pytest

from tests.forever import SERVER, can_bind, fetch, npm


@pytest.fixture
def shop(workshop):
    """package.json, Procfile and app.js of the book."""
    files = {
        "package.json": '{"name": "shop", "version": "1.0.0", "scripts": {"production": "procman forever app.js"}}\n',
        "Procfile": "web: npm run production\n",
        "app.js": (
            'const fs = require("fs");\n'
            'fs.appendFileSync("lives", ".");\n'
            'const life = fs.readFileSync("lives").length;\n'
            "console.log(`life ${life}`);\n"
            'if (life <= 2) { console.error("no database"); process.exit(1); }\n' + SERVER
        ),
    }
    for name, text in files.items():
        (workshop.directory / name).write_text(text)
    workshop.env |= {"npm_config_update_notifier": "false", "npm_config_loglevel": "error"}
    return workshop


@npm
def test_the_origin_story(shop):
    port = int(shop.env["PORT"])
    running = shop.start()
    running.wait_for("life 1")
    with socket.socket() as occupant:
        occupant.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        occupant.bind(("0.0.0.0", port))
        occupant.listen()
        running.wait_for("life 2")
        running.wait_for("EADDRINUSE")
    for _ in range(2):  # the one may be seen before the other
        running.wait_for(rf"web\.1 +(\| listening on {port}|\* State changed from starting to up)")
    assert fetch(port).startswith("pid ")
    assert running.finish(signal.SIGTERM) == 143
    assert "closing" in running.lines("web.1"), running.text()
    assert running.system("web.1").count("Process exited with status 143") == 1
    assert not any("R12" in line for line in running.system("web.1"))
    assert shop.processes() == []
    assert can_bind(port)


@npm
def test_a_crash_of_the_serving_app_is_repaired(shop):
    (shop.directory / "lives").write_text("...")
    port = int(shop.env["PORT"])
    running = shop.start()
    for _ in range(3):  # in a row, each within a second
        running.wait_for(f"listening on {port}")
        os.kill(int(fetch(port).split()[1]), signal.SIGKILL)
    running.wait_for(f"listening on {port}")
    assert fetch(port)
    assert "Process exited" not in "".join(running.system("web.1"))
    running.finish(signal.SIGTERM)
    assert can_bind(port)


@npm
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_npm_alone_is_signalled(shop, signum):
    (shop.directory / "lives").write_text("...")
    port = int(shop.env["PORT"])
    running = shop.procman("run", "production", program=("npm",))
    running.wait_for(f"listening on {port}")
    running.finish(signum)
    assert "closing" in running.text()
    assert shop.wait_until_gone() == []
    assert can_bind(port)


@npm
def test_procman_at_the_top_is_killed(shop):
    (shop.directory / "lives").write_text("...")
    running = shop.start()
    running.wait_for("listening on")
    running.finish(signal.SIGKILL)
    assert shop.wait_until_gone() == []
    assert can_bind(int(shop.env["PORT"]))


@npm
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_whole_formation_behind_npm_ends_with_it_too(shop, signum):
    (shop.directory / "package.json").write_text('{"name": "shop", "scripts": {"start": "procman start"}}\n')
    shop.procfile("a: echo ready; exec sleep 1000\n")
    running = shop.procman("run", "start", program=("npm",))
    running.wait_for(r"\| ready")
    running.finish(signum)
    assert "start: npm has gone; stopping a.1" in running.text()
    assert shop.wait_until_gone() == []


@npm
def test_every_link_of_the_chain_is_signalled_at_the_same_moment(shop):
    """As Heroku stops a dyno."""
    (shop.directory / "lives").write_text("...")
    running = shop.procman("run", "production", program=("npm",))
    running.wait_for("listening on")
    links = shop.processes()
    assert len(links) >= 4  # npm, procman, its lifeline, node; and sh, where it does not exec
    for signum in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):  # stopped, none hears of it before the others
        for pid in links:
            with contextlib.suppress(ProcessLookupError):  # once they go on, one may end another
                os.kill(pid, signum)
    running.finish()
    assert "closing" in running.text().splitlines(), running.text()
    assert shop.wait_until_gone() == []
    assert can_bind(int(shop.env["PORT"]))


@npm
def test_two_web_dynos_of_the_same_script(shop):
    (shop.directory / "lives").write_text("...")
    running = shop.start("web=2")
    ports = {int(running.wait_for(r"listening on (\d+)")[1]) for _ in range(2)}
    assert len(ports) == 2
    running.finish(signal.SIGTERM)
    assert shop.processes() == []
