"""Why a buildpack failed, from its last lines: what is missing, where the mistake is, what the host lacks. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from procman.builds.report import size

PACKAGES = {  # what a missing program or header is called by Debian's and Ubuntu's packages
    "gcc": "build-essential", "cc": "build-essential", "g++": "build-essential", "c++": "build-essential",
    "make": "build-essential", "x86_64-linux-gnu-gcc": "build-essential", "cmake": "cmake", "pkg-config": "pkg-config",
    "git": "git", "curl": "curl", "pg_config": "libpq-dev", "mysql_config": "default-libmysqlclient-dev",
    "python3": "python3 python3-venv python3-pip", "python": "python3 python3-venv python3-pip", "node": "nodejs npm",
    "npm": "npm", "ruby": "ruby-full", "bundle": "ruby-bundler", "go": "golang-go", "cargo": "cargo",
    "rustc": "rustc", "unzip": "unzip", "Python.h": "python3-dev", "libpq-fe.h": "libpq-dev", "ffi.h": "libffi-dev",
    "openssl/ssl.h": "libssl-dev", "zlib.h": "zlib1g-dev", "ruby.h": "ruby-dev", "sqlite3.h": "libsqlite3-dev",
    "libxml/xmlversion.h": "libxml2-dev libxslt1-dev", "jpeglib.h": "libjpeg-dev", "yaml.h": "libyaml-dev",
}  # fmt: skip
NOT_FOUND = (
    re.compile(r"(?:line \d+: )([\w.+/-]+): (?:command )?not found"),
    re.compile(r"([\w.+-]+): command not found"),
    re.compile(r"sh: \d+: ([\w.+-]+): not found"),
    re.compile(r"command '?([\w.+-]+)'? failed: No such file or directory"),
    re.compile(r"(pg_config|mysql_config)(?: executable)? not found"),
    re.compile(r"/usr/bin/env: [^\w\s]?([\w.+-]+)[^\w\s]?: No such file"),
    re.compile(r"fatal error: '?([\w./+-]+\.h)'?(?: file not found|: No such file)"),
    re.compile(r"not found: (make|gcc|g\+\+|cc|python3?)$"),
)
NETWORK = re.compile(
    r"Temporary failure in name resolution|Could not resolve host|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT"
    r"|NewConnectionError|Network is unreachable|no such host",
)
PYTHON_PLACE = re.compile(r'^\s*File "([^"]+)", line (\d+)')
REQUIREMENT = re.compile(
    r"No matching distribution found for ([\w.\[\]=<>!~,-]+)|No solution found|Because ([\w.-]+) was not found"
)


class Circumstances(NamedTuple):
    """What the host had at that moment, in bytes. ``status``: of the script, as a shell gives it (137: SIGKILL)."""

    status: int
    disk_free: int
    disk: int
    memory_free: int
    memory: int
    folder: str


def reasons(lines: Sequence[str], found: Circumstances, files: Mapping[str, str]) -> list[str]:
    """Sentences for whoever pushed, the most telling first. ``files``: text of the files that lines may point into."""
    text = "\n".join(lines)
    said: list[str] = []
    if re.search(r"No space left on device|ENOSPC|Errno 28\b|Disk quota exceeded", text):
        said.append(
            f"The disk is full: {size(found.disk_free)} are free of {size(found.disk)} where {found.folder} lies."
        )
    if found.status in (137, -9) or re.search(
        r"heap out of memory|Cannot allocate memory|MemoryError|ENOMEM|std::bad_alloc|: Killed$|signal: killed",
        text,
        re.M,
    ):
        said.append(
            "The build ran out of memory or was killed: "
            f"{size(found.memory_free)} are free of {size(found.memory)} on this host."
        )
    said += missing(text)
    said += placed(lines, files)
    if NETWORK.search(text):
        said.append("A package registry could not be reached: see the lines above, and this host's network or proxy.")
    return said


def missing(text: str) -> list[str]:
    """Programs and headers that are not there, and how they come."""
    names = [match[1].rpartition(" ")[2] for pattern in NOT_FOUND for match in pattern.finditer(text)]
    said = []
    for name in dict.fromkeys(names):
        package = PACKAGES.get(name) or PACKAGES.get(name.rpartition("/")[2])
        said.append(f"{name} is missing on this host" + (f": apt-get install {package}" if package else "."))
    return said


def placed(lines: Sequence[str], files: Mapping[str, str]) -> list[str]:
    """The file and the line of the mistake, where the output or the files tell."""
    text = "\n".join(lines)
    found = re.search(r"Invalid requirement: (.+?)(?: \(from line (\d+) of (\S+?)\))", text)
    if found:
        return [f"{found[3].rpartition('/')[2]}:{found[2]}: {found[1]} is not a requirement."]
    found = re.search(r"No matching distribution found for ([^\s(]+)|Because ([\w.-]+) was not found", text)
    if found:
        return [_requirement(found[1] or found[2], files)]
    if "npm ci" in text and re.search(r"can only install packages when your package.json and", text):
        return ["package-lock.json does not match package.json: run npm install and commit package-lock.json."]
    found = re.search(r"(?:npm (?:error|ERR!) 404).*?'([^']+)' is not in", text)
    if found:
        return [f"package.json: there is no package {found[1]}."]
    found = re.search(r"^(\S+\.go):(\d+):\d+: (.+)$", text, re.M)
    if found:
        return [f"{found[1]}:{found[2]}: {found[3]}"]
    places = [match for line in lines if (match := PYTHON_PLACE.match(line))]
    errors = [line.strip() for line in lines if re.match(r"\s*\w*(Error|Exception)\b.*", line)]
    own = [place for place in places if "site-packages" not in place[1] and "/lib/python" not in place[1]]
    if own and errors:
        return [f"{own[-1][1].removeprefix('/app/')}:{own[-1][2]}: {errors[-1][:200]}"]
    return []


def _requirement(wanted: str, files: Mapping[str, str]) -> str:
    name = re.split(r"[\[=<>!~;,]", wanted)[0].lower().replace("_", "-")
    for file, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip().lower().replace("_", "-").startswith(name):
                return f"{file}:{number}: no version of '{line.strip()}' can be found."
    return f"No version of '{wanted}' can be found."
