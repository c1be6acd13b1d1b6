"""A memory's state as one file, which is written whole or not at all. Reading checks its hash."""

import hashlib
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..bundles.manifest import Sha256
from ..bundles.whole import drafts_of, write_whole
from ..errors import SnapshotError
from .state import state_shapes

FORMAT_VERSION = 1
_FIRST_LINE = re.compile(rb"lam-memory (\d{1,9}) ([0-9a-f]{64})\n")
_DRAFT_SECONDS = 3600
_LINE_BYTES = 100
"""More bytes than the first line has."""


class Header(BaseModel):
    """The memory that a snapshot belongs to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: Sha256
    """Hash of the checkpoint that the memory's weights came from."""
    layer: Annotated[int, Field(ge=0)]
    heads: Annotated[int, Field(ge=1)]
    head_size: Annotated[int, Field(ge=1)]
    stored: Annotated[int, Field(ge=0)]
    """Number of stored vectors."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the arrays that follow the header."""
        return state_shapes(self.heads, self.head_size)


def write_snapshot(path: Path, header: Header, arrays: Sequence[np.ndarray]) -> None:
    """Write a snapshot: a line with the format's version and the sha256 of the rest, a line of JSON, and the arrays.

    When this returns, the snapshot is on the disk. If the process dies before that, an older file is unchanged.

    Args:
        path: of the file. An existing file is replaced.
        header: of the memory.
        arrays: float32 of ``header.shapes``. They are written little-endian, one after the other.

    Raises:
        SnapshotError: the file could not be written; an older file is unchanged.
    """
    content = header.model_dump_json().encode("ascii") + b"\n"
    content += b"".join(array.astype("<f4").tobytes() for array in arrays)
    digest = hashlib.sha256(content).hexdigest()
    try:
        _remove_drafts(path)
        write_whole(path, f"lam-memory {FORMAT_VERSION} {digest}\n".encode("ascii") + content)
    except OSError as error:
        raise SnapshotError(
            f"{path} was not written ({error.strerror or error}); what was there is unchanged; choose another place, "
            f"or make room"
        ) from error


def _remove_drafts(path: Path) -> None:
    """Remove what writers left that were killed: drafts so old that no one is still at work on them."""
    for draft in drafts_of(path):
        with suppress(FileNotFoundError):  # another writer may be at this too
            if time.time() - draft.stat().st_mtime > _DRAFT_SECONDS:
                draft.unlink()


def read_snapshot(path: Path, expected: Header) -> tuple[int, list[np.ndarray]]:
    """Read a snapshot and check all of it.

    Args:
        path: of the file.
        expected: the memory that the snapshot must belong to. ``stored`` is not compared.

    Returns:
        The number of stored vectors, and the arrays, float32.

    Raises:
        SnapshotError: the file is missing, damaged, or of another memory or format version.
    """
    content = _content(path)
    line, _, rest = content.partition(b"\n")
    try:
        header = Header.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise SnapshotError(
            f"expected the header of a memory's snapshot in {path}, found another ({first['msg']}); use another "
            f"snapshot"
        ) from None
    if header.model_copy(update={"stored": 0}) != expected.model_copy(update={"stored": 0}):
        raise SnapshotError(
            f"expected a snapshot of {_names(expected)}, found one of {_names(header)} in {path}; open the bundle that "
            f"it was saved with"
        )
    sizes = [int(np.prod(shape)) for shape in header.shapes]
    if len(rest) != 4 * sum(sizes):
        raise SnapshotError(
            f"expected {4 * sum(sizes)} bytes of state in {path}, found {len(rest)}; use another snapshot"
        )
    values = np.frombuffer(rest, dtype="<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise SnapshotError(f"expected finite numbers in {path}, found NaN or infinity; use another snapshot")
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return header.stored, [part.reshape(shape) for part, shape in zip(parts, header.shapes, strict=True)]


def _content(path: Path) -> bytes:
    """The bytes after the first line, once their hash is checked."""
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise SnapshotError(f"expected a memory's snapshot at {path}, found no file; name one: memory.save(PATH)")
        with path.open("rb") as file:
            line = file.readline(_LINE_BYTES)
            found = _FIRST_LINE.fullmatch(line)
            content = file.read() if found else b""
    except OSError as error:
        raise SnapshotError(
            f"{path} cannot be read ({error.strerror or error}); name a snapshot that memory.save(PATH) wrote"
        ) from None
    if found is None:
        raise SnapshotError(
            f"expected a memory's snapshot at {path}, found another file, or the beginning of one; name one that "
            f"memory.save(PATH) wrote"
        )
    version, digest = int(found[1]), found[2].decode("ascii")
    if version != FORMAT_VERSION:
        raise SnapshotError(
            f"expected snapshot format {FORMAT_VERSION}, found {version} in {path}; use the version of lam-export that "
            f"wrote it"
        )
    if hashlib.sha256(content).hexdigest() != digest:
        raise SnapshotError(
            f"{path} was altered or cut short (it differs from its own sha256); use another snapshot, or copy it again"
        )
    return content


def _names(header: Header) -> str:
    return (
        f"layer {header.layer} of checkpoint {header.checkpoint[:12]}... ({header.heads} heads of {header.head_size})"
    )
