"""Who listens where: the kernel's answer by netlink against its tables in /proc, and against real sockets."""

import os
import socket

import pytest

from procman.supervisor import ports


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
@pytest.mark.parametrize("ask", [ports.ask_kernel, ports.read_tables])
def test_a_listener_is_found_with_its_owner(ask, family, address):
    with socket.socket(family) as server:
        server.bind((address, 0))
        port = server.getsockname()[1]
        assert port not in ask(), "bound is not listening"
        server.listen()
        ((inode, uid),) = ask()[port].items()
        assert (inode, uid) == (os.fstat(server.fileno()).st_ino, os.getuid())
        assert ports.is_bound(port, os.getpid())
        assert f"(pid {os.getpid()})" in ports.holder({inode: uid})
    assert port not in ask()


def test_a_strangers_listener_is_not_the_dynos():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not ports.is_bound(server.getsockname()[1], os.getppid() + 1_000_000)


def test_both_ways_agree():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        ours = server.getsockname()[1]
        assert ports.ask_kernel()[ours] == ports.read_tables()[ours]
