"""Progress of a work in counted steps."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ._console import err, say


@contextmanager
def counted_steps() -> Iterator[tuple[Callable[[str, int], None], Callable[[int], None]]]:
    """Show a bar for the step that is under way, and a line with its seconds for each that is done.

    Yields a function to call as a step of so many pieces begins, and one to call as pieces of it are done. Where
    standard error is no terminal there are no bars.
    """
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    running: list[tuple[str, float]] = []
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:

        def finish() -> None:
            for task in bars.task_ids:
                bars.remove_task(task)
            if running:
                step, since = running.pop()
                say(err, f"✓ {step} {time.perf_counter() - since:.1f} s")

        def begin(step: str, total: int) -> None:
            finish()
            running.append((step, time.perf_counter()))
            bars.add_task(escape(step), total=total)

        def advance(done: int) -> None:
            for task in bars.task_ids:
                bars.advance(task, done)

        yield begin, advance
        finish()
