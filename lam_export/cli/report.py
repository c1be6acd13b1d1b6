"""``lam-export report``: proof that a bundle gives the reference's embeddings, and the gate to production."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from lam_engines.errors import LamError

from ._console import err, examples, out, say
from ._requirements import require

if TYPE_CHECKING:
    from lam_export.evidence.results import Results
    from lam_export.evidence.sides import Side
    from lam_export.model.checkpoint import Checkpoint

EXAMPLES = examples(
    "lam-export report my-model --checkpoint my-checkpoint",
    "lam-export report my-model --checkpoint my-checkpoint --texts ours.txt --sts stsb/test.csv -o report",
    "lam-export report my-model --against last-week --candidate fp16 --thresholds gate.toml --json > report.json",
)
_DEFAULT_FOLDER = Path("reports", "accuracy")


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
        typer.Option("--engine", help="Runtime of the candidates; may be repeated.", show_default="onnxruntime"),
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
        typer.Option("--output", "-o", help="Folder of the report.", show_default=f"BUNDLE/{_DEFAULT_FOLDER}"),
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

    Writes report.html, report.md, report.json and each side's embeddings (results/). Exits with 0 if every threshold
    holds, with 2 if one does not. Embeddings are cached: a second run, and one after Ctrl-C, goes on where the first
    ended.
    """
    require("torch", "safetensors", "onnx", "polygraphy", "scipy", "jinja2", extra="report")
    require("onnxruntime", extra="cpu")
    from lam_engines.bundles.bundle import Bundle
    from lam_export.evidence.corpus import read_corpus
    from lam_export.evidence.references import encoder_of, other_bundle, pytorch
    from lam_export.evidence.results import load_results, results_folder
    from lam_export.model.checkpoint import load_checkpoint
    from lam_export.validate.report.build import Observer, build_report, candidates_of
    from lam_export.validate.report.folder import check_folder, to_json, write_report
    from lam_export.validate.report.render import terminal
    from lam_export.validate.report.thresholds import read_limits

    from ._progress import counted_steps

    if (against is None) == (checkpoint is None and reference_results is None):
        raise LamError("expected one reference: --checkpoint CHECKPOINT, --against BUNDLE or --reference-results FILE")
    limits = read_limits(thresholds, {"cosine": cosine, "sts_difference": sts_difference, "recall_at_10": recall_at_10})
    opened = Bundle(bundle)
    folder = output or bundle / _DEFAULT_FOLDER
    check_folder(folder)
    runtimes = engines or ["onnxruntime"]
    chosen = [
        (engine, name) for engine in runtimes for name in dict.fromkeys(candidates or candidates_of(opened, engine))
    ]
    if not chosen:
        raise LamError(
            f"expected something in the bundle {bundle} that {', '.join(runtimes)} can run, its manifest lists "
            f"{', '.join(opened.manifest.files)}; see: lam-export doctor {bundle}"
        )
    corpus = read_corpus(texts, sts, column=column)
    try:
        with counted_steps() as (begin, advance):
            begin("reading the reference", 1)
            loaded = None if checkpoint is None else load_checkpoint(checkpoint, teacher)
            encoder = None if loaded is None else encoder_of(opened, loaded)
            if reference_results is not None:
                held: Results | Callable[[], Side] = load_results(reference_results, corpus.sha256)
            elif against is not None:
                held = other_bundle(opened, against)
            else:
                held = pytorch(opened, cast("Checkpoint", loaded), reference)
            made_from = opened.manifest.checkpoint.sha256
            if loaded is not None and loaded.sha256 != made_from:
                say(
                    err,
                    f"note: the bundle was made from another file than {loaded.weights} (expected sha256 "
                    f"{made_from[:12]}..., found {loaded.sha256[:12]}...); if checks fail, name that one: --checkpoint",
                    style="yellow",
                )
            report, results = build_report(
                opened,
                corpus,
                reference=held,
                candidates=chosen,
                limits=limits,
                encoder=encoder,
                checkpoint_sha256=made_from if loaded is None else loaded.sha256,
                device=device,
                cache=results_folder(),
                observer=Observer(begin, advance),
            )
    except (KeyboardInterrupt, SystemExit):
        say(err, f"what was embedded is kept in {results_folder()}; the same command goes on from there")
        raise
    write_report(folder, report, results)
    if json:
        typer.echo(to_json(report), nl=False)
    else:
        out.print(terminal(report))
        say(out, f"Wrote {folder / 'report.html'}, report.md, report.json and results/", style="green")
    if not report.passed:
        raise typer.Exit(2)
