"""JSON lines: each a string, or an object that has the text under a key."""

import json
import math
from collections.abc import Iterator
from typing import Any

from ..embedding.texts import without_surrogates
from ..errors import InputError
from .lines import Lines
from .rows import Reading, Row
from .tables import DEFAULT_COLUMN, listed

_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
}


class JsonRows:
    """The rows of a file of JSON lines. Blank lines at its end are no rows."""

    def __init__(self, lines: Lines, reading: Reading) -> None:
        self._lines = lines
        self._key = DEFAULT_COLUMN if reading.column is None else reading.column
        self.kept_types: dict[str, Any] = dict.fromkeys(reading.kept)
        self.close = lines.close
        self.total = lines.total

    @property
    def position(self) -> int:
        return self._lines.position

    @property
    def where(self) -> str:
        return self._lines.where

    def rows(self) -> Iterator[Row]:
        lines, blank = self._lines, range(0)
        for line in lines:
            mistake, lines.mistake = lines.mistake, None
            if mistake is None and not line.strip():
                blank = range(blank.start or lines.number, lines.number + 1)
                continue
            for number in blank:  # a line follows, so they are not at the end
                yield Row("", error=self._error(number, 'an empty line; delete it, or write "" for an empty text'))
            blank = range(0)
            if mistake is not None:
                yield Row("", error=mistake)
                continue
            yield self._row(line)

    def _row(self, line: str) -> Row:
        number, key = self._lines.number, self._key
        try:
            value: Any = _JSON.decode(line.removesuffix("\n"))
        except json.JSONDecodeError as error:
            found = f"no valid JSON ({error.msg}, column {error.colno}); write one JSON value a line, as jq -c . does"
            return Row("", error=self._error(number, found))
        except RecursionError:
            return Row("", error=self._error(number, "JSON that is nested too deeply; simplify the line"))
        kept: tuple[Any, ...] = ()
        there = ""
        if isinstance(value, dict):
            kept = tuple(clean(value.get(name)) for name in self.kept_types)
            if key not in value:
                found = f"{listed('key', value)}; name another with --column NAME"
                return Row("", kept, self._error(number, found))
            value, there = value[key], " there"
        elif self.kept_types:
            return Row("", error=self._error(number, "no object, which has the columns to keep; mend the line"))
        if not isinstance(value, str):
            other = ", or name another with --column NAME" if there else ""
            if isinstance(value, list) and not there:
                other = ", or write each item in a line of its own, as jq -c .[] does"
            return Row("", kept, self._error(number, f"{_KINDS[type(value)]}{there}; mend the line{other}"))
        return Row(without_surrogates(value), kept, size=len(line))

    def _error(self, number: int, found: str) -> InputError:
        return InputError(
            f"{self._lines.name}, line {number}: expected a JSON string, or an object with a string in {self._key!r}, "
            f"found {found}"
        )


def clean(value: Any) -> Any:
    """A JSON value as other readers take it: no lone surrogates, null for numbers that are not finite."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates(key): clean(item) for key, item in value.items()}
    return value


def _integer(digits: str) -> float:
    try:
        return int(digits)
    except ValueError:  # Python limits the digits of an int
        return float(digits)


_JSON = json.JSONDecoder(parse_int=_integer)
