"""Kubernetes and Compose as their own schemas and types read them; and any value at all."""

import re

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from hypothesis import given, settings

from procman.core.health import Checks, Probe
from procman.errors import ProcmanError
from procman.export.quoting import label
from tests.exported import NASTY, TEXTS, exported, process

# -- kubernetes ---------------------------------------------------------------------------------------------


def manifests(files: dict[str, str]) -> list[dict]:
    found = [document for text in files.values() for document in yaml.safe_load_all(text)]
    for document in found:
        kubernetes_validate.validate(document, "1.32", strict=True)
    return found


def test_kubernetes_manifests_are_what_the_published_schemas_want():
    web = [process(number=number, env=NASTY, cmd="app $(X) $PORT", grace=45) for number in (1, 2)]
    worker = process("worker", env=NASTY, memory=512 << 20)
    secret, deployment, service, other = manifests(exported("kubernetes", *web, worker))
    assert (secret["kind"], secret["stringData"]) == ("Secret", NASTY)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["spec"]["replicas"] == 2
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Always", 45)
    assert container["args"] == ["/bin/sh", "-c", "app $$(X) $$PORT"]
    assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    assert container["env"][0] == {"name": "PORT", "value": "5000"}
    assert container["ports"] == [{"name": "http", "containerPort": 5000}]
    assert container["readinessProbe"]["tcpSocket"] == {"port": "http"}
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
    assert other["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    (container,) = other["spec"]["template"]["spec"]["containers"]
    assert "ports" not in container
    assert container["resources"] == {"limits": {"memory": str(512 << 20)}}


def test_kubernetes_asks_as_app_json_says_and_runs_as_a_number():
    web = process(checks=Checks(Probe(http='/he"alth', timeout=2.5), Probe(command="test $PORT"), 90, 7, 4))
    _, deployment, _ = manifests(exported("kubernetes", web, given_user="1000", image="shop:42"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": '/he"alth', "port": "http"}
    assert (container["startupProbe"]["failureThreshold"], container["startupProbe"]["timeoutSeconds"]) == (90, 3)
    assert container["livenessProbe"] == {
        "exec": {"command": ["/bin/sh", "-c", "test $$PORT"]},
        "timeoutSeconds": 5, "periodSeconds": 7, "failureThreshold": 4,
    }  # fmt: skip
    assert deployment["spec"]["template"]["spec"]["securityContext"] == {"runAsUser": 1000}
    assert container["image"] == "shop:42"


def test_kubernetes_asks_a_worker_only_where_that_was_said():
    files = exported(
        "kubernetes",
        process("job", checks=Checks(ready=Probe(http="/up"))),
        process("notifier", checks=Checks(Probe(notify=True), Probe(notify=True))),
    )
    _, job, notifier = manifests(files)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/up", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 5000}]
    (container,) = notifier["spec"]["template"]["spec"]["containers"]
    assert not [key for key in container if "Probe" in key]


def test_pods_are_replaced_when_a_value_changes():
    def version(env):
        _, deployment, _ = manifests(exported("kubernetes", process(env=env)))
        return deployment["spec"]["template"]["metadata"]["annotations"]["procman/env-version"]

    assert version({"A": "1"}) == version({"A": "1"}) != version({"A": "2"})


def test_a_secret_may_be_empty():
    secret, *_ = manifests(exported("kubernetes", process()))
    assert secret["stringData"] == {}


@settings(max_examples=40)
@given(TEXTS)
def test_any_value_comes_through_yaml(value):
    secret = yaml.safe_load(exported("kubernetes", process(env={"V": value}))["shop-env.yaml"])
    assert secret["stringData"]["V"] == value
    (service,) = composed(exported("compose", process(env={"V": value}, cmd=f"x{value}")))
    assert service["environment"]["V"] == value
    assert service["command"] == ["/bin/sh", "-c", f"x{value}"]


@pytest.mark.parametrize(("name", "made"), [("Web_x.1", "web-x-1"), ("-a-", "a"), ("a" * 63, "a" * 63)])
def test_names_as_dns_has_them(name, made):
    assert label(name) == made


@pytest.mark.parametrize("name", ["___", "a" * 64])
def test_names_that_dns_cannot_have_are_refused(name):
    with pytest.raises(ProcmanError, match="makes no name"):
        exported("kubernetes", process(), app=name)


# -- compose ------------------------------------------------------------------------------------------------


def composed(files: dict[str, str]) -> list[dict]:
    """The services, by the specification's own types, with ``$$`` as Compose reads it."""
    text = files["compose.yaml"]
    spec = PyCompose.from_yaml(text).to_spec()
    found = yaml.safe_load(text)["services"]
    assert set(spec.services) == set(found)

    def read(value):
        if isinstance(value, dict):
            return {key: read(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [read(inner) for inner in value]
        assert not isinstance(value, str) or not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", value)
        return value.replace("$$", "$") if isinstance(value, str) else value

    return [read(service) for service in found.values()]


def test_compose_has_a_service_for_each_dyno():
    web = [process(number=number, env=NASTY, cmd="app $PORT") for number in (1, 2)]
    first, second, worker = composed(exported("compose", *web, process("worker", memory=1 << 20), given_user="1:2"))
    assert first == {
        "image": "shop",
        "build": "/srv/shop",
        "command": ["/bin/sh", "-c", "app $PORT"],
        "user": "1:2",
        "environment": {**NASTY, "PORT": "5000", "DYNO": "web.1", "PS": "web.1"},
        "ports": ["5000:5000"],
        "restart": "always",
        "stop_grace_period": "30s",
        "stop_signal": "SIGTERM",
    }
    assert (second["environment"]["DYNO"], second["ports"]) == ("web.2", ["5001:5001"])
    assert "ports" not in worker
    assert worker["mem_limit"] == f"{1 << 20}b"


def test_compose_asks_and_orders_as_the_settings_say():
    checks = Checks(ready=Probe(command="test $PORT", timeout=2.5), within=20, every=7, failures=4)
    database, web = composed(exported("compose", process("db", checks=checks), process(needs=("db",))))
    assert database["healthcheck"] == {
        "test": ["CMD", "/bin/sh", "-c", "test $PORT"],
        "interval": "7s", "timeout": "3s", "retries": 4, "start_period": "20s",
    }  # fmt: skip
    assert web["depends_on"] == ["db-1"]
    assert "depends_on" not in database


def test_an_image_that_is_named_is_not_built():
    (service,) = composed(exported("compose", process(), image="registry.example.com/shop:42"))
    assert service["image"] == "registry.example.com/shop:42"
    assert "build" not in service
