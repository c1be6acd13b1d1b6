"""The plan of a run, written before the run begins, so that a later run can go on with it."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ..bundles.manifest import Sha256
from ..errors import InputError
from ..files import Reading, read_rows, text_files
from ..files.reasons import Reasons
from ..storage import FileState, is_remote, reached, remote_files, state_of

if TYPE_CHECKING:
    from ..embedding.engine import EmbeddingEngine

PARTITION_CHARACTERS = 8 << 20
"""A partition ends when it has so many characters, so that partitions of long texts take about as long as others."""
PLAN = "_plan.json"
"""Readers of folders of Parquet files pass over names that begin with ``_`` or ``.``."""
_BLOCK = 1 << 20
_NAMES = {"manifest_sha256": "bundle", "partition_rows": "--partition-rows"}
"""Fields of :class:`Work` to their names in error messages; those of its ``reading`` are options."""

_APART = ("bundle", "reading")
"""The bundle may be renamed, and the options of reading are compared one by one."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class InputFile(_Strict):
    """A file of texts."""

    path: str
    """Path below the input's folder, with ``/`` between its parts."""
    bytes: int
    version: str
    """The object's ETag, or the time of the file's last change in nanoseconds."""
    sha256: Sha256 | None
    """Hash of a file's content. It is null for an object, whose ETag tells."""
    partitions: tuple[int, ...]
    """Rows of each partition, in order."""
    empty: int
    """Texts of white space alone."""
    errors: int
    """Rows without a text that can be embedded."""
    max_tokens: int | None
    """Tokens of the longest text that the engine takes; null: no limit."""

    @property
    def rows(self) -> int:
        return sum(self.partitions)

    @property
    def state(self) -> FileState:
        return FileState(self.bytes, self.version)


class Work(_Strict):
    """Everything but the texts that decides the content of the output."""

    bundle: str
    """Name of the bundle's folder. It is for people and is not compared."""
    manifest_sha256: Sha256
    """Hash of the bundle's manifest, which holds the hashes of all its files."""
    engine: str
    precision: str | None
    """Precision that the user named; None stands for the engine's default."""
    device: str | None
    """Device that the user named; None stands for the engine's default."""
    reading: Reading
    """How the inputs are read."""
    partition_rows: Annotated[int, Field(ge=1)]


class BulkPlan(_Strict):
    """``_plan.json``: the work, and the input files in order."""

    plan_version: Literal[1] = 1
    work: Work
    inputs: tuple[InputFile, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.inputs)

    def partitions(self) -> "list[Partition]":
        """All partitions, in the order of the texts."""
        return list(self._partitions())

    def _partitions(self) -> "Iterator[Partition]":
        index = 0
        for file in self.inputs:
            first = 0
            for rows in file.partitions:
                yield Partition(index, file.path, file.state, first, rows, file.max_tokens)
                index, first = index + 1, first + rows


@dataclass(frozen=True)
class Partition:
    """A range of texts of one input file that becomes one output file."""

    index: int
    """Number of the partition, from 0."""
    path: str
    """Path of the input file below the input's folder."""
    state: FileState
    """What the input file was when the plan was made."""
    first: int
    """Row of its first text in the input file, from 0."""
    rows: int
    max_tokens: int | None
    """The engine's limit when the plan was made."""

    @property
    def name(self) -> str:
        """Name of the output file."""
        return f"part-{self.index:06d}.parquet"


class Scanned(NamedTuple):
    """What was found in an input file."""

    file: InputFile
    reasons: bytes
    """A line of JSON for each row without a text that can be embedded."""


def input_files(source: Path, named: str | None) -> tuple[Path, dict[str, FileState]]:
    """The folder that a plan's paths are relative to, and the input files below it.

    Args:
        source: a file of texts or a folder of such files.
        named: the format that the user named.

    Raises:
        InputError: the folder has no texts, or files of several kinds; or the source is a pipe, which cannot be read
            again.
    """
    with reached(source, InputError):
        if source.is_dir():
            files = text_files(source, named)
            states = remote_files(source) if is_remote(source) else {file: state_of(file) for file in files}
            return source, {file.relative_to(source).as_posix(): states.get(file) or state_of(file) for file in files}
        if not source.exists():
            where = "; on object storage, the bucket or the key is not there" if is_remote(source) else ""
            raise InputError(f"expected a file or folder of texts, found nothing at {source}; check the name{where}")
        if not is_remote(source) and not source.is_file():
            raise InputError(
                f"expected a file or folder, which can be read again, found the pipe {source}; name a file"
            )
        return source.parent, {source.name: state_of(source)}


def scan(base: Path, path: str, state: FileState, work: Work, engine: "EmbeddingEngine | None" = None) -> Scanned:
    """Read an input file to its end, so that a mistake in the last row shows before the first is embedded.

    Args:
        base: folder of the input files.
        path: of the file, below it.
        state: of the file.
        work: says how to read it.
        engine: says which texts are too long; None: none.

    Raises:
        InputError: the file cannot be read; see :func:`~lam_engines.files.read_rows`.
    """
    place, cuts, characters, empty = base / path, [0], 0, 0
    reasons = Reasons(noted := io.BytesIO())
    with read_rows(place, work.reading, reasons.add, *([engine.check_length] if engine else [])) as reader:
        for row in reader:
            if cuts[-1] and (cuts[-1] >= work.partition_rows or characters + row.size > PARTITION_CHARACTERS):
                cuts.append(0)
                characters = 0
            cuts[-1] += 1
            characters += row.size
            empty += not row.text.strip()
    sha256 = None if is_remote(place) else _sha256(place)
    found = InputFile(
        path=path,
        bytes=state.bytes,
        version=state.version,
        sha256=sha256,
        partitions=tuple(filter(None, cuts)),
        empty=empty,
        errors=reasons.count,
        max_tokens=engine.max_tokens if engine else None,
    )
    return Scanned(found, noted.getvalue())


def make_plan(
    work: Work,
    source: Path,
    scanned: Callable[[Sequence[tuple[str, FileState]]], Iterable[Scanned]] | None = None,
    report: Callable[[Scanned], None] = lambda found: None,
) -> BulkPlan:
    """Plan a run.

    Args:
        work: what decides the content of the output.
        source: a file of texts or a folder of such files.
        scanned: scans files, given by path and state, in any order; None: one after the other.
        report: is told of every scanned file, in the order of the files.

    Raises:
        InputError: a file cannot be read; see :func:`~lam_engines.files.read_rows`.
    """
    base, files = input_files(source, work.reading.format)
    names, inputs, early = list(files), list[InputFile](), dict[str, Scanned]()
    for one in scanned(list(files.items())) if scanned else (scan(base, *file, work) for file in files.items()):
        early[one.file.path] = one
        while len(inputs) < len(files) and (following := early.pop(names[len(inputs)], None)):
            inputs.append(following.file)
            report(following)
    return BulkPlan(work=work, inputs=tuple(inputs))


def check_same(plan: BulkPlan, work: Work, source: Path, output: Path) -> BulkPlan:
    """Check that a run goes on with the bundle, options and inputs that it began with.

    An input with the same size and time counts as unchanged. One with another time is read and its hash compared.

    Returns:
        the plan with the times that the inputs have now.

    Raises:
        InputError: something differs; the message says what, and how to go on.
    """
    way_out = f"use the same again, or begin anew: another folder with -o, or --force to replace {output}"
    compared = [
        (_NAMES.get(n, n), getattr(plan.work, n), getattr(work, n)) for n in Work.model_fields if n not in _APART
    ]
    for field in fields(Reading):
        option = f"--{field.name.replace('_', '-')}"
        compared.append((option, getattr(plan.work.reading, field.name), getattr(work.reading, field.name)))
    for what, begun, now in compared:
        if begun != now:
            raise InputError(
                f"expected the {what} of the run in {output}, {begun or 'none named'}, found {now or 'none named'}; "
                f"{way_out}"
            )
    base, now_files = input_files(source, work.reading.format)
    begun_files = {file.path: file for file in plan.inputs}
    for path in (*now_files, *begun_files):
        problem = "a new file" if path not in begun_files else "it gone" if path not in now_files else ""
        if not problem and _changed(base / path, now_files[path], begun_files[path]):
            problem = "it changed"
        if problem:
            raise InputError(f"expected the input files of the run in {output}, found {problem}: {path}; {way_out}")
    inputs = [file.model_copy(update={"version": now_files[file.path].version}) for file in plan.inputs]
    return plan.model_copy(update={"inputs": tuple(inputs)})


def _changed(place: Path, now: FileState, begun: InputFile) -> bool:
    if now == begun.state or now.bytes != begun.bytes:
        return now.bytes != begun.bytes
    return begun.sha256 is None or _sha256(place) != begun.sha256


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
