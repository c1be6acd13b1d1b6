"""A benchmark on a terminal, as Markdown, and on disk."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.atomic import write_whole
from lam_engines.errors import LamError
from lam_export.validate.report.render.markdown import code

from .bench_page import bench_page
from .schema import Benchmark
from .tables import Table, headline, provenance, tables

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

_PLAIN = re.compile(r"[A-Za-z0-9 ,.:;()/–-]*")
PAGE, COMMENT, JSON = "bench.html", "bench.md", "bench.json"


def write_bench(folder: Path, benchmark: Benchmark) -> None:
    """Write a benchmark, each file whole or not at all and ``bench.json`` last; one that is there is replaced.

    Raises:
        LamError: the disk is full, or the folder may not be written to.
    """
    files = ((PAGE, bench_page(benchmark)), (COMMENT, bench_markdown(benchmark)), (JSON, to_json(benchmark)))
    try:
        for name, content in files:
            write_whole(folder / name, content.encode("utf-8"))
    except OSError as error:
        raise LamError(
            f"the benchmark was not written to {folder} ({error.strerror}); name another folder: -o FOLDER"
        ) from None


def to_json(benchmark: Benchmark) -> str:
    """``bench.json``."""
    return benchmark.model_dump_json(indent=2) + "\n"


def bench_markdown(benchmark: Benchmark) -> str:
    """All tables as Markdown, and where they come from folded away."""
    blocks = [f"### Benchmark of {code(benchmark.bundle)}", as_text(headline(benchmark))]
    for table in tables(benchmark):
        blocks += [f"#### {as_text(table.title)}", markdown_table(table), *([table.note] if table.note else [])]
    facts = markdown_table(Table("", ("", ""), provenance(benchmark), 2))
    blocks.append(f"<details><summary>Where this comes from</summary>\n\n{facts}\n\n</details>")
    return "\n\n".join(blocks) + "\n"


def bench_terminal(benchmark: Benchmark) -> "Group":
    """All tables for ``rich`` to print. Nothing in them is read as markup."""
    from rich.console import Group
    from rich.text import Text

    style = "green" if benchmark.matched else "bold red"
    return Group(*(part for table in tables(benchmark) for part in rich_table(table)), Text(headline(benchmark), style))


def rich_table(table: Table) -> "tuple[RichTable, Text]":
    """A table for ``rich`` to print, and the empty line after it. Nothing in it is read as markup."""
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
        # Figures stay whole; names fold, and all the less the narrower the heads of figures are.
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
    """Text in Markdown: as it is if Markdown sees nothing in it, else as code."""
    return text if _PLAIN.fullmatch(text) else code(text)
