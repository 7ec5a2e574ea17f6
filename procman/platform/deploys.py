"""The last part of a deploy: a slug that was built becomes a release, and whoever watches is told how that goes."""

import asyncio
import secrets
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from procman.builds import BuildResult
from procman.core.records import App, Release, Slug, User
from procman.platform import dynos, releases
from procman.platform.host import Host
from procman.platform.outcome import Outcome
from procman.platform.releases import Wish, config_vars
from procman.runtimes.base import OneOff
from procman.store import tables
from procman.store.database import Tx

if TYPE_CHECKING:
    from procman.platform.build_runs import BuildRun

T = TypeVar("T")
LOOK_S = 1.0
PHASE_DONE = "Waiting for release.... done."
SECRET_BYTES = 32  # app.json: generator "secret" makes 64 hexadecimal digits


class Ended(NamedTuple):
    """How a build ended. ``ok``: it is released, or a release command that failed has used the number up."""

    ok: bool
    version: int | None = None


async def release(host: Host, user: User, run: "BuildRun", result: BuildResult) -> Ended:
    """A release of what was built, its rollout watched to its end."""
    app = run.app
    host.say(app.id, "Build succeeded")
    made, unborn = await make_release(host, user, run, result)
    host.tell("api:build", "update", app)
    announce(host, run, made, result)
    await show_command(host, run, made)
    outcome = await told(host, run, made, host.rollouts.wait(made))
    if outcome.status == "succeeded" and unborn and result.facts.get("postdeploy"):
        await post_deploy(host, user, app, run, str(result.facts["postdeploy"]))
    run.write(*verdict(app, made, outcome))
    return Ended(outcome.status in ("succeeded", "expired") or outcome.phase, made.version)


async def make_release(host: Host, user: User, run: "BuildRun", result: BuildResult) -> tuple[Release, bool]:
    """Slug, release and the build's end in one transaction; and whether nothing of the app has ever run before."""
    app, build, unborn = run.app, run.build, False

    def wish(tx: Tx) -> Wish:
        nonlocal unborn
        first = tables.slugs.get(tx, app_id=app.id) is None
        good = tables.releases.find(tx, app_id=app.id, status="succeeded")
        unborn = not any(row.slug_id for row in good)
        slug = slug_of(host, run, result)
        tables.slugs.insert(tx, slug)
        tables.apps.update(tx, app.id, description=result.language)
        config = with_defaults(config_vars(tx, app.id), result.facts.get("env", {})) if first else None
        return Wish(releases.deploy_words(slug), slug.id, config)

    def more(tx: Tx, made: Release) -> None:
        tables.builds.update(
            tx, build.id, status="succeeded", slug_id=build.id, release_id=made.id, updated_at=host.now()
        )

    made = await releases.create(host, user, app, wish, more)
    return made, unborn


def slug_of(host: Host, run: "BuildRun", result: BuildResult) -> Slug:
    """The row of a slug, which is called after its build."""
    now, build = host.now(), run.build
    return Slug(
        build.id, run.app.id, "ready", result.process_types, build.commit_hash, run.commit_description,
        result.checksum or None, result.size, host.settings.stack, result.language, result.facts, now, now,
    )


def announce(host: Host, run: "BuildRun", made: Release, result: BuildResult) -> None:
    """What a pusher reads first of the release."""
    run.write("-----> Launching...")
    if "release" in result.process_types:
        run.write(
            " !     Release command declared: this new release will not be available until the command succeeds."
        )
    url = f"http://{run.app.name}.{host.settings.domain}:{host.settings.router_port}/"
    run.write(f"       Released v{made.version}", f"       {url} deployed to procman", "")


async def show_command(host: Host, run: "BuildRun", made: Release) -> None:
    """The release command's output, as it comes, if there is such a command."""
    phase = await told(host, run, made, host.rollouts.started(made))
    if phase is None:
        return
    run.write("Running release command...", "")
    async for chunk in host.rollouts.outputs.read(phase.output.name):
        run.write_bytes(chunk)
    if phase.status == 0:
        run.write(PHASE_DONE, "")


async def told(host: Host, run: "BuildRun", release: Release, awaited: Coroutine[Any, Any, T]) -> T:
    """Wait; whoever watches is told what a release waits for that cannot be rolled out now: room on the disk."""
    waiting, said = asyncio.ensure_future(awaited), ""
    try:
        while not (await asyncio.wait((waiting,), timeout=LOOK_S))[0]:
            words = host.rollouts.troubles.get(release.app_id) or host.traffic.trouble
            if words != said and words:
                run.write(f" !     Release v{release.version} waits: {words}")
            said = words
        return waiting.result()
    finally:
        waiting.cancel()


async def post_deploy(host: Host, user: User, app: App, run: "BuildRun", command: str) -> None:
    """``scripts.postdeploy`` of app.json, after an app's first deploy; its failure is told and changes nothing."""
    run.write("Running postdeploy script...", "")
    plan, words = await host.db.run(lambda tx: dynos.prepare(host, tx, user, app, dynos.Order(command)))
    name = dynos.free_name(host, app, "postdeploy")
    stream = await host.runtime.attach_one_off(app.id, OneOff(name, words, plan, tty=False))
    while chunk := await stream.read():
        run.write_bytes(chunk)
    if status := await host.runtime.wait_one_off(app.id, name):
        run.write(f" !     The postdeploy script exited with status {status}.")


def verdict(app: App, release: Release, outcome: Outcome) -> list[str]:
    """The last lines (Heroku: release-phase for those of a command that failed)."""
    if outcome.status == "succeeded":
        return ["Verifying deploy... done."]
    if outcome.status == "expired":
        return [f" !     Release v{release.version} was {outcome.why}.", "", "Verifying deploy... done."]
    if outcome.phase:
        return ["Waiting for release.... failed.", f" !     Release v{release.version} failed: {outcome.why}"]
    lines = [f" !     Release v{release.version} failed: {outcome.why}"]
    if outcome.lines:
        lines += [f" !     The last lines of {outcome.dyno}:", *(f"       {line}" for line in outcome.lines)]
    lines += [" !     What ran before goes on running.", "", "Verifying deploy... failed."]
    return [*lines, "", f"!\tPush rejected to {app.name}."]


def with_defaults(config: Mapping[str, str], wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, str] | None:
    """What app.json gives an app on its first deploy, where the user has set nothing; None: nothing to add."""
    added = {}
    for name, said in wanted.items():
        if name in config:
            continue
        if said.get("generator") == "secret":
            added[name] = secrets.token_hex(SECRET_BYTES)
        elif isinstance(said.get("value"), str):
            added[name] = said["value"]
    return {**config, **added} if added else None
