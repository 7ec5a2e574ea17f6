"""The log file under a name that somebody chose: appended, rotated, and no line lost on the way."""

import os

import pytest

from procman.logs.file import LogFile, LogFiles


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.log"


def all_text(path) -> str:
    """Every file of it, oldest first."""
    numbers = sorted((int(name.suffix[1:]) for name in path.parent.glob("app.log.*")), reverse=True)
    return "".join((path.parent / f"app.log.{n}").read_text() for n in numbers) + path.read_text()


def test_rotation_keeps_every_line_until_there_are_too_many_files(path):
    log = LogFile(str(path), append=False, max_bytes=100, keep=3)
    lines = [f"line {number:04d}\n" for number in range(35)]
    for line in lines:
        log.write(line.encode())
    assert all_text(path) == "".join(lines)
    for _ in range(100):
        log.write(b"more\n")
    assert sorted(name.name for name in path.parent.iterdir()) == ["app.log", "app.log.1", "app.log.2", "app.log.3"]
    assert path.stat().st_size <= 100


def test_a_batch_larger_than_a_file_stays_whole(path):
    log = LogFile(str(path), append=False, max_bytes=10)
    log.write(b"x" * 50 + b"\n")
    log.write(b"y\n")
    assert path.read_text() == "y\n"
    assert (path.parent / "app.log.1").read_text() == "x" * 50 + "\n"


def test_append_or_begin_anew(path):
    path.write_text("old\n")
    LogFile(str(path), append=True).write(b"new\n")
    assert path.read_text() == "old\nnew\n"
    LogFile(str(path), append=False).write(b"newer\n")
    assert path.read_text() == "newer\n"
    assert (path.parent / "app.log.1").read_text() == "old\nnew\n"


def test_what_outsiders_do_to_it(path):
    log = LogFile(str(path), append=False)
    log.write(b"one\n")
    path.rename(path.parent / "elsewhere")
    log.write(b"two\n")
    assert path.read_text() == "two\n"
    path.unlink()
    log.write(b"three\n")
    assert path.read_text() == "three\n"
    os.truncate(path, 0)
    log.write(b"four\n")
    assert path.read_text() == "four\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_told_of_when_it_is_over(path):
    path.symlink_to("/dev/full")
    log = LogFile(str(path), append=True)
    log.write(b"lost 1\n")
    log.write(b"lost 2\n")
    assert log.lost == 14
    path.unlink()
    log.write(b"kept\n")
    assert path.read_text() == "procman: 14 bytes of log were lost: No space left on device\nkept\n"
    assert log.lost == 0


def test_a_place_that_does_not_exist_costs_lines_and_nothing_else(tmp_path):
    log = LogFile(str(tmp_path / "missing/app.log"), append=False)
    log.write(b"lost\n")
    assert (log.lost, log.trouble) == (5, "No such file or directory")
    (tmp_path / "missing").mkdir()
    log.write(b"kept\n")
    assert (tmp_path / "missing/app.log").read_text().endswith("\nkept\n")


def test_devices_are_written_to_and_left_alone(tmp_path):
    log = LogFile("/dev/null", append=False)
    log.write(b"gone\n")
    assert log.lost == 0
    assert not os.path.exists("/dev/null.1")


def test_files_share_a_name_and_the_manager_is_told_from_the_program(tmp_path):
    one, out = str(tmp_path / "one"), str(tmp_path / "out")
    files = LogFiles(one, out, one, append=False)
    files.append("stdout", b"a\n")
    files.append("stderr", b"b\n")
    files.append("system", b"c\nd\n")
    assert (tmp_path / "one").read_text() == "a\nb\nprocman: c\nprocman: d\n"
    assert (tmp_path / "out").read_text() == "a\n"
