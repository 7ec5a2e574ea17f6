"""A file is replaced whole or not at all."""

import errno
import os
import stat

import pytest

from procman.files import write_private


@pytest.mark.parametrize("lasting", [True, False])
def test_a_file_is_replaced_for_its_owner_alone(tmp_path, lasting):
    path = tmp_path / "key"
    path.write_bytes(b"old and longer")
    path.chmod(0o644)
    write_private(str(path), b"new", lasting=lasting)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_a_mode_is_what_was_asked_for_whatever_the_umask(tmp_path):
    mask = os.umask(0o077)
    try:
        write_private(str(tmp_path / "hook"), b"#!/bin/sh\n", 0o755)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "hook").stat().st_mode) == 0o755


def test_a_path_may_be_relative_to_an_open_folder(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_private("key", b"new", dir_fd=fd)
    finally:
        os.close(fd)
    assert (tmp_path / "key").read_bytes() == b"new"


@pytest.mark.parametrize(("lasting", "kinds"), [(True, [stat.S_IFREG, stat.S_IFDIR]), (False, [])])
def test_what_lasts_is_on_the_disk_with_its_name(tmp_path, monkeypatch, lasting, kinds):
    synced = []

    def fsync(fd):
        synced.append((stat.S_IFMT(os.fstat(fd).st_mode), os.listdir(tmp_path)))

    monkeypatch.setattr(os, "fsync", fsync)
    write_private(str(tmp_path / "key"), b"new", lasting=lasting)
    assert [kind for kind, _ in synced] == kinds
    assert [names for _, names in synced] == [["key.new"], ["key"]][: len(kinds)]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "key"
    path.write_bytes(b"old")

    def full(*_words, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_private(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["key"]


def test_what_was_left_half_written_is_written_over_and_a_link_is_not_followed(tmp_path):
    path = tmp_path / "key"
    (tmp_path / "key.new").write_bytes(b"half of something longer")
    write_private(str(path), b"new")
    assert path.read_bytes() == b"new"
    (tmp_path / "key.new").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        write_private(str(path), b"newer")
    assert not (tmp_path / "other").exists()
