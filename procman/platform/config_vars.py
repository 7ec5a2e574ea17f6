"""Config vars: each change is a release (Heroku: config-vars)."""

import re
from collections.abc import Mapping

from procman.core.records import App, Release, User
from procman.platform import releases
from procman.platform.host import Host
from procman.platform.refusals import invalid
from procman.platform.releases import Wish, config_vars
from procman.store.database import Tx

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOST_BYTES = 64 << 10


async def shown(host: Host, app: App) -> dict[str, str]:
    """All of them."""
    return await host.db.run(lambda tx: config_vars(tx, app.id))


async def change(
    host: Host, user: User, app: App, changes: Mapping[str, object]
) -> tuple[dict[str, str], Release | None]:
    """Set and (with None) remove; the whole map as it is then, and its release, if anything changes. Raises Refusal."""
    for key, value in changes.items():
        check(key, value)

    def apply(tx: Tx) -> tuple[dict[str, str], dict[str, str]]:
        before = config_vars(tx, app.id)
        after = {**before, **{key: str(value) for key, value in changes.items() if value is not None}}
        return before, {key: value for key, value in after.items() if changes.get(key, "") is not None}

    before, after = await host.db.run(apply)
    if before == after:
        return after, None

    def wish(tx: Tx) -> Wish:
        old, new = apply(tx)
        size = sum(len(key.encode()) + len(value.encode("utf-8", "surrogatepass")) for key, value in new.items())
        if size > MOST_BYTES:
            raise invalid(f"Config vars are limited to {MOST_BYTES >> 10} KB in all, these have {size} bytes.")
        put = sorted(key for key in new if old.get(key) != new[key])
        gone = sorted(key for key in old if key not in new)
        words = [f"Set {', '.join(put)}"] if put else []
        words += [f"Remove {', '.join(gone)}"] if gone else []
        return Wish(f"{' and '.join(words)} config vars", None, new)

    release = await releases.create(host, user, app, wish)
    return dict(release.config), release


async def of_release(host: Host, app: App, word: str) -> Release:
    """The release whose config vars are asked for. Raises Refusal."""
    return await host.db.run(lambda tx: releases.find_release(tx, app, word))


def check(key: str, value: object) -> None:
    """Raises Refusal for what no config var can be. The value is never repeated."""
    if not KEY.fullmatch(key) or key.startswith("__"):
        raise invalid(f"'{key}' is not a name for a config var: letters, digits and _, not first a digit or __.")
    if key.startswith("HEROKU_"):
        raise invalid(f"'{key}' is not a name for a config var: HEROKU_ is the platform's.")
    if value is not None and not isinstance(value, str):
        raise invalid(f"The value of {key} must be a string, or null to remove it.")
    if isinstance(value, str) and "\0" in value:
        raise invalid(f"The value of {key} must not contain a NUL.")
