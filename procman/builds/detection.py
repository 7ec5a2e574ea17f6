"""Which buildpacks build an app: those that were set, app.json's, or the first of ours that fits."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from procman.builds import buildpack, scripts
from procman.builds.buildpack import BUILTIN, Buildpack
from procman.builds.failure import BuildFailed
from procman.builds.report import Report, listed, without_password
from procman.builds.request import BuildRequest, Limits
from procman.errors import ProcmanError
from procman.formats.app_json import AppJson

HINT = (
    "HINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.",
    "See https://devcenter.heroku.com/articles/buildpacks",
)


class Chosen(NamedTuple):
    """A buildpack that fits, and what it calls the app (``Python``)."""

    pack: Buildpack
    language: str


def wished(request: BuildRequest, app_json: AppJson) -> tuple[tuple[str, ...], str]:
    """The list that somebody made, if any, and who: a config var, the app's setting, app.json."""
    legacy = request.env.get("BUILDPACK_URL", "").strip()
    if legacy:
        return (legacy,), "the config var BUILDPACK_URL"
    if request.buildpacks:
        return request.buildpacks, ""
    return app_json.buildpacks, "app.json" if app_json.buildpacks else ""


def given(
    words: tuple[str, ...], origin: str, folder: str, limits: Limits, report: Report
) -> list[Chosen]:
    """Get the buildpacks of a list, in its order; each must fit. Raises BuildFailed."""
    shown = [f"heroku/{name}" if (name := buildpack.name_of(word)) else without_password(word) for word in words]
    if len(words) == 1:
        report.step(f"Using buildpack: {shown[0]}")
    else:
        report.step("Using buildpacks:")
        for number, word in enumerate(shown, 1):
            report.detail(f"{number}. {word}")
    if origin:
        report.detail(f"(set by {origin})")
    found = []
    for number, word in enumerate(words, 1):
        try:
            name = buildpack.name_of(word)
            pack = buildpack.builtin(name, folder) if name else buildpack.obtain(word, folder, number, limits)
        except ProcmanError as error:
            why = str(error)
            hint = (f"Hint: {error.hint}",) if error.hint else ()
            raise BuildFailed("detect", why, (f"{why[:1].upper()}{why[1:]}.", *hint)) from None
        found.append(Chosen(pack, ""))
    return found


def fits(pack: Buildpack, build_dir: str, env: Mapping[str, str]) -> tuple[str | None, str]:
    """What ``bin/detect`` calls the app, None if it does not fit; and what it said besides."""
    status, name, notes = scripts.said((f"{pack.folder}/bin/detect", build_dir), env, pack.folder)
    return (name.strip().splitlines() or [""])[0] if status == 0 else None, notes.strip() or name.strip()


def checked(chosen: Chosen, build_dir: str, env: Mapping[str, str], report: Report) -> Chosen:
    """Ask a buildpack that was set whether it fits, at its turn. Raises BuildFailed."""
    name, notes = fits(chosen.pack, build_dir, env)
    if name is None:
        report.step(f"App not compatible with buildpack: {chosen.pack.shown}")
        for line in notes.splitlines()[:10]:
            report.detail(line)
        raise BuildFailed(
            "detect",
            f"the app is not compatible with the buildpack {chosen.pack.shown}",
            ("To let the app decide: heroku buildpacks:clear",),
        )
    return Chosen(chosen.pack, name)


def detected(folder: str, build_dir: str, env: Mapping[str, str], report: Report) -> Chosen:
    """The first of ours that fits, with a word on the others. Raises BuildFailed."""
    report.step("Determining which buildpack to use for this app")
    found: list[tuple[Chosen, str]] = []
    for name in BUILTIN:
        if name in ("static", "procfile") and found:
            break
        pack = buildpack.builtin(name, folder)
        language, notes = fits(pack, build_dir, env)
        if language is not None:
            found.append((Chosen(pack, language), notes.partition("\n")[0]))
    if not found:
        raise nothing_fits(build_dir, report)
    chosen, notes = found[0]
    if len(found) > 1:
        report.warn(
            f"Several languages were found: {listed([f'{each.language} ({why})' for each, why in found])}.",
            f"{chosen.language} builds this app: the order is {', '.join(BUILTIN[:4])} (as on Heroku).",
        )
        for other, _ in found[1:]:
            report.warn(f"For {other.language} instead: heroku buildpacks:set {other.pack.shown}")
    report.detail(f"{notes} found: {chosen.pack.shown} (to choose another: heroku buildpacks:set URL)")
    return chosen


def nothing_fits(build_dir: str, report: Report) -> BuildFailed:
    """Heroku's words, and what there is."""
    names = sorted(os.listdir(build_dir))
    shown = ", ".join(repr(name)[1:-1] for name in names[:12]) + (", …" if len(names) > 12 else "")
    report.warn("No default language could be detected for this app.")
    for line in HINT:
        report.line(f"\t\t\t{line}")
    return BuildFailed(
        "detect",
        "no default language could be detected",
        (
            f"In the top folder: {shown or 'nothing'}.",
            "A Procfile, requirements.txt, package.json, Gemfile, go.mod or index.html there would do,",
            "or: heroku buildpacks:set URL",
        ),
    )
