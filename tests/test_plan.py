"""The text form of a plan: what goes out comes in, and what is wrong is named."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.core.plan import Health, Limits, Plan, TypePlan
from procman.core.sizes import SIZES
from procman.formats.plan import decode, encode

PLAN = Plan(
    "0f-app",
    "shop",
    5,
    "rel-5",
    5,
    "/slugs/5",
    {
        "web": TypePlan("serve $PORT", 2, SIZES["Basic"], health=Health("/health")),
        "clock": TypePlan("tick", 1, Limits("Tiny", 1, 2, 3), overlap=False),
    },
    {"SECRET": "s3cr3t", "EMPTY": "", "BAD_UTF8": "\udcff"},
    (20_000, 100),
    "/app",
)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def test_what_was_encoded_is_decoded():
    assert decode(encode(PLAN)) == PLAN
    assert decode(encode(PLAN._replace(mount=None, types={}, cgroup={"unified": "/sys/fs/cgroup/x"}))).types == {}
    assert list(decode(encode(PLAN)).types) == ["web", "clock"]


@given(command=texts, env=st.dictionaries(texts.filter(lambda name: name and "=" not in name), texts, max_size=4))
def test_any_command_and_any_config_vars_survive(command, env):
    plan = PLAN._replace(env=env, types={"web": PLAN.types["web"]._replace(command=command)})
    assert decode(encode(plan)) == plan


def changed(**members) -> bytes:
    return json.dumps({**json.loads(encode(PLAN)), **members}).encode()


WEB = json.loads(encode(PLAN))["types"]["web"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "the plan: an object is wanted"),
        (b"{}", "the plan: app_id is missing"),
        (changed(colour="red"), "the plan: there is no 'colour'"),
        (changed(generation="5"), "generation: a whole number is wanted"),
        (changed(generation=True), "generation: a whole number is wanted"),
        (changed(version=-1), "version: a whole number is wanted"),
        (changed(app_id=""), "app_id: it is empty"),
        (changed(directory="slug"), "directory: an absolute path is wanted"),
        (changed(directory="/a\0b"), "directory: a text is wanted"),
        (changed(ports=[20_000]), "ports: the first port and their number are wanted"),
        (changed(ports=[65_500, 100]), "ports: 65500 and 100 are no block of ports"),
        (changed(ports=[0, 10]), "ports: 0 and 10 are no block of ports"),
        (changed(rollout="canary"), "rollout: one of preboot, restart is wanted"),
        (changed(policy="hope"), "policy: one of dev, heroku, always, on-failure, never, foreman is wanted"),
        (changed(grace=-1), "grace: a number of seconds is wanted"),
        (changed(grace=False), "grace: a number of seconds is wanted"),
        (changed(cycle=1), "cycle: true or false is wanted"),
        (changed(env=[]), "env: an object is wanted"),
        (changed(env={"A=B": "x"}), "env: 'A=B' cannot be the name of a variable"),
        (changed(types={"web one": WEB}), "types: 'web one' cannot be a process type"),
        (changed(types={"web": {}}), "types: web: command is missing"),
        (changed(types={"web": {**WEB, "quantity": 1.5}}), "types: quantity: a whole number is wanted"),
        (changed(types={"web": {**WEB, "health": {"path": "/", "timeout": "soon"}}}),
         "types: health: timeout: a number of seconds is wanted"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text, why):
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        decode(text)


def test_a_bad_value_is_never_told():
    with pytest.raises(ValueError, match="env: PASSWORD must be a text") as caught:
        decode(changed(env={"PASSWORD": ["hunter2"]}))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
