"""Shows the progress of every command, on standard error."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lam_engines.progress import Progress

from ._console import err, say

if TYPE_CHECKING:
    from rich.console import RenderableType


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show the current step, and print a line with the seconds of each finished step.

    On a terminal, a step with a known number of pieces gets a bar, any other step a spinner. A log gets only the lines.
    """
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    class IfCounted(ProgressColumn):
        def __init__(self, column: ProgressColumn) -> None:
            super().__init__()
            self._column = column

        def render(self, task: Task) -> "RenderableType":
            return Text() if task.total is None else self._column(task)

    counted = (IfCounted(column) for column in (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), *counted)
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
