"""Tables of a comparison with the reference, for ``onnx`` and ``validate``."""

from shlex import quote
from typing import TYPE_CHECKING

from lam_engines.runtimes.registry import REFERENCE

from ._console import out, say

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Group

    from lam_export.pipelines.validate_bundle import Bisection
    from lam_export.validate.bisect import PrecisionSearch
    from lam_export.validate.parity import ParityReport

_SHOWN = 10


def parity_tables(report: "ParityReport") -> "Group":
    """One table for each output of each graph, with the worst row of each case."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    tables: dict[tuple[str, str], Table] = {}
    for row in report.rows:
        table = tables.get((row.graph, row.output))
        if table is None:
            where = "" if row.engine == REFERENCE else f" in {row.engine}"
            title = f"{row.graph}{where}, {row.output}, against PyTorch in float64"
            holds = f"passes where max-abs <= {row.thresholds.max_abs:g} and cosine >= {row.thresholds.cosine}"
            table = Table("case", title=escape(title), caption=holds)
            for column in ("max-abs", "relative RMS", "1 - cosine", ""):
                table.add_column(column, justify="right")
            tables[row.graph, row.output] = table
        mark = "[green]✓[/]" if row.diff else "[bold red]✗[/]"
        figures = (f"{row.diff.max_abs:.1e}", f"{row.diff.relative_rms:.1e}", f"{1 - row.diff.cosine:.1e}")
        table.add_row(row.case, *figures, mark)
    return Group(*tables.values())


def say_what_was_checked(
    report: "ParityReport", bundle: "Path", checkpoint: "Path", teacher: "Path | None" = None
) -> None:
    """Print what the marks mean, what they do not mean, and the command that checks the rest."""
    cases = len({row.case for row in report.rows})
    say(out, f"Checked: the embeddings of {cases} made-up cases, of 1 to {report.max_tokens:,} tokens.")
    say(out, "Not checked: nearest neighbours and benchmark scores on real texts, which int8 can change. Check them:")
    named = "" if teacher is None else f" --teacher {quote(str(teacher))}"
    say(out, f"  lam-export report {quote(str(bundle))} --checkpoint {quote(str(checkpoint))}{named}")


def show_bisection(found: "Bisection", checkpoint: "Path", bundle: "Path") -> None:
    """Print which parts must stay in float32, and the command that keeps them in float32."""
    search = found.search
    if search.keep is None:
        say(out, f"Even all parts in float32 exceed these thresholds (worst {search.proposed}).")
        return
    if found.confirmed is None:
        say(out, f"No part has to stay in float32: all parts in float16 give {search.all_half}.")
        return
    _show_harm(search)
    say(out, "Parts to keep in float32; each of them is needed:", style="bold")
    for part in search.keep:
        say(out, f"  {part}")
    verdict = "passes" if found.confirmed else "FAILS"
    say(out, f"  PyTorch in half precision: all parts in float16 {search.all_half}")
    say(out, f"  PyTorch in half precision: with these in float32 {search.proposed}")
    say(out, f"  ONNX Runtime: with these in float32 {found.confirmed}, {verdict}")
    options = " ".join(f"--keep-fp32 {part}" for part in search.keep)
    paths = f"{quote(str(checkpoint))} -o {quote(str(bundle))}"
    say(out, f"Apply it: lam-export onnx {paths} --precision fp16 {options} --force")


def _show_harm(search: "PrecisionSearch") -> None:
    from rich.table import Table

    table = Table(
        "part alone in float16",
        title="Error with one part in float16, worst first",
        caption=f"{min(_SHOWN, len(search.alone))} of {len(search.alone)} parts",
    )
    table.add_column("max-abs", justify="right")
    table.add_column("1 - cosine", justify="right")
    for part, found in search.alone[:_SHOWN]:
        table.add_row(part, f"{found.max_abs:.1e}", f"{1 - found.cosine:.1e}")
    out.print(table)
