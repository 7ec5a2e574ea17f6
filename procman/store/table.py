"""A table: rows in SQLite, named tuples outside. Columns are the tuple's fields; lists and maps are kept as JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar, get_origin, get_type_hints

from procman.store.database import Tx

Row = TypeVar("Row", bound=tuple[Any, ...])


class Table(Generic[Row]):
    """One kind of row. Names of tables and columns come from our own code only; values are always bound.

    ``order``: how lists are ordered, unless the caller says otherwise.
    """

    def __init__(self, name: str, kind: type[Row], order: str = "created_at, id") -> None:
        self.name = name
        self.kind = kind
        self._order = order
        hints = get_type_hints(kind)
        self.columns: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
        self._json = {field for field in self.columns if is_composite(hints[field])}
        self._flags = {field for field in self.columns if hints[field] is bool}

    def insert(self, tx: Tx, row: Row) -> Row:
        """A new row."""
        marks = ", ".join("?" * len(self.columns))
        values = [self._bound(field, value) for field, value in zip(self.columns, row, strict=True)]
        tx.execute(f"INSERT INTO {self.name} ({', '.join(self.columns)}) VALUES ({marks})", values)  # noqa: S608
        return row

    def get(self, tx: Tx, /, **where: Any) -> Row | None:
        """The row that these columns are equal for."""
        return next(iter(self.find(tx, limit=1, **where)), None)

    def find(self, tx: Tx, /, order: str = "", limit: int = -1, **where: Any) -> list[Row]:
        """All of them, in order."""
        text = f"SELECT {', '.join(self.columns)} FROM {self.name}{self._where(where)}"  # noqa: S608
        found = tx.execute(f"{text} ORDER BY {order or self._order} LIMIT ?", [*where.values(), limit])
        return [self.read(values) for values in found]

    def select(self, tx: Tx, text: str, values: Iterable[object] = ()) -> list[Row]:
        """Rows found by a condition in SQL, ``WHERE`` and all that follows."""
        columns = ", ".join(f"{self.name}.{column}" for column in self.columns)
        found = tx.execute(f"SELECT {columns} FROM {self.name} {text}", list(values))  # noqa: S608
        return [self.read(row) for row in found]

    def update(self, tx: Tx, row_id: str, /, **changes: Any) -> None:
        """Other values in one row."""
        words = ", ".join(f"{column} = ?" for column in changes)
        values = [self._bound(column, value) for column, value in changes.items()]
        tx.execute(f"UPDATE {self.name} SET {words} WHERE id = ?", [*values, row_id])  # noqa: S608

    def delete(self, tx: Tx, /, **where: Any) -> int:
        """Take rows away; how many there were."""
        return tx.execute(f"DELETE FROM {self.name}{self._where(where)}", list(where.values())).rowcount  # noqa: S608

    def read(self, values: Iterable[Any]) -> Row:
        """A row's values as the named tuple."""
        pairs = zip(self.columns, values, strict=True)
        return self.kind(*(self._unbound(field, value) for field, value in pairs))

    def _where(self, where: dict[str, object]) -> str:
        return " WHERE " + " AND ".join(f"{column} IS ?" for column in where) if where else ""

    def _bound(self, field: str, value: object) -> Any:
        return json.dumps(value, separators=(",", ":")) if field in self._json else value

    def _unbound(self, field: str, value: Any) -> Any:
        if field in self._json:
            return json.loads(value)
        return bool(value) if field in self._flags else value


def is_composite(hint: Any) -> bool:
    """Whether a field's type is a list or a map: ``list[str]``, ``Mapping[str, str]``."""
    return isinstance(get_origin(hint), type) and issubclass(get_origin(hint), (list, Mapping))
