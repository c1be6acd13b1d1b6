"""``lam-export bench``: how fast a bundle is, beside what one would run instead."""

from pathlib import Path
from typing import Annotated

import typer

from lam_engines.runtimes.registry import names, one_of

from ._console import examples, note, out, say
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export bench my-model",
    "lam-export bench my-model --quick --against minilm-onnx --transformer all-MiniLM-L6-v2",
    "lam-export bench my-model --against pytorch --against compile --checkpoint my-checkpoint --threads 2 -o bench",
    "lam-export bench my-model --engine openvino --lengths 128,4096,65536 --against last-week --json > bench.json",
)


def run(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", show_default=False)],
    engines: Annotated[
        list[str] | None,
        typer.Option("--engine", help=f"{one_of(names())}; may be repeated.", show_default="all here"),
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option("--precision", help="fp32, fp16 or int8; may be repeated.", show_default="all in the bundle"),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="pytorch, compile, minilm-onnx, minilm-openvino, sentence-transformers or a bundle; may be repeated.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The checkpoint that the bundle was made from: the reference then.", show_default=False),
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="Its teacher, if it needs one.", show_default=False)] = None,
    transformer: Annotated[
        Path | None, typer.Option(help="Folder of a BERT with safetensors.", show_default="the demo's teacher")
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(help="Tokens of single texts: 128,4096.", show_default="128 to 65536")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few lengths and batches, and little time for each.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="To measure each shape, 3 runs at least.", show_default="10; --quick 3"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Of each, on a CPU.", show_default="one per core")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the results.", show_default="BUNDLE/reports/bench"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Time a bundle in every engine that runs here: by length, in batches, and on a mix of lengths.

    Each takes its turn in a process of its own. Embeddings are compared first: with PyTorch in float32 if a checkpoint
    is named, else with ONNX Runtime in fp32; wrong ones get no times, and the exit code is 2. Writes bench.html,
    bench.md and bench.json.
    """
    from lam_export.bench.speed.shapes import parse_lengths
    from lam_export.evidence.record import terminal, to_json
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
            lengths=None if lengths is None else parse_lengths(lengths),
            quick=quick,
            seconds=seconds,
            threads=threads,
            output=output,
            progress=progress,
            warn=note,
            interrupted=lambda shown: None if json else out.print(terminal(shown)),
        )
    benchmark = written.shown.record
    if json:
        typer.echo(to_json(benchmark), nl=False)
    else:
        out.print(terminal(written.shown))
        say(out, f"Wrote {written.folder / 'bench.html'}, bench.md and bench.json", style="green")
    if not benchmark.matched:
        raise typer.Exit(2)
