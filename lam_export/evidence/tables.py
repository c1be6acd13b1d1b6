"""Tables of words and figures, and how each medium shows them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .words import code, visible

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

Medium = Literal["terminal", "markdown", "page"]
MEDIA: tuple[Medium, ...] = ("terminal", "markdown", "page")
"""The media from the one with the least room to the one with the most."""
_PLAIN = re.compile(r"(?!.*(://|www\.))[A-Za-z0-9 ,.:;()/%+−∞–-]*", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """A cell of a table that is more than a few words."""

    text: str
    value: float | None = None
    """Number by which a reader of the page sorts; None to sort by the text."""
    passed: bool | None = None
    """Which verdict the text is; None if it is no verdict."""
    small: tuple[str, ...] = ()
    """Sentences below the text, in small print."""
    foreign: bool = False
    """Whether the text is from anywhere, so that Markdown must show it as code."""


@dataclass(frozen=True)
class Table:
    """Rows of cells. The columns from ``numbers_from`` on, up to ``numbers_to``, hold figures."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Entry, ...], ...]
    numbers_from: int
    note: str = ""
    numbers_to: int | None = None
    missed: frozenset[int] = frozenset()
    """Rows that the page marks as bad."""
    least: Medium = "terminal"
    """The medium with the least room that shows the table."""
    folded: bool = False
    """Whether a reader of the page opens the table to see it."""
    folded_in_markdown: int | None = None
    """Number of rows that Markdown shows, folded; None to show all, unfolded."""
    sortable: bool = False
    """Whether a reader of the page may sort the rows."""
    narrow: bool = False
    """Whether the page sets the table beside others."""

    def entries(self) -> Iterator[list[Entry]]:
        """All rows, with every cell as an :class:`Entry`."""
        for row in self.rows:
            yield [cell if isinstance(cell, Entry) else Entry(cell) for cell in row]

    def is_number(self, column: int) -> bool:
        return self.numbers_from <= column < (len(self.head) if self.numbers_to is None else self.numbers_to)

    def shown_in(self, medium: Medium) -> bool:
        return bool(self.rows) and MEDIA.index(medium) >= MEDIA.index(self.least)


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

    rows = list(table.entries())
    drawn = RichTable(
        title=Text(visible(table.title), "bold"),
        title_justify="left",
        caption=Text(visible(table.note), "dim"),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for i, column in enumerate(table.head):
        number = table.is_number(i)
        # Figures stay whole and names fold. Heads of figures break at spaces, which leaves more room for names.
        head = Text(visible(column).replace(" ", "\n") if number else visible(column))
        width = max(len(row[i].text) for row in rows) if number else 0
        drawn.add_column(head, justify="right" if number else "left", overflow="fold", min_width=width)
    before = ""
    for first, *rest in rows:
        repeated = len(rows) > 1 and first.text == before
        before = first.text
        styled = (Text(visible(cell.text), verdict_style(cell.passed)) for cell in rest)
        drawn.add_row(Text("" if repeated else visible(first.text)), *styled)
    return drawn, Text()


def verdict_style(passed: bool | None) -> str:
    """The style in which a terminal shows a verdict."""
    return "" if passed is None else "bold green" if passed else "bold red"


def markdown_table(table: Table) -> str:
    """A table in Markdown, without its title and note."""
    rules = ["---:" if table.is_number(i) else "---" for i in range(len(table.head))]
    rows = [
        [code(cell.text) if cell.foreign else as_text(". ".join((cell.text, *cell.small))) for cell in row]
        for row in table.entries()
    ][: table.folded_in_markdown]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (map(as_text, table.head), rules, *rows))


def as_text(text: str) -> str:
    """Text for Markdown: plain text stays as it is, anything else becomes code."""
    return text if _PLAIN.fullmatch(text) else code(text)
