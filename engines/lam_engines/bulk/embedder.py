"""The actor of a worker: it embeds partitions with its own engine."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import load_engine
from ..bundles.bundle import Bundle
from ..errors import EngineError, InputError, LamError
from ..files import open_writer, read_texts
from .plan import BulkPlan, Partition

if TYPE_CHECKING:
    from ..embedding.engine import EmbeddingEngine
    from ..files import TextReader


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

    def __init__(self, plan: BulkPlan, places: Places) -> None:
        self._work = plan.work
        self._partitions = plan.partitions()
        self._places = places
        self._engine: EmbeddingEngine | None = None
        self._texts = _Texts(places.base, plan.work.column)

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
        texts = self._texts.of(partition)
        with open_writer(self._places.output / partition.name, engine.model.hidden_size, force=True) as writer:
            for window, vectors in engine.embed_many(texts, batch_tokens=self._places.batch_tokens):
                writer.write(window, vectors)
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


class _Texts:
    """The texts of partitions. The file stays open, because the next partition mostly follows in the same file."""

    def __init__(self, base: Path, column: str | None) -> None:
        self._base = base
        self._column = column
        self._path = ""
        self._reader: TextReader | None = None
        self._position = 0

    def of(self, partition: Partition) -> Iterator[str]:
        """The texts of a partition; fewer than planned if the file has fewer.

        Raises:
            InputError: the file has changed since the plan was made.
        """
        if self._reader is None or self._path != partition.file.path or self._position > partition.first:
            self._open(partition)
        assert self._reader is not None  # noqa: S101
        skipped = partition.first - self._position
        next(islice(self._reader, skipped, skipped), None)
        self._position = partition.first + partition.rows
        return islice(self._reader, partition.rows)

    def _open(self, partition: Partition) -> None:
        if self._reader is not None:
            self._reader.close()
        path = self._base / partition.file.path
        self._reader, self._path, self._position = read_texts(path, self._column), partition.file.path, 0
        with suppress(OSError):
            about = path.stat()
            if (about.st_size, about.st_mtime_ns) == (partition.file.bytes, partition.file.mtime_ns):
                return
        raise _changed(partition)


def _changed(partition: Partition) -> InputError:
    return InputError(
        f"the input {partition.file.path} has changed since the run began; put it back, or begin anew with --force"
    )
