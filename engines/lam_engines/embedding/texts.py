"""What counts as a list of texts, and what a text may hold: one rule each, for engines, clients, servers and files."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, Set
from numbers import Integral
from typing import Any

from ..errors import InputError

_NAMES_SHOWN = 10


def without_surrogates(text: str) -> str:
    r"""The text with U+FFFD for each lone surrogate; two that make a pair become their character.

    Python's strings may hold lone surrogates: from JSON such as ``"\ud800"``, or from names and arguments that are not
    UTF-8. UTF-8, and so every file, tokenizer and server, has no place for them.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def texts_of(texts: Iterable[Any]) -> Iterator[str]:
    """The texts of a collection, one at a time.

    Args:
        texts: strings, or Arrow's scalars of strings, in a collection as :func:`in_order` takes it.

    Raises:
        InputError: here: ``texts`` is no such collection. From the iterator: an item is no string; the message has its
            position, from 0.
    """
    return _checked(in_order(texts))


def in_order(items: Iterable[Any], expected: str = "a list of texts") -> Iterator[Any]:
    """The items of a list, Series, array or generator, but not of a table, a mapping or a set.

    Iterating over a table or a mapping gives the names of its columns, and over a set any order.

    Args:
        items: the collection.
        expected: what error messages call it.

    Raises:
        InputError: ``items`` is one string, a table, a mapping, a set, or no collection.
    """
    kind = type(items).__name__
    if isinstance(items, str):  # it is a collection too: of one-letter texts
        raise InputError(f"expected {expected}, found one string; pass [text]")
    names = _names(items)
    if names is not None:
        shown = ", ".join(map(repr, names[:_NAMES_SHOWN])) + (", ..." if len(names) > _NAMES_SHOWN else "")
        column = next((name for name in names if name == "text" or len(names) == 1), "NAME")
        values = ", or list(x.values())" if isinstance(items, Mapping) else ""
        raise InputError(
            f"expected {expected}, found a {kind} with {shown or 'no names'}; pass one column: x[{column!r}]{values}"
        )
    if isinstance(items, ItemsView):
        raise InputError(f"expected {expected}, found a {kind}; pass one part: list(x.values()) of the mapping")
    if isinstance(items, Set) and not isinstance(items, KeysView | Sequence):
        raise InputError(f"expected {expected}, found a {kind}, which has no order; pass sorted(x)")
    try:
        return iter(items)
    except TypeError:  # numpy's arrays without dimensions claim to be iterable
        raise InputError(f"expected {expected}, found {kind}; pass [text]") from None


def checked_texts(texts: Iterable[Any]) -> list[str]:
    """The texts as a list. Arguments are those of :func:`texts_of`, and all its errors are raised here."""
    return list(texts_of(texts))


def whole_number(name: str, value: Any) -> int:
    """An argument that must be a whole number of at least 1.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"expected {name} as a whole number, found {value!r} ({type(value).__name__})")
    if value < 1:
        raise InputError(f"expected {name} of at least 1, found {value}")
    return int(value)


def _checked(texts: Iterator[Any]) -> Iterator[str]:
    for i, text in enumerate(texts):
        if not isinstance(text, str) and hasattr(text, "as_py"):
            text = text.as_py()  # of pyarrow
        if not isinstance(text, str):
            missing = type(text).__name__ in ("NoneType", "NAType", "float")  # NaN is a float
            hint = "; fill missing texts, or leave them out" if missing else ""
            hint = "; decode it: x.decode()" if isinstance(text, bytes) else hint
            raise InputError(f"expected a string at position {i}, found {type(text).__name__}{hint}")
        yield text


def _names(texts: Any) -> list[str] | None:
    """The columns of a table (pandas, polars, pyarrow, datasets) or keys of a mapping; None: it is neither."""
    if isinstance(texts, Mapping):
        return list(map(str, texts))
    for attribute in ("column_names", "columns"):
        names = getattr(texts, attribute, None)
        if names is not None and not callable(names):
            return list(map(str, names))
    return None
