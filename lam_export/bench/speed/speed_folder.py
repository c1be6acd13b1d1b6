"""A benchmark on a terminal, as Markdown, and on disk."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.whole import write_whole
from lam_engines.errors import LamError
from lam_export.evidence.tables import Table, as_text, markdown_table, rich_table
from lam_export.evidence.words import code

from .schema import Benchmark
from .speed_page import bench_page
from .speed_tables import headline, provenance, tables

if TYPE_CHECKING:
    from rich.console import Group

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
