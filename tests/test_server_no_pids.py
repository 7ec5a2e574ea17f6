"""An app's supervisor gets no more processes: its dyno waits and is tried again, and everybody can read why."""

import errno
import os
import re
import resource
import signal
from pathlib import Path

import pytest

from procman.supervisor import cgroups
from tests.deploy_site import DeploySite
from tests.harness import poll
from tests.platform_server import WAIT
from tests.test_server_survival import LISTEN


class NoPids:
    """No fork more for a process: by a control group; where there are none, no descriptor, which it takes too."""

    def __init__(self, pid: int, app_id: str) -> None:
        self._pid = pid
        self._own = Path(cgroups.ROOT, "pids", f"procman-test-{pid}")
        self._group = self._own if self._own.parent.is_dir() else Path(cgroups.ROOT, "procman", app_id, "supervisor")
        self.words = os.strerror(errno.EAGAIN)
        self._before = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    def begin(self) -> None:
        try:
            if self._group == self._own:
                self._own.mkdir()
                (self._own / "cgroup.procs").write_text(str(self._pid))
            (self._group / "pids.max").write_text((self._group / "pids.current").read_text())
        except OSError:
            self.words = os.strerror(errno.EMFILE)
            used = len(os.listdir(f"/proc/{self._pid}/fd"))
            resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (used - 2, self._before[1]))

    def end(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, self._before)
        if (self._group / "pids.max").exists():
            (self._group / "pids.max").write_text("max")

    def is_gone(self) -> bool:
        """Once the process has, and its group is removed."""
        try:
            self._own.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


@pytest.fixture
def site():
    site = DeploySite()
    try:
        site.start()
        yield site
    finally:
        site.close()


def test_a_dyno_for_which_there_is_no_process_is_tried_again_and_it_is_said_why(site):
    server, env = site.server, {**site.env, "PROCMAN_DATA": str(site.server.data)}
    server.create("demo")
    server.deploy("demo", {"web": LISTEN, "worker": WAIT})
    server.scale("demo", worker=1)
    before = poll(lambda: len(found := server.pids("demo")) == 2 and found)
    home = server.data / "apps" / server.call("GET", "/apps/demo")["id"]
    fault = NoPids(server.supervisor(home.name), home.name)
    try:
        fault.begin()
        os.kill(before["worker.1"], signal.SIGKILL)
        reason = rf"cannot start /\S+: {fault.words}"
        twice = re.compile(rf"Process exited with status 126 \({reason}(.|\n)*Next try in .*{reason}.*in a row")
        poll(lambda: twice.search((home / "log" / "log.000001").read_text()))
        assert re.search(rf"worker\.1: crashed .*{reason}", site.shop.call("ps", "--app", "demo", env=env).stdout)
        assert re.search(reason, server.dynos("demo")["worker.1"]["last_exit"])
        assert site.visit("demo").status_code == 204
        fault.end()
        server.call("DELETE", "/apps/demo/dynos/worker.1")
        server.wait_for_dynos("demo", web_1="up", worker_1="up")
        assert server.pids("demo")["web.1"] == before["web.1"]
    finally:
        fault.end()
    server.call("DELETE", "/apps/demo")
    poll(fault.is_gone)
