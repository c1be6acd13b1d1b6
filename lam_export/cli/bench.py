"""``lam-export bench``: how fast a bundle is, beside its alternatives."""

from pathlib import Path
from typing import Annotated

import typer

from ._console import examples, note, out
from ._options import (
    BECOMES_REFERENCE,
    ENGINE,
    PRECISION,
    BundleArgument,
    Json,
    Teacher,
    Threads,
    results_in,
    several,
)
from ._progress import shown_progress
from ._record import print_record

EXAMPLES = examples(
    "lam-export bench my-model",
    "lam-export bench my-model --quick --against minilm-onnx --transformer all-MiniLM-L6-v2",
    "lam-export bench my-model --against pytorch --against compile --checkpoint my-checkpoint --threads 2 -o bench",
    "lam-export bench my-model --engine openvino --lengths 128,4096,65536 --against last-week --json > bench.json",
)


def run(
    bundle: BundleArgument,
    engines: Annotated[list[str] | None, several(ENGINE, "--engine", default="all that run here")] = None,
    precisions: Annotated[list[str] | None, several(PRECISION, "--precision", default="all in the bundle")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Alternative to time too: pytorch, compile (PyTorch), minilm-onnx, minilm-openvino, "
            "minilm-openvino-bf16, sentence-transformers, or another bundle's folder. May be repeated.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help=BECOMES_REFERENCE, show_default=False)] = None,
    teacher: Teacher = None,
    transformer: Annotated[
        Path | None,
        typer.Option(
            help="BERT for the alternatives that need one (a folder with safetensors).",
            show_default="the demo's teacher",
        ),
    ] = None,
    lengths: Annotated[
        list[str] | None, several("Tokens of the single texts, such as 128.", default="128 to 65536")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure few lengths and batches, each for a short time.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to measure each shape; at least 3 runs.", show_default="10; 3 with --quick"),
    ] = None,
    threads: Threads = None,
    output: Annotated[Path | None, results_in("BUNDLE/reports/bench")] = None,
    json: Json = False,
) -> None:
    """Time a bundle in every engine that runs here: by length, in batches, and on a mix of lengths.

    Embeddings are compared first: with PyTorch in float32 if a checkpoint is named, else with ONNX Runtime in fp32.
    What gives wrong embeddings is not timed, and the exit code is 2. Each engine runs alone, in its own process.
    Writes bench.html, bench.md and bench.json.
    """
    from lam_export.bench.speed.shapes import parse_lengths
    from lam_export.evidence.record import terminal
    from lam_export.pipelines.bench_bundle import bench_bundle

    with shown_progress() as progress:
        written = bench_bundle(
            bundle,
            engines=engines,
            precisions=precisions,
            against=against or (),
            checkpoint=checkpoint,
            teacher=teacher,
            transformer=transformer,
            lengths=None if lengths is None else parse_lengths(",".join(lengths)),
            quick=quick,
            seconds=seconds,
            threads=threads,
            output=output,
            progress=progress,
            warn=note,
            interrupted=lambda shown: None if json else out.print(terminal(shown)),
        )
    print_record(written.shown, written.folder, "bench.html, bench.md and bench.json", json=json)
