"""``lam-export gate``: is a change worth keeping?"""

from pathlib import Path
from typing import Annotated

import typer

from lam_engines.runtimes.registry import REFERENCE

from ._console import examples, out
from ._options import PRECISION, Engine, Json, Threads
from ._progress import shown_progress

EXAMPLES = examples(
    'lam-export gate faster --baseline my-model/reports/accuracy/report.json --sts stsb/dev.csv --change "opset 23"',
    "lam-export gate my-model --precision int8 --baseline my-model/reports/accuracy/report.json --sts stsb/dev.csv "
    '--change "int8 products"',
)


def run(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle with the change.", show_default=False)],
    baseline: Annotated[
        Path, typer.Option(help="report.json of the bundle without the change, made with --sts.", show_default=False)
    ],
    sts: Annotated[Path, typer.Option(help="Benchmark file that the report was made with.", show_default=False)],
    change: Annotated[
        str, typer.Option(help="What was changed, in words. Change one thing at a time.", show_default=False)
    ],
    precision: Annotated[str, typer.Option(help=PRECISION)] = "fp32",
    engine: Engine = REFERENCE,
    baseline_precision: Annotated[str, typer.Option(help="Precision of the baseline.")] = "fp32",
    baseline_engine: Annotated[str, typer.Option(help="Engine of the baseline.")] = REFERENCE,
    baseline_bundle: Annotated[
        Path | None, typer.Option(help="The baseline's bundle.", show_default="the one that holds the report")
    ] = None,
    repeats: Annotated[int, typer.Option(min=5, max=1000, help="Timed runs of each bundle for each shape.")] = 15,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Accept a change if its score stays within 0.001 of the baseline's and it is faster with 95 % confidence.

    Both bundles are timed in alternation. The trial is added to the history of both bundles, accepted or rejected
    (reports/history.html, history.md and history.json). Exits with 0 if the change is accepted, with 2 if not.
    """
    from lam_export.bench.gate.history import History
    from lam_export.bench.gate.history_page import shown
    from lam_export.evidence.record import terminal
    from lam_export.pipelines.gate import gate

    with shown_progress() as progress:
        trial = gate(
            bundle,
            baseline=baseline,
            sts=sts,
            change=change,
            precision=precision,
            engine=engine,
            baseline_precision=baseline_precision,
            baseline_engine=baseline_engine,
            baseline_bundle=baseline_bundle,
            repeats=repeats,
            threads=threads,
            progress=progress,
        )
    if json:
        typer.echo(trial.model_dump_json(indent=2))
    else:
        out.print(terminal(shown(History(trials=(trial,)))))
    if not trial.accepted:
        raise typer.Exit(2)
