"""The folder of a run's output: its plan, its finished partitions, and its lock, so that one run writes at a time."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from ..bundles.whole import DRAFT_NAME, write_whole
from ..errors import InputError
from ..files import OutputError
from ..storage import is_remote, remove_all
from .lease import LOCK, leased
from .plan import PLAN, BulkPlan, Partition

REASONS = "_errors.jsonl"
"""The rows without a readable text."""
_OURS = re.compile(rf"part-\d{{6,}}\.parquet|_plan\.json|_errors\.jsonl|{LOCK.pattern}|{DRAFT_NAME.pattern}")


@contextmanager
def locked(folder: Path, waiting: Callable[[str], None] = lambda step: None) -> Iterator[Callable[[], None]]:
    """Make the folder if it is missing, and keep other runs out of it. The system unlocks it when this process ends.

    Args:
        folder: the output.
        waiting: told of a step that takes seconds.

    Yields a function that raises if another run has taken over the folder, which is possible in remote ones.

    Raises:
        OutputError: another run writes there, or the folder cannot be made.
    """
    if is_remote(folder):
        with leased(folder, waiting) as check:
            yield check
        return
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
        yield lambda: None
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
    except OSError as error:
        raise OutputError(f"expected to read {plan}, found: {error.strerror or error}; check its rights") from None
    except ValidationError:
        raise InputError(f"expected the plan of a run in {plan}, found a broken one; begin anew with --force") from None
    ours = (REASONS, *filter(LOCK.fullmatch, names := _names(folder)))
    if strangers := [name for name in names if not (DRAFT_NAME.fullmatch(name) or name in ours)]:
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
    content = plan.model_dump_json(indent=1).encode("utf-8")
    try:
        if is_remote(folder):
            (folder / PLAN).write_bytes(content)
        else:
            write_whole(folder / PLAN, content)
    except OSError as error:
        raise OutputError(f"the plan was not written to {folder} ({error.strerror}); name another folder") from None


def remove_run(folder: Path) -> None:
    """Remove a run's files, the plan first.

    Raises:
        OutputError: the folder holds other files; nothing was removed.
    """
    names = sorted(name for name in _names(folder) if not LOCK.fullmatch(name))
    if strangers := [name for name in names if not _OURS.fullmatch(name)]:
        raise OutputError(f"expected nothing but a run's output in {folder}, found {strangers[0]}; name another folder")
    (folder / PLAN).unlink(missing_ok=True)
    places = [folder / name for name in names if name != PLAN]
    if places and is_remote(folder):
        remove_all(places)
    else:
        for place in places:
            place.unlink()


def remove_half_written(folder: Path) -> None:
    """Remove the half-written files of runs that were killed. Objects are never half written."""
    if is_remote(folder):
        return
    for path in folder.iterdir():
        if DRAFT_NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def unfinished(folder: Path, partitions: Sequence[Partition]) -> list[Partition]:
    """The partitions that are not there with all their rows.

    A partition gets its name when it is whole, so a wrong number of rows means damage from outside. Objects are known
    by one listing, and not read.
    """
    if is_remote(folder):
        there = set(_names(folder))
        return [partition for partition in partitions if partition.name not in there]
    return [partition for partition in partitions if not _finished(folder, partition)]


def _finished(folder: Path, partition: Partition) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: int = pq.read_metadata(folder / partition.name).num_rows
    except (OSError, pa.ArrowException):
        return False
    return rows == partition.rows


def _names(folder: Path) -> list[str]:
    """What is in the folder, which a remote place has only with its first file."""
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
