"""docs/api-coverage.md, from the table of routes and the table of commands: ``python -m procman.api.coverage``."""

import sys
from collections.abc import Iterable, Iterator

from procman.api.call import Right, Route
from procman.api.commands import COMMANDS, State
from procman.api.routes import ROUTES

CLIENT = "11.10.0"
RIGHTS = {
    Right.ANYBODY: "nobody in particular",
    Right.USER: "any user",
    Right.APP: "owner or collaborator",
    Right.OWNER: "owner",
    Right.ADMIN: "administrator",
}
HEAD = f"""\
# What of Heroku's Platform API is here

Written by `python -m procman.api.coverage > docs/api-coverage.md` from the tables in the code. The server speaks
version 3 of the API, as the unmodified `heroku` client {CLIENT} needs it. Errors are `{{"id", "message"}}` with
Heroku's status; lists that can be long come in parts (`Range`, `Next-Range`).

"""


def render() -> str:
    """The whole page."""
    return HEAD + "\n".join([*commands(), "", *routes(ROUTES)]) + "\n"


def commands() -> Iterator[str]:
    """The client's commands, by how they fare."""
    yield "## Commands of the client"
    for state in State:
        rows = [row for row in COMMANDS if row.state is state]
        yield from ("", f"### {state.value.capitalize()}", "")
        if state is State.WORKS:
            yield ", ".join(f"`{row.name}`" for row in rows if not row.why)
            yield ""
        yield from ("| command | |", "|---|---|")
        reasons = dict.fromkeys(row.why for row in rows if row.why)
        for why in reasons:
            yield f"| {', '.join(f'`{row.name}`' for row in rows if row.why == why)} | {why} |"


def routes(table: Iterable[Route]) -> Iterator[str]:
    """Every route, and who may use it."""
    yield from ("## Routes", "", "| | path | for |", "|---|---|---|")
    for route in sorted(table, key=lambda route: (route.path, route.method)):
        yield f"| {route.method} | `{route.path}` | {RIGHTS[route.right]} |"


if __name__ == "__main__":
    sys.stdout.write(render())
