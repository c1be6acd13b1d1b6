"""Shows the progress of every command, on standard error."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lam_engines.progress import Progress

from ._console import err, say

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as RichProgress


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


_LOG_EVERY = 60.0
"""Seconds between two lines of a log, where there is no terminal."""


class ShownTexts:
    """The progress of embedding: texts done, their rate, and the time that is left."""

    def __init__(self, bars: "RichProgress") -> None:
        self._bars = bars

    def begin(self, step: str, total: float | None) -> None:
        """Begin a step. ``total`` counts texts, or bytes or rows of a file; None if it is not known."""
        for task in self._bars.task_ids:
            self._bars.remove_task(task)
        self._began, self._done = time.perf_counter(), 0
        self._step, self._total, self._words, self._said = step, total, "", self._began
        self._bars.add_task(step, total=total, texts=0, rate="")

    def advance(self, texts: int, read: float | None = None) -> None:
        """Count texts that are done, and how much of the total they are; None: as many as texts."""
        self._done += texts
        now = time.perf_counter()
        rate = self._done / max(now - self._began, 1e-9)
        said = f"{rate:,.0f}/s{self._words}"
        for task in self._bars.task_ids:
            self._bars.update(task, advance=texts if read is None else read, texts=self._done, rate=said)
        if now - self._said > _LOG_EVERY and not err.is_terminal:
            self._said = now
            left = f", {(self._total - self._done) / rate / 60:,.0f} min left" if self._total and rate else ""
            say(err, f"{self._step}: {self._done:,} texts, {said}{left}")

    def tell(self, words: str) -> None:
        """Show a few words beside the rate."""
        self._words = f", {words}"
        self.advance(0, 0)


@contextmanager
def shown_texts(step: str, total: float | None) -> Iterator[ShownTexts]:
    """Show how embedding goes, on a terminal alone."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    words = ("{task.description}", "{task.fields[texts]:,} texts", "{task.fields[rate]}")
    step_name, done, rate = map(TextColumn, words)
    columns = (step_name, BarColumn(), done, rate, TimeRemainingColumn())
    with RichProgress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        shown = ShownTexts(bars)
        shown.begin(step, total)
        yield shown
