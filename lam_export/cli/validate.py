"""``lam-export validate``: a bundle against its checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lam_export.requirements import require_export

from ._console import examples, out, say, steps

if TYPE_CHECKING:
    from rich.console import Group

    from lam_export.validate.parity import ParityReport

EXAMPLES = examples(
    "lam-export validate my-model --checkpoint my-checkpoint",
    "lam-export validate my-model --checkpoint student.safetensors --teacher all-MiniLM-L6-v2 --json > parity.json",
    "lam-export validate my-model --checkpoint my-checkpoint --engine tensorrt",
    "lam-export validate my-model --checkpoint my-checkpoint --cosine 0.9999999 --bisect",
)


def run(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", show_default=False)],
    checkpoint: Annotated[Path, typer.Option(help="The checkpoint that it was made from.", show_default=False)],
    teacher: Annotated[Path | None, typer.Option(help="Its teacher, if it needs one.", show_default=False)] = None,
    max_abs: Annotated[
        float | None, typer.Option(help="Largest difference of any element.", show_default="2e-5; fp16 2e-3")
    ] = None,
    cosine: Annotated[
        float | None, typer.Option(help="Smallest cosine of any text.", show_default="0.999999; fp16 0.9995")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="What runs the bundle: onnxruntime, openvino or tensorrt.")
    ] = "onnxruntime",
    precision: Annotated[
        str | None,
        typer.Option(help="fp32, fp16 or int8.", show_default="all graphs in onnxruntime; else the engine's default"),
    ] = None,
    bisect: Annotated[
        bool, typer.Option("--bisect", help="Search the fewest parts that must stay in float32 for fp16 to hold.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Polygraphy's own messages.")] = False,
) -> None:
    """Compare every graph of a bundle with the PyTorch reference in float64: awkward lengths, padded batches.

    Exits with 0 only if every text of every case is within the thresholds, with 2 if one is not.
    """
    from lam_engines import LamError

    if json and bisect:
        raise LamError("expected --json or --bisect, found both; leave one out")
    with steps() as step:
        step("reading the bundle and the checkpoint")
        require_export()
        from lam_engines.bundles.bundle import Bundle
        from lam_export.evidence.metrics import THRESHOLDS, Thresholds
        from lam_export.model.checkpoint import load_checkpoint
        from lam_export.model.encoder import Encoder
        from lam_export.model.forms import FORMS
        from lam_export.validate.parity import check_parity

        opened = Bundle(bundle)
        loaded = load_checkpoint(checkpoint, teacher)
        if opened.manifest.form not in FORMS:
            raise LamError(
                f"the bundle is of the form {opened.manifest.form!r}, unknown to this version; upgrade lam-export"
            )
        encoder = Encoder(loaded, form=opened.manifest.form, chunk_size=opened.manifest.chunk_size)
        thresholds = {
            precision: Thresholds(
                default.max_abs if max_abs is None else max_abs, default.cosine if cosine is None else cosine
            )
            for precision, default in THRESHOLDS.items()
        }
        report = check_parity(
            opened,
            encoder,
            engine=engine,
            precision=precision,
            thresholds=thresholds,
            on_step=step,
            verbose=verbose,
        )
        if bisect:
            from lam_engines.embedding.tokenizer import tokenizer_of
            from lam_export.evidence.cases import parity_cases

            from ._bisect import search_precision

            float32 = Encoder(loaded, form=opened.manifest.form, chunk_size=opened.manifest.chunk_size)
            cases = parity_cases(tokenizer_of(opened), opened.manifest.model.pad_token_id)
            show_search = search_precision(float32, cases, thresholds["fp16"], step)

    if json:
        from json import dumps

        sources = {"checkpoint_sha256": loaded.sha256, "bundle_made_from_sha256": opened.manifest.checkpoint.sha256}
        typer.echo(dumps({**report.to_dict(), **sources}, indent=2))
    else:
        if loaded.sha256 != opened.manifest.checkpoint.sha256:
            say(out, f"note: the bundle was made from another file than {loaded.weights}", style="yellow")
        out.print(parity_tables(report))
        out.print("[bold green]PASS[/]" if report.passed else "[bold red]FAIL[/]")
        if bisect:
            show_search(checkpoint, bundle)
    if not report.passed:
        raise typer.Exit(2)


def parity_tables(report: "ParityReport") -> "Group":
    """A parity run as a table for each output of each graph, with the worst row of each case."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    tables: dict[tuple[str, str], Table] = {}
    for row in report.rows:
        table = tables.get((row.graph, row.output))
        if table is None:
            where = "" if row.engine == "onnxruntime" else f" in {row.engine}"
            title = f"{row.graph}{where}, {row.output}, against PyTorch in float64"
            holds = f"holds where max-abs <= {row.thresholds.max_abs:g} and cosine >= {row.thresholds.cosine}"
            table = Table("case", title=escape(title), caption=holds)
            for column in ("max-abs", "relative RMS", "1 - cosine", ""):
                table.add_column(column, justify="right")
            tables[row.graph, row.output] = table
        mark = "[green]✓[/]" if row.diff else "[bold red]✗[/]"
        figures = (f"{row.diff.max_abs:.1e}", f"{row.diff.relative_rms:.1e}", f"{1 - row.diff.cosine:.1e}")
        table.add_row(row.case, *figures, mark)
    return Group(*tables.values())
