"""What HAProxy is told, as values and as files: both change, or neither does."""

import asyncio
import errno
import os
import ssl
import stat

import pytest

from procman.errors import ProcmanError
from procman.router import Certificate, Server, Settings
from procman.router.binary import Binary
from procman.router.files import Files
from procman.router.orders import Orders
from procman.router.runtime_commands import maps_of
from procman.router.runtime_socket import NotAnswering
from tests.router_harness import NAMES, PROGRAMS, Town, end, run, site
from tests.test_router_killed import back
from tests.test_router_refusals import make_certificate

OLD, NEW = (Server("web.1", number, 20_000 + number) for number in (1, 2))


@pytest.fixture(params=PROGRAMS, ids=NAMES)
def haproxy(request):
    return request.param


class Full(Files):
    """``room``: how many files can still be written; None: all."""

    room: int | None = None

    def write(self, name, data):
        if self.room is not None and self.read(name) != data:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= 1
        super().write(name, data)


def contents(directory) -> dict[str, bytes]:
    """Of all files but the one that is only looked at in a check."""
    found = [path for path in directory.iterdir() if stat.S_ISREG(path.stat().st_mode)]
    return {path.name: path.read_bytes() for path in found if path.name != "candidate.cfg"}


def orders_in(directory) -> tuple[Orders, Full]:
    files = Full(str(directory))
    return Orders(Settings("*:80", "*:443"), Binary("haproxy", "2.8.0"), files), files


async def fine(name: str) -> None:
    """HAProxy's opinion of a configuration."""


def change(orders, server, certificate: bytes, check=fine):
    """Another dyno and other certificates."""
    sites = [site(server, error_page_url=f"https://example.com/{server.generation}")]
    after = orders.arrangement._replace(slots={}, routes={sites[0].app_id: f"app-{server.generation}"})
    return asyncio.run(orders.change(after, maps_of(sites, after), certificate, "", check))


def no_links(*words, **more):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("link", [os.link, no_links], ids=["links", "no links"])
def test_whichever_file_the_disk_has_no_room_for_files_and_values_are_as_they_were(tmp_path, monkeypatch, link):
    monkeypatch.setattr(os, "link", link)
    orders, files = orders_in(tmp_path)
    files.write("certificate-1.pem", b"one")
    change(orders, OLD, b"certificate-1.pem\n")
    orders.told()
    files.write("certificate-2.pem", b"two")
    before, values = contents(tmp_path), (orders.arrangement, orders.maps, orders.certificates)
    tries = 0
    while True:
        files.room = tries
        try:
            change(orders, NEW, b"certificate-2.pem\n")
            break
        except OSError:
            assert contents(tmp_path) == before
            assert (orders.arrangement, orders.maps, orders.certificates) == values
            (tmp_path / "candidate.cfg").unlink(missing_ok=True)
        tries += 1
    assert tries == 7  # owed, candidate.cfg, two maps, certificates, haproxy.cfg, slots.json
    assert (orders.maps.apps, orders.certificates) == ({site().app_id: "up:app-2"}, b"certificate-2.pem\n")
    names = set(contents(tmp_path))
    assert names == {*before, "owed"} - {"certificate-1.pem"}
    files.close()


@pytest.mark.parametrize("error", [ProcmanError("cannot configure HAProxy"), asyncio.CancelledError()])
def test_what_haproxy_refuses_or_who_goes_meanwhile_leaves_all_as_it_was(tmp_path, error):
    orders, files = orders_in(tmp_path)
    change(orders, OLD, b"")
    before, values = contents(tmp_path), (orders.arrangement, orders.maps, orders.certificates)

    async def refuse(name):
        assert (tmp_path / name).exists()
        assert (tmp_path / "certificates.list").read_bytes() == b"certificate-2.pem\n"  # it looks at the new ones
        raise error

    with pytest.raises(type(error)):
        change(orders, NEW, b"certificate-2.pem\n", refuse)
    assert contents(tmp_path) == before
    assert (orders.arrangement, orders.maps, orders.certificates) == values
    files.close()


def test_what_a_killed_server_left_beside_is_in_nobodys_way(tmp_path):
    orders, files = orders_in(tmp_path)
    change(orders, OLD, b"")
    (tmp_path / "apps.map.old").write_text("left")
    before = contents(tmp_path) | {"apps.map.old": b"left"}
    files.room = 3
    with pytest.raises(OSError, match="No space left"):
        change(orders, NEW, b"x.pem\n")
    assert contents(tmp_path).items() <= before.items()
    files.close()


def test_a_certificate_that_could_not_be_kept_leaves_the_old_one_also_to_a_haproxy_that_is_killed(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy, https=True) as town:
            server, name = await town.server(), "www.example.com"
            await town.router.apply([site(server, hosts=(name,), certificates=(new_certificate(tmp_path, name),))])
            assert await https(town, name, tmp_path / "0")
            before, write = contents(town.directory), town.router._files.write

            def full(name, data):
                if name == "slots.json":
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                write(name, data)

            town.router._files.write = full
            other = new_certificate(tmp_path, name)
            with pytest.raises(OSError, match="No space left"):
                await town.router.apply([site(server, hosts=(name,), certificates=(other,))])
            assert contents(town.directory).items() >= before.items()
            killed = await town.router._socket.processes()
            end(killed.master)
            await back(town, killed.master)
            assert await https(town, name, tmp_path / "0")
            town.router._files.write = write
            await town.router.apply([site(server, hosts=(name,), certificates=(other,))])
            assert await https(town, name, tmp_path / "1")
            assert len(list(town.directory.glob("certificate-*"))) == 1

    run(scenario())


def test_what_a_killed_server_wrote_and_did_not_tell_the_next_one_tells(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            assert not (town.directory / "owed").exists()
            before = await town.router._socket.processes()
            after = [site(await town.server("web.1", 2), hosts=("demo.localhost", "www.example.com"))]

            async def killed(*_):
                raise asyncio.CancelledError

            town.router._tell = killed
            with pytest.raises(asyncio.CancelledError):
                await town.router.apply(after)
            await town.router.close()
            assert (await town.get(host="www.example.com")).status == 404
            town.router = town.make_router()
            await town.router.start()
            assert (await town.get(host="www.example.com")).status == 200
            await town.router.apply(after)
            assert (await town.get(host="www.example.com")).status == 200
            assert not (town.directory / "owed").exists()
            assert (await town.router._socket.processes()).master == before.master

    run(scenario())


def test_a_haproxy_that_did_not_answer_is_told_by_a_reload_when_it_does(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            server = await town.server()
            await town.router.apply([site(server)])
            processes = town.router._socket.processes

            async def silent():
                raise NotAnswering("no answer")

            town.router._socket.processes = silent
            await town.router.apply([site(server, hosts=("www.example.com",))])
            assert (await town.get(host="www.example.com")).status == 404
            town.router._socket.processes = processes
            await town.router.apply([site(server, hosts=("www.example.com", "shop.example.com"))])
            for name in ("www", "shop"):
                assert (await town.get(host=f"{name}.example.com")).status == 200
            assert not (town.directory / "owed").exists()

    run(scenario())


def new_certificate(directory, name: str) -> Certificate:
    """One more, in a directory of its own."""
    place = directory / str(sum(path.name.isdigit() for path in directory.iterdir()))
    place.mkdir()
    return Certificate("www", make_certificate(place, name))


async def https(town: Town, name: str, place) -> bool:
    """Whether a request is answered, with the certificate that is there."""
    context = ssl.create_default_context(cafile=str(place / f"{name}.pem"))
    client = await town.client(town.https, ssl=context, server_hostname=name)
    return (await client.get(host=name)).status == 200
