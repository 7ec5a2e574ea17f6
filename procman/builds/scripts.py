"""Running a buildpack's scripts: what they are given, and their output on its way to the report."""

import os
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence

from procman.builds import descendants
from procman.builds.report import Report
from procman.builds.request import BuildRequest

TOOLS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
# The host's own set-up of package installers, proxies and certificates. Config vars are none of these: see ENV_DIR.
PASSED = frozenset(
    {"NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GOPROXY", "GOPRIVATE", "GOSUMDB"}
    | {"GONOSUMDB", "GONOSUMCHECK", "GOFLAGS", "TZ", "NIX_SSL_CERT_FILE", "RUSTUP_HOME", "CARGO_HOME"}
)
PREFIXES = ("PIP_", "UV_", "NPM_CONFIG_", "YARN_", "BUNDLE_", "SSL_CERT_", "POETRY_", "COREPACK_")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy")
OF_THE_HOME = {
    "NPM_CONFIG_USERCONFIG": ".npmrc",
    "PIP_CONFIG_FILE": ".config/pip/pip.conf",
    "RUSTUP_HOME": ".rustup",
    "CARGO_HOME": ".cargo",
}
CHUNK = 1 << 16
MOST_SAID = 1 << 20  # bytes of what detect or release may print


def environment(request: BuildRequest, home: str, host: Mapping[str, str]) -> dict[str, str]:
    """What every script finds. ``home``: BUILD_DIR."""
    env = {
        name: value
        for name, value in host.items()
        if name in PASSED or name.upper().startswith(PREFIXES) or name.lower() in PROXIES
    }
    given = [path for path in host.get("PATH", "").split(":") if path.startswith("/")]
    env |= {
        "PATH": ":".join(dict.fromkeys((*given, *TOOLS))),
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": f"{request.work}/tmp",  # noqa: S108
        "STACK": request.stack,
        "SOURCE_VERSION": request.commit,
        "REQUEST_ID": request.build_id,
        "GIT_TERMINAL_PROMPT": "0",
        "PROCMAN_ENV_DIR": f"{request.work}/env",
    }
    if request.uid is None:  # the same person: what is set up in the home is meant for this, too
        for name, place in OF_THE_HOME.items():
            path = os.path.join(host.get("HOME", "/nonexistent"), place)
            if name not in host and os.access(path, os.R_OK):
                env[name] = path
    # Else they would be in HOME, and so in the slug. The latter is made by rustc, whose version pip asks for.
    aside = env["TMPDIR"]
    return {"XDG_CACHE_HOME": f"{aside}/cache", "RUSTUP_HOME": f"{aside}/rustup", **env}


def stream(argv: Sequence[str], env: Mapping[str, str], cwd: str, report: Report) -> int:
    """Run to the end, everything it prints into the report; its status, 128+n after a signal. No process is left."""
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    except OSError as error:
        os.close(reader)
        report.warn(f"{argv[0]} cannot be run: {error.strerror}")
        return 126
    finally:
        os.close(writer)
    try:
        return pumped(process, {reader: report.feed})
    finally:
        os.close(reader)
        descendants.end_all()
        report.finish()


def pumped(process: "subprocess.Popen[bytes]", sinks: Mapping[int, Callable[[bytes], object]]) -> int:
    """Copy until the script itself ends: a daemon it left would keep the pipes open for ever."""
    poll = select.poll()
    for reader in sinks:
        poll.register(reader, select.POLLIN)
    pidfd = os.pidfd_open(process.pid)
    try:
        poll.register(pidfd, select.POLLIN)
        ended = False
        while True:
            ready = {fd for fd, _ in poll.poll(0 if ended else None)}
            for reader in ready & sinks.keys():
                data = os.read(reader, CHUNK)
                if data:
                    sinks[reader](data)
                else:
                    poll.unregister(reader)
            if ended and not ready & sinks.keys():
                break
            ended = ended or pidfd in ready
    finally:
        os.close(pidfd)
    status = process.wait()
    return 128 - status if status < 0 else status


def said(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> tuple[int, str, str]:
    """Run to the end: status, stdout and stderr, both as text of no more than a megabyte."""
    try:
        process = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        return 126, "", f"{argv[0]} cannot be run: {error.strerror}"
    assert process.stdout is not None
    assert process.stderr is not None
    texts = (bytearray(), bytearray())
    try:
        out, err = process.stdout.fileno(), process.stderr.fileno()
        status = pumped(process, {out: capped(texts[0]), err: capped(texts[1])})
    finally:
        process.stdout.close()
        process.stderr.close()
        descendants.end_all()
    return status, texts[0].decode("utf-8", "replace"), texts[1].decode("utf-8", "replace")


def capped(text: bytearray) -> Callable[[bytes], None]:
    """Adds to ``text`` until it is long enough."""

    def add(data: bytes) -> None:
        text.extend(data[: MOST_SAID - len(text)])

    return add
