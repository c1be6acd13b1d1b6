"""``lam-export report``: compare a bundle with the reference, and judge whether it may go to production."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lam_engines.contract import CACHE_VARIABLE
from lam_engines.runtimes.registry import REFERENCE

from ._console import err, examples, note, say
from ._options import (
    BECOMES_REFERENCE,
    ENGINE,
    PRECISION,
    BundleArgument,
    Column,
    Device,
    Json,
    Teacher,
    results_in,
    several,
)
from ._progress import shown_progress
from ._record import print_record

EXAMPLES = examples(
    "lam-export report my-model --checkpoint my-checkpoint",
    "lam-export report my-model --checkpoint my-checkpoint --texts ours.txt --sts stsb/test.csv -o report",
    "lam-export report my-model --checkpoint my-checkpoint --tasks mteb/nfcorpus",
    "lam-export report my-model --against last-week --candidate fp16 --thresholds gate.toml --json > report.json",
)


def run(
    bundle: BundleArgument,
    checkpoint: Annotated[Path | None, typer.Option(help=BECOMES_REFERENCE, show_default=False)] = None,
    teacher: Teacher = None,
    reference: Annotated[
        str, typer.Option(help="PyTorch's precision for the reference: float64 or float32.")
    ] = "float64",
    against: Annotated[
        Path | None,
        typer.Option(help="Another bundle; its fp32 graph becomes the reference.", show_default=False),
    ] = None,
    reference_results: Annotated[
        Path | None,
        typer.Option(help="Embeddings of a reference, from results/ of an earlier report.", show_default=False),
    ] = None,
    candidates: Annotated[list[str] | None, several(PRECISION, "--candidate", default="all in the bundle")] = None,
    engines: Annotated[list[str] | None, several(ENGINE, "--engine", default=REFERENCE)] = None,
    device: Device = None,
    texts: Annotated[
        Path | None,
        typer.Option(help="More texts than the built-in ones (.txt, .jsonl, .csv or .parquet).", show_default=False),
    ] = None,
    column: Column = None,
    sts: Annotated[
        Path | None,
        typer.Option(help="Benchmark file: a CSV with sentence1, sentence2 and score.", show_default=False),
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of tasks as mteb's datasets lie on disk: corpus, queries and qrels, or a table of sentence1, "
            "sentence2 and score; or a folder of such folders.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path | None, results_in("BUNDLE/reports/accuracy")] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="TOML file with thresholds.", show_default="built-in ones")
    ] = None,
    cosine: Annotated[
        float | None,
        typer.Option(
            help="Smallest allowed cosine of any text.", show_default="fp32 0.999999; 16 bits 0.9995; int8 0.99"
        ),
    ] = None,
    sts_difference: Annotated[
        float | None,
        typer.Option(help="Largest allowed absolute change of Spearman's correlation.", show_default="0.001"),
    ] = None,
    ndcg_difference: Annotated[
        float | None,
        typer.Option(help="Largest allowed absolute change of a task's nDCG@10.", show_default="0.005"),
    ] = None,
    recall_at_10: Annotated[
        float | None, typer.Option(help="Smallest allowed recall of the 10 nearest neighbours.", show_default="0.99")
    ] = None,
    json: Json = False,
) -> None:
    """Compare a bundle with the reference on many texts, and judge it.

    Writes report.html, report.md, report.json and all embeddings (results/). Exits with 0 if every threshold is met,
    with 2 if not. Embeddings are cached, so a second run, or one after Ctrl-C, continues where the first ended.
    """
    from lam_export.pipelines.report import report

    notes: list[str] = []

    def warn(message: str) -> None:
        notes.append(message)
        note(message)

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
                tasks=tasks,
                output=output,
                thresholds=thresholds,
                cosine=cosine,
                sts_difference=sts_difference,
                ndcg_difference=ndcg_difference,
                recall_at_10=recall_at_10,
                progress=progress,
                warn=warn,
            )
    except (KeyboardInterrupt, SystemExit):
        _say_what_is_kept(notes)
        raise
    from lam_export.validate.report.report_page import shown  # needs what report() has found to be installed

    print_record(shown(written.report), written.folder, "report.html, report.md, report.json and results/", json=json)


def _say_what_is_kept(notes: Sequence[str]) -> None:
    from lam_export.evidence.results import NOT_KEPT, results_folder

    folder = results_folder()
    if any(sentence.startswith(NOT_KEPT) for sentence in notes):
        return
    if os.access(folder, os.W_OK | os.X_OK):
        say(err, f"embeddings so far are kept in {folder}; the same command continues from there")
    else:
        say(err, f"{NOT_KEPT}: {folder} cannot be written; name another folder: {CACHE_VARIABLE}=DIR")
