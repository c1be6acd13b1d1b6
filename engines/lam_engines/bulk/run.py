"""A run from beginning to end: the plan, the partitions that are left, the workers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import load_engine
from ..bundles.bundle import Bundle
from ..errors import LamError
from ..files import OutputError
from ..files.arrow import require_pyarrow
from ..machine import processors
from ..progress import Progress
from ..runtimes.registry import DEFAULT, choose, default_device
from .cluster import local_ray, require_ray
from .embedder import PartitionEmbedder, Places
from .output import empty, finished, locked, read_plan, remove_half_written, write_plan
from .plan import BulkPlan, Partition, Work, check_same, input_files, make_plan

PARTITION_ROWS = 8192
"""Default size of a partition: two windows of an engine, and about 13 MB with 384 dimensions."""


@dataclass(frozen=True)
class BulkOptions:
    """What a user chooses for a run. Fields without a docstring are those of :func:`lam_engines.load_engine`."""

    engine: str = DEFAULT
    precision: str | None = None
    device: str | None = None
    column: str | None = None
    """Column of the texts; None: see :func:`lam_engines.files.read_texts`."""
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
        column=options.column,
        partition_rows=options.partition_rows,
    )
    with load_engine(bundle, options.engine, precision=options.precision, device=options.device) as engine:
        hidden_size = engine.model.hidden_size  # loading it here shows errors before the workers start
    with locked(output):
        if options.force:
            empty(output)
        plan = read_plan(output)
        if plan is None:
            progress.begin("reading the texts", None)
            plan = make_plan(work, source, progress.advance)
            write_plan(output, plan)
        else:
            check_same(plan, work, source, output)
        remove_half_written(output)
        partitions = plan.partitions()
        left = [partition for partition in partitions if not finished(output, partition)]
        progress.begin("embedding", plan.rows)
        progress.advance(plan.rows - sum(partition.rows for partition in left))
        if left:
            _embed(plan, left, bundle, input_files(source)[0], output, options, progress)
    return Done(plan.rows, len(partitions), len(partitions) - len(left), hidden_size)


def _embed(
    plan: BulkPlan,
    left: Sequence[Partition],
    bundle: Path,
    base: Path,
    output: Path,
    options: BulkOptions,
    progress: Progress,
) -> None:
    workers, threads = _shared_out(options, len(left))
    with local_ray(workers, gpu=options.gpu) as scratch:
        import ray

        places = Places(bundle, base, output, scratch, threads, options.batch_tokens)
        rows = ray.data.from_items([{"index": partition.index} for partition in left], override_num_blocks=len(left))
        done = rows.map_batches(
            PartitionEmbedder,
            fn_constructor_args=(plan, places),
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
