"""A kill by the kernel for want of memory is told apart from any other."""

import os
import signal

import pytest

from procman.core.model import Exit
from procman.supervisor.oom import OomCounter


def test_the_kernels_count_tells(tmp_path):
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free_pages 1\noom_kill 4\nzswpin 0\n")
    counter = OomCounter(str(vmstat))
    assert not counter.has_killed()
    vmstat.write_text("nr_free_pages 1\noom_kill 5\nzswpin 0\n")
    assert counter.has_killed()
    assert not counter.has_killed()


def test_a_kernel_that_does_not_count_is_no_error(tmp_path):
    assert not OomCounter(str(tmp_path / "missing")).has_killed()
    (tmp_path / "old").write_text("nr_free_pages 1\n")
    assert not OomCounter(str(tmp_path / "old")).has_killed()


def test_the_words():
    assert Exit(137, "SIGKILL", "out of memory").words() == "killed by SIGKILL (out of memory)"


def can_limit() -> bool:
    """Whether a memory control group can be made here: root, and cgroup v1 or v2 to write to."""
    return os.geteuid() == 0 and any(map(os.path.isdir, ("/sys/fs/cgroup/memory",)))


@pytest.mark.skipif(not can_limit(), reason="needs root and a cgroup to limit memory in")
def test_a_real_kill_for_memory_is_named(workshop):
    group = f"/sys/fs/cgroup/memory/procman-test-{os.getpid()}"
    os.mkdir(group)
    try:
        with open(f"{group}/memory.limit_in_bytes", "w") as limit:
            limit.write(str(48 << 20))
        workshop.procfile(
            f"a: echo $$ > {group}/cgroup.procs && exec python -c 'x = bytearray(1 << 30); x[:] = b\"1\" * (1 << 30)'\n"
        )
        running = workshop.start("--restart", "never")
        assert running.finish(None) == 137
        assert "Process was killed by SIGKILL (out of memory)" in running.system("a.1")
        assert running.process.returncode == 128 + signal.SIGKILL
    finally:
        os.rmdir(group)
