"""Which files the watcher does not heed."""

import os
import re

from pathspec import GitIgnoreSpec
from watchfiles import DefaultFilter

GITIGNORE = ".gitignore"
VENV = "pyvenv.cfg"  # the mark of a virtual environment, whatever it is called
RULES = frozenset({GITIGNORE, VENV})  # files that say what is ignored; themselves they change nothing for the app
IGNORED_DIRS = ("venv", ".nox", ".ruff_cache", ".direnv", "bower_components")
IGNORED_FILES = (  # what editors, databases and the app itself leave behind
    r"^4913$",  # vim tries whether it may write
    r"^#.*#$",
    r"^\.goutputstream-",
    r"\.(tmp|kate-swp|orig_tmp)$",
    r"___jb_(tmp|old)___$",
    r"[-.](wal|journal|shm)$",
    r"\.(db|sqlite3?)$",
    r"\.(log|pid|sock)(\.\d+)?$",
)


class Ignored:
    """Which files nobody wants to hear of: leftovers, and what the .gitignore files say, as git reads them.

    Those above ``root`` count too, up to the top of the repository.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._top = repository_of(root)
        self._specs: dict[str, GitIgnoreSpec | None] = {}
        self._verdicts: dict[str, bool] = {}  # of folders
        dirs = (*DefaultFilter.ignore_dirs, *IGNORED_DIRS)
        self._ignored_dirs = frozenset(dirs)
        self._ignored_files = re.compile("|".join((*DefaultFilter.ignore_entity_patterns, *IGNORED_FILES)))

    def forget(self) -> None:
        """Some .gitignore may have changed."""
        self._specs.clear()
        self._verdicts.clear()

    def dir(self, path: str) -> bool:
        """A folder, by its absolute path: it and all in it."""
        if path in (self._root, self._top) or not path.startswith(f"{self._root}/"):
            return False
        if path not in self._verdicts:
            self._verdicts[path] = (
                os.path.basename(path) in self._ignored_dirs
                or self.dir(os.path.dirname(path))
                or self._git_ignores(f"{path}/")
                or os.path.lexists(f"{path}/{VENV}")
            )
        return self._verdicts[path]

    def file(self, path: str) -> bool:
        """A file, by its absolute path."""
        name = os.path.basename(path)
        ignored = self._ignored_files.search(name) or self.dir(os.path.dirname(path))
        return bool(ignored) or self._git_ignores(path)

    def _git_ignores(self, path: str) -> bool:
        """The nearest .gitignore that has something to say about the path itself, says it."""
        folder = os.path.dirname(path.rstrip("/"))
        while True:
            spec = self._spec(folder)
            said = spec.check_file(path[len(folder.rstrip("/")) + 1 :]).include if spec else None
            if said is not None:
                return said
            if folder in (self._top, "/"):
                return False
            folder = os.path.dirname(folder)

    def _spec(self, folder: str) -> GitIgnoreSpec | None:
        if folder not in self._specs:
            try:
                with open(f"{folder}/{GITIGNORE}", encoding="utf-8-sig", errors="surrogateescape") as file:
                    self._specs[folder] = spec_of(file.read().splitlines())
            except OSError:
                self._specs[folder] = None
        return self._specs[folder]


def repository_of(root: str) -> str:
    """The top of the git work tree that ``root`` is in, or ``root``."""
    folder = root
    while not os.path.lexists(f"{folder}/.git"):
        if folder == os.path.dirname(folder):
            return root
        folder = os.path.dirname(folder)
    return folder


def spec_of(lines: list[str]) -> GitIgnoreSpec:
    """The lines of a .gitignore; those that git would not understand are left out."""
    kept = []
    for line in lines:
        # To pathspec `a/**` is the folder `a` too; to git only what is in it.
        exact = re.sub(r"/\*\*(/?)$", r"/**/*\1", line)
        try:
            GitIgnoreSpec.from_lines([exact])
        except ValueError:
            continue
        kept.append(exact)
    return GitIgnoreSpec.from_lines(kept)
