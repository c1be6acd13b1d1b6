"""``lam-export bench``: how fast a bundle is, beside what one would run instead."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from lam_engines.errors import LamError

from ._console import err, examples, out, say
from ._requirements import require

if TYPE_CHECKING:
    from lam_export.bench.speed.schema import Result

EXAMPLES = examples(
    "lam-export bench my-model",
    "lam-export bench my-model --quick --against minilm-onnx --transformer all-MiniLM-L6-v2",
    "lam-export bench my-model --against pytorch --against compile --checkpoint my-checkpoint --threads 2 -o bench",
    "lam-export bench my-model --engine openvino --lengths 128,4096,65536 --against last-week --json > bench.json",
)
_DEFAULT_FOLDER = Path("reports", "bench")


def run(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", show_default=False)],
    engines: Annotated[
        list[str] | None,
        typer.Option("--engine", help="onnxruntime, openvino or tensorrt; may be repeated.", show_default="all here"),
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
        typer.Option("--output", "-o", help="Folder of the results.", show_default=f"BUNDLE/{_DEFAULT_FOLDER}"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Time a bundle in every engine that runs here: by length, in batches, and on a mix of lengths.

    Each takes its turn in a process of its own. Embeddings are compared first: with PyTorch in float32 if a checkpoint
    is named, else with ONNX Runtime in fp32; wrong ones get no times, and the exit code is 2. Writes bench.html,
    bench.md and bench.json.
    """
    require("polygraphy", "jinja2", extra="report")
    require("onnxruntime", extra="cpu")
    from functools import partial

    from lam_engines.bundles.bundle import Bundle
    from lam_engines.contract import TOKENIZER
    from lam_engines.embedding.tokenizer import Tokenizer
    from lam_export.bench.speed import shapes as work
    from lam_export.bench.speed.measure import Observer, measure
    from lam_export.bench.speed.record import record
    from lam_export.bench.speed.speed_folder import bench_terminal, to_json, write_bench
    from lam_export.evidence.against import Against
    from lam_export.evidence.entrants import chosen_engines, engine_entrant
    from lam_export.evidence.provenance import Setting
    from lam_export.validate.report.folder import check_folder

    from ._progress import counted_steps

    opened = Bundle(bundle)
    folder = output or bundle / _DEFAULT_FOLDER
    check_folder(folder)
    shapes = work.shapes(
        Tokenizer(opened.read(TOKENIZER), opened.manifest.model.vocab_size),
        work.parse_lengths(lengths) if lengths is not None else work.QUICK_LENGTHS if quick else work.LENGTHS,
        work.QUICK_BATCHES if quick else work.BATCHES,
        work.QUICK_MIX if quick else work.MIX,
    )
    setting = Setting.here(threads)
    engine = partial(engine_entrant, opened, threads=setting.threads)
    entrants = [engine(*names) for names in chosen_engines(opened, engines, precisions)]
    rivals = Against(opened, setting.threads, checkpoint, teacher, transformer)
    held = list(dict.fromkeys(against or ()))
    rivals.check(held)
    if warning := setting.warning():
        say(err, warning, style="yellow")
    results: list[Result] = []
    with counted_steps() as (begin, advance), TemporaryDirectory() as scratch:
        begin(f"reading what to compare with: {', '.join(held) or 'nothing else'}", len(held) + 1)
        reference = rivals.reference() or engine("onnxruntime", "fp32")
        advance(1)
        for name in held:
            entrants.append(rivals.entrant(name, Path(scratch)))
            advance(1)
        names = [entrant.info.name for entrant in entrants]
        if len(set(names)) < len(names):
            raise LamError(f"expected bundles of different names, found {', '.join(names)}; rename a folder")
        baselines = () if len(entrants) == 1 else names[-len(held) :] if held else names[:1]
        summary = partial(record, opened, setting, reference, baselines, entrants, shapes, results)
        try:
            for shape in shapes:
                results += measure(
                    shape,
                    entrants,
                    reference,
                    baselines=baselines,
                    seconds=seconds if seconds is not None else 3 if quick else 10,
                    observer=Observer(begin, advance),
                )
        except (KeyboardInterrupt, SystemExit):
            if results and not json:
                out.print(bench_terminal(summary()))
            raise
    if all(result.status == "not run" for result in results):
        raise LamError(f"nothing could be timed; {results[0].entrant}: {results[0].note}")
    benchmark = summary()
    write_bench(folder, benchmark)
    if json:
        typer.echo(to_json(benchmark), nl=False)
    else:
        out.print(bench_terminal(benchmark))
        say(out, f"Wrote {folder / 'bench.html'}, bench.md and bench.json", style="green")
    if not benchmark.matched:
        raise typer.Exit(2)
