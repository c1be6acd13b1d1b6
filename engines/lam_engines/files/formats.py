"""The formats of texts, told from a file's name or named by the user."""

from dataclasses import dataclass

from ..errors import InputError

FORMATS = ("txt", "jsonl", "csv", "tsv", "parquet")
COMPRESSIONS = ("gz", "bz2", "xz", "zst")
_OTHER_NAMES = {"ndjson": "jsonl"}


@dataclass(frozen=True)
class Format:
    """How a file holds texts."""

    name: str
    """One of :data:`FORMATS`."""
    compression: str | None = None
    """One of :data:`COMPRESSIONS`; None: not compressed."""


def format_of(name: str) -> Format | None:
    """The format that a file's name tells, such as ``reviews.csv.gz``; None if it tells none."""
    parts = name.lower().split(".")
    compression = parts.pop() if parts[-1] in COMPRESSIONS else None
    suffix = _OTHER_NAMES.get(parts[-1], parts[-1])
    if len(parts) < 2 or suffix not in FORMATS or (suffix == "parquet" and compression):
        return None
    return Format(suffix, compression)


def named_format(name: str) -> Format:
    """The format that a user names: ``csv``, or ``csv.gz`` for a compressed pipe.

    Raises:
        InputError: there is no such format.
    """
    found = format_of(f"x.{name}")
    if found is None:
        raise InputError(
            f"expected --format {', '.join(FORMATS)}, or one of the first four with .{', .'.join(COMPRESSIONS)}, found "
            f"{name!r}"
        )
    return found
