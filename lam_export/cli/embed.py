"""``lam-export embed``: texts to embeddings. It never imports torch."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from lam_engines.contract import MAX_TEXT_BYTES, OPENAI_BATCH, OnError
from lam_engines.runtimes.registry import DEFAULT
from lam_engines.storage import is_remote

from ._console import err, examples, say
from ._embed_batch import check_batch, embed_requests
from ._embed_file import Job, embed_arguments, embed_source, embed_whole_files
from ._embed_folder import embed_into_folder
from ._options import (
    LISTED,
    BatchTokens,
    BundlePlace,
    Column,
    Device,
    Engine,
    Force,
    Precision,
    Threads,
    low_to_high,
    place,
    separated,
)

EXAMPLES = examples(
    'lam-export embed my-model "How do I reset my password?" "Where can I change my login?"',
    "lam-export embed my-model --input reviews.csv.gz --column body --keep id,stars -o reviews.parquet",
    "cat reviews.jsonl | lam-export embed my-model --input - --format jsonl --on-error skip -o vectors.jsonl",
    "lam-export embed my-model --input reviews -o vectors",
    "lam-export embed my-model --stream moby-dick.txt walden.txt -o books.npy",
    "lam-export embed my-model --ray --input reviews -o vectors --workers 4",
    "lam-export embed my-model --input requests.jsonl --format openai-batch -o answers.jsonl",
    "lam-export embed s3://models/my-model --ray --address auto --input s3://in/reviews -o s3://out/vectors",
)


def run(
    bundle: BundlePlace,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to embed.", show_default=False)] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            "-i",
            help="File of texts (.txt, .jsonl, .csv, .tsv or .parquet; text files also .gz, .bz2, .xz or .zst), or a "
            "folder of one kind; - for standard input. A path, or a URI such as s3://bucket/folder.",
            show_default=False,
            parser=place,
            metavar="PLACE",
        ),
    ] = None,
    column: Column = None,
    text_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of the input: txt, jsonl, csv, tsv or parquet; csv.gz for a compressed pipe; openai-batch for "
            "requests of OpenAI's Batch API, which are answered in its format.",
            show_default="by its name; txt for -",
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(help="Character between the columns: ';', tab, ..", show_default="comma; tab in .tsv"),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help=f"Columns to carry into the output. {LISTED}", show_default=False),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="Column that names each row: carried into the output, and never empty.", show_default=False),
    ] = None,
    on_error: Annotated[
        OnError,
        typer.Option(
            help="A row without a readable text: fail, skip it, or embed the empty text. Reasons go to "
            "OUTPUT.errors.jsonl."
        ),
    ] = "fail",
    max_text_bytes: Annotated[
        int, typer.Option(min=1, help="Largest text, in bytes of UTF-8; a larger one counts as an error.")
    ] = MAX_TEXT_BYTES,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write (.npy, .jsonl or .parquet), or a folder of .parquet files, which the same command "
            "continues after a kill. A path or a URI.",
            show_default="a table on screen",
            parser=place,
            metavar="PLACE",
        ),
    ] = None,
    engine: Engine = DEFAULT,
    precision: Precision = None,
    device: Device = None,
    threads: Threads = None,
    batch_tokens: BatchTokens = None,
    force: Force = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Read each argument as a UTF-8 file with one text of any length, in constant memory.",
        ),
    ] = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Run several engines, for an output folder.",
        ),
    ] = False,
    address: Annotated[
        str,
        typer.Option(
            envvar="RAY_ADDRESS",
            help="Ray cluster to use, with --ray: auto, HOST:PORT or ray://HOST:10001; local: this machine.",
        ),
    ] = "local",
    workers: Annotated[
        str | None,
        typer.Option(
            help="Number of engines, with --ray; 4..64 lets it vary between 4 and 64.",
            show_default="one for every four cores; all of a cluster",
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option(min=0.01, max=8, help="GPUs of each engine, with --ray: 0.5 lets two share one.")
    ] = 1,
    partition_rows: Annotated[
        int | None, typer.Option(min=1, help="Texts in each file of an output folder.", show_default="8192")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say which engine runs, and why.")] = False,
) -> None:
    """Embed texts from the command line, or files of any size."""
    from lam_engines import InputError, load_engine
    from lam_engines.files import Reading

    _check_bundle(bundle, texts, input_file)
    if verbose:
        _say_engine(bundle, engine, precision, device)
    reading = Reading(
        column=column,
        keep=separated("--keep", keep),
        id_column=id_column,
        format=text_format,
        delimiter=delimiter,
        max_text_bytes=max_text_bytes,
        on_error=on_error,
    )
    reads_rows = input_file is not None or reading != Reading()
    if stream and (not texts or ray or batch_tokens is not None or reads_rows):
        raise InputError(
            "expected files as arguments with --stream, and no --input, --column, --batch-tokens or --ray; see: "
            "lam-export embed --help"
        )
    batch = text_format == OPENAI_BATCH
    if batch:
        if texts or ray:
            raise InputError(f"expected no texts and no --ray with --format {OPENAI_BATCH}; leave them out")
        check_batch(input_file, reading, output)
    if ray and texts:
        raise InputError("expected no texts as arguments with --ray; name files: --input FOLDER -o FOLDER")
    if workers is not None and not ray:
        raise InputError("expected --ray with --workers, found no --ray; add it, or leave the other out")
    into_folder = output is not None and input_file is not None and (not output.suffix or _is_folder(output))
    into_folder = into_folder and not batch
    if ray or into_folder:
        from lam_engines.bulk.run import PARTITION_ROWS, BulkOptions

        options = BulkOptions(
            engine=engine,
            precision=precision,
            device=device,
            reading=reading,
            batch_tokens=batch_tokens,
            workers=None if workers is None else low_to_high(workers),
            threads=threads,
            gpus_per_worker=gpus_per_worker,
            address=address,
            partition_rows=partition_rows or PARTITION_ROWS,
            force=force,
            ray=ray,
        )
        embed_into_folder(bundle, input_file, output, options)
        return
    if partition_rows is not None:
        raise InputError("expected an output folder with --partition-rows, found none; name one: -o FOLDER")
    if (input_file is None) == (not texts):
        raise InputError(
            "expected either texts as arguments or --input FILE; see: lam-export embed --help (a text that begins with "
            "- goes after --)"
        )
    if texts and not stream and reads_rows:
        raise InputError("expected --input FILE with options about columns and formats, found texts as arguments")
    job = Job(output, force, batch_tokens)
    with load_engine(bundle, engine, precision=precision, device=device, threads=threads) as loaded:
        if input_file is not None and batch:
            embed_requests(loaded, input_file, job, max_text_bytes)
        elif input_file is not None:
            embed_source(loaded, input_file, reading, job)
        elif stream:
            embed_whole_files(loaded, texts or [], job)
        else:
            embed_arguments(loaded, texts or [], job)


def _is_folder(output: Path) -> bool:
    return not is_remote(output) and output.is_dir()


def _say_engine(bundle: Path, engine: str, precision: str | None, device: str | None) -> None:
    from lam_engines.bundles.bundle import Bundle
    from lam_engines.bundles.fetching import fetched
    from lam_engines.runtimes.registry import choose

    opened = Bundle(fetched(bundle))
    say(err, f"engine: {choose(engine, opened, precision, device).said(opened)}")


def _check_bundle(bundle: Path, texts: list[str] | None, input_file: Path | None) -> None:
    """Say what is missing where the first argument is a text."""
    from lam_engines import InputError

    if is_remote(bundle) or bundle.exists() or (texts and input_file is not None):
        return
    rest = "--input FILE" if input_file is not None else "--input FILE, or TEXT" if not texts else "TEXT"
    raise InputError(
        f"expected a bundle's folder as the first argument, found nothing at {bundle}; name it before the texts: "
        f"lam-export embed BUNDLE {rest}; or make it: lam-export onnx CHECKPOINT -o {quote(str(bundle))}"
    )
