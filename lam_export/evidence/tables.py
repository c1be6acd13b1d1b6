"""Tables of words and figures, and how each medium shows them."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .words import code

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

_PLAIN = re.compile(r"[A-Za-z0-9 ,.:;()/–-]*")


@dataclass(frozen=True)
class Table:
    """Rows of cells. The columns from ``numbers_from`` on hold figures."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers_from: int
    note: str = ""


def milliseconds(seconds: float) -> str:
    """Milliseconds with about three digits: ``8.98``, ``17,239``."""
    value = seconds * 1e3
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f}"


def rich_table(table: Table) -> "tuple[RichTable, Text]":
    """A table for ``rich`` to print, and the empty line after the table. No cell is read as markup."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    widths = [
        max(map(len, column)) if i >= table.numbers_from else 0
        for i, column in enumerate(zip(*table.rows, strict=True))
    ]
    drawn = RichTable(
        title=Text(table.title, "bold"),
        title_justify="left",
        caption=Text(table.note, "dim"),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for i, column in enumerate(table.head):
        number = i >= table.numbers_from
        # Figures stay whole and names fold. Heads of figures break at spaces, which leaves more room for names.
        head = Text(column.replace(" ", "\n") if number else column)
        drawn.add_column(head, justify="right" if number else "left", overflow="fold", min_width=widths[i])
    for before, row in zip(((), *table.rows), table.rows, strict=False):
        first = "" if len(table.rows) > 1 and before[:1] == row[:1] else row[0]
        drawn.add_row(*map(Text, (first, *row[1:])))
    return drawn, Text()


def markdown_table(table: Table) -> str:
    """A table in Markdown, without its title and note."""
    rules = ["---:" if i >= table.numbers_from else "---" for i in range(len(table.head))]
    return "\n".join(
        f"| {' | '.join(cells)} |"
        for cells in (map(as_text, table.head), rules, *(map(as_text, row) for row in table.rows))
    )


def as_text(text: str) -> str:
    """Text for Markdown: plain text stays as it is, anything else becomes code."""
    return text if _PLAIN.fullmatch(text) else code(text)
