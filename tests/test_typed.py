"""The stand-in for ``typing`` against the real thing: the same classes, whichever module made them."""

import copy
import enum
import pickle
import signal
import typing

import pytest

from procman import lean
from procman.typed import Enum, NamedTuple


class Lean(NamedTuple):
    """One of ours."""

    name: str
    number: int = 1
    words: tuple[str, ...] = ()

    @property
    def shout(self) -> str:
        return self.name.upper()


class Plain(typing.NamedTuple):
    """The same, as typing makes it."""

    name: str
    number: int = 1
    words: tuple[str, ...] = ()

    @property
    def shout(self) -> str:
        return self.name.upper()


CALLS = [
    (("web",), {}),
    (("web", 2), {}),
    (("web", 2, ("a",)), {}),
    ((), {"name": "web"}),
    (("web",), {"words": ("a", "b")}),
    ((), {"number": 3, "name": "web", "words": ()}),
]


@pytest.mark.parametrize(("values", "named"), CALLS)
def test_the_same_values_make_the_same_tuple(values, named):
    lean, plain = Lean(*values, **named), Plain(*values, **named)
    assert tuple(lean) == tuple(plain)
    assert (lean.name, lean.number, lean.words, lean.shout) == (plain.name, plain.number, plain.words, plain.shout)
    assert lean._asdict() == plain._asdict()
    assert repr(lean) == repr(plain).replace("Plain", "Lean")
    assert hash(lean) == hash(plain)
    assert lean == plain


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), (("web", 1, (), 4), {}), (("web",), {"name": "web"}), (("web",), {"colour": 1}), ((), {"number": 1})],
)
def test_what_typing_refuses_is_refused(values, named):
    with pytest.raises(TypeError):
        Plain(*values, **named)
    with pytest.raises(TypeError):
        Lean(*values, **named)


def test_a_value_is_replaced_copied_and_pickled():
    lean = Lean("web", 2)
    assert lean._replace(number=5) == ("web", 5, ())
    with pytest.raises(TypeError):
        lean._replace(colour=5)
    assert copy.deepcopy(lean) == lean
    assert type(pickle.loads(pickle.dumps(lean))) is Lean
    assert Lean._make(["web", 2, ()]) == lean


def test_a_value_cannot_be_changed():
    lean = Lean("web")
    for field in ("name", "anything"):
        with pytest.raises(AttributeError):
            setattr(lean, field, "worker")


def test_it_can_be_matched():
    match Lean("web", 4):
        case Lean("web", number):
            assert number == 4
        case _:
            pytest.fail("the pattern did not fit")


def test_what_tells_its_shape_is_told_alike():
    for name in ("_fields", "_field_defaults", "__match_args__", "__annotations__"):
        assert getattr(Lean, name) == getattr(Plain, name)


class State(Enum):
    """One of ours."""

    UP = "up"
    DOWN = "down"


class RealState(enum.Enum):
    """The same, as enum makes it."""

    UP = "up"
    DOWN = "down"


def test_members_are_known_by_name_value_and_identity():
    for kind in (State, RealState):
        assert [(member.name, member.value) for member in kind] == [("UP", "up"), ("DOWN", "down")]
        assert kind("up") is kind["UP"] is kind.UP
        assert isinstance(kind.UP, kind)
        assert len(kind) == 2
        assert {kind.UP: 1}[kind("up")] == 1
        assert kind.UP != kind.DOWN
        assert kind.UP != "up"
        assert copy.deepcopy([kind.UP])[0] is copy.copy(kind.UP) is pickle.loads(pickle.dumps(kind.UP)) is kind.UP
    assert repr(State.UP) == repr(RealState.UP).replace("RealState", "State")
    assert str(State.UP) == str(RealState.UP).replace("RealState", "State")


@pytest.mark.parametrize("kind", [State, RealState])
def test_what_is_no_member_is_refused(kind):
    with pytest.raises(ValueError, match="'gone' is not a valid"):
        kind("gone")
    with pytest.raises(KeyError):
        kind["GONE"]


def test_signals_have_the_names_that_the_real_module_gives_them():
    for number in range(1, signal.NSIG):
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        assert lean.signal_name(number) == name
