"""``lam-export embed --ray``."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines import InputError

from ._console import err, say

if TYPE_CHECKING:
    from lam_engines.bulk.run import BulkOptions


def embed_with_ray(bundle: Path, source: Path | None, output: Path | None, options: "BulkOptions") -> None:
    """Embed a file or folder into a folder of Parquet files, with progress on standard error.

    Raises:
        InputError: the input or the output is missing, or the input is standard input.
        LamError: as for :func:`lam_engines.bulk.run.embed_folder`.
    """
    if source is None or output is None or str(source) == "-":
        raise InputError("expected an input and an output folder with --ray; name them: --input FOLDER -o FOLDER")
    from rich import progress as rich_progress

    from lam_engines.bulk.run import embed_folder
    from lam_engines.progress import Progress

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TextColumn("{task.completed:,} texts"),
        rich_progress.TaskProgressColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:

        def begin(step: str, texts: int | None) -> None:
            for task in bars.task_ids:
                bars.remove_task(task)
            bars.add_task(step, total=texts)

        def advance(texts: int) -> None:
            for task in bars.task_ids:
                bars.advance(task, texts)

        done = embed_folder(bundle, source, output, options, Progress(begin, advance))
    before = f", {done.partitions_before} of them by earlier runs" if done.partitions_before else ""
    say(
        err,
        f"Wrote {output} ({done.rows:,} embeddings of {done.hidden_size} in {done.partitions} files{before})",
        style="green",
    )
