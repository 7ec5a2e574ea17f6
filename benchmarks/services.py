"""The managers under test that have files of their own instead of a Procfile."""

import json
import platform
import signal
from pathlib import Path

from benchmarks.apps import App
from benchmarks.peers import Manager, Places, debian_version, npm_version, version_of

SUPERVISORD = """\
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={root}/supervisord.pid
minfds=4096
[unix_http_server]
file={root}/supervisord.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{root}/supervisord.sock
[program:worker]
command={root}/dyno
numprocs={count}
process_name=%(process_num)d
autorestart={restart}
startsecs=0
redirect_stderr=true
stdout_logfile=NONE
"""
CIRCUS = """\
[circus]
endpoint=ipc://{root}/circus.endpoint
pubsub_endpoint=ipc://{root}/circus.events
[watcher:worker]
cmd={root}/dyno
numprocesses={count}
respawn={restart}
copy_env=true
"""
SOME = 100  # dynos of managers that are not made for more


def own_ways(places: Places) -> list[Manager]:
    """All of them; the absent ones too, to be reported."""
    return [*from_pypi(places.peers), *from_npm(places.npm), *from_debian()]


def from_pypi(folder: Path) -> list[Manager]:
    """Those in Python: supervisord and circus."""
    supervisord, circusd = folder / "supervisord", folder / "circusd"

    def configured(program: Path, name: str, text: str, app: App) -> list[str]:
        filled = text.format(root=app.root, count=app.count, restart=str(app.restart).lower())
        return [str(program), *(["-c"] if program == supervisord else []), app.put(name, filled)]

    return [
        Manager(
            "supervisord",
            version_of(supervisord, "--version"),
            lambda app: configured(supervisord, "supervisord.conf", SUPERVISORD, app),
            restarts=True,
            ask=lambda app: [str(folder / "supervisorctl"), "-c", f"{app.root}/supervisord.conf", "status"],
        ),
        Manager(
            "circus",
            version_of(circusd, "--version"),
            lambda app: configured(circusd, "circus.ini", CIRCUS, app),
            restarts=True,
            ask=lambda app: [str(folder / "circusctl"), "--endpoint", f"ipc://{app.root}/circus.endpoint", "status"],
        ),
    ]


def from_npm(modules: Path) -> list[Manager]:
    """From Node's world: concurrently, pm2, forever and mprocs."""
    programs = modules / ".bin"
    mprocs = next(modules.glob(f"mprocs/mprocs-*-linux-{platform.machine()}-musl/mprocs"), modules / "none")

    def concurrently(app: App) -> list[str]:
        names = ",".join(f"worker.{number}" for number in range(1, app.count + 1))
        return [str(programs / "concurrently"), "--names", names, *[str(app.dyno)] * app.count]

    def pm2(app: App) -> list[str]:
        dynos = {"name": "worker", "script": str(app.dyno), "interpreter": "none", "instances": app.count}
        policy = {"autorestart": app.restart, "max_restarts": 1_000_000, "min_uptime": 0, "vizion": False}
        ecosystem = {"apps": [{**dynos, **policy, "exec_mode": "fork"}]}
        return [str(programs / "pm2-runtime"), "start", app.put("ecosystem.json", json.dumps(ecosystem))]

    def forever(app: App) -> list[str]:
        one = f"{programs}/forever -c /bin/sh --minUptime 1 --spinSleepTime 1 {app.dyno}"
        return one.split() if app.count == 1 else ["/bin/sh", "-c", " & ".join([one] * app.count) + " & wait"]

    def mprocs_argv(app: App) -> list[str]:
        dynos = {f"worker.{number}": {"cmd": [str(app.dyno)]} for number in range(1, app.count + 1)}
        return [str(mprocs), "--config", app.put("mprocs.json", json.dumps({"procs": dynos}))]

    asked = [str(programs / "pm2"), "ls"]
    return [
        Manager("concurrently", npm_version(modules, "concurrently"), concurrently, prefixes=True),
        Manager("pm2", npm_version(modules, "pm2"), pm2, restarts=True, most=SOME, ask=lambda _: asked),
        # forever: a program for each dyno, and several that start at once get in each other's way
        Manager("forever", npm_version(modules, "forever"), forever, restarts=True, most=1),
        Manager("mprocs", version_of(mprocs, "--version"), mprocs_argv, terminal=True, most=SOME),
    ]


def from_debian() -> list[Manager]:
    """s6 and runit: a small process for each dyno. Neither can be told not to restart."""

    def runit_status(app: App) -> list[str]:
        return ["sv", "status", *(str(path) for path in (app.root / "services").iterdir())]

    return [
        Manager(
            "s6",
            debian_version("s6"),
            lambda app: ["s6-svscan", "-t0", "-c1000", app.services()],
            restarts=True,
            ask=lambda app: ["s6-svstat", f"{app.root}/services/worker0"],
        ),
        Manager(
            "runit",
            debian_version("runit"),
            lambda app: ["runsvdir", app.services()],
            restarts=True,
            stop=signal.SIGHUP,
            ask=runit_status,
        ),
    ]
