"""`start --watch`: a real watcher over real files."""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from procman.formats.watch_rules import parse
from procman.supervisor import watch
from procman.supervisor.loop import Loop
from procman.supervisor.watch import Watch
from tests.harness import DEADLINE_S
from tests.test_watch_rules import make_files


class Watched:
    """A Watch on a real loop; every turn has a deadline."""

    def __init__(self, root: Path, *texts: str):
        self.root = root
        self.calls: list[tuple[tuple[str, ...] | None, str, int]] = []
        self.said: list[str] = []
        self.loop = Loop()
        self.ends_at = float("inf")
        self.loop.on_deadline(lambda: self.ends_at, self._too_late)
        rules = parse(texts or [""])
        self.watch = Watch(self.loop, str(root), rules, lambda *call: self.calls.append(call), self.said.append)
        self.watch.start()
        self.pid = self.watch.pid
        self.pids = [self.pid]

    def _too_late(self, now):
        raise AssertionError(f"nothing came; said {self.said}, called {self.calls}")

    def until(self, condition):
        self.ends_at = time.monotonic() + DEADLINE_S
        while not condition():
            self.loop.turn()
        self.ends_at = float("inf")

    def until_said(self, text: str) -> str:
        self.until(lambda: any(text in line for line in self.said))
        return next(line for line in self.said if text in line)

    def next_call(self):
        self.until(lambda: self.calls)
        return self.calls.pop(0)

    def write(self, name: str, text: str = "x") -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def close(self):
        self.watch.close()
        self.loop.close()
        for pid in {*self.pids, self.watch.pid} - {0}:
            wait_for_end(pid)
            os.waitpid(pid, 0)


def wait_for_end(pid: int) -> None:
    handle = os.pidfd_open(pid)
    assert select.select([handle], [], [], DEADLINE_S)[0], f"{pid} lives on"
    os.close(handle)


@pytest.fixture
def watched(tmp_path):
    made = []

    def start(*texts: str, files=()) -> Watched:
        make_files(tmp_path, files)
        for name in files:  # older than any watch
            os.utime(tmp_path / name, (1, 1))
        made.append(Watched(tmp_path, *texts))
        made[0].until_said("Watching for changes in")
        made[0].calls.clear()
        return made[0]

    yield start
    for one in made:
        one.close()


def test_one_call_for_a_burst(watched):
    here = watched()
    for number in range(20):
        here.write(f"m{number:02}.py")
    here.write("m00.py", "again")
    assert here.next_call() == (None, "m00.py", 19)
    here.write("last.py")
    assert here.next_call() == (None, "last.py", 0)


def test_only_the_types_concerned(watched):
    here = watched("web=*.py,templates/**", "worker=jobs/**", files=["jobs/a.sh", "templates/a/b.html", "README"])
    here.write("jobs/a.sh")
    assert here.next_call() == (("worker",), "jobs/a.sh", 0)
    here.write("README")
    here.write("templates/a/b.html")
    assert here.next_call() == (("web",), "templates/a/b.html", 0)
    here.write("jobs/a.sh")
    here.write("app.py")
    assert here.next_call() == (("web", "worker"), "app.py", 1)


def test_ignored_files_cause_nothing(watched, tmp_path):
    (tmp_path / ".gitignore").write_text("*.out\ndist/\n")
    here = watched(files=["dist/x.js", "node_modules/m/x.js", ".git/HEAD", "src/app.py"])
    assert "2 folders" in here.said[0]
    for name in ("a.out", "dist/x.js", "dist/new/y.js", "node_modules/m/x.js", ".git/HEAD", "src/.app.py.swp", "x-wal"):
        here.write(name)
    here.write("src/app.py")
    assert here.next_call() == (None, "src/app.py", 0)


def test_a_change_of_gitignore_is_honoured(watched):
    here = watched(files=["gen/x.py", "z.py"])
    here.write(".gitignore", "gen/\n")
    here.write("z.py")
    assert here.next_call() == (None, "z.py", 0)
    here.write("gen/x.py")
    here.write("z.py", "2")
    assert here.next_call() == (None, "z.py", 0)
    here.write(".gitignore", "")
    here.write("z.py", "3")
    assert here.next_call() == (None, "z.py", 0)
    here.write("gen/x.py", "4")
    assert here.next_call() == (None, "gen/x.py", 0)


def test_a_virtual_environment_made_meanwhile(watched):
    here = watched(files=["app.py"])
    here.write("env/pyvenv.cfg")
    here.write("env/lib/x.py")
    here.write("app.py")
    assert here.next_call() == (None, "app.py", 0)
    here.write("env/lib/y.py")
    here.write("app.py")
    assert here.next_call() == (None, "app.py", 0)


def test_an_editors_rename_over_save(watched):
    here = watched("*.py", files=["app.py"])
    for name in ("4913", ".app.py.swp", "app.py.tmp"):
        here.write(name)
    (here.root / "4913").unlink()
    (here.root / "app.py.tmp").rename(here.root / "app.py")
    assert here.next_call() == (None, "app.py", 0)


def test_new_folders_and_those_that_move(watched, tmp_path):
    here = watched("*.py", files=["app.py"])
    here.write("a/b/c/new.py")
    assert here.next_call() == (None, "a/b/c/new.py", 0)
    here.write("a/b/c/new.py", "again")
    assert here.next_call() == (None, "a/b/c/new.py", 0)
    (tmp_path / "a").rename(tmp_path / "moved")
    assert here.next_call()[1] == "moved/b/c/new.py"
    here.write("moved/b/c/new.py", "again")
    assert here.next_call() == (None, "moved/b/c/new.py", 0)
    shutil.rmtree(tmp_path / "moved")
    assert here.next_call()[1] == "moved/b/c/new.py"


def test_a_name_that_is_not_utf_8_does_not_end_the_watch(watched):
    here = watched("*.py", files=["app.py"])
    with open(os.fsencode(here.root) + b"/bad\xff.txt", "w"):
        pass
    here.write("app.py")
    assert here.next_call() == (None, "app.py", 0)
    here.write("app.py", "again")
    assert here.next_call() == (None, "app.py", 0)


def test_a_module_of_the_app_is_not_mistaken_for_one_of_ours(watched, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    here = watched(files=["pathspec.py", "watchfiles.py", "threading.py"])
    here.write("pathspec.py")
    assert here.next_call() == (None, "pathspec.py", 0)


def switches(pid: int) -> int:
    """How often any thread of a process has gone to sleep, that is, woken up."""
    return sum(
        int(line.split()[1])
        for task in Path(f"/proc/{pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def test_the_watcher_sleeps_when_nothing_happens(watched):
    here = watched(files=["app.py"])
    here.write("app.py")
    here.next_call()
    deadline = time.monotonic() + DEADLINE_S
    while True:  # the last news may still keep it awake; from then on not one wake-up in a second
        before = switches(here.pid)
        select.select([here.watch._reader], [], [], 1.0)
        if switches(here.pid) == before:
            break
        assert time.monotonic() < deadline, "it never sleeps"


def test_a_killed_watcher_is_started_again_and_a_short_lived_one_is_not(watched, monkeypatch):
    here = watched(files=["app.py"])
    monkeypatch.setattr(watch, "STEADY_S", 0.0)
    os.kill(here.pid, signal.SIGKILL)
    here.until_said("starting it again")
    here.pids.append(here.watch.pid)
    here.until(lambda: sum("Watching" in line for line in here.said) == 2)
    here.write("app.py")
    assert here.next_call() == (None, "app.py", 0)
    monkeypatch.setattr(watch, "STEADY_S", 1e9)
    os.kill(here.watch.pid, signal.SIGKILL)
    here.until_said("going on without it")


def test_the_watcher_is_gone_after_its_parent_was_killed(tmp_path):
    script = (
        "import sys; from procman.supervisor.loop import Loop; from procman.supervisor.watch import Watch\n"
        "loop = Loop(); w = Watch(loop, sys.argv[1], {'*': ('*',)}, print, lambda text: print(w.pid, flush=True))\n"
        "w.start()\n"
        "while True: loop.turn()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    handle = os.pidfd_open(pid)
    parent.kill()
    parent.communicate()
    assert select.select([handle], [], [], DEADLINE_S)[0]
    os.close(handle)


def limited(setting: str, value: int, root: Path) -> str:
    """What a watcher says in a user namespace with this inotify limit of its own."""
    command = f'echo {value} > /proc/sys/user/{setting} && exec "$@"'
    watcher = [sys.executable, "-m", "procman.supervisor.watcher", str(root), "all=*"]
    return run_with_open_stdin(["unshare", "-Ur", "sh", "-c", command, "sh", *watcher])


def run_with_open_stdin(words: list[str]) -> str:
    reader, writer = os.pipe()
    try:
        return subprocess.run(
            words, stdin=reader, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
            cwd=Path(__file__).parent.parent,
        ).stdout  # fmt: skip
    finally:
        os.close(reader)
        os.close(writer)


CAN_LIMIT = (
    Path("/proc/sys/user/max_inotify_watches").exists()
    and shutil.which("unshare") is not None
    and subprocess.run(["unshare", "-Ur", "true"], capture_output=True, check=False).returncode == 0
)


@pytest.mark.skipif(not CAN_LIMIT, reason="needs user namespaces")
@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [("max_inotify_watches", 2, "fs.inotify.max_user_watches"), ("max_inotify_instances", 0, "max_user_instances")],
)
def test_the_kernels_limits_are_said_in_one_line(tmp_path, setting, value, says):
    make_files(tmp_path, ["a/b/c/d"])
    entries = limited(setting, value, tmp_path).split("\0")[:-1]
    assert len(entries) == 1
    assert entries[0].startswith("TCannot watch 4 folders: the kernel's limit")
    assert says in entries[0]


def test_a_root_that_is_gone_ends_the_watch_but_nothing_else(tmp_path):
    here = Watched(tmp_path / "nowhere")
    here.until_said("Cannot watch")
    here.until(lambda: here.watch.pid == 0)
    assert len(here.said) == 1
    here.close()
