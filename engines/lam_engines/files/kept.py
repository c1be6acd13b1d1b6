"""The values of kept columns, as the files of embeddings hold them."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from ..errors import InputError
from .json_rows import clean


def plain(value: Any) -> Any:
    """A value for JSON: dates and times in ISO 8601, bytes in base64, other values without a JSON form as text."""
    if not hasattr(value, "is_valid"):
        return clean(value)
    try:
        found = _spelled(value) if getattr(value.type, "unit", "") == "ns" else value.as_py()
    except (KeyError, OverflowError, ValueError):  # a zone that this machine does not know, or a year beyond Python's
        found = _spelled(value)
    return clean(json.loads(json.dumps(found, default=_text)))


def column(name: str, values: Sequence[Any], kind: Any) -> Any:
    """A column for Parquet, of Arrow's type ``kind``; None: of strings.

    Raises:
        InputError: a value has another type.
    """
    import pyarrow as pa

    if kind is None:
        return pa.array(
            [v if v is None or isinstance(v, str) else json.dumps(v) for v in map(clean, values)], pa.string()
        )
    try:
        return pa.array([value if value is not None and value.is_valid else None for value in values], kind)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(
            f"expected {kind} in column {name!r} as in the first file, found another type ({error}); give the files "
            f"the same types, or leave the column out"
        ) from None


def _spelled(value: Any) -> Any:
    """A date, time or duration as Arrow spells it, to the nanosecond; a time of a zone in UTC."""
    import pyarrow as pa

    zone = getattr(value.type, "tz", None)
    value = value.cast(pa.timestamp(value.type.unit)) if zone else value
    found = value.cast(pa.string()).as_py()
    unit = "Z" if zone else " ns" if value.type == pa.duration("ns") else ""
    return None if found is None else found + unit


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
