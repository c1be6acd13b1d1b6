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
        found = value.as_py()
    except ValueError:  # nanoseconds, which Python's times do not have
        import pyarrow as pa

        found = value.cast(pa.string()).as_py()
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


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
