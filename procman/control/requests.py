"""What requests carry besides their verb, read with care: a client may send anything."""

import signal

from procman.control.protocol import Message
from procman.core.formation import MOST
from procman.errors import ProcmanError

EVERY = "all"  # every dyno, unless a type is called that


def words(request: Message) -> list[str]:
    """The dynos and process types that a request names. Raises ProcmanError, as do all that read requests."""
    found = request.get("dynos") or []
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise malformed(request, "dynos", "a list of names")
    return found


def wishes(request: Message) -> dict[str, str]:
    """Process type to quantity, as text."""
    found = request.get("formation")
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise malformed(request, "formation", "process types with a quantity in quotes each")
    return found


def patience(request: Message) -> float | None:
    """Seconds that the client will wait for its answer, if it says so."""
    found = request.get("patience")
    if found is None:
        return None
    if type(found) not in (int, float) or not 0 < found < 1e9:
        raise malformed(request, "patience", "a number of seconds")
    return float(found)


def signal_number(request: Message) -> int:
    """A signal that there is."""
    found = request.get("signal")
    if type(found) is not int or found not in signal.valid_signals():
        raise malformed(request, "signal", "the number of a signal")
    return found


def window(request: Message) -> tuple[int, int] | None:
    """Rows and columns, if they are told."""
    found = request.get("size")
    if found is None:
        return None
    if not isinstance(found, list) or len(found) != 2 or any(type(n) is not int or not 0 < n < 1 << 16 for n in found):
        raise malformed(request, "size", "rows and columns")
    return found[0], found[1]


def malformed(request: Message, key: str, wanted: str) -> ProcmanError:
    """The refusal of an argument of the wrong kind."""
    return ProcmanError(f"cannot {request['verb']}: '{key}' must be {wanted}")


def quantity(text: str, present: int, process_type: str) -> int:
    """``3``, ``+1`` or ``-1`` (Heroku: ps:scale). Raises ProcmanError."""
    digits = text.lstrip("+-")
    if not digits.isascii() or not digits.isdigit() or len(text) - len(digits) > 1:
        raise ProcmanError(f"cannot scale {process_type} to {text!r}: not a number", f"procman scale {process_type}=2")
    if len(digits) > 9 and text[0] != "-":
        raise ProcmanError(f"cannot scale {process_type} to {text}: over {MOST} dynos")
    number = int(digits)
    if text[0] in "+-":
        number = max(present + (number if text[0] == "+" else -number), 0)
    if number > MOST:
        raise ProcmanError(f"cannot scale {process_type} to {number}: over {MOST} dynos")
    return number
