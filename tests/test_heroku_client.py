"""The unmodified heroku client against our API: sessions under ``heroku/sessions``, compared with what was seen before.

A session is a list of commands, each followed by what it prints (first to stdout, then to stderr) and by its exit
status in brackets unless that is 0. Lines with ``#`` are deeds of the test's own. ``--update-transcripts`` rewrites
them. The runtime runs nothing here: what the client sees of real dynos is ``test_heroku_client_dynos``' business.
"""

import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api_cases import certificate, tarball
from tests.harness import DEADLINE_S
from tests.heroku_client import FOLDER, PROGRAM, Client, served

SESSIONS = sorted((FOLDER / "sessions").glob("*.txt"))
AT_A_TIME = 2


def test_the_client_is_installed_as_pinned():
    assert PROGRAM.exists(), "npm ci --prefix tests/heroku"
    assert '"version": "11.10.0"' in (FOLDER / "node_modules" / "heroku" / "package.json").read_text()


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Every session, played anew: {name: text}."""
    directory = tmp_path_factory.mktemp("client")
    with served("-m", "tests.fake_server", str(directory / "data")) as server:
        key = {"Authorization": f"Bearer {server['key']}"}
        api = httpx.Client(base_url=server["url"], headers=key, timeout=DEADLINE_S, trust_env=False)
        assert api.post("/users", json={"email": "ann@example.com"}).status_code == 201
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            jobs = {path.stem: pool.submit(play, path, directory, server, api) for path in SESSIONS}
            yield {name: job.result() for name, job in jobs.items()}
        api.close()


def play(path, directory, server, api):
    """One session, by a user of its own."""
    home = directory / path.stem
    home.mkdir()
    chain, key = certificate(home, "www.example.com")
    (home / "cert.pem").write_text(chain)
    (home / "key.pem").write_text(key)
    (home / "edit").write_text("#!/bin/sh\nsed -i s/hello/goodbye/ $1\n")
    (home / "edit").chmod(0o755)
    key = api.post("/users", json={"email": f"{path.stem}@example.com"}).json()["api_key"]
    client = Client(home, server["url"], key, EDITOR=str(home / "edit"))
    lines = []
    for line in path.read_text().splitlines():
        if line.startswith("# "):
            words = shlex.split(line[2:])
            if words[0] == "upload":
                upload(api, *words[1:])
            else:
                subprocess.run(words, cwd=home, check=True, capture_output=True)
            lines += [line, ""]
        elif line.startswith("$ "):
            said = client.run(*shlex.split(line)[2:])
            status = f"[{said.status}]" if said.status else ""
            lines += [line, *filter(None, (said.out, said.err, status)), ""]
    return "\n".join(lines)


def upload(api, app, *types):
    """A slug with these process types, released."""
    wish = {"process_types": dict(each.split("=", 1) for each in types), "commit": "1a2b3c4d5e6f"}
    slug = api.post(f"/apps/{app}/slugs", json=wish).json()
    assert api.put(slug["blob"]["url"], content=tarball({"./app/Procfile": b""})).status_code == 200
    assert api.post(f"/apps/{app}/releases", json={"slug": slug["id"]}).status_code == 201


def test_there_are_enough_commands():
    commands = {line for path in SESSIONS for line in path.read_text().splitlines() if line.startswith("$ ")}
    assert len(commands) >= 70


@pytest.mark.slow  # about a second of CPU a command
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.stem)
def test_the_client_says_and_ends_as_before(path, played, request):
    if request.config.getoption("update_transcripts"):
        path.write_text(played[path.stem] + "\n")
    assert played[path.stem] + "\n" == path.read_text()
