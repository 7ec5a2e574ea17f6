"""What the way to the first dyno needs of ``typing`` and ``enum``, whose imports cost more than the core's.

Checkers see the real names. At run time ``NamedTuple`` makes the same classes, but without compiling a text for each:
a sixth of the time for one, and there are fifty before the first dyno runs. ``Enum`` knows names, values and identity,
and no more. ``collections.abc`` would bring all of ``collections``; what it names is there already, by ``os``. See
docs/decisions/0028.
"""

# No checker reads the second half; the first is there to be imported from here.
# ruff: noqa: F401, ANN001, ANN002, ANN003, ANN201, ANN202, ANN204, ANN206, N802, PLC0414
import sys

TYPE_CHECKING = False
if TYPE_CHECKING or sys.version_info >= (3, 14):  # there annotations are no longer in a class's namespace
    from collections.abc import Callable as Callable
    from collections.abc import Collection as Collection
    from collections.abc import Iterable as Iterable
    from collections.abc import Iterator as Iterator
    from collections.abc import Mapping as Mapping
    from collections.abc import Sequence as Sequence
    from enum import Enum as Enum
    from typing import Any as Any
    from typing import NamedTuple as NamedTuple
    from typing import Protocol as Protocol
    from typing import TypeVar as TypeVar
else:
    from _collections import _tuplegetter
    from _collections_abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    Any = object

    def TypeVar(name):
        """Stands for some type, for checkers only."""
        return object

    class Protocol:
        """A shape, for checkers only."""

    class _Fields(type):
        """Makes of a class's annotations what the elements of the tuple are called."""

        def __new__(meta, name, bases, namespace):
            fields = tuple(namespace.get("__annotations__", ()))
            namespace["_fields"] = namespace["__match_args__"] = fields
            defaults = {field: namespace[field] for field in fields if field in namespace}
            namespace["_field_defaults"] = defaults
            namespace["_rest"] = tuple(defaults.values())
            namespace["__slots__"] = ()
            for place, field in enumerate(fields):
                namespace[field] = _tuplegetter(place, None)
            return super().__new__(meta, name, bases, namespace)

    class NamedTuple(tuple, metaclass=_Fields):
        """See ``typing.NamedTuple``."""

        def __new__(cls, *values, **named):
            if named:
                values = _arrange(cls, values, named)
            elif missing := len(cls._fields) - len(values):
                if not 0 < missing <= len(cls._rest):
                    _arrange(cls, values, named)  # raises
                values += cls._rest[-missing:]
            return tuple.__new__(cls, values)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **named):
            return type(self)(**{**self._asdict(), **named})

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            values = ", ".join(f"{field}={value!r}" for field, value in self._asdict().items())
            return f"{type(self).__name__}({values})"

    def _arrange(cls, values, named):
        """Positional and named values, and defaults, in the order of the fields. TypeError as of any function."""
        fields = cls._fields
        given = dict(zip(fields, values, strict=False))
        if len(values) > len(fields):
            raise TypeError(f"{cls.__name__}() takes {len(fields)} values but {len(values)} were given")
        for name in named:
            if name not in fields:
                raise TypeError(f"{cls.__name__}() got an unexpected keyword argument {name!r}")
            if name in given:
                raise TypeError(f"{cls.__name__}() got multiple values for argument {name!r}")
        known = {**cls._field_defaults, **given, **named}
        if missing := [field for field in fields if field not in known]:
            raise TypeError(f"{cls.__name__}() lacks {', '.join(missing)}")
        return [known[field] for field in fields]

    class _Members(type):
        """Makes of a class's values its members; looked up by value as a call, by name in brackets."""

        def __new__(meta, name, bases, namespace):
            values = {key: value for key, value in namespace.items() if bases and key[:1] != "_"}
            made = super().__new__(meta, name, bases, {**namespace, "_members": {}, "_by_value": {}})
            for key, value in values.items():
                member = object.__new__(made)
                member.name, member.value = key, value
                setattr(made, key, member)
                made._members[key] = made._by_value[value] = member
            return made

        def __call__(cls, value):
            try:
                return cls._by_value[value]
            except KeyError:
                raise ValueError(f"{value!r} is not a valid {cls.__name__}") from None

        def __getitem__(cls, name):
            return cls._members[name]

        def __iter__(cls):
            return iter(cls._members.values())

        def __len__(cls):
            return len(cls._members)

    class Enum(metaclass=_Members):
        """See ``enum.Enum``: without methods of its own, aliases, or anything mixed in."""

        def __repr__(self):
            return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

        def __str__(self):
            return f"{type(self).__name__}.{self.name}"

        def __copy__(self):
            return self

        def __deepcopy__(self, memo):
            return self

        def __reduce__(self):
            return type(self), (self.value,)
