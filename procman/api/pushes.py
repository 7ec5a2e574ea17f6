"""What the pre-receive hook asks, over the server's Unix socket: build what is being pushed."""

import re

from procman.api.call import Answer, Call, Right, Route, Stream
from procman.platform.git_access import Commit, GitAccess
from procman.platform.refusals import invalid, missing

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
VARIABLES = frozenset({"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_DIR"})


async def deploy(call: Call) -> Answer | Stream:
    """``POST /internal/pushes/SECRET``: the output as it comes, then NUL and the verdict."""
    access: GitAccess | None = call.host.git_access
    if access is None or call.request.scope.get("client") is not None:  # a Unix socket's clients have no address
        raise missing("push")
    access.push(call.params["secret"])
    environment = call.body.get("environment")
    names = (call.must("commit"), call.must("previous"))
    if not all(COMMIT.fullmatch(name) for name in names):
        raise invalid("commit and previous must be object names.")
    if not isinstance(environment, dict) or not VARIABLES.issuperset(environment):
        raise invalid("environment must hold git's variables only.")
    commit = Commit(*names, call.must("branch"), {str(key): str(value) for key, value in environment.items()})
    return Stream(access.deploy(call.params["secret"], commit), "text/plain; charset=utf-8")


ROUTES = (Route("POST", "/internal/pushes/{secret}", deploy, Right.ANYBODY),)
