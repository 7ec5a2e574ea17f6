"""What a build is asked for and what came of it: two values, each with a form as a JSON file."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from procman.files import write_private
from procman.reach import Reach

MB = 1 << 20
KILLED = "the build's process was killed"


class Limits(NamedTuple):
    """What a build may take. ``slug``: bytes of the packed slug; ``warn``: bytes from which a warning is due;
    ``entries`` and ``tree``: files and bytes of the source (Heroku: limits, slug-compiler). ``local``: whether URLs of
    users may lead to this host itself.
    """

    seconds: float = 900.0
    slug: int = 500 * MB
    warn: int = 300 * MB
    entries: int = 200_000
    tree: int = 1024 * MB
    local: bool = False

    @property
    def reach(self) -> Reach:
        """Where buildpacks and submodules may come from."""
        return Reach(self.local)


class BuildRequest(NamedTuple):
    """One build. All paths absolute.

    ``source``: the checked-out tree; it is moved away. ``slug``: where the unpacked slug shall be; does not exist yet.
    ``packed``: where the packed one shall be. ``work``: an empty folder; ``result.json`` is written there. ``cache``:
    kept between builds of the app, made if missing. ``buildpacks``: empty means app.json's, or what is detected.
    ``env``: config vars, given to buildpacks as files only. ``mount``: where the app appears while it is built and when
    it runs (``/app``), None: at ``slug``. ``uid`` and ``gid``: whom the build runs as, None: the caller.
    """

    build_id: str
    app_name: str
    source: str
    slug: str
    packed: str
    work: str
    cache: str
    buildpacks: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    stack: str = "heroku-24"
    commit: str = ""
    mount: str | None = None
    uid: int | None = None
    gid: int | None = None
    limits: Limits = Limits()


class BuildResult(NamedTuple):
    """What came of it. ``language``: the API's ``buildpack_provided_description``. ``facts``: what app.json says, as
    ``AppJson.facts`` (``formation``, ``env``, ``postdeploy``, ``health``, ``cron``, ``overlap``, ``buildpacks``).

    ``process_types``: Procfile and defaults merged; ``default_process_types``: the buildpack's alone. ``size``: bytes
    of the packed slug; ``unpacked_size``: of its files. ``built_at``: where the slug appeared while it was built.
    ``failure``: a sentence, empty if ok; ``reason``: ``compile``, ``detect``, ``source``, ``slug-size``, ``timeout``,
    ``cancelled`` or ``internal``. ``lines``: the last 50 printed. ``phases``: seconds that each took.
    """

    ok: bool
    process_types: Mapping[str, str] = {}
    default_process_types: Mapping[str, str] = {}
    language: str | None = None
    buildpacks: tuple[str, ...] = ()
    slug: str = ""
    packed: str = ""
    size: int = 0
    unpacked_size: int = 0
    checksum: str = ""
    built_at: str = ""
    facts: Mapping[str, Any] = {}
    failure: str = ""
    reason: str = ""
    lines: tuple[str, ...] = ()
    phases: Mapping[str, float] = {}


def write_request(request: BuildRequest, path: str) -> None:
    """Write it, readable by its owner alone: it holds the config vars."""
    row = request._asdict() | {"limits": request.limits._asdict(), "env": dict(request.env)}
    write_private(path, json.dumps(row).encode())


def read_request(path: str) -> BuildRequest:
    """Raises OSError, or ValueError if it is none."""
    with open(path, "rb") as file:
        row = json.load(file)
    try:
        row["limits"] = Limits(**row.get("limits", {}))
        row["buildpacks"] = tuple(row.get("buildpacks", ()))
        return BuildRequest(**row)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not a build request: {error}") from None


def encode_result(result: BuildResult) -> bytes:
    """The result's JSON."""
    return json.dumps(result._asdict()).encode()


def decode_result(data: bytes) -> BuildResult:
    """Raises ValueError if it is none."""
    row = json.loads(data)
    try:
        row["buildpacks"] = tuple(row.get("buildpacks", ()))
        row["lines"] = tuple(row.get("lines", ()))
        return BuildResult(**row)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not a build result: {error}") from None


def result_path(work: str) -> str:
    """Where a build with that work folder leaves its result."""
    return f"{work}/result.json"


def read_result(work: str) -> BuildResult:
    """What the build with that work folder left; a failure if it left nothing, since then it was killed."""
    try:
        with open(result_path(work), "rb") as file:
            return decode_result(file.read())
    except (OSError, ValueError):
        return BuildResult(False, failure=KILLED, reason="internal")
