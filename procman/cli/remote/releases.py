"""Releases and builds."""

from collections.abc import Iterator, Mapping
from itertools import dropwhile, islice
from typing import Any

from procman.cli.listing import columns, emit, emit_json, write
from procman.cli.options import Given
from procman.cli.remote.apps import Own, said, word
from procman.cli.remote.connection import path
from procman.cli.remote.target import Target, target
from procman.errors import ProcmanError, UsageError

MOST = 15  # Heroku client: releases


def listed(told: Given, own: Own) -> int:
    """The latest releases, newest first."""
    meant, count = target(told), wanted(told)
    found: list[dict[str, Any]] = []
    current = "none"
    for release in newest(meant):  # the current one may be older than those that are shown
        if len(found) < count:
            found.append(release)
        if release["current"]:
            current = f"v{release['version']}"
        if len(found) == count and current != "none":
            break
    if own["json"]:
        emit_json(found)
        return 0
    rows = [
        (
            f"v{release['version']}",
            release["description"] + ("" if release["status"] == "succeeded" else f" ({release['status']})"),
            release["user"]["email"],
            release["created_at"],
            "its slug is gone" if gone(release) else "",
        )
        for release in found
    ]
    emit("\n".join([f"=== {meant.app} Releases - Current: {current}", *columns(rows, "")]))
    return 0


def wanted(told: Given) -> int:
    """How many. Raises UsageError."""
    count = str(told.fields.get("num") or MOST)
    if not (count.isascii() and count.isdigit() and len(count) < 10 and int(count)):
        raise UsageError(f"cannot use --num {count}: a number from 1 is wanted")
    return int(count)


def newest(meant: Target) -> Iterator[dict[str, Any]]:
    """The app's releases, newest first."""
    return meant.server.newest(path("apps", meant.app, "releases"), "version")


def last(meant: Target) -> dict[str, Any]:
    """The newest release."""
    return next(meant.server.newest(path("apps", meant.app, "releases"), "version", 1))


def outcome(release: Mapping[str, Any]) -> str:
    """``failed: worker.1 did not come up``; of a server of before, or of one that is well, without a reason."""
    reason = release.get("reason")
    return f"{release['status']}: {reason}" if reason else str(release["status"])


def gone(release: Mapping[str, Any]) -> bool:
    """Whether it ran once, and cannot be gone back to."""
    return bool(release["slug"]) and release["status"] == "succeeded" and not release["eligible_for_rollback"]


def show(told: Given, own: Own) -> int:
    """One release and its config vars."""
    meant = target(told)
    release = find(meant, word(told, "VERSION", optional=True))
    config = meant.server.get(path("apps", meant.app, "releases", str(release["version"]), "config-vars"))
    if own["json"]:
        emit_json({**release, "config_vars": config})
        return 0
    rows = [("Change:", release["description"]), ("By:", release["user"]["email"]), ("When:", release["created_at"])]
    rows += [("Status:", outcome(release))]
    lines = columns([(f"{key}:", value) for key, value in config.items()], "") if config else []
    emit("\n".join([f"=== Release v{release['version']}", *columns(rows, ""), "", "=== Config Vars", *lines]))
    return 0


def output(told: Given, own: Own) -> int:
    """What a release command printed, to its end."""
    meant = target(told)
    release = find(meant, word(told, "VERSION", optional=True))
    if not release["output_stream_url"]:
        raise ProcmanError(f"cannot show the output of v{release['version']}: it had no release command")
    return copy(meant, release["output_stream_url"])


def roll_back(told: Given, own: Own) -> int:
    """Bring back an earlier release's slug and config vars."""
    meant = target(told)
    version = word(told, "VERSION", optional=True)
    if not version:
        version = str(before_current(meant)["version"])
    release = meant.server.call("POST", path("apps", meant.app, "releases"), {"release": version.removeprefix("v")})
    text = f"Rolling back {meant.app} to v{version.removeprefix('v')}... done, v{release['version']}"
    return released(meant, own, release, text)


def retry(told: Given, own: Own) -> int:
    """Release the code of a release that failed once more, with the config vars of now. Raises ProcmanError."""
    meant = target(told)
    old = find(meant, word(told, "VERSION", optional=True))
    name = f"v{old['version']}"
    if not old["slug"]:
        raise ProcmanError(f"cannot retry {name}: it has no code", "git push heroku main")
    if old["status"] == "succeeded":
        raise ProcmanError(f"cannot retry {name}: it did not fail", f"procman rollback -a {meant.app} {name}")
    if old["status"] == "pending":
        raise ProcmanError(f"cannot retry {name}: it is still coming up", f"procman ps:wait -a {meant.app}")
    body = {"slug": old["slug"]["id"], "description": f"Retry of {name}: {old['description']}"}
    release = meant.server.call("POST", path("apps", meant.app, "releases"), body)
    text = f"Retrying {name} on {meant.app}... done, v{release['version']}"
    return released(meant, own, release, text)


def released(meant: Target, own: Own, release: dict[str, Any], text: str) -> int:
    """Say that a release was made, and what its release command prints, to its end."""
    said(own, release, "\n".join([text, *coming_up(meant, release)]))
    return copy(meant, release["output_stream_url"]) if release["output_stream_url"] else 0


def before_current(meant: Target) -> dict[str, Any]:
    """The release that ran before the current one: what came later never ran. Raises ProcmanError."""
    older = dropwhile(lambda release: not release["current"], newest(meant))
    for release in islice(older, 1, None):
        if release["status"] == "succeeded" and release["eligible_for_rollback"]:
            return release
    raise ProcmanError(f"cannot roll {meant.app} back: no earlier release is left", "procman releases")


def find(meant: Target, version: str) -> dict[str, Any]:
    """The release that is meant; without a word the newest."""
    if version:
        return dict(meant.server.get(path("apps", meant.app, "releases", version.removeprefix("v"))))
    return last(meant)


def coming_up(meant: Target, release: Mapping[str, Any]) -> list[str]:
    """Where to learn whether it does: what was asked for is done, and its dynos still have to come up."""
    return [f"v{release['version']} comes up now: procman ps:wait -a {meant.app}"] if release["slug"] else []


def copy(meant: Target, url: object) -> int:
    """A stored output, as it grows."""
    for chunk in meant.server.stream(str(url), {}):
        write((chunk.replace(b"\0", b""),))
    return 0


def builds(told: Given, own: Own) -> int:
    """The latest builds, newest first."""
    meant, count = target(told), wanted(told)
    found = list(islice(newest_builds(meant), count))
    rows = [
        (build["id"], build["status"], (build["source_blob"].get("version") or "")[:8], build["user"]["email"],
         build["created_at"])
        for build in found
    ]
    lines = columns([("ID", "STATUS", "COMMIT", "BY", "WHEN"), *rows], "")
    return said(own, found, "\n".join([f"=== {meant.app} Builds", *lines]))


def newest_builds(meant: Target) -> Iterator[dict[str, Any]]:
    """The app's builds, newest first."""
    return meant.server.newest(path("apps", meant.app, "builds"), "started_at")


def build_info(told: Given, own: Own) -> int:
    """One build."""
    meant = target(told)
    build = find_build(meant, word(told, "BUILD", optional=True))
    rows = [("Status:", build["status"]), ("By:", build["user"]["email"]), ("When:", build["created_at"])]
    release = find(meant, build["release"]["id"]) if build["release"] else None
    rows += [("Release:", f"v{release['version']}" if release else "none")]
    rows += [("Slug:", build["slug"]["id"] if build["slug"] else "none")]
    return said(own, build, "\n".join([f"=== Build {build['id']}", *columns(rows, "")]))


def build_output(told: Given, own: Own) -> int:
    """What a build printed, to its end."""
    meant = target(told)
    return copy(meant, find_build(meant, word(told, "BUILD", optional=True))["output_stream_url"])


def cancel_build(told: Given, own: Own) -> int:
    """End a build that runs."""
    meant = target(told)
    build = find_build(meant, word(told, "BUILD", optional=True))
    answer = meant.server.call("DELETE", path("apps", meant.app, "builds", str(build["id"])))
    return said(own, answer, f"Cancelling build {build['id']}... done")


def purge_cache(told: Given, own: Own) -> int:
    """Forget what earlier builds kept."""
    meant = target(told)
    answer = meant.server.call("DELETE", path("apps", meant.app, "build-cache"))
    return said(own, answer, f"Clearing the build cache of {meant.app}... done")


def find_build(meant: Target, identity: str) -> dict[str, Any]:
    """The build that is meant, by the beginning of its id; without a word the newest."""
    for build in newest_builds(meant):
        if build["id"].startswith(identity):
            return build
    what = f"a build {identity}" if identity else "a build"
    raise ProcmanError(f"cannot find {what} of {meant.app}", "procman builds")
