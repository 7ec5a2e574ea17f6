"""The build itself, in the order in which Heroku's slug compiler does it and with its words."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import IO, TypeVar

from procman.builds import detection, explain, process_types, release_text, scripts, slug
from procman.builds.detection import Chosen
from procman.builds.failure import BuildFailed, Ended
from procman.builds.reading import Unreadable, read_capped
from procman.builds.report import Report, size
from procman.builds.request import KILLED, MB, BuildRequest, BuildResult
from procman.formats import app_json, slugignore

T = TypeVar("T")
POINTER = b"version https://git-lfs.github.com/spec/v1\n"
OWN_ERROR = " !     Error: "  # how buildpacks begin to say what went wrong
POINTED_AT = ("requirements.txt", "package.json", "Gemfile", "go.mod", "pyproject.toml", "Pipfile")


class Compiler:
    """One build. ``build_dir``: where the slug appears, ``/app`` or its path. ``host``: the caller's environment."""

    def __init__(self, request: BuildRequest, build_dir: str, report: Report, host: Mapping[str, str]) -> None:
        self.request = request
        self.build_dir = build_dir
        self.report = report
        self.env = scripts.environment(request, build_dir, host)
        self.packs = f"{request.work}/buildpacks"
        self.phases: dict[str, float] = {}

    def run(self, packed: IO[bytes]) -> BuildResult:
        """Build, and pack into ``packed``. Failures are results; Ended passes through."""
        try:
            return self._build(packed)
        except BuildFailed as failed:
            self.report.warn(*failed.words)
            if failed.reason != "source":
                if failed.words or failed.reason in ("detect", "slug-size"):
                    self.report.line()
                self.report.warn("Push failed")
            told = BuildResult(False, failure=failed.failure, reason=failed.reason, lines=self.report.last())
            return told._replace(phases=self.phases)

    def _build(self, packed: IO[bytes]) -> BuildResult:
        request, report = self.request, self.report
        name, _, number = request.stack.partition("-")
        report.step(f"Building on the {name.capitalize()}-{number} stack")
        settings = self._timed("source", self._prepare)
        chosen = self._timed("buildpacks", lambda: self._choose(settings))
        built = []
        for each in chosen:
            built.append(self._compile(each))
        language, defaults = built[-1].language, self._defaults(built[-1])
        types = self._discover(defaults, language, settings)
        done = self._timed("pack", lambda: self._pack(packed))
        return BuildResult(
            True,
            types,
            defaults,
            language,
            tuple(each.pack.shown for each in built),
            request.slug,
            request.packed,
            done.size,
            done.unpacked,
            done.checksum,
            self.build_dir,
            settings.facts(),
            lines=report.last(),
            phases=self.phases,
        )

    def _timed(self, phase: str, act: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return act()
        finally:
            self.phases[phase] = round(self.phases.get(phase, 0.0) + time.monotonic() - began, 3)

    def _read(self, name: str) -> bytes | None:
        try:
            return read_capped(self.build_dir, name)
        except Unreadable as error:
            raise BuildFailed("compile", str(error), (f"{error}.", "Push rejected.")) from None

    def _prepare(self) -> app_json.AppJson:
        """What the app says about its build: .slugignore is obeyed, app.json read, the Procfile looked at early."""
        ignored = self._read(".slugignore")
        if ignored is not None:
            rules = slugignore.parse(ignored)
            self.report.warn(*(str(finding) for finding in rules.diagnostics))
            count = slug.leave_out(self.build_dir, rules)
            self.report.detail(f".slugignore leaves out {count} file{'s' if count != 1 else ''}")
        self._read("Procfile")
        data = self._read("app.json")
        settings = app_json.AppJson() if data is None else app_json.parse(data)
        self.report.warn(*(str(finding) for finding in settings.diagnostics))
        self._note_pointers()
        return settings

    def _note_pointers(self) -> None:
        """Git LFS leaves small texts in place of files when nobody fetches them; nobody does here, nor on Heroku."""
        if b"filter=lfs" not in (self._read(".gitattributes") or b""):
            return
        for path, _, files in os.walk(self.build_dir):
            for name in files:
                full = f"{path}/{name}"
                if not os.path.islink(full) and os.path.getsize(full) < 1024:
                    with open(full, "rb") as file:
                        if file.read(len(POINTER)) == POINTER:
                            where = os.path.relpath(full, self.build_dir)
                            self.report.warn(f"{where} is a Git LFS pointer, not the file: Git LFS is not supported.")
                            return

    def _choose(self, settings: app_json.AppJson) -> list[Chosen]:
        words, origin = detection.wished(self.request, settings)
        if not words:
            return [detection.detected(self.packs, self.build_dir, self.env, self.report)]
        return detection.given(words, origin, self.packs, self.request.limits, self.report)

    def _compile(self, chosen: Chosen) -> Chosen:
        """Detect (if that was not the choice already), compile, and take over what it exports."""
        if not chosen.language:
            chosen = detection.checked(chosen, self.build_dir, self.env, self.report)
        self.report.step(f"{chosen.language} app detected")
        self.report.forget()
        folder = chosen.pack.folder
        words = (f"{folder}/bin/compile", self.build_dir, self.request.cache, f"{self.request.work}/env")
        phase = f"compile {chosen.pack.shown}"
        status = self._timed(phase, lambda: scripts.stream(words, self.env, folder, self.report))
        if status != 0:
            raise self._failed(chosen, status)
        if os.path.isfile(f"{folder}/export"):
            self.env = self._exported(f"{folder}/export")
        return chosen

    def _exported(self, path: str) -> dict[str, str]:
        """The environment after a shell has sourced the file."""
        script = '. "$1" >/dev/null 2>&1; exec env -0'
        status, out, _ = scripts.said(("bash", "-c", script, "export", path), self.env, self.build_dir)
        rows = (row.partition("=") for row in out.split("\0") if row)
        dropped = ("_", "SHLVL", "PWD", "OLDPWD")
        found = {name: value for name, _, value in rows if name not in dropped}
        return found if status == 0 and "PATH" in found else self.env

    def _failed(self, chosen: Chosen, status: int) -> BuildFailed:
        words = explain.reasons(self.report.last(), self._circumstances(status), self._texts())
        if not words and not self.report.last():
            words = [f"bin/compile of {chosen.pack.shown} ended with status {status} and without a word."]
        rejected = f"Push rejected, failed to compile {chosen.language} app."
        said = [line.removeprefix(OWN_ERROR) for line in self.report.last() if line.startswith(OWN_ERROR)]
        failure = f"failed to compile {chosen.language} app" + "".join(f": {why}" for why in (*words, *said)[:1])
        return BuildFailed("compile", failure, (*words, *([""] if words else []), rejected))

    def _circumstances(self, status: int) -> explain.Circumstances:
        disk = os.statvfs(self.request.work)
        rows = {}
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(":")
                rows[name] = int(value.split()[0]) * 1024
        free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        return explain.Circumstances(
            status, free, whole, rows.get("MemAvailable", 0), rows.get("MemTotal", 0), self.request.work
        )

    def _texts(self) -> dict[str, str]:
        found = {}
        for name in POINTED_AT:
            try:
                data = read_capped(self.build_dir, name)
            except Unreadable:
                continue
            if data is not None:
                found[name] = data.decode("utf-8", "replace")
        return found

    def _defaults(self, chosen: Chosen) -> dict[str, str]:
        script = chosen.pack.script("release")
        if script is None:
            return {}
        status, out, err = scripts.said((script, self.build_dir), self.env, chosen.pack.folder)
        if status != 0:
            words = (*err.splitlines()[-5:], f"bin/release of {chosen.pack.shown} failed.")
            raise BuildFailed("compile", "bin/release failed", words)
        try:
            return release_text.process_types(out)
        except release_text.BadRelease as error:
            self.report.warn(str(error), "Default process types of this buildpack are ignored.")
            return {}

    def _discover(
        self, defaults: Mapping[str, str], language: str, settings: app_json.AppJson
    ) -> dict[str, str]:
        """All of the app's types, and a word on what has none."""
        report = self.report
        report.step("Discovering process types")
        try:
            found = process_types.declared_in(self.build_dir)
        except Unreadable as error:
            raise BuildFailed("compile", str(error), (f"{error}.", "Push rejected.")) from None
        other = process_types.miscased(self.build_dir)
        if other:
            report.note(f"Mis-cased {other} detected; ignoring.", "Rename it to Procfile to have it honored.")
        report.warn(*found.warnings)
        for line in process_types.words(found.types, defaults, language):
            report.detail(line)
        types = {**defaults, **(found.types or {})}
        report.warn(*(str(finding) for finding in settings.unmet(types, self.request.env)))
        if not types:
            report.warn("There are no process types: nothing will run, and dynos that run now end.")
        report.line()
        return types

    def _pack(self, packed: IO[bytes]) -> slug.Packed:
        report, limits = self.report, self.request.limits
        report.step("Compressing...")
        slug.drop_setuid(self.build_dir)
        try:
            done = slug.pack(self.build_dir, packed, limits.slug)
        except slug.TooLarge as found:
            total = sum(os.lstat(f"{at}/{name}").st_size for at, _, files in os.walk(self.build_dir) for name in files)
            over = "" if found.whole else "over "
            most = f"{round(limits.slug / MB)}M" if limits.slug >= MB else size(limits.slug)
            words = (
                f"Compiled slug size: {over}{size(found.size)} is too large (max is {most}).",
                f"Unpacked it has {size(total)}. See: https://devcenter.heroku.com/articles/slug-size",
            )
            raise BuildFailed("slug-size", "the slug is too large", words) from None
        except OSError as error:
            why = explain.reasons([str(error)], self._circumstances(0), {}) or [f"{error.strerror}."]
            raise BuildFailed("compile", f"cannot pack the slug: {why[0]}", ("Cannot pack the slug.", *why)) from None
        report.detail(f"Done: {size(done.size)}")
        if done.size > limits.warn:
            report.warn(
                f"Warning: Your slug size ({size(done.size)}) exceeds our soft limit ({size(limits.warn)}) "
                "which may affect boot time."
            )
        return done


def ended(request: BuildRequest, report: Report, reason: str) -> BuildResult:
    """The words for a build that was stopped."""
    report.finish()
    if reason == "killed":  # the server says so
        return BuildResult(False, failure=KILLED, reason="internal", lines=report.last())
    if reason == "timeout":
        seconds = request.limits.seconds
        limit = f"{seconds / 60:g} minutes" if seconds >= 120 else f"{seconds:g} seconds"
        failure = f"the build took longer than {limit}"
        report.warn(f"Build timed out: it took longer than {limit}.")
    else:
        failure = "the build was cancelled"
        report.warn("Build cancelled.")
    report.line()
    report.warn("Push failed")
    return BuildResult(False, failure=failure, reason=reason, lines=report.last())


def listen() -> None:
    """From here on SIGALRM means: time is up; SIGTERM: nobody wants the build any more; SIGHUP: its keeper is gone."""

    def stop(number: int, frame: object) -> None:
        for each in (signal.SIGTERM, signal.SIGALRM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise Ended({signal.SIGALRM: "timeout", signal.SIGHUP: "killed"}.get(signal.Signals(number), "cancelled"))

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
        signal.signal(number, stop)
