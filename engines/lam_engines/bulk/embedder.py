"""The work of one engine: it reads input files for the plan, and embeds partitions."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import load_engine
from ..bundles.bundle import Bundle
from ..bundles.fetching import fetched, into_cache
from ..contract import CHECKSUMS, MANIFEST, NEXT_MANIFEST
from ..embedding.batching import windows
from ..errors import EngineError, InputError, LamError
from ..files import OutputError, Reading, Row, RowReader, open_writer, read_rows
from ..storage import FileState, put_whole, reached, state_of
from .plan import PLAN, Partition, Scanned, Work, scan

if TYPE_CHECKING:
    from ..embedding.engine import EmbeddingEngine

_PAUSES = (1.0, 5.0, 25.0)
"""Seconds until a partition is begun again whose storage could not be reached."""


@dataclass(frozen=True)
class Places:
    """Where a run's files are, and how its engines are loaded. All of it is the same on every machine."""

    bundle: Path
    base: Path
    """Folder that the paths of the inputs are relative to."""
    output: Path
    threads: int | None
    """Threads of each engine."""
    batch_tokens: int | None
    """Largest number of tokens in a batch; None: the engine's default."""
    parcel: "Parcel | None" = None
    """The bundle's files, where they travel with the run; None: they are read from ``bundle``."""


class Parcel:
    """The files of a bundle in the cluster's object store."""

    def __init__(self, folder: Path) -> None:
        import ray

        names = {CHECKSUMS, MANIFEST, NEXT_MANIFEST, *Bundle(folder).manifest.files}
        self._files = {name: ray.put((folder / name).read_bytes()) for name in names if (folder / name).exists()}

    def __call__(self, name: str, most: int) -> bytes:
        """A file's content. The size needs no check: it comes from the run's own machine."""
        import ray

        content: bytes = ray.get(self._files[name])
        return content


class EmbeddedPartition(NamedTuple):
    """What was embedded."""

    rows: int
    tokens: int


class PartitionEmbedder:
    """Embeds one partition per call. The first call loads the engine, and later calls use the same one."""

    def __init__(self, work: Work, places: Places, progress: Callable[[int], None] = lambda texts: None) -> None:
        self._work = work
        self._places = places
        self._engine: EmbeddingEngine | None = None
        self._plan: tuple[str, FileState] | None = None
        self._progress = progress
        self._rows = _Rows(places.base, work.reading, lambda text: self._loaded().check_length(text))

    def load(self, nothing: object = None) -> None:
        """Load the engine, which shows what is missing."""
        self._loaded()

    def close(self) -> None:
        """Give back the engine's memory."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    def scan(self, file: tuple[str, FileState]) -> Scanned:
        """Read an input file for the plan; see :func:`~lam_engines.bulk.plan.scan`."""
        engine = self._loaded()
        with reached(self._places.base, InputError):
            return scan(self._places.base, *file, self._work, engine)

    def embed(self, given: tuple[Partition, str]) -> EmbeddedPartition:
        """Embed one partition and write it, whole or not at all.

        Args:
            given: the partition, and the hash of the plan's file in the output.

        Raises:
            LamError: the bundle, the input or the output is not what the plan says, or cannot be read or written.
        """
        for pause in _PAUSES:
            try:
                return self._embed(*given)
            except LamError as error:
                self._rows.close()
                if not error.passing:
                    raise
                sleep(pause)
        return self._embed(*given)

    def _embed(self, partition: Partition, plan_sha256: str) -> EmbeddedPartition:
        self._check_output(plan_sha256)
        engine = self._loaded()
        if engine.max_tokens != partition.max_tokens:
            raise EngineError(
                f"expected an engine with the limit of the run, {partition.max_tokens} tokens a text, found one with "
                f"{engine.max_tokens}; take machines with one kind of GPU"
            )
        before = engine.tokens
        with reached(self._places.base, InputError):
            rows, kept = self._rows.of(partition)
        place = self._places.output / partition.name
        with (
            put_whole(place, OutputError) as file,
            open_writer(file, engine.model.hidden_size, force=True, kept=kept) as writer,
        ):
            for window in windows(rows, measure=lambda row: row.size):
                texts = [row.text for row in window]
                vectors = engine.embed(texts, batch_tokens=self._places.batch_tokens, progress=self._progress)
                writer.write(texts, vectors, [row.kept for row in window])
            with reached(self._places.base, InputError):
                self._rows.check(partition, writer.rows)
            self._check_output(plan_sha256)  # a run that was taken for dead writes no more
        return EmbeddedPartition(partition.rows, engine.tokens - before)

    def _loaded(self) -> "EmbeddingEngine":
        if self._engine is None:
            places, work = self._places, self._work
            bundle = into_cache(places.parcel, str(places.bundle)) if places.parcel else fetched(places.bundle)
            if Bundle(bundle).manifest_sha256 != work.manifest_sha256:
                raise InputError(
                    f"expected the bundle {places.bundle} as the run began with it, found another one there: it was "
                    f"changed while it was in use, or differs between machines; run the command again"
                )
            self._engine = load_engine(
                bundle, work.engine, precision=work.precision, device=work.device, threads=places.threads
            )
        return self._engine

    def _check_output(self, plan_sha256: str) -> None:
        """Check that this machine sees the output that the run began, and does not write to a disk of its own."""
        plan = self._places.output / PLAN
        with suppress(FileNotFoundError), reached(plan, OutputError):
            now = plan_sha256, state_of(plan)
            if now == self._plan:
                return
            if hashlib.sha256(plan.read_bytes()).hexdigest() == plan_sha256:
                self._plan = now
                return
        raise OutputError(
            f"expected the output {self._places.output} as the run began it, found another or none on this machine; "
            f"name a place that all machines share: -o s3://BUCKET/FOLDER, or a network folder"
        )


class _Rows:
    """The rows of partitions. The file stays open, because the next partition mostly follows in the same file."""

    def __init__(self, base: Path, reading: Reading, check: Callable[[str], None]) -> None:
        self._base = base
        self._reading = reading
        self._check = check
        self._path = ""
        self._reader: RowReader | None = None
        self._position = 0

    def of(self, partition: Partition) -> tuple[Iterator[Row], Mapping[str, Any]]:
        """The rows of a partition, fewer than planned if the file has fewer; and the types of the kept columns.

        Raises:
            InputError: the file has changed since the plan was made.
        """
        skipped = partition.first - self._position
        if self._reader is None or self._path != partition.path or skipped < 0 or (skipped and self._reader.skips):
            self._open(partition)
        assert self._reader is not None  # noqa: S101
        self._reader.skip(partition.first - self._position)
        self._position = partition.first + partition.rows
        return islice(self._reader, partition.rows), self._reader.kept_types

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _open(self, partition: Partition) -> None:
        self.close()
        path = self._base / partition.path
        self._reader, self._path, self._position = read_rows(path, self._reading, check=self._check), partition.path, 0
        self.check(partition)

    def check(self, partition: Partition, rows: int | None = None) -> None:
        """Raise :class:`InputError` if the file has changed since the plan was made, or has given too few rows."""
        with suppress(OSError):
            if rows in (None, partition.rows) and state_of(self._base / partition.path) == partition.state:
                return
        raise InputError(
            f"the input {partition.path} has changed since the run began; put it back, or begin anew with --force"
        )
