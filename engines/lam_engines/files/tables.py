"""The columns of tables: which holds the texts, and the words of messages about them."""

from collections.abc import Iterable, Sequence

from ..errors import InputError

DEFAULT_COLUMN = "text"
_NAMES_SHOWN = 10


def choose_column(file: str, names: Sequence[str], column: str | None) -> str:
    """``column``, if the table of a Parquet file has it once. None stands for "text", or for the only column."""
    if column is None:
        column = names[0] if len(names) == 1 else DEFAULT_COLUMN
    return one_column(file, names, column, "--column NAME")


def one_column(file: str, names: Sequence[str], column: str, remedy: str) -> str:
    """``column``, if the table has it exactly once; else :class:`InputError`."""
    if names.count(column) == 1:
        return column
    found = f"it {names.count(column)} times" if column in names else listed("column", names)
    raise InputError(f"{file}: expected one column {column!r}, found {found}; name another with {remedy}")


def listed(what: str, names: Iterable[str]) -> str:
    """Names for an error message: quoted, so that each stays on the line, and at most ten of them."""
    names = list(names)
    shown = ", ".join(map(repr, names[:_NAMES_SHOWN])) + (", ..." if len(names) > _NAMES_SHOWN else "")
    return f"{counted(len(names), what)}{': ' if names else ''}{shown}"


def counted(count: int, what: str) -> str:
    """A number with its noun."""
    return f"{count} {what}{'' if count == 1 else 's'}"
