"""What a run is to do, written down before it begins, so that another run can take it up."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..bundles.manifest import Sha256
from ..errors import InputError
from ..files import read_texts, text_files

_BLOCK = 1 << 20
_NAMES = {"manifest_sha256": "bundle", "partition_rows": "--partition-rows", "column": "--column"}
"""What the user calls the fields of :class:`Work`."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class InputFile(_Strict):
    """A file of texts."""

    path: str
    """Under the input's folder, with ``/`` between its parts."""
    bytes: int
    mtime_ns: int
    sha256: Sha256
    rows: int


class Work(_Strict):
    """What the content of the output depends on, beside the texts."""

    bundle: str
    """Folder name alone; for people."""
    manifest_sha256: Sha256
    """The bundle's, which holds the hashes of all its files."""
    engine: str
    precision: str | None
    """None: the engine's own."""
    device: str | None
    """As ``precision``."""
    column: str | None
    """As the user named it."""
    partition_rows: Annotated[int, Field(ge=1)]


class Plan(_Strict):
    """``_plan.json``."""

    plan_version: Literal[1] = 1
    work: Work
    inputs: tuple[InputFile, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.inputs)

    def partitions(self) -> "list[Partition]":
        """All of them, in the order of the texts."""
        return list(self._partitions())

    def _partitions(self) -> "Iterator[Partition]":
        index = 0
        for file in self.inputs:
            for first in range(0, file.rows, self.work.partition_rows):
                yield Partition(index, file, first, min(self.work.partition_rows, file.rows - first))
                index += 1


@dataclass(frozen=True)
class Partition:
    """Texts of one file that become one file."""

    index: int
    file: InputFile
    first: int
    """Of its rows in the file, from 0."""
    rows: int

    @property
    def name(self) -> str:
        """File name in the output."""
        return f"part-{self.index:06d}.parquet"


def input_files(source: Path) -> tuple[Path, list[Path]]:
    """The folder that paths in a plan are relative to, and the files, for a file or a folder.

    Raises:
        InputError: the folder has no texts, or files of several kinds.
    """
    return (source, text_files(source)) if source.is_dir() else (source.parent, [source])


def make_plan(work: Work, source: Path, progress: Callable[[int], None] = lambda rows: None) -> Plan:
    """Read every input to its end: a mistake in the last row is found before the first is embedded.

    Args:
        work: what to do.
        source: a file of texts or a folder of such files.
        progress: told of the rows of every file that was read.

    Raises:
        InputError: a file is not as its reader wants it.
    """
    base, files = input_files(source)
    inputs = []
    for file in files:
        with read_texts(file, work.column) as texts:
            rows = sum(1 for _ in texts)
        about = file.stat()
        inputs.append(
            InputFile(
                path=file.relative_to(base).as_posix(),
                bytes=about.st_size,
                mtime_ns=about.st_mtime_ns,
                sha256=_sha256(file),
                rows=rows,
            )
        )
        progress(rows)
    return Plan(work=work, inputs=tuple(inputs))


def check_same(plan: Plan, work: Work, source: Path, output: Path) -> None:
    """See that a run that was begun is taken up with what it was begun with.

    A file whose size and time are as they were is taken to be the same; one that was written anew is read and compared.

    Raises:
        InputError: says what differs and how to go on.
    """
    way_out = f"use what it was begun with, or begin anew: another folder with -o, or --force to replace {output}"
    for name in Work.model_fields:
        begun, now = getattr(plan.work, name), getattr(work, name)
        if begun != now and name != "bundle":  # its name may change
            what = _NAMES.get(name, name)
            raise InputError(
                f"expected the {what} that the run in {output} was begun with, {begun or 'none named'}, found "
                f"{now or 'none named'}; {way_out}"
            )
    base, files = input_files(source)
    begun_files = {file.path: file for file in plan.inputs}
    now_files = {file.relative_to(base).as_posix(): file for file in files}
    for path in (*now_files, *begun_files):
        problem = "a new file" if path not in begun_files else "it gone" if path not in now_files else ""
        if not problem and _changed(now_files[path], begun_files[path]):
            problem = "it changed"
        if problem:
            raise InputError(
                f"expected the input files that the run in {output} was begun with, found {problem}: {path}; {way_out}"
            )


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
