"""A report on a terminal of 80 columns."""

from typing import TYPE_CHECKING

from lam_export.evidence.words import visible
from lam_export.validate.report.schema import Report

from .words import SUMMARY, failed_checks, failure, headline, summary_row, verdict

if TYPE_CHECKING:
    from rich.console import Group


def terminal(report: Report) -> "Group":
    """The verdict, the candidates side by side, the failed checks and where to look, for ``rich`` to print.

    No text of the report is read as markup or reaches the terminal as a control character.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def stamp(passed: bool) -> Text:
        return Text(verdict(passed), "bold green" if passed else "bold red")

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(SUMMARY[0], overflow="fold")
    table.add_column("")
    for column in SUMMARY[2:]:
        table.add_column(column, justify="right", overflow="fold")
    for comparison in report.comparisons:
        name, _, *cells = summary_row(comparison)
        table.add_row(Text(name), stamp(comparison.passed), *map(Text, cells))

    lines = []
    for comparison in report.comparisons:
        name = visible(comparison.candidate.name)
        for check in failed_checks(comparison):
            lines.append(Text.assemble(("✗ ", "bold red"), (name, "bold"), f": {failure(check)}"))
        if comparison.suspect is not None:
            lines.append(
                Text.assemble(
                    "  look first at ",
                    (visible(comparison.suspect), "bold yellow"),
                    ": its own error is more than its precision explains",
                )
            )
    verdict_line = Text.assemble(stamp(report.passed), "  ", headline(report))
    return Group(table, Text(), *lines, *([Text()] if lines else []), verdict_line)
