"""Reads the files that say what to install: what they are made of, and Pipfile.lock as requirements."""

import json
import os
import re
import sys

INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")
# What pip takes from the app's own folder may change while the file that names it does not.
LOCAL = re.compile(r"(?:-e|--editable)\b(?!.*\+)|\.{0,2}/|\.(?:\s*$|\[)|.*@\s*file:|file:")


def closure(path: str, seen: "dict[str, str]") -> None:
    """The text of a requirements file and of those it includes, by path."""
    path = os.path.normpath(path)
    if path in seen or not os.path.isfile(path):
        return
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        seen[path] = file.read()
    for line in seen[path].splitlines():
        found = INCLUDE.match(line.strip())
        if found and "://" not in found[1]:
            closure(os.path.join(os.path.dirname(path), found[1]), seen)


def is_local(text: str) -> bool:
    """Does a requirements file name something of the app's own folder?"""
    return any(LOCAL.match(line.strip()) for line in text.splitlines())


def project_is_local(path: str) -> bool:
    """Is the app itself a package that uv or Poetry installs?"""
    import tomllib  # noqa: PLC0415 - not in Python 3.10

    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        project = tomllib.load(file)
    if re.search(r"\bpath\s*=|workspace\s*=", str(open(path, encoding="utf-8").read())):
        return True
    return "build-system" in project


def pipfile(path: str) -> "list[str]":
    """Pipfile.lock's default packages as requirements with hashes. Raises ValueError for what has no such form."""
    with open(path, encoding="utf-8") as file:
        lock = json.load(file)
    lines = [f"--index-url {source['url']}" for source in lock["_meta"].get("sources", [])[:1]]
    lines += [f"--extra-index-url {source['url']}" for source in lock["_meta"].get("sources", [])[1:]]
    for name, row in lock.get("default", {}).items():
        if "version" not in row:
            raise ValueError(name)
        extras = f"[{','.join(row['extras'])}]" if row.get("extras") else ""
        markers = f" ; {row['markers']}" if row.get("markers") else ""
        hashes = "".join(f" --hash={each}" for each in row.get("hashes", []))
        lines.append(f"{name}{extras}{row['version']}{markers}{hashes}")
    return lines


def main() -> int:
    what, path = sys.argv[1:3]
    if what == "pipfile":
        try:
            print("\n".join(pipfile(path)))
        except (ValueError, KeyError, TypeError) as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    seen: "dict[str, str]" = {}
    if path == "requirements.txt":
        closure(path, seen)
        local = any(is_local(text) for text in seen.values())
    else:
        for name in (path, "pyproject.toml", "Pipfile", "poetry.toml", "uv.toml"):
            closure(name, seen)
        try:
            local = path != "Pipfile.lock" and project_is_local("pyproject.toml")
        except (ImportError, ValueError):
            local = True
    print("local" if local else "fixed")
    print(json.dumps(sorted(seen.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
