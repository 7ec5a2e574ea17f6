"""The socket that a supervisor is asked at: whose it is, at which paths, and what its client hears when it ends."""

import _socket
import errno
import os

import pytest

from procman.control.client import Client, NotRunning
from procman.control.sockets import listen, near
from procman.errors import ProcmanError


def test_the_socket_is_ours_alone_and_replaces_a_stale_one(tmp_path):
    path = str(tmp_path / "s")
    mask = os.umask(0)
    try:
        listen(path).close()
        second = listen(path)  # what a killed supervisor left does not matter
        assert os.umask(0) == 0  # untouched
    finally:
        os.umask(mask)
    assert os.stat(path).st_mode & 0o777 == 0o600
    Client(path).close()
    second.close()
    with pytest.raises(NotRunning):
        Client(path)
    with pytest.raises(NotRunning):
        Client(str(tmp_path / "nothing"))


def test_who_finds_the_socket_is_heard(tmp_path, monkeypatch):
    path, seen = tmp_path / "s", []

    class Slow(_socket.socket):
        def listen(self, backlog):
            seen.append(path.exists())
            super().listen(backlog)

    monkeypatch.setattr(_socket, "socket", Slow)
    server = listen(str(path))
    server.close()
    assert (seen, path.is_socket()) == ([False], True)
    assert os.listdir(tmp_path) == ["s"]


def test_a_socket_whose_place_is_taken_leaves_nothing_behind(tmp_path):
    (tmp_path / "s").mkdir()
    with pytest.raises(ProcmanError, match=r"cannot open the control socket .*: Is a directory"):
        listen(str(tmp_path / "s"))
    assert os.listdir(tmp_path) == ["s"]


@pytest.mark.parametrize("length", [90, 99, 100, 107, 108, 200, 1000])
def test_long_paths_work(tmp_path, length):
    directory = str(tmp_path)
    while len(directory) < length - 60:
        directory += "/" + "d" * 50
    os.makedirs(directory, exist_ok=True)
    path = directory + "/" + "s" * max(length - len(directory) - 1, 1)
    before = os.listdir("/proc/self/fd")
    server = listen(path)
    with Client(path) as client:
        client.socket.sendall(b"x")
        peer, _ = server.accept()
        assert peer.recv(1) == b"x"
        peer.close()
    server.close()
    with near(path) as short:
        assert len(short) < 108
    assert os.listdir("/proc/self/fd") == before


def test_a_client_survives_a_supervisor_that_ends_in_the_middle(tmp_path):
    path = str(tmp_path / "s")
    for words in (b"", b'{"position":[1,2]}\n', b'{"ok":tr'):
        server = listen(path)
        with Client(path) as client:
            peer, _ = server.accept()
            peer.sendall(words)
            peer.close()  # without having read the request
            assert client.call("ps") == {
                "ok": False, "error": "the supervisor ended before it answered", "hint": None
            }  # fmt: skip
        server.close()


def test_a_socket_for_which_no_descriptor_is_left_is_told_in_words(tmp_path, monkeypatch):
    def scarce(*_words):
        raise OSError(errno.EMFILE, "Too many open files")

    path = tmp_path / "s"
    monkeypatch.setattr(_socket, "socket", scarce)
    with pytest.raises(ProcmanError, match=f"cannot open the control socket {path}: Too many open files"):
        listen(str(path))
    assert not path.exists()
