"""What an environment is made of: prints `fixed`, or `local` if more than files says it, then those files' contents."""

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


def main() -> int:
    path = sys.argv[1]
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
