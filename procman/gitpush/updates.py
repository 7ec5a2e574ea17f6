"""What a push asks for: pure decisions about its refs."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

BRANCHES = ("main", "master")  # those that deploy (Heroku: git)
SKIPPED = "Pushed to branch other than [main, master], skipping build."
HEADS = "refs/heads/"


class Update(NamedTuple):
    """One line that git gives its pre-receive hook. Object names are hexadecimal; all zeros: there is none."""

    old: str
    new: str
    ref: str

    @property
    def branch(self) -> str | None:
        """The branch's name, of branches that deploy."""
        name = self.ref.removeprefix(HEADS)
        return name if self.ref.startswith(HEADS) and name in BRANCHES else None

    @property
    def deletes(self) -> bool:
        """The ref is to go."""
        return not self.new.strip("0")


class Decision(NamedTuple):
    """``deploy``: what to build, if anything. ``refusal``: why the push is not taken."""

    deploy: Update | None = None
    refusal: str | None = None
    lines: tuple[str, ...] = ()


def parse(lines: Iterable[str]) -> list[Update]:
    """What git writes to the hook."""
    return [Update(*line.rstrip("\n").split(" ", 2)) for line in lines]


def decide(updates: Sequence[Update]) -> Decision:
    """At most one branch of a push is deployed; the others are stored."""
    ours = [update for update in updates if update.branch]
    for update in ours:
        if update.deletes:
            return Decision(refusal=f"Push rejected, cannot delete {update.branch} branch")
    if len(ours) > 1:
        return Decision(refusal="Push rejected, push main or master, not both at once")
    lines = (SKIPPED,) if len(ours) < len(updates) else ()
    return Decision(ours[0] if ours else None, None, lines)


def not_a_commit(update: Update, kind: str) -> str | None:
    """Why something other than a commit is refused: git would refuse it only after the deploy."""
    if kind == "commit":
        return None
    hint = f"git push heroku '{update.branch}^{{commit}}:{update.branch}'" if kind == "tag" else "push a commit"
    return f"Push rejected, {update.ref} cannot be a {kind or 'missing object'}: {hint}"
