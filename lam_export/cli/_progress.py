"""Progress of a work in counted steps."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lam_engines.progress import Progress

from ._console import err, say


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show a bar for the step that is under way, and a line with its seconds for each that is done.

    Where standard error is no terminal there are no bars.
    """
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    running: list[tuple[str, float]] = []
    with Bars(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:

        def finish() -> None:
            for task in bars.task_ids:
                bars.remove_task(task)
            if running:
                step, since = running.pop()
                say(err, f"✓ {step} {time.perf_counter() - since:.1f} s")

        def begin(step: str, pieces: int | None) -> None:
            finish()
            running.append((step, time.perf_counter()))
            bars.add_task(escape(step), total=pieces)

        def advance(done: int) -> None:
            for task in bars.task_ids:
                bars.advance(task, done)

        yield Progress(begin, advance)
        finish()
