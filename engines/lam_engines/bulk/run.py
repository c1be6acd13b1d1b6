"""A run from beginning to end: the plan, the partitions that are left, the workers."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import load_engine
from ..bundles.bundle import Bundle
from ..errors import LamError
from ..files import OutputError, Reading
from ..files.arrow import require_pyarrow
from ..files.reasons import open_reasons
from ..machine import processors
from ..progress import Progress
from ..runtimes.registry import DEFAULT, choose, default_device
from .cluster import local_ray, require_ray
from .embedder import PartitionEmbedder, Places
from .output import REASONS, finished, locked, read_plan, remove_half_written, remove_run, write_plan
from .plan import BulkPlan, Partition, Work, check_same, make_plan

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
    workers: int | None = None
    """Engines that run at the same time; None: one for every four cores, or one on a GPU."""
    threads: int | None = None
    """Threads of each engine; None: the cores divided by the workers."""
    partition_rows: int = PARTITION_ROWS
    """Texts in each output file."""
    force: bool = False
    """Replace the output of an earlier run."""
    ray: bool = False
    """Run several engines with Ray; else one engine in this process."""

    @property
    def gpu(self) -> bool:
        """Whether each engine runs on a GPU."""
        return (self.device or default_device(self.engine)) == "cuda"


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
    """Rows without a readable text, as :attr:`~lam_engines.files.Reading.on_error` allows; their reasons are in the
    folder. Zero where an earlier run has read the texts."""


def embed_folder(
    bundle: Path, source: Path, output: Path, options: BulkOptions, progress: Progress = Progress()
) -> Done:
    """Embed files of texts into a folder of Parquet files. A run that was killed goes on where it ended.

    Args:
        bundle: the bundle.
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
    require_pyarrow(output, OutputError)
    bundle, source, output = bundle.absolute(), source.absolute(), output.absolute()
    if output.is_relative_to(source):
        raise OutputError(f"expected an output outside of the input's folder {source}, found {output}; name another")
    opened = Bundle(bundle)
    # Every worker, and every later run of the same command, takes the engine that is chosen here.
    chosen = choose(options.engine, opened, options.precision, options.device).runtime
    options = replace(options, engine=chosen.name)
    work = Work(
        bundle=bundle.resolve().name,
        manifest_sha256=opened.manifest_sha256,
        engine=options.engine,
        precision=options.precision,
        device=options.device,
        reading=options.reading,
        partition_rows=options.partition_rows,
    )
    with load_engine(bundle, options.engine, precision=options.precision, device=options.device) as engine:
        hidden_size = engine.model.hidden_size  # loading it here shows errors before the workers start
    errors = 0
    with locked(output):
        if options.force:
            remove_run(output)
        plan = read_plan(output)
        if plan is None:
            progress.begin("reading the texts", None)
            with open_reasons(output / REASONS) as reasons:
                plan = make_plan(work, source, progress.advance, reasons.add)
            errors = reasons.count
            write_plan(output, plan)
        else:
            check_same(plan, work, source, output)
        remove_half_written(output)
        partitions = plan.partitions()
        left = [partition for partition in partitions if not finished(output, partition)]
        progress.begin("embedding", plan.rows)
        progress.advance(plan.rows - sum(partition.rows for partition in left))
        if left:
            base = source if source.is_dir() else source.parent
            embed = _embed_with_ray if options.ray else _embed_here
            places = Places(bundle, base, output, output, options.threads, options.batch_tokens)
            embed(plan, left, places, options, progress)
    empty = sum(file.empty for file in plan.inputs)
    return Done(plan.rows, len(partitions), len(partitions) - len(left), hidden_size, empty, errors)


def _embed_here(
    plan: BulkPlan, left: Sequence[Partition], places: Places, options: BulkOptions, progress: Progress
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        embedder = PartitionEmbedder(plan, replace(places, scratch=Path(scratch)), progress.advance)
        for partition in left:
            (error,) = embedder({"index": [partition.index]})["error"]
            if error:
                raise LamError(error)


def _embed_with_ray(
    plan: BulkPlan, left: Sequence[Partition], places: Places, options: BulkOptions, progress: Progress
) -> None:
    workers, threads = _shared_out(options, len(left))
    with local_ray(workers, gpu=options.gpu) as scratch:
        import ray

        rows = ray.data.from_items([{"index": partition.index} for partition in left], override_num_blocks=len(left))
        done = rows.map_batches(
            PartitionEmbedder,
            fn_constructor_args=(plan, replace(places, scratch=scratch, threads=threads)),
            compute=ray.data.ActorPoolStrategy(size=workers),
            batch_size=1,
            num_cpus=1,
            num_gpus=1 if options.gpu else 0,
        )
        for row in done.iter_rows():
            if row["error"]:
                raise LamError(row["error"])
            progress.advance(row["rows"])


def _shared_out(options: BulkOptions, partitions: int) -> tuple[int, int | None]:
    """Engines at a time, and the threads of each; None: the runtime's own choice, on a GPU."""
    cores = processors()
    workers = min(options.workers or (1 if options.gpu else max(1, cores // 4)), partitions)
    return workers, options.threads or (None if options.gpu else max(1, cores // workers))
