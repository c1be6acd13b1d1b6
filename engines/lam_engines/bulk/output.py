"""The folder of a run's output: its plan, its finished partitions, and its lock, so that one run writes at a time."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from ..bundles.whole import DRAFT_NAME, write_whole
from ..errors import InputError
from ..files import OutputError
from .plan import BulkPlan, Partition

PLAN = "_plan.json"
"""Readers of folders of Parquet files pass over names that begin with ``_`` or ``.``."""
REASONS = "_errors.jsonl"
"""The rows without a readable text."""
_OURS = re.compile(rf"part-\d{{6,}}\.parquet|_plan\.json|_errors\.jsonl|{DRAFT_NAME.pattern}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder if it is missing, and keep other runs out of it. The system unlocks it when this process ends.

    Raises:
        OutputError: another run writes there, or the folder cannot be made.
    """
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"expected a folder for the output, found {folder}: {error.strerror}; name another") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"another run is writing to {folder}; wait for its end, or name another folder") from None
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()  # succeeds only if nothing was written there
        os.close(handle)


def read_plan(folder: Path) -> BulkPlan | None:
    """The plan of a run that began in the folder; None if the folder is empty.

    Raises:
        InputError: the plan cannot be read.
        OutputError: the folder holds other files, and no plan.
    """
    plan = folder / PLAN
    try:
        return BulkPlan.model_validate_json(plan.read_bytes())
    except FileNotFoundError:
        pass
    except (OSError, ValidationError):
        raise InputError(f"expected the plan of a run in {plan}, found a broken one; begin anew with --force") from None
    if strangers := [p.name for p in folder.iterdir() if not (DRAFT_NAME.fullmatch(p.name) or p.name == REASONS)]:
        raise OutputError(
            f"expected an empty folder for the output, or the folder of an earlier run, found {min(strangers)} in "
            f"{folder}; name another folder"
        )
    return None


def write_plan(folder: Path, plan: BulkPlan) -> None:
    """Write the plan, whole or not at all. From then on another run can go on with it.

    Raises:
        OutputError: the disk is full.
    """
    try:
        write_whole(folder / PLAN, plan.model_dump_json(indent=1).encode("utf-8"))
    except OSError as error:
        raise OutputError(f"the plan was not written to {folder} ({error.strerror}); name another folder") from None


def remove_run(folder: Path) -> None:
    """Remove a run's files, the plan first.

    Raises:
        OutputError: the folder holds other files; nothing was removed.
    """
    names = sorted(path.name for path in folder.iterdir())
    if strangers := [name for name in names if not _OURS.fullmatch(name)]:
        raise OutputError(f"expected nothing but a run's output in {folder}, found {strangers[0]}; name another folder")
    for name in sorted(names, key=lambda name: name != PLAN):
        (folder / name).unlink()


def remove_half_written(folder: Path) -> None:
    """Remove the half-written files of runs that were killed."""
    for path in folder.iterdir():
        if DRAFT_NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def finished(folder: Path, partition: Partition) -> bool:
    """Whether a partition is there with all its rows.

    A partition gets its name when it is whole, so a wrong number of rows means damage from outside.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: int = pq.read_metadata(folder / partition.name).num_rows
    except (OSError, pa.ArrowException):
        return False
    return rows == partition.rows
