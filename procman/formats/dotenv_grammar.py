"""python-dotenv's statement parser and ``${VAR}`` grammar, loaded without the rest of its package."""

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from dotenv.parser import Binding
    from dotenv.variables import Atom

    Statements = Callable[[TextIO], Iterator[Binding]]
    Atoms = Callable[[str], Iterator[Atom]]


def load() -> "tuple[Statements, Atoms]":
    """``parse_stream`` and ``parse_variables`` of python-dotenv.

    ``import dotenv.parser`` would first run ``dotenv/__init__.py``, which imports logging, tempfile and
    random: 25 to 45 ms before the first dyno, for a parser that needs `re` alone. So the two submodules are
    found on the package's search path and run by themselves; they stay out of `sys.modules`, where a later
    plain import would mistake them for the package's own.
    """
    return _submodule("parser").parse_stream, _submodule("variables").parse_variables


def _submodule(name: str) -> ModuleType:
    package = PathFinder.find_spec("dotenv")
    spec = package and PathFinder.find_spec(f"dotenv.{name}", package.submodule_search_locations)
    if not spec or not spec.loader:  # installed in a way that the path does not show: pay for the package
        return import_module(f"dotenv.{name}")
    module = ModuleType(spec.name)
    spec.loader.exec_module(module)
    return module
