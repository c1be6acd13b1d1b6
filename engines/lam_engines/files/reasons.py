"""The side file of a run: the rows without a text that can be embedded, and why."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..bundles.whole import drafted_file, put_file_in_place
from ..errors import InputError
from ..storage import is_remote, put_whole, reached
from .kept import plain


class Reasons:
    """Rows that were left out or embedded as the empty text. ``count`` counts them."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self.count = 0

    def add(self, row: int, kept: Mapping[str, Any], error: InputError) -> None:
        """Note a row: its number in the input, from 1, its kept values, and why it has no text."""
        values = {name: plain(value) for name, value in kept.items()}
        self.extend(1, json.dumps({"row": row, **values, "reason": str(error)}).encode("ascii") + b"\n")

    def extend(self, count: int, lines: bytes) -> None:
        """Note rows, given as the lines that :meth:`add` writes."""
        self.count += count
        if self._file is not None:
            self._file.write(lines)


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
    # Whoever writes the output says what is wrong with its folder.
    if place is None or not (is_remote(place) or place.parent.is_dir()):
        yield Reasons(None)
        return
    with reached(place, InputError):
        there = place.exists()
    if there and not force:
        raise InputError(f"expected no {place} beside a new output, found one; remove it, or replace both with --force")
    if is_remote(place):
        with tempfile.TemporaryFile() as file:
            reasons = Reasons(file)  # type: ignore[arg-type]
            yield reasons
            file.seek(0)
            if reasons.count:
                with put_whole(place, InputError) as local, local.open("wb") as copy:
                    shutil.copyfileobj(file, copy)
            else:
                place.unlink(missing_ok=True)
        return
    with drafted_file(place) as draft:
        reasons = Reasons(draft)
        yield reasons
        if reasons.count:
            put_file_in_place(draft, place)
        else:
            place.unlink(missing_ok=True)
