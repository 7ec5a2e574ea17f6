"""What else an app on a server has: domains, certificates, drains, webhooks and the like."""

import json
import re

from procman.store import tables
from tests.api_cases import certificate
from tests.remote_cli import make_cli, make_demo, make_shared  # noqa: F401 - fixtures


def test_lists_under_an_app_are_added_to_and_removed_from(cli, demo):
    cli("domains:add", "-a", demo, "www.example.com")
    assert "www.example.com" in cli("domains", "-a", demo)
    cli("domains:remove", "-a", demo, "www.example.com")
    assert "www.example.com" not in cli("domains", "-a", demo)
    cli("drains:add", "-a", demo, "syslog://127.0.0.1:5140")
    assert "syslog://127.0.0.1:5140" in cli("drains", "-a", demo)
    cli("drains:remove", "-a", demo, "syslog://127.0.0.1:5140")
    assert cli("features:enable", "-a", demo, "log-runtime-metrics")
    assert "[+]  log-runtime-metrics" in cli("features", "-a", demo)
    cli("buildpacks:set", "-a", demo, "heroku/python")
    cli("buildpacks:add", "-a", demo, "-i", "1", "heroku/nodejs")
    assert cli("buildpacks", "-a", demo) == "=== demo Buildpacks\n1. heroku/nodejs\n2. heroku/python\n"
    assert "cannot remove nothing" in cli("buildpacks:remove", "-a", demo, status=2)
    cli("buildpacks:remove", "-a", demo, "heroku/nodejs")
    cli("buildpacks:clear", "-a", demo)
    assert "they are detected" in cli("buildpacks", "-a", demo)
    cli("webhooks:add", "-a", demo, "-i", "api:release,api:build", "http://127.0.0.1:9/hook")
    assert "api:release,api:build" in cli("webhooks", "-a", demo)
    cli("webhooks:remove", "-a", demo, "http://127.0.0.1:9/hook")
    assert cli("maintenance:on", "-a", demo) == "Enabling maintenance mode for demo... done\n"
    assert cli("maintenance", "-a", demo) == "on\n"


def test_a_certificate_serves_the_domains_that_it_covers(cli, demo, tmp_path):
    chain, key = certificate(tmp_path, "www.example.com", "*.example.org")
    (tmp_path / "c.pem").write_text(chain)
    (tmp_path / "k.pem").write_text(key)
    cli("domains:add", "-a", demo, "www.example.com", "a.example.org", "a.b.example.org")
    text = cli("certs:add", "-a", demo, "c.pem", "k.pem")
    name = re.match(r"Adding SSL certificate to demo\.\.\. done, (demo-\d+)\n", text)[1]
    served = f"https://{{}} is served with {name}\n"
    assert text.endswith(f"{name}\n{served.format('a.example.org')}{served.format('www.example.com')}")
    listed = re.findall(rf"^(\S+) +custom +{name}$", cli("domains", "-a", demo), re.MULTILINE)
    assert sorted(listed) == ["a.example.org", "www.example.com"]
    assert cli("domains:add", "-a", demo, "B.example.org").endswith(served.format("b.example.org"))
    assert name in cli("domains:update", "-a", demo, "a.b.example.org", "--cert", name)
    assert "cannot update a.b.example.org: Couldn't find that SSL endpoint (nope)." in cli(
        "domains:update", "-a", demo, "a.b.example.org", "--cert", "nope", status=1
    )
    assert "--cert NAME is wanted" in cli("domains:update", "-a", demo, "a.b.example.org", status=2)
    four = "a.b.example.org, a.example.org, b.example.org, www.example.com"
    assert cli("certs:update", "-a", demo, "c.pem", "k.pem").endswith(f"done\nIt serves {four}\n")
    assert four in cli("certs", "-a", demo)
    assert "cannot tell which certificate is meant: demo has" in (
        cli("certs:add", "-a", demo, "c.pem", "k.pem") + cli("certs:update", "-a", demo, "c.pem", "k.pem", status=2)
    )
    cli("certs:update", "-a", demo, "--name", name, "c.pem", "k.pem")


def test_a_certificate_that_covers_no_domain_says_so(cli, demo, tmp_path):
    for file, text in zip(("c.pem", "k.pem"), certificate(tmp_path, "www.example.com"), strict=True):
        (tmp_path / file).write_text(text)
    assert "It covers no domain of demo yet, only www.example.com" in cli("certs:add", "-a", demo, "c.pem", "k.pem")


def test_of_several_words_those_before_a_refused_one_are_told(cli, demo):
    cli("domains:add", "-a", demo, "a.example.com", "b.example.com")
    text = cli("domains:remove", "-a", demo, "b.example.com", "bucher.example", "a.example.com", status=1)
    assert text.startswith("Removing b.example.com from demo... done\nprocman: Couldn't find that domain name (bucher.")
    assert "a.example.com" in cli("domains", "-a", demo)
    text = cli("drains:add", "-a", demo, "https://127.0.0.1:9/", "ftp://x", status=1)
    assert text.startswith("Adding https://127.0.0.1:9/ to demo... done\nprocman: cannot add ftp://x: Url is invalid")
    text = cli("ps:restart", "-a", demo, "web.1", "nope", status=1)
    assert text.startswith("Restarting web.1 on demo... begun\n")
    assert "procman: Couldn't find that process type (nope)." in text


def test_what_a_webhook_signs_with_is_shown_once(cli, demo, shared):
    text = cli("webhooks:add", "-a", demo, "http://127.0.0.1:9/hook")
    app = shared.db.call(lambda tx: tables.apps.get(tx, name=demo))
    rows = shared.db.call(lambda tx: tables.webhooks.find(tx, app_id=app.id))
    assert text == (
        f"Adding http://127.0.0.1:9/hook to demo... done\n=== Webhooks Signing Secret\n{rows[0].secret}\n"
    )
    words = ("-s", "s3cret", "-t", "Bearer x", "--json", "http://127.0.0.1:9/other")
    assert [row["secret"] for row in json.loads(cli("webhooks:add", "-a", demo, *words))] == ["s3cret"]
    rows = shared.db.call(lambda tx: tables.webhooks.find(tx, app_id=app.id))
    assert ("s3cret", "Bearer x") in [(row.secret, row.authorization) for row in rows]
    assert "s3cret" not in cli("webhooks", "-a", demo)
