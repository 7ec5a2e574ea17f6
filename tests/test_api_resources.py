"""Domains, certificates, drains, features, buildpacks, collaborators: what hangs on an app."""

import stat

from tests.api_cases import certificate, make_app, play


def test_domains_are_added_listed_in_parts_and_removed(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        added = await client.post("/apps/demo/domains", json={"hostname": "WWW.Example.com.", "sni_endpoint": None})
        assert added.status_code == 201
        domain = added.json()
        assert [domain[key] for key in ("hostname", "kind", "cname", "status", "sni_endpoint")] == [
            "www.example.com", "custom", "demo.localhost", "none", None,
        ]
        listed = await client.get("/apps/demo/domains", headers={"Range": "id ..; max=1000;"})
        assert {d["hostname"]: d["kind"] for d in listed.json()} == {
            "demo.localhost": "heroku", "www.example.com": "custom",
        }
        part = await client.get("/apps/demo/domains", headers={"Range": "hostname ..; max=1"})
        assert (part.status_code, part.headers["Next-Range"]) == (206, "hostname ]demo.localhost..; max=1")
        assert (await client.get(f"/apps/demo/domains/{domain['id']}")).json()["hostname"] == "www.example.com"
        assert (await client.delete("/apps/demo/domains/www.example.com")).status_code == 200
        gone = await client.get("/apps/demo/domains/www.example.com")
        assert (gone.status_code, gone.json()["resource"]) == (404, "domain_name")

    play(tmp_path, scenario)


def test_domains_that_cannot_be_are_refused(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        await make_app(platform, client, "other")
        await client.post("/apps/other/domains", json={"hostname": "taken.example.com"})
        for hostname in ("", "nodots", "a..b", "-x.example.com", "a b.com", "x/../y.com", "*.com", "evil.localhost"):
            answer = await client.post("/apps/demo/domains", json={"hostname": hostname})
            assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params"), hostname
        taken = await client.post("/apps/demo/domains", json={"hostname": "TAKEN.example.com"})
        assert taken.json()["message"] == "taken.example.com is currently in use by another app."
        own = await client.delete("/apps/demo/domains/demo.localhost")
        assert (own.status_code, "comes with the app" in own.json()["message"]) == (422, True)
        good = await client.post("/apps/demo/domains", json={"hostname": "*.bücher.example"})
        assert good.json()["hostname"] == "*.xn--bcher-kva.example"
    play(tmp_path, scenario)


def test_a_domain_is_found_by_the_name_that_it_was_given(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        for name in ("bücher.example", "straße.example", "WWW.Example.com."):
            assert (await client.post("/apps/demo/domains", json={"hostname": name})).status_code == 201
            assert (await client.delete(f"/apps/demo/domains/{name}")).status_code == 200, name
        for name in ("a" * 80 + ".ü", ".ü."):  # not to be put into ASCII
            assert (await client.delete(f"/apps/demo/domains/{name}")).status_code == 404

    play(tmp_path, scenario)


def test_a_certificate_is_tried_before_it_is_kept_and_its_key_is_private(tmp_path):
    chain, key = certificate(tmp_path, "www.example.com", "example.com")
    _, another = certificate(tmp_path, "other.example.com")

    async def scenario(platform, client):
        await make_app(platform, client)
        wrong = await client.post(
            "/apps/demo/sni-endpoints", json={"certificate_chain": chain, "private_key": another}
        )
        assert wrong.status_code == 422
        assert wrong.json()["message"] == "The certificate cannot be served with this key: key values mismatch."
        made = await client.post("/apps/demo/sni-endpoints", json={"certificate_chain": chain, "private_key": key})
        assert made.status_code == 201, made.text
        endpoint = made.json()
        assert endpoint["ssl_cert"]["cert_domains"] == ["www.example.com", "example.com"]
        assert endpoint["ssl_cert"]["subject"] == endpoint["ssl_cert"]["issuer"] == "/O=Demo/CN=www.example.com"
        assert not endpoint["ssl_cert"]["ca_signed?"]
        (file,) = (tmp_path / "data" / "certificates").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() == chain + key
        assert b"PRIVATE KEY" not in (tmp_path / "data" / "procman.db-wal").read_bytes()
        await client.post("/apps/demo/domains", json={"hostname": "www.example.com", "sni_endpoint": endpoint["name"]})
        listed = (await client.get("/apps/demo/sni-endpoints")).json()
        assert [(each["name"], each["domains"]) for each in listed] == [(endpoint["name"], ["www.example.com"])]
        assert (await client.delete(f"/apps/demo/sni-endpoints/{endpoint['name']}")).status_code == 200
        assert not file.exists()
        domain = (await client.get("/apps/demo/domains/www.example.com")).json()
        assert domain["sni_endpoint"] is None
        await client.post("/apps/demo/sni-endpoints", json={"certificate_chain": chain, "private_key": key})
        await client.delete("/apps/demo")
        assert list((tmp_path / "data" / "certificates").iterdir()) == []

    play(tmp_path, scenario)


def test_certificates_that_are_none_are_refused_without_repeating_the_key(tmp_path):
    chain, key = certificate(tmp_path, "www.example.com")
    secret = key.splitlines()[1]

    async def scenario(platform, client):
        await make_app(platform, client)
        for bad_chain, bad_key in (
            ("", key), (chain, ""), ("nonsense", key), (chain, key[:80] + "\n-----END PRIVATE KEY-----\n"),
            (chain.replace("A", "B"), key), (chain, key.replace("BEGIN", "BEGIN ENCRYPTED")),
        ):
            body = {"certificate_chain": bad_chain, "private_key": bad_key}
            answer = await client.post("/apps/demo/sni-endpoints", json=body)
            assert answer.status_code == 422, answer.text
            assert secret[:20] not in answer.text
        assert not list((tmp_path / "data" / "certificates").iterdir())

    play(tmp_path, scenario)


def test_log_drains_are_found_by_id_token_and_encoded_url(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        url = "https://user:hunter2@logs.example.com/in?token=1"
        drain = (await client.post("/apps/demo/log-drains", json={"url": url})).json()
        assert (drain["url"], drain["token"][:2], drain["addon"]) == (url, "d.", None)
        again = await client.post("/apps/demo/log-drains", json={"url": url})
        assert (again.status_code, again.json()["message"]) == (422, "Url has already been taken")
        encoded = "https%3A%2F%2Fuser%3Ahunter2%40logs.example.com%2Fin%3Ftoken%3D1"
        for word in (drain["id"], drain["token"], encoded):
            assert (await client.get(f"/apps/demo/log-drains/{word}")).json()["id"] == drain["id"]
        for bad in ("ftp://x.example", "https://", "logs.example.com", "syslog://[bad", "https://a b"):
            assert (await client.post("/apps/demo/log-drains", json={"url": bad})).status_code == 422
        assert (await client.delete(f"/apps/demo/log-drains/{encoded}")).status_code == 200
        assert (await client.get("/apps/demo/log-drains")).json() == []
        audit = (await client.get("/apps/demo/changes")).text
        assert "add log drain" in audit
        assert "hunter2" not in audit

    play(tmp_path, scenario)


def test_features_have_defaults_and_reach_the_plan(tmp_path):
    async def scenario(platform, client):
        app = await make_app(platform, client, web="serve")
        listed = {each["name"]: each for each in (await client.get("/apps/demo/features")).json()}
        assert {name: (each["state"], each["enabled"]) for name, each in listed.items()} == {
            "preboot": ("general", True),
            "http-session-affinity": ("general", False),
            "http-end-to-end-continue": ("general", False),
            "log-runtime-metrics": ("beta", False),
            "runtime-dyno-metadata": ("beta", False),
        }
        changed = await client.patch("/apps/demo/features/log-runtime-metrics", json={"enabled": True})
        assert changed.json()["enabled"]
        await platform.host.rollouts.settled(app["id"])
        assert platform.runtime.plans[app["id"]].runtime_metrics
        by_id = await client.get(f"/apps/demo/features/{changed.json()['id']}")
        assert by_id.json()["name"] == "log-runtime-metrics"
        assert (await client.patch("/apps/demo/features/preboot", json={})).status_code == 422
        assert (await client.patch("/apps/demo/features/preboot", json={"enabled": "no"})).status_code == 422
        assert (await client.get("/apps/demo/features/spaces-dns")).status_code == 404
        assert len((await client.get("/apps/demo/releases")).json()) == 3

    play(tmp_path, scenario)


def test_buildpacks_keep_their_order_and_names_are_looked_up_here(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        known = await client.get("/buildpacks/heroku%2Fnodejs", headers={"Authorization": ""})
        assert known.json()["blob_url"] == "urn:buildpack:heroku/nodejs"
        assert (await client.get("/buildpacks/heroku%2Fcobol")).status_code == 404
        updates = [{"buildpack": "heroku/nodejs"}, {"buildpack": "https://github.com/me/bp.git"}]
        path = "/apps/demo/buildpack-installations"
        answer = await client.put(path, json={"updates": updates}, headers={"Range": ""})
        assert answer.json() == [
            {"ordinal": 0, "buildpack": {"url": "urn:buildpack:heroku/nodejs", "name": "heroku/nodejs"}},
            {"ordinal": 1, "buildpack": {"url": "https://github.com/me/bp.git", "name": "https://github.com/me/bp.git"}},
        ]
        assert (await client.get("/apps/demo/buildpack-installations")).json() == answer.json()
        for bad in ([{"buildpack": "-rf /"}], [{"buildpack": "heroku/nope"}], [{"buildpack": "me/mine"}],
                    [{"buildpack": 1}], [{}], "x", [updates[0], updates[0]]):
            refused = await client.put("/apps/demo/buildpack-installations", json={"updates": bad})
            assert refused.status_code == 422, bad
        cleared = await client.put("/apps/demo/buildpack-installations", json={"updates": []})
        assert cleared.json() == []

    play(tmp_path, scenario)


def test_a_collaborator_works_on_the_app_and_the_owner_decides_who_that_is(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        _, ann_key = platform.user("ann@example.com")
        platform.user("bob@example.com")
        async with platform.client(ann_key) as anns:
            assert (await anns.get("/apps/demo")).status_code == 404
            assert (await client.post("/apps/demo/collaborators", json={"user": "Ann@example.com"})).status_code == 201
            assert (await anns.get("/apps/demo")).status_code == 200
            listed = (await anns.get("/apps/demo/collaborators")).json()
            assert [(each["user"]["email"], each["role"]) for each in listed] == [
                ("dev@example.com", "owner"), ("ann@example.com", "collaborator"),
            ]
            assert [each["name"] for each in (await anns.get("/users/~/apps")).json()] == ["demo"]
            refused = await anns.post("/apps/demo/collaborators", json={"user": "bob@example.com"})
            assert (refused.status_code, refused.json()["id"]) == (403, "forbidden")
            assert (await anns.delete("/apps/demo")).status_code == 403
            assert (await anns.delete("/apps/demo/collaborators/ann@example.com")).status_code == 200
            assert (await anns.get("/apps/demo")).status_code == 404
        nobody = await client.post("/apps/demo/collaborators", json={"user": "zoe@example.com"})
        assert "procman users:add" in nobody.json()["message"]

    play(tmp_path, scenario)


def test_an_app_is_transferred_at_once_and_its_old_owner_stays(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        _, ann_key = platform.user("ann@example.com")
        moved = await client.post("/account/app-transfers", json={"app": "demo", "recipient": "ann@example.com"})
        assert (moved.status_code, moved.json()["state"]) == (201, "accepted")
        async with platform.client(ann_key) as anns:
            assert (await anns.get("/apps/demo")).json()["owner"]["email"] == "ann@example.com"
            listed = (await anns.get("/apps/demo/collaborators")).json()
            assert [(each["user"]["email"], each["role"]) for each in listed] == [
                ("ann@example.com", "owner"), ("dev@example.com", "collaborator"),
            ]

    play(tmp_path, scenario)


def test_what_heroku_has_and_we_have_not_is_said_so(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client)
        for path in ("/apps/demo/addons", "/addons", "/teams", "/spaces", "/pipelines", "/account/keys"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (200, []), path
        for path, word in (
            ("/apps/demo/addons", "config:set"), ("/apps/demo/acm", "certs:add"), ("/teams/apps", "access:add"),
            ("/pipelines", "pipelines"), ("/account/keys", "HTTPS"),
        ):
            answer = await client.post(path, json={"plan": "heroku-postgresql"})
            assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params"), path
            assert word in answer.json()["message"]
        for path in ("/apps/demo/pipeline-couplings", "/teams/x", "/apps/demo/addons/pg", "/account/features/x"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["id"]) == (404, "not_found"), path

    play(tmp_path, scenario)
