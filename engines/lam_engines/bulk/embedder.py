"""The actor of a worker: it embeds partitions with its own engine."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import load_engine
from ..bundles.bundle import Bundle
from ..embedding.batching import windows
from ..errors import EngineError, InputError, LamError
from ..files import Reading, Row, RowReader, open_writer, read_rows
from .plan import BulkPlan, Partition

if TYPE_CHECKING:
    from ..embedding.engine import EmbeddingEngine


@dataclass(frozen=True)
class Places:
    """Where a run's files are, and how its engines are loaded. All of it is the same on every machine."""

    bundle: Path
    base: Path
    """Folder that the paths of the inputs are relative to."""
    output: Path
    scratch: Path
    """Folder for this run alone."""
    threads: int | None
    """Threads of each engine."""
    batch_tokens: int | None
    """Largest number of tokens in a batch; None: the engine's default."""


_TRIES = 3


class PartitionEmbedder:
    """Embeds one partition per call. The first call loads the engine, and later calls use the same one."""

    def __init__(self, plan: BulkPlan, places: Places, progress: Callable[[int], None] = lambda texts: None) -> None:
        self._work = plan.work
        self._partitions = plan.partitions()
        self._places = places
        self._engine: EmbeddingEngine | None = None
        self._progress = progress
        self._rows = _Rows(places.base, plan.work.reading)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Embed one partition and write it, whole or not at all.

        Args:
            batch: Ray's columns. ``index`` holds the number of one partition.

        Returns:
            Two columns: ``rows``, the number of rows written, and ``error``, the message for the user if it failed.
        """
        (index,) = batch["index"]
        partition = self._partitions[index]
        try:
            self._count_try(partition)
            self._embed(partition)
        except LamError as error:  # returned as a value: Ray would retry after an exception, and show a traceback
            return {"rows": [0], "error": [str(error)]}
        return {"rows": [partition.rows], "error": [""]}

    def _embed(self, partition: Partition) -> None:
        engine = self._loaded()
        rows, kept = self._rows.of(partition)
        place = self._places.output / partition.name
        with open_writer(place, engine.model.hidden_size, force=True, kept=kept) as writer:
            for window in windows(rows, measure=lambda row: row.size):
                texts = [row.text for row in window]
                vectors = engine.embed(texts, batch_tokens=self._places.batch_tokens, progress=self._progress)
                writer.write(texts, vectors, [row.kept for row in window])
            if writer.rows != partition.rows:
                raise _changed(partition)

    def _count_try(self, partition: Partition) -> None:
        """End after some tries: Ray restarts a worker that was killed, and gives it the same partition for ever."""
        tries = self._places.scratch / f"{partition.name}.tries"
        with tries.open("a") as file:
            file.write("x")
        if tries.stat().st_size > _TRIES:
            raise EngineError(
                f"{_TRIES} workers were killed while they embedded {partition.name}, most likely for lack of memory; "
                f"run the command again with fewer --workers or --batch-tokens"
            )

    def _loaded(self) -> "EmbeddingEngine":
        if self._engine is None:
            places, work = self._places, self._work
            if Bundle(places.bundle).manifest_sha256 != work.manifest_sha256:
                raise InputError(f"the bundle {places.bundle} was changed while it was in use; run the command again")
            self._engine = load_engine(
                places.bundle, work.engine, precision=work.precision, device=work.device, threads=places.threads
            )
        return self._engine


class _Rows:
    """The rows of partitions. The file stays open, because the next partition mostly follows in the same file."""

    def __init__(self, base: Path, reading: Reading) -> None:
        self._base = base
        self._reading = reading
        self._path = ""
        self._reader: RowReader | None = None
        self._position = 0

    def of(self, partition: Partition) -> tuple[Iterator[Row], Mapping[str, Any]]:
        """The rows of a partition, fewer than planned if the file has fewer; and the types of the kept columns.

        Raises:
            InputError: the file has changed since the plan was made.
        """
        if self._reader is None or self._path != partition.file.path or self._position > partition.first:
            self._open(partition)
        assert self._reader is not None  # noqa: S101
        skipped = partition.first - self._position
        next(islice(self._reader, skipped, skipped), None)
        self._position = partition.first + partition.rows
        return islice(self._reader, partition.rows), self._reader.kept_types

    def _open(self, partition: Partition) -> None:
        if self._reader is not None:
            self._reader.close()
        path = self._base / partition.file.path
        self._reader, self._path, self._position = read_rows(path, self._reading), partition.file.path, 0
        with suppress(OSError):
            about = path.stat()
            if (about.st_size, about.st_mtime_ns) == (partition.file.bytes, partition.file.mtime_ns):
                return
        raise _changed(partition)


def _changed(partition: Partition) -> InputError:
    return InputError(
        f"the input {partition.file.path} has changed since the run began; put it back, or begin anew with --force"
    )
