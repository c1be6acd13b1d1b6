"""A run from beginning to end: the plan, the partitions that are left, the workers."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from ..bundles.bundle import Bundle
from ..bundles.fetching import fetched
from ..errors import EngineError
from ..files import OutputError, Reading
from ..files.arrow import require_pyarrow
from ..files.reasons import open_reasons
from ..machine import processors
from ..progress import Progress
from ..runtimes.registry import DEFAULT, choose, default_device
from ..storage import FileState, is_remote, place_of, reached
from .cluster import LOCAL, ray_at, require_ray
from .embedder import EmbeddedPartition, Parcel, PartitionEmbedder, Places
from .output import REASONS, locked, read_plan, remove_half_written, remove_run, unfinished, write_plan
from .plan import PLAN, Partition, Scanned, Work, check_same, make_plan
from .pool import ActorPool

PARTITION_ROWS = 8192
"""Default size of a partition: two windows of an engine, and about 13 MB with 384 dimensions."""


@dataclass(frozen=True)
class BulkOptions:
    """What a user chooses for a run. Fields without a docstring are those of :func:`lam_engines.load_engine`."""

    engine: str = DEFAULT
    precision: str | None = None
    device: str | None = None
    reading: Reading = Reading()
    """How the inputs are read."""
    batch_tokens: int | None = None
    """Largest number of tokens in a batch; None: the engine's default."""
    workers: tuple[int, int] | None = None
    """Smallest and largest number of engines at the same time; None: one for every four cores, or one on a GPU. On a
    cluster: as many as it has room for."""
    threads: int | None = None
    """Threads of each engine; None: the cores divided by the workers, and one on a cluster."""
    gpus_per_worker: float = 1
    """GPUs of each engine that runs on a GPU; 0.5 lets two share one."""
    partition_rows: int = PARTITION_ROWS
    """Most texts in an output file; long texts make it shorter."""
    force: bool = False
    """Replace the output of an earlier run."""
    ray: bool = False
    """Run several engines with Ray; else one engine in this process."""
    address: str = LOCAL
    """Cluster for Ray: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``; ``local``: a Ray of this run's own."""

    @property
    def cluster(self) -> bool:
        """Whether the run joins a cluster."""
        return self.ray and self.address != LOCAL

    @property
    def gpus(self) -> float:
        """GPUs of each engine."""
        return self.gpus_per_worker if (self.device or default_device(self.engine)) == "cuda" else 0


@dataclass(frozen=True)
class Done:
    """The result of a run."""

    rows: int
    """Embeddings in the output."""
    partitions: int
    """Files in the output."""
    partitions_before: int
    """Partitions that earlier runs had finished."""
    hidden_size: int
    """Length of an embedding."""
    empty: int
    """Texts of white space alone."""
    errors: int
    """Rows without a text that can be embedded, as :attr:`~lam_engines.files.Reading.on_error` allows. Their reasons
    are in the folder."""


def embed_folder(
    bundle: Path | str, source: Path | str, output: Path | str, options: BulkOptions, progress: Progress = Progress()
) -> Done:
    """Embed files of texts into a folder of Parquet files. A run that was killed goes on where it ended.

    Args:
        bundle: the bundle. It, ``source`` and ``output`` are paths, or URIs such as ``s3://bucket/folder``.
        source: a file of texts or a folder of such files.
        output: the folder of an earlier run, an empty folder, or a new one.
        options: for all workers.
        progress: told of each step, and of the texts that are done.

    Raises:
        LamError: an input cannot be read, the bundle or engine cannot be loaded, the output cannot be written, or the
            output belongs to a run that began with another bundle, other options or other inputs.
    """
    if options.ray:
        require_ray()
    bundle, source, output = (place_of(place).absolute() for place in (bundle, source, output))
    require_pyarrow(output, OutputError)
    if is_remote(output) == is_remote(source) and output.is_relative_to(source):
        raise OutputError(f"expected an output outside of the input's folder {source}, found {output}; name another")
    here = fetched(bundle)
    opened = Bundle(here)
    # Every worker, and every later run of the same command, takes the engine that is chosen here.
    chosen = choose(options.engine, opened, options.precision, options.device).runtime
    options = replace(options, engine=chosen.name)
    work = Work(
        bundle=here.resolve().name if here == bundle else bundle.name,
        manifest_sha256=opened.manifest_sha256,
        engine=options.engine,
        precision=options.precision,
        device=options.device,
        reading=options.reading,
        partition_rows=options.partition_rows,
    )
    base = source if source.is_dir() else source.parent
    places = Places(bundle, base, output, options.threads, options.batch_tokens)
    reader = PartitionEmbedder(work, places, progress.advance)
    if not options.cluster:
        reader.load()  # shows errors before the workers start
    with (
        reached(output, OutputError),
        locked(output, lambda step: progress.begin(step, None)) as check,
        _Workers(work, places, options, check, progress, reader) as workers,
    ):
        if options.force:
            remove_run(output)
        plan = read_plan(output)
        if plan is None:
            progress.begin("reading the texts", None)
            with open_reasons(output / REASONS) as reasons:

                def report(found: Scanned) -> None:
                    reasons.extend(found.file.errors, found.reasons)
                    progress.advance(found.file.rows)

                plan = make_plan(work, source, workers.scan, report)
            write_plan(output, plan)
        else:
            plan = check_same(plan, work, source, output)
        remove_half_written(output)
        partitions = plan.partitions()
        left = unfinished(output, partitions)
        progress.begin("embedding", plan.rows)
        progress.advance(plan.rows - sum(partition.rows for partition in left))
        if left:
            workers.embed(left, hashlib.sha256((output / PLAN).read_bytes()).hexdigest())
    empty, errors = (sum(getattr(file, name) for file in plan.inputs) for name in ("empty", "errors"))
    hidden_size = opened.manifest.model.hidden_size
    return Done(plan.rows, len(partitions), len(partitions) - len(left), hidden_size, empty, errors)


def shared_out(options: BulkOptions, pieces: int) -> tuple[int, int]:
    """Workers of a run on this machine alone, and the threads of each."""
    cores, (_, most) = processors(), options.workers or (0, 0)
    workers = min(most or (1 if options.gpus else max(1, cores // 4)), pieces)
    return workers, options.threads or max(1, cores // workers)


class _Workers(ExitStack):
    """What reads and embeds: an engine in this process, or actors of a Ray that begins when it is first needed."""

    def __init__(
        self,
        work: Work,
        places: Places,
        options: BulkOptions,
        check: Callable[[], None],
        progress: Progress,
        here: PartitionEmbedder,
    ) -> None:
        super().__init__()
        self._work, self._places, self._options, self._check = work, places, options, check
        self._progress = progress
        self._pool: ActorPool | None = None
        self._cluster, self._here = options.cluster, here

    def scan(self, files: Sequence[tuple[str, FileState]]) -> Iterator[Scanned]:
        """Read input files for the plan: on the machines of a cluster, or here."""
        if not self._cluster:
            yield from map(self._here.scan, files)
            return
        pool = self._started(len(files))
        list(pool.run("load", [("the engine",)], last=False))  # shows errors before all texts are read
        yield from pool.run("scan", files, last=False)

    def embed(self, left: Sequence[Partition], plan_sha256: str) -> None:
        """Embed partitions."""
        work = [(partition, plan_sha256) for partition in left]
        since, tokens = perf_counter(), 0
        for done in self._started(len(left)).run("embed", work) if self._options.ray else self._embed_here(work):
            tokens += done.tokens
            self._progress.tell(f"{tokens / (perf_counter() - since):,.0f} tokens/s")
            if self._options.ray:
                self._progress.advance(done.rows)

    def _embed_here(self, work: Sequence[tuple[Partition, str]]) -> Iterator[EmbeddedPartition]:
        for item in work:
            self._check()
            yield self._here.embed(item)

    def _look(self) -> None:
        self._check()
        if self._pool is not None and not self._pool.alive:
            self._progress.tell("no worker yet: they start, or the cluster has no room")

    def _started(self, pieces: int) -> ActorPool:
        if self._pool is None:
            self._here.close()
            options = self._options
            low, high = options.workers or (0, 0)
            if not self._cluster:
                high, share = shared_out(options, pieces)
            self.enter_context(ray_at(options.address, high, options.gpus))
            import ray

            threads = (options.threads or 1) if self._cluster else share
            cpus = threads if self._cluster else 1  # a Ray of the run's own has a CPU for each worker
            places = replace(self._places, threads=options.threads if options.gpus else threads)
            if self._cluster:
                there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
                room = there.get("GPU", 0) // options.gpus if options.gpus else there.get("CPU", 0) // cpus
                if not high and room < 1:
                    raise EngineError(
                        f"expected a cluster with room for a worker ({cpus} CPUs, {options.gpus:g} GPUs), found "
                        f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs; if it grows by itself, say "
                        f"how many workers: --workers 1..8"
                    )
                high = high or int(room)
                if not is_remote(places.bundle):
                    places = replace(places, parcel=Parcel(places.bundle))
            actor = ray.remote(PartitionEmbedder).options(num_cpus=cpus, num_gpus=options.gpus)
            self._pool = ActorPool(
                lambda: actor.remote(self._work, places), low or high, high, self._look, where=self._cluster
            )
        return self._pool
