"""The compiler's half of a build, from the fork on: away from the host, down to the build's user, and to work."""

# Some are imported only to be there when the build's user is entered, who may not be able to read our library.
import bz2  # noqa: F401
import encodings.ascii
import encodings.idna
import encodings.latin_1  # noqa: F401
import lzma  # noqa: F401
import os
import signal
import traceback

from procman.builds import descendants, isolation
from procman.builds.compiler import Compiler, ended, listen
from procman.builds.failure import Ended
from procman.builds.masker import Masker, hidden
from procman.builds.report import Report
from procman.builds.request import BuildRequest, BuildResult, encode_result
from procman.formats import advice, line_diagnosis  # noqa: F401

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP)
AGAIN = b"again"  # instead of a result: it cannot be done in processes of our own


def compile_apart(request: BuildRequest, packed: int, writer: int, alone: bool) -> int:
    """Build, and say the result into ``writer``; the exit status. ``alone``: we are the first of our processes."""
    report = Report(1, Masker(hidden(request.env)))
    try:
        listen()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        isolation.adopt_orphans()
        moved = isolation.own_mounts() if alone or request.mount is not None else ""
        if alone and (moved or not isolation.show_processes()):
            return say(writer, AGAIN)
        build_dir = appear(request, moved, report)
        isolation.become(request.uid, request.gid)
        isolation.end_with_parent(signal.SIGHUP)
        if request.uid is not None:
            os.environ["HOME"] = f"{request.work}/tmp"  # noqa: S108
        os.chdir(build_dir)
        with open(packed, "wb", closefd=False) as file:
            result = Compiler(request, build_dir, report, os.environ).run(file)
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)
    except Ended as end:
        result = ended(request, report, end.reason)
    except Exception as error:
        traceback.print_exc()
        result = BuildResult(False, failure=f"internal error: {error}", reason="internal", lines=report.last())
    descendants.end_all()
    return say(writer, encode_result(result))


def say(writer: int, data: bytes) -> int:
    """Write all of it; 0, the status of a process that has said what it had to say."""
    while data:
        data = data[os.write(writer, data) :]
    return 0


def appear(request: BuildRequest, moved: str, report: Report) -> str:
    """Show the slug at its mount, and an empty /tmp; where the slug is then. ``moved``: why we have no own mounts."""
    if request.mount is None:
        return request.slug
    why = moved or isolation.appear_at(request.slug, request.mount)
    if why:
        report.note(f"The app is not built at {request.mount}: {why}")
        return request.slug
    mine = (request.slug, request.work, request.cache)
    if not any(os.path.realpath(path).startswith("/tmp/") for path in mine):  # noqa: S108
        isolation.cover("/tmp", f"{request.work}/tmp")  # noqa: S108
    return request.mount
