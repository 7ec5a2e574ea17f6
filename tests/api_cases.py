"""What the tests of the API share: a scenario over a platform without processes, an app with code, a certificate."""

import asyncio
import io
import subprocess
import tarfile

from procman.core.records import Slug
from procman.store import tables
from tests.server_fakes import Platform


def play(directory, scenario, **settings):
    """Run ``async def scenario(platform, client)``; the client has the owner's key."""

    async def whole():
        platform = Platform(directory / "data", **settings)
        try:
            async with platform.client() as client:
                await asyncio.wait_for(scenario(platform, client), 60)
        finally:
            await platform.close()

    asyncio.run(whole())


async def make_app(platform, client, name="demo", **types):
    """An app; with ``types`` one that has a slug of them, released."""
    app = (await client.post("/apps", json={"name": name})).json()
    if types:
        now = platform.now()
        slug = Slug(
            platform.host.new_id(), app["id"], "ready", types, "1a2b3c4d5e6f", None, None, 1000, "heroku-24", "Python",
            {}, now, now,
        )
        await platform.db.run(lambda tx: tables.slugs.insert(tx, slug))
        assert (await client.post(f"/apps/{name}/releases", json={"slug": slug.id})).status_code == 201
        await platform.host.rollouts.settled(app["id"])
    return app


def tarball(files, links=()):
    """A gzipped tarball of ``{name: bytes}`` and ``(name, target)`` symbolic links."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return held.getvalue()


def certificate(directory, *names):
    """A self-signed certificate for the names, and its key, as text."""
    key, chain = directory / f"{names[0]}.key", directory / f"{names[0]}.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(key), "-out", str(chain), "-days", "30", "-subj", f"/O=Demo/CN={names[0]}",
            "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names),
        ],
        check=True,
        capture_output=True,
    )
    return chain.read_text(), key.read_text()
