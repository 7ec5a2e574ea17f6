"""Every request that the client is known to make, replayed as it makes them: method, path, body, headers."""

import pytest

from tests.api_cases import make_app, play

SDK, HOOKS = "3.sdk", "3.webhooks"
REQUESTS = [  # method, path, body, version, range, status, and what the client reads of the answer
    ("GET", "/account", None, "3", "", 200, "id email"),
    ("GET", "/users/~/apps", None, "3", "", 200, "name owner.email region.name"),
    ("GET", "/apps", None, "3", "", 200, "name"),
    ("POST", "/apps", {}, "3", "", 201, "name web_url region.name stack.name"),
    ("GET", "/apps/demo", None, SDK, "", 200, "name web_url git_url owner.email generation.name maintenance"),
    ("GET", "/apps/demo?extended=true", None, "3", "", 200, "name create_status"),
    ("PATCH", "/apps/demo", {"build_stack": "heroku-24"}, "3", "", 200, "name stack.name build_stack.name"),
    ("PATCH", "/apps/demo", {"maintenance": True}, "3", "", 200, "maintenance"),
    ("PATCH", "/apps/demo", {"maintenance": False}, "3", "", 200, "maintenance"),
    ("GET", "/apps/demo/addons", None, SDK, "", 200, ""),
    ("GET", "/apps/demo/collaborators", None, "3", "", 200, "user.email role"),
    ("GET", "/apps/demo/pipeline-couplings", None, "3", "", 404, "id message"),
    ("GET", "/apps/demo/dynos", None, SDK, "", 200, "name type state size command updated_at release.version"),
    ("GET", "/apps/demo/formation", None, "3", "", 200, "type quantity size command"),
    ("PATCH", "/apps/demo/formation", {"updates": [{"quantity": "+1", "type": "web"}]}, "3", "", 200, "type quantity"),
    ("PATCH", "/apps/demo/formation", {"updates": [{"size": "standard-1x", "type": "web"}]}, "3", "", 200, "size"),
    ("PATCH", "/apps/demo/formation", {"updates": [{"quantity": "1", "type": "no"}]}, "3", "", 404, "id message"),
    ("PATCH", "/apps/demo/formation/web", {"quantity": 1, "dyno_size": {"name": "Basic"}}, "3", "", 200, "quantity"),
    ("DELETE", "/apps/demo/dynos", None, SDK, "", 202, ""),
    ("DELETE", "/apps/demo/formations/web", None, SDK, "", 202, ""),
    ("DELETE", "/apps/demo/dynos/web.1", None, SDK, "", 202, ""),
    ("POST", "/apps/demo/dynos/web.1/actions/stop", None, SDK, "", 202, ""),
    ("POST", "/apps/demo/formations/web/actions/stop", None, SDK, "", 202, ""),
    ("POST", "/apps/demo/dynos", {"attach": False, "command": "ls", "env": {"TERM": "x"}}, "3", "", 201, "name"),
    ("POST", "/apps/demo/dynos", {"attach": True, "command": "ls", "env": {"COLUMNS": 80, "LINES": 24}}, "3", "", 201,
     "name attach_url"),
    ("POST", "/apps/demo/log-sessions", {"lines": 100, "tail": False}, SDK, "", 201, "logplex_url"),
    ("GET", "/apps/demo/config-vars", None, "3", "", 200, ""),
    ("PATCH", "/apps/demo/config-vars", {"A": "1", "B": "2"}, "3", "", 200, "A B"),
    ("GET", "/apps/demo/releases", None, SDK, "version ..; order=desc,max=1", 206, "version"),
    ("GET", "/apps/demo/releases", None, SDK, "version ..; max=15, order=desc", 200,
     "version description status current user.email created_at eligible_for_rollback"),
    ("GET", "/apps/demo/releases", None, SDK, "version ..; max=1, order=desc", 206, "version"),
    ("GET", "/apps/demo/releases/v3", None, "3", "", 200, "version addon_plan_names output_stream_url slug.id"),
    ("GET", "/apps/demo/releases/3/config-vars", None, "3", "", 200, ""),
    ("POST", "/apps/demo/releases", {"release": "v3"}, "3", "", 201, "version output_stream_url"),
    ("GET", "/apps/demo/domains", None, "3", "id ..; max=1000;", 200, "hostname kind cname acm_status"),
    ("GET", "/apps/demo/sni-endpoints", None, "3", "", 200, ""),
    ("POST", "/apps/demo/domains", {"hostname": "a.example.com", "sni_endpoint": None}, "3", "", 201, "cname status"),
    ("GET", "/apps/demo/domains/a.example.com", None, "3", "", 200, "hostname status"),
    ("DELETE", "/apps/demo/domains/a.example.com", None, "3", "", 200, ""),
    ("POST", "/apps/demo/log-drains", {"url": "https://a.example/"}, "3", "", 201, "url token"),
    ("GET", "/apps/demo/log-drains", None, "3", "", 200, "url token addon"),
    ("DELETE", "/apps/demo/log-drains/https%3A%2F%2Fa.example%2F", None, "3", "", 200, "url"),
    ("GET", "/apps/demo/features", None, "3", "", 200, "name description enabled state"),
    ("GET", "/account/features", None, "3", "", 200, ""),
    ("GET", "/account/features/preboot", None, "3", "", 404, "id message"),
    ("PATCH", "/apps/demo/features/preboot", {"enabled": False}, "3", "", 200, "enabled"),
    ("PUT", "/apps/demo/buildpack-installations", {"updates": [{"buildpack": "heroku/python"}]}, "3", "", 200,
     "ordinal buildpack.url buildpack.name"),
    ("GET", "/apps/demo/buildpack-installations", None, SDK, "", 200, "ordinal buildpack.url"),
    ("POST", "/apps/demo/webhooks", {"include": ["api:app"], "level": "notify", "url": "http://a.example/"}, HOOKS, "",
     201, "id"),
    ("GET", "/apps/demo/webhooks", None, HOOKS, "", 200, "id url include level"),
    ("GET", "/oauth/authorizations", None, "3", "", 200, "id description scope access_token.token user.email"),
    ("POST", "/oauth/authorizations", {"description": "x", "expires_in": 60}, "3", "", 201, "access_token.token"),
    ("GET", "/stacks", None, "3", "", 200, "name default"),
    ("GET", "/regions", None, "3", "", 200, "name private_capable"),
    ("GET", "/account/rate-limits", None, "3", "", 200, "remaining"),
    ("GET", "/accounts/x/actions/get-quota", None, "3.account-quotas", "", 404, "id"),
    ("POST", "/account/app-transfers", {"app": "demo", "recipient": "no@example.com"}, "3", "", 422, "id message"),
    ("DELETE", "/apps/demo/build-cache-that-is-none", None, "3", "", 404, "id"),
]


def holds(found, path):
    """Whether an answer has what the client reads, each element if it is a list."""
    for row in found if isinstance(found, list) else [found]:
        value = row
        for word in path.split("."):
            assert isinstance(value, dict), f"{path} of {row}"
            assert word in value, f"{path} of {row}"
            value = value[word]


def test_the_clients_requests_are_answered_with_what_it_reads(tmp_path):
    async def scenario(platform, client):
        await make_app(platform, client, web="serve", worker="work")
        for method, path, body, version, span, status, reads in REQUESTS:
            headers = {"Accept": f"application/vnd.heroku+json; version={version}", "Range": span}
            answer = await client.request(method, path, json=body, headers=headers)
            assert answer.status_code == status, f"{method} {path}: {answer.text}"
            assert answer.headers["content-type"] == "application/json"
            for word in reads.split():
                holds(answer.json(), word)
            await platform.host.rollouts.settled((await client.get("/apps/demo")).json()["id"])

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "span",
    [
        "version ..; max=2, order=desc", "version ..; max=3", "version 2..4; max=2", "version 2..4; max=1, order=desc",
        "id ..; max=2",
    ],
)
def test_following_next_range_gives_every_release_once(tmp_path, span):
    async def scenario(platform, client):
        await make_app(platform, client, web="serve")
        for number in range(4):
            await client.patch("/apps/demo/config-vars", json={"N": str(number)})
        whole = [row["version"] for row in (await client.get("/apps/demo/releases")).json()]
        found, headers = [], {"Range": span}
        while True:
            answer = await client.get("/apps/demo/releases", headers=headers)
            found += [row["version"] for row in answer.json()]
            if answer.status_code == 200:
                break
            headers = {"Range": answer.headers["Next-Range"]}
        wanted = [2, 3, 4] if "2..4" in span else whole
        assert sorted(found) == wanted
        if "version" in span:
            assert found == sorted(wanted, reverse="desc" in span)

    play(tmp_path, scenario)
