"""The watcher process of `start --watch`: ``python -m procman.supervisor.watcher ROOT RULE…``.

It writes what ``watch`` reads: which files changed, and whom that concerns. It ends when its stdin does, so that no
watcher outlives a killed procman. Only folders that are not ignored are watched, each by itself: node_modules would
cost thousands of inotify watches. watchfiles looks for news every 50 ms for as long as it is asked; therefore it is
asked only after its Rust thread, which does block in the kernel, has written a line about an event (``debug``).
"""

import os
import sys
import threading
import time
from collections.abc import Generator, Iterator

from pathspec import GitIgnoreSpec
from watchfiles import Change, watch

from procman.formats.formation_arg import ALL
from procman.formats.watch_rules import Rules, parse
from procman.supervisor.ignored import RULES, Ignored
from procman.supervisor.watch import CHANGED, CHUNK, READY, TROUBLE

STEP_MS = 50  # a batch ends when this long nothing has been added to it
BATCH_MS = 300  # or after this long
ANSWER_MS = 200  # asked in vain, watchfiles answers after this long
CLOCK_S = 0.05  # the kernel stamps files with a clock of 4 to 10 ms
TRIES = 5  # folders come and go while they are listed
RECURSIVE = sys.platform != "linux"  # FSEvents watches trees, inotify folders


class Tree:
    """The folders of an app and a watch on each."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._ignored = Ignored(root)
        self._changes: Generator[set[tuple[Change, str]], None, None] | None = None
        self.dirs: set[str] = set()

    def open(self) -> set[tuple[Change, str]]:
        """Watch all folders that there are now; what changed meanwhile. OSError when that cannot be."""
        if self._changes:
            self._changes.close()
        found: set[tuple[Change, str]] = set()
        for left in reversed(range(TRIES)):
            self.dirs = set(self._folders(self._root))
            if self._root not in self.dirs:
                raise FileNotFoundError(2, "it is gone", self._root)
            self._changes = watch(
                *([self._root] if RECURSIVE else self.dirs),
                watch_filter=None,
                debounce=BATCH_MS,
                step=STEP_MS,
                rust_timeout=ANSWER_MS,
                yield_on_timeout=True,
                debug=True,
                recursive=RECURSIVE,
                ignore_permission_denied=False,
            )
            try:
                found |= next(self._changes)
            except (OSError, RuntimeError):
                if not left:
                    raise
                time.sleep(STEP_MS / 1000)  # a closed watch gives its share of the limit back a little later
                continue
            if set(self._folders(self._root)) <= self.dirs:
                break
        return found

    def begin(self) -> set[str]:
        """Watch; the files that changed while that was prepared, as ``collect`` has them."""
        return self._relative(self._reopen(time.time()))

    def collect(self) -> set[str]:
        """The files that have changed since the last time, relative to the root. OSError: no more to come."""
        asked_at = time.time()
        try:
            assert self._changes
            news = next(self._changes)
        except RuntimeError:  # a file name that is not UTF-8; watchfiles answers nothing else from then on
            return self._relative(self._reopen(asked_at))
        found, moved = self._sort(news)
        if moved:
            found |= self._reopen(time.time())
            for folder in moved:
                found |= {path for path, _ in self._files(folder)}
        return self._relative(found)

    def _relative(self, found: set[str]) -> set[str]:
        return {path[len(self._root.rstrip("/")) + 1 :] for path in found}

    def _reopen(self, since: float) -> set[str]:
        """Watch anew; the files that changed since, by their inode's time."""
        self._ignored.forget()
        found, _ = self._sort(self.open())
        return found | {path for path, at in self._files(self._root) if at >= since - CLOCK_S}

    def _sort(self, news: set[tuple[Change, str]]) -> tuple[set[str], set[str]]:
        """Absolute paths: the files that count, and the folders that came or went, or whose rules changed."""
        files: set[str] = set()
        moved: set[str] = set()
        if any(os.path.basename(path) in RULES for _, path in news):
            self._ignored.forget()
            moved.add("")
        for change, path in news:
            if os.path.basename(path) in RULES:
                continue
            if path in self.dirs and change is not Change.modified:
                moved.add(path)
                if not os.path.isdir(path):
                    files.add(f"{path}/")
            elif os.path.isdir(path) and not os.path.islink(path):
                if change is Change.added and not self._ignored.dir(path):
                    moved.add(path)
            elif path not in self.dirs and not self._ignored.file(path):
                files.add(path)
        return files, moved

    def _folders(self, folder: str) -> Iterator[str]:
        """A folder and those in it, without the ignored and the unreadable ones."""
        if not folder or self._ignored.dir(folder) or not os.access(folder, os.R_OK | os.X_OK):
            return
        try:
            folder.encode()
            entries = list(os.scandir(folder))
        except (OSError, UnicodeEncodeError):
            return
        yield folder
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self._folders(entry.path)

    def _files(self, folder: str) -> Iterator[tuple[str, float]]:
        """Files under a folder that are not ignored, with the times of their inodes."""
        for each in self._folders(folder):
            try:
                for entry in os.scandir(each):
                    is_dir = entry.is_dir(follow_symlinks=False)
                    if not is_dir and entry.name not in RULES and not self._ignored.file(entry.path):
                        yield entry.path, entry.stat(follow_symlinks=False).st_ctime
            except OSError:
                continue


class Concerns:
    """Whom a changed file concerns."""

    def __init__(self, rules: Rules) -> None:
        self._specs = {name: GitIgnoreSpec.from_lines(globs) for name, globs in rules.items()}

    def types(self, path: str) -> list[str]:
        """Process types, ALL among them for every one; none: nobody's concern."""
        return [name for name, spec in self._specs.items() if spec.match_file(path)]


def main(root: str, texts: list[str]) -> None:
    """Watch until stdin ends."""
    threading.Thread(target=end_with_stdin, daemon=True).start()
    hints, theirs = os.pipe()
    os.dup2(theirs, 2)  # where the Rust thread says that something has happened
    awake = threading.Event()
    threading.Thread(target=heed, args=(hints, awake), daemon=True).start()
    concerns = Concerns(parse(texts))
    tree = Tree(root)
    try:
        changed = tree.begin()
        # It has said something about itself; if not, this watchfiles is another one and has to be asked all the time.
        heard = awake.is_set()
        tell(READY, f"Watching for changes in {counted(len(tree.dirs), 'folder')}")
        while True:
            for path in sorted(changed):
                if types := concerns.types(path):
                    tell(CHANGED, f"{','.join(types if ALL not in types else [ALL])}\t{path}")
            if heard:
                awake.wait()
            awake.clear()
            changed = tree.collect()
    except (OSError, RuntimeError) as error:
        tell(TROUBLE, trouble(error, root, len(tree.dirs)))


def trouble(error: Exception, root: str, folders: int) -> str:
    """Why nothing is watched, and what to do about it."""
    text = str(error)
    limits = {"watch limit": "max_user_watches", "os error 28": "max_user_watches", "os error 24": "max_user_instances"}
    for sign, limit in limits.items():
        if sign in text:
            return (
                f"Cannot watch {counted(folders, 'folder')}: the kernel's limit fs.inotify.{limit} is reached "
                f"(sudo sysctl fs.inotify.{limit}={524_288 if limit == 'max_user_watches' else 1024}); "
                "going on without: changes restart nothing"
            )
    why = error.strerror if isinstance(error, OSError) and error.strerror else text
    return f"Cannot watch {root}: {why}; going on without: changes restart nothing"


def counted(number: int, noun: str) -> str:
    """``1 folder``, ``2 folders``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def tell(kind: bytes, text: str) -> None:
    """One entry, whole."""
    entry = memoryview(kind + os.fsencode(text) + b"\0")
    while entry:
        entry = entry[os.write(1, entry) :]


def heed(hints: int, awake: threading.Event) -> None:
    """Wake the main thread whenever something is written; what does not matter."""
    while os.read(hints, CHUNK):
        awake.set()


def end_with_stdin() -> None:
    """The supervisor's end of the pipe closes when it lets us go, and when it dies."""
    while os.read(0, CHUNK):
        pass
    os._exit(0)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except BrokenPipeError:
        os._exit(0)
