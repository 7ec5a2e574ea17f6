"""The heroku client's commands, and how each fares here: what docs/api-coverage.md tells, as data."""

from enum import Enum
from typing import NamedTuple


class State(Enum):
    """How a command fares."""

    WORKS = "works"
    ANSWERED = "answered truthfully"  # runs, and says what is not here
    ABSENT = "not here"


class Command(NamedTuple):
    """One command, or a family (``pg:*``). ``why``: for what does not simply work."""

    name: str
    state: State
    why: str = ""


def works(*names: str, why: str = "") -> tuple[Command, ...]:
    """Those that do what they do at Heroku."""
    return tuple(Command(name, State.WORKS, why) for name in names)


def answered(why: str, *names: str) -> tuple[Command, ...]:
    """Those that get an honest answer."""
    return tuple(Command(name, State.ANSWERED, why) for name in names)


def absent(why: str, *names: str) -> tuple[Command, ...]:
    """Those that cannot be."""
    return tuple(Command(name, State.ABSENT, why) for name in names)


COMMANDS: tuple[Command, ...] = (
    *works("access", "access:add", "access:remove"),
    *answered("there are no teams, so no permissions to change", "access:update"),
    *works("accounts", "accounts:*", why="the client's own"),
    *answered("there is no shop: config vars name services of your own", "addons", "addons:*"),
    *works("apps", "apps:create", "apps:destroy", "apps:info", "apps:leave", "apps:open", "apps:rename", "apps:stacks"),
    *works("apps:stacks:set", why="there is one stack"),
    *works("apps:transfer", why="at once: nobody has to accept"),
    *absent("goes to GitHub's API", "apps:diff"),
    *absent("goes to Heroku's metrics service", "apps:errors"),
    *absent("goes to Heroku's dashboard service", "apps:favorites", "apps:favorites:*"),
    *answered("there are no teams", "apps:join", "apps:lock", "apps:unlock"),
    *works("auth:login", "auth:logout", "auth:token", "auth:whoami"),
    *absent("there is no second factor", "auth:2fa", "auth:2fa:disable"),
    *works("authorizations", "authorizations:*"),
    *works("autocomplete", "autocomplete:*", why="the client's own"),
    *works("buildpacks", "buildpacks:add", "buildpacks:clear", "buildpacks:remove", "buildpacks:set"),
    *absent("there is no registry, only the names that this server knows", "buildpacks:info", "buildpacks:search"),
    *absent("there is no registry, only the names that this server knows", "buildpacks:versions"),
    *works("certs", "certs:add", "certs:generate", "certs:info", "certs:remove", "certs:update"),
    *answered("certificates are your own to bring", "certs:auto", "certs:auto:*"),
    *absent("there is no CI", "ci", "ci:*"),
    *answered("there are no OAuth clients", "clients", "clients:*"),
    *works("config", "config:edit", "config:get", "config:set", "config:unset"),
    *absent("there is no registry for images", "container:*"),
    *absent("goes to Heroku's dashboard", "dashboard"),
    *absent("goes to Heroku's database service", "data:*"),
    *works(
        "domains", "domains:add", "domains:clear", "domains:info", "domains:remove", "domains:update", "domains:wait"
    ),
    *works("drains", "drains:add", "drains:remove"),
    *works("features", "features:disable", "features:enable", "features:info"),
    *works("git:clone", "git:credentials", "git:remote"),
    *answered("git goes over HTTPS, with the key that login keeps", "keys", "keys:*"),
    *works("labs", "labs:disable", "labs:enable", "labs:info"),
    *works("local", "local:run", "local:version", why="the client's own; procman start does more"),
    *works("logs"),
    *works("maintenance", "maintenance:off", "maintenance:on"),
    *absent("goes to Heroku's own services", "mcp:start", "notifications", "status", "version:info"),
    *answered("there are no teams", "members", "members:*", "orgs", "orgs:open", "teams"),
    *answered("there are no databases of Heroku's", "pg:*"),
    *answered("there are no pipelines", "pipelines", "pipelines:*"),
    *works("ps", "ps:restart", "ps:scale", "ps:stop", "ps:type", "ps:wait"),
    *absent("goes to Heroku's metrics service", "ps:autoscale:*"),
    *absent("Heroku Exec needs its proxy: heroku run instead", "ps:copy", "ps:exec", "ps:forward", "ps:socks"),
    *answered("there is no Redis of Heroku's", "redis:*"),
    *works("regions", why="there is one: here"),
    *works("releases", "releases:info", "releases:output", "releases:retry", "releases:rollback"),
    *works("repl", why="the client's own"),
    *absent("there are no review apps", "reviewapps:*"),
    *works("console", "rake", "run", "run:detached"),
    *absent("the way into a running dyno is not built", "run:inside"),
    *works("sessions", "sessions:destroy"),
    *answered("an app runs on this host", "spaces", "spaces:*"),
    *answered("there is no telemetry to send", "telemetry", "telemetry:*"),
    *absent("nothing is metered", "usage:addons"),
    *works("webhooks", "webhooks:*"),
)


def fate(command: str) -> Command | None:
    """The row that speaks of a command."""
    rows = {row.name: row for row in COMMANDS}
    words = command.split(":")
    for length in range(len(words), 0, -1):
        prefix = ":".join(words[:length])
        if length == len(words) and prefix in rows:
            return rows[prefix]
        if length < len(words) and f"{prefix}:*" in rows:
            return rows[f"{prefix}:*"]
    return None
