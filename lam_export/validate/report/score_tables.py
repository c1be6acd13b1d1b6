"""Tables of scores: on pairs with gold scores, and on tasks."""

from collections.abc import Sequence

from lam_export.evidence.record import NONE
from lam_export.evidence.schema import Sts, TaskScore
from lam_export.evidence.tables import Entry, Table
from lam_export.evidence.words import figure


def change(value: float) -> str:
    """A change of a score, with its sign."""
    return f"{value:+.5f}".replace("-", "−")


def _correlation(value: float) -> str:
    return f"{value:.4f}".replace("-", "−")


def sts_table(sts: Sts) -> Table:
    """Both correlations with the gold scores."""
    both = (sts.spearman, sts.pearson)
    rows = (
        ("reference", *(_correlation(found.reference) for found in both)),
        ("candidate", *(_correlation(found.candidate) for found in both)),
        ("difference", *(change(found.difference) for found in both)),
        ("95 % from", *(change(found.low) for found in both)),
        ("95 % to", *(change(found.high) for found in both)),
    )
    return Table(
        "Semantic textual similarity",
        ("", "Spearman", "Pearson"),
        rows,
        1,
        f"{figure(sts.pairs)} pairs. The interval of the difference is a bootstrap over pairs.",
        least="page",
        narrow=True,
    )


def tasks_table(tasks: Sequence[TaskScore]) -> Table:
    """A row for each task."""
    rows = tuple(
        (
            Entry(task.task, foreign=True),
            task.measure,
            figure(task.cases),
            NONE if task.documents is None else figure(task.documents),
            *map(_correlation, (task.reference, task.candidate)),
            *map(change, (task.difference, task.low, task.high)),
        )
        for task in tasks
    )
    return Table(
        "Tasks",
        ("task", "measure", "pairs or queries", "documents", "reference", "candidate", "difference", "95 % from", "to"),
        rows,
        2,
        "The interval of the difference is a bootstrap over pairs or queries.",
        least="markdown",
    )
