"""``lam-export report``: proof that a bundle gives the reference's embeddings, and the gate to production."""

from pathlib import Path
from typing import Annotated

import typer

from lam_engines.runtimes.registry import DEFAULT, names, one_of

from ._console import err, examples, note, out, say
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export report my-model --checkpoint my-checkpoint",
    "lam-export report my-model --checkpoint my-checkpoint --texts ours.txt --sts stsb/test.csv -o report",
    "lam-export report my-model --against last-week --candidate fp16 --thresholds gate.toml --json > report.json",
)


def run(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", show_default=False)],
    checkpoint: Annotated[
        Path | None, typer.Option(help="The checkpoint that it was made from: the reference.", show_default=False)
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="Its teacher, if it needs one.", show_default=False)] = None,
    reference: Annotated[str, typer.Option(help="PyTorch in float64 or float32.")] = "float64",
    against: Annotated[
        Path | None,
        typer.Option(help="Another bundle, whose fp32 graph is the reference instead.", show_default=False),
    ] = None,
    reference_results: Annotated[
        Path | None,
        typer.Option(help="What a reference gave before, from results/ of its report.", show_default=False),
    ] = None,
    candidates: Annotated[
        list[str] | None,
        typer.Option("--candidate", help="fp32, fp16 or int8; may be repeated.", show_default="all in the bundle"),
    ] = None,
    engines: Annotated[
        list[str] | None,
        typer.Option("--engine", help=f"Of the candidates: {one_of(names())}; may be repeated.", show_default=DEFAULT),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda, for the candidates.", show_default="the engine's")
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(help="Texts beside the built-in ones: .txt, .jsonl, .csv or .parquet.", show_default=False),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of the texts.", show_default="text")] = None,
    sts: Annotated[
        Path | None, typer.Option(help="CSV of sentence1, sentence2, score, for the benchmark.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the report.", show_default="BUNDLE/reports/accuracy"),
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="TOML file of the gate's thresholds.", show_default=False)
    ] = None,
    cosine: Annotated[
        float | None,
        typer.Option(help="Smallest cosine of any text.", show_default="fp32 0.999999; 16 bits 0.9995; int8 0.99"),
    ] = None,
    sts_difference: Annotated[
        float | None, typer.Option(help="Largest change of Spearman's correlation.", show_default="0.001")
    ] = None,
    recall_at_10: Annotated[
        float | None, typer.Option(help="Smallest recall of nearest neighbours.", show_default="0.99")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare a bundle with the reference on many texts, and judge it.

    Writes report.html, report.md, report.json and each subject's embeddings (results/). Exits with 0 if every threshold
    holds, with 2 if one does not. Embeddings are cached: a second run, and one after Ctrl-C, goes on where the first
    ended.
    """
    from lam_export.evidence.results import results_folder
    from lam_export.pipelines.report import report
    from lam_export.validate.report.folder import to_json
    from lam_export.validate.report.render import terminal

    try:
        with shown_progress() as progress:
            written = report(
                bundle,
                checkpoint=checkpoint,
                teacher=teacher,
                reference=reference,
                against=against,
                reference_results=reference_results,
                candidates=candidates,
                engines=engines,
                device=device,
                texts=texts,
                column=column,
                sts=sts,
                output=output,
                thresholds=thresholds,
                cosine=cosine,
                sts_difference=sts_difference,
                recall_at_10=recall_at_10,
                progress=progress,
                warn=note,
            )
    except (KeyboardInterrupt, SystemExit):
        say(err, f"what was embedded is kept in {results_folder()}; the same command goes on from there")
        raise
    if json:
        typer.echo(to_json(written.report), nl=False)
    else:
        out.print(terminal(written.report))
        say(out, f"Wrote {written.folder / 'report.html'}, report.md, report.json and results/", style="green")
    if not written.report.passed:
        raise typer.Exit(2)
