"""The side file of a run: the rows without a readable text, and why."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..bundles.whole import drafted_file, put_file_in_place
from ..errors import InputError
from .kept import plain


class Reasons:
    """Rows that were left out or embedded as the empty text. ``count`` counts them."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self.count = 0

    def add(self, row: int, kept: Mapping[str, Any], error: InputError) -> None:
        """Note a row: its number in the input, from 1, its kept values, and why it has no text."""
        self.count += 1
        if self._file is not None:
            values = {name: plain(value) for name, value in kept.items()}
            self._file.write(json.dumps({"row": row, **values, "reason": str(error)}).encode("ascii") + b"\n")


def reasons_beside(output: Path) -> Path:
    """The name of an output's side file."""
    return output.with_name(f"{output.name}.errors.jsonl")


@contextmanager
def open_reasons(place: Path | None, force: bool = True) -> Iterator[Reasons]:
    """Collect reasons, and write them if there are any and the block ends well. A file of an earlier run is removed.

    Args:
        place: the side file; None: only count.
        force: replace the file of an earlier run.

    Raises:
        InputError: there is a file of an earlier run, and ``force`` is false.
        OSError: it cannot be written.
    """
    if place is None or not place.parent.is_dir():  # whoever writes the output says what is wrong there
        yield Reasons(None)
        return
    if place.exists() and not force:
        raise InputError(f"expected no {place} beside a new output, found one; remove it, or replace both with --force")
    with drafted_file(place) as draft:
        reasons = Reasons(draft)
        yield reasons
        if reasons.count:
            put_file_in_place(draft, place)
        else:
            place.unlink(missing_ok=True)
