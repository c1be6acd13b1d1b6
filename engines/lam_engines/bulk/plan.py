"""The plan of a run, written before the run begins, so that a later run can go on with it."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..bundles.manifest import Sha256
from ..errors import InputError
from ..files import Reading, read_rows, text_files

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
    mtime_ns: int
    sha256: Sha256
    rows: int
    empty: int
    """Texts of white space alone."""


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
            for first in range(0, file.rows, self.work.partition_rows):
                yield Partition(index, file, first, min(self.work.partition_rows, file.rows - first))
                index += 1


@dataclass(frozen=True)
class Partition:
    """A range of texts of one input file that becomes one output file."""

    index: int
    """Number of the partition, from 0."""
    file: InputFile
    first: int
    """Row of its first text in the input file, from 0."""
    rows: int

    @property
    def name(self) -> str:
        """Name of the output file."""
        return f"part-{self.index:06d}.parquet"


def input_files(source: Path, named: str | None) -> tuple[Path, list[Path]]:
    """The folder that a plan's paths are relative to, and the input files.

    Args:
        source: a file of texts or a folder of such files.
        named: the format that the user named.

    Raises:
        InputError: the folder has no texts, or files of several kinds; or the source is a pipe, which cannot be read
            again.
    """
    if source.is_dir():
        return source, text_files(source, named)
    if source.exists() and not source.is_file():
        raise InputError(f"expected a file or folder, which can be read again, found the pipe {source}; name a file")
    return source.parent, [source]


def make_plan(
    work: Work,
    source: Path,
    advance: Callable[[int], None] = lambda rows: None,
    report: Callable[[int, Mapping[str, Any], InputError], None] = lambda row, kept, error: None,
) -> BulkPlan:
    """Plan a run. Every input is read to its end, so that a mistake in the last row shows before the first is embedded.

    Args:
        work: what decides the content of the output.
        source: a file of texts or a folder of such files.
        advance: called after every file with its number of rows.
        report: see :class:`~lam_engines.files.RowReader`.

    Raises:
        InputError: a file cannot be read; see :func:`~lam_engines.files.read_rows`.
    """
    base, files = input_files(source, work.reading.format)
    inputs = []
    for file in files:
        with read_rows(file, work.reading, report) as reader:
            rows = empty = 0
            for row in reader:
                rows, empty = rows + 1, empty + (not row.text.strip())
        about = file.stat()
        inputs.append(
            InputFile(
                path=file.relative_to(base).as_posix(),
                bytes=about.st_size,
                mtime_ns=about.st_mtime_ns,
                sha256=_sha256(file),
                rows=rows,
                empty=empty,
            )
        )
        advance(rows)
    return BulkPlan(work=work, inputs=tuple(inputs))


def check_same(plan: BulkPlan, work: Work, source: Path, output: Path) -> None:
    """Check that a run goes on with the bundle, options and inputs that it began with.

    An input with the same size and time counts as unchanged. One with another time is read and its hash compared.

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
    base, files = input_files(source, work.reading.format)
    begun_files = {file.path: file for file in plan.inputs}
    now_files = {file.relative_to(base).as_posix(): file for file in files}
    for path in (*now_files, *begun_files):
        problem = "a new file" if path not in begun_files else "it gone" if path not in now_files else ""
        if not problem and _changed(now_files[path], begun_files[path]):
            problem = "it changed"
        if problem:
            raise InputError(f"expected the input files of the run in {output}, found {problem}: {path}; {way_out}")


def _changed(file: Path, begun: InputFile) -> bool:
    about = file.stat()
    if about.st_size != begun.bytes:
        return True
    return about.st_mtime_ns != begun.mtime_ns and _sha256(file) != begun.sha256


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
