"""A run from beginning to end: plan, partitions that are left, workers."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import load_engine
from ..bundles.bundle import Bundle
from ..errors import LamError
from ..files import OutputError
from ..files.arrow import require_pyarrow
from .cluster import local_ray, require_ray
from .output import empty, finished, locked, read_plan, remove_half_written, write_plan
from .plan import Partition, Plan, Work, check_same, input_files, make_plan
from .worker import Places, Worker

PARTITION_ROWS = 8192
"""Twice what an engine batches at a time; about 13 MB with 384 dimensions."""


@dataclass(frozen=True)
class Options:
    """What a user chooses."""

    engine: str = "onnxruntime"
    precision: str | None = None
    device: str | None = None
    column: str | None = None
    batch_tokens: int | None = None
    workers: int | None = None
    """Engines at a time; None: one for every four cores, or one for every GPU that is used."""
    threads: int | None = None
    """Of each engine; None: the cores divided among the workers."""
    partition_rows: int = PARTITION_ROWS
    force: bool = False

    @property
    def gpu(self) -> bool:
        return self.engine == "tensorrt" or self.device == "cuda"


@dataclass(frozen=True)
class Observer:
    """Told of each step that begins, with its number of texts if that is known, and of texts that are done."""

    begin: Callable[[str, int | None], None] = lambda step, texts: None
    advance: Callable[[int], None] = lambda texts: None


@dataclass(frozen=True)
class Done:
    """What came of a run."""

    rows: int
    partitions: int
    partitions_before: int
    """Of ``partitions``, those that earlier runs had finished."""
    hidden_size: int


def embed_folder(bundle: Path, source: Path, output: Path, options: Options, observer: Observer = Observer()) -> Done:
    """Embed files of texts into a folder of Parquet files, or go on where a run that was killed ended.

    Args:
        bundle: the bundle.
        source: a file of texts or a folder of such files.
        output: a folder; of one run's output, or to be made.
        options: for all workers.
        observer: of the progress.

    Raises:
        LamError: an input, the bundle, the engine or the output is not as it must be; or the output is of a run that
            was begun with something else.
    """
    require_ray()
    require_pyarrow(output, OutputError)
    bundle, source, output = bundle.absolute(), source.absolute(), output.absolute()
    if output.is_relative_to(source):
        raise OutputError(f"expected an output outside of the input's folder {source}, found {output}; name another")
    work = Work(
        bundle=bundle.resolve().name,
        manifest_sha256=Bundle(bundle).manifest_sha256,
        engine=options.engine,
        precision=options.precision,
        device=options.device,
        column=options.column,
        partition_rows=options.partition_rows,
    )
    with load_engine(bundle, options.engine, precision=options.precision, device=options.device) as engine:
        hidden_size = engine.model.hidden_size  # and it is seen that the workers can load it
    with locked(output):
        if options.force:
            empty(output)
        plan = read_plan(output)
        if plan is None:
            observer.begin("reading the texts", None)
            plan = make_plan(work, source, observer.advance)
            write_plan(output, plan)
        else:
            check_same(plan, work, source, output)
        remove_half_written(output)
        partitions = plan.partitions()
        left = [partition for partition in partitions if not finished(output, partition)]
        observer.begin("embedding", plan.rows)
        observer.advance(plan.rows - sum(partition.rows for partition in left))
        if left:
            _embed(plan, left, bundle, input_files(source)[0], output, options, observer)
    return Done(plan.rows, len(partitions), len(partitions) - len(left), hidden_size)


def _embed(
    plan: Plan,
    left: Sequence[Partition],
    bundle: Path,
    base: Path,
    output: Path,
    options: Options,
    observer: Observer,
) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(options.workers or (1 if options.gpu else max(1, cores // 4)), len(left))
    threads = options.threads or (None if options.gpu else max(1, cores // workers))
    with local_ray(workers, gpu=options.gpu) as scratch:
        import ray

        places = Places(bundle, base, output, scratch, threads, options.batch_tokens)
        rows = ray.data.from_items([{"index": partition.index} for partition in left], override_num_blocks=len(left))
        done = rows.map_batches(
            Worker,
            fn_constructor_args=(plan, places),
            compute=ray.data.ActorPoolStrategy(size=workers),
            batch_size=1,
            num_cpus=1,
            num_gpus=1 if options.gpu else 0,
        )
        for row in done.iter_rows():
            if row["error"]:
                raise LamError(row["error"])
            observer.advance(row["rows"])
