"""What a verb of the command line is, and how it is done once its words are read, by whichever reader."""

from procman.cli.options import Given
from procman.cli.remote.sides import chosen
from procman.typed import Any, Callable, NamedTuple, Sequence

OWN = ("json", "explain", "reveal")  # switches that say how to show what was found


class Verb(NamedTuple):
    """A verb's help and what it calls. ``words`` is the metavar of its arguments, None for none."""

    summary: str
    details: str
    examples: Sequence[str]
    words: str | None
    call: Callable[[Given, dict[str, bool]], int]

    @property
    def needs_words(self) -> bool:
        """Whether it means nothing without arguments."""
        return bool(self.words) and not str(self.words).startswith("[")

    def takes(self, arguments: Sequence[str]) -> bool:
        """Whether it can have so many."""
        return not self.needs_words if not arguments else self.words is not None


def later(module: str, function: str) -> Callable[[Given, dict[str, bool]], int]:
    """A verb's function, whose module is imported when it is called: nobody else pays for it."""

    def call(told: Given, own: dict[str, bool]) -> int:
        from importlib import import_module

        found: Any = getattr(import_module(f"procman.cli.{module}"), function)
        status: int = found(told, own)
        return status

    return call


def perform(name: str, verb: Verb, told: Given) -> int:
    """Do it, here or on a server, whichever is meant; returns the exit status."""
    fields = dict(told.fields)
    own = {field: bool(fields.pop(field, False)) for field in OWN}
    told = Given(fields, told.arguments)
    return (chosen(name, told) or verb.call)(told, own)
