"""``lam-export embed``: texts to embeddings. It never imports torch."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lam_engines.runtimes.registry import DEFAULT

from ._console import err, examples, out, say
from ._embed_ray import embed_with_ray
from ._options import (
    BATCH_TOKENS,
    DEFAULT_PRECISIONS,
    PRECISION,
    BundleArgument,
    Column,
    Device,
    Engine,
    Force,
    Threads,
)

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from lam_engines.embedding.engine import EmbeddingEngine

EXAMPLES = examples(
    'lam-export embed my-model "How do I reset my password?" "Where can I change my login?"',
    "lam-export embed my-model --input reviews.csv --column body -o reviews.parquet",
    "cat texts.txt | lam-export embed my-model --input - -o vectors.npy",
    "lam-export embed my-model --stream moby-dick.txt walden.txt -o books.npy",
    "lam-export embed my-model --ray --input reviews -o vectors --workers 4",
)
_SHOWN = 20


def run(
    bundle: BundleArgument,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to embed.", show_default=False)] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            "-i",
            help="File of texts (.txt, .jsonl, .csv or .parquet), or a folder of one kind; - for standard input.",
            show_default=False,
        ),
    ] = None,
    column: Column = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write (.npy, .jsonl or .parquet).", show_default="a table on screen"
        ),
    ] = None,
    engine: Engine = DEFAULT,
    precision: Annotated[str | None, typer.Option(help=PRECISION, show_default=DEFAULT_PRECISIONS)] = None,
    device: Device = None,
    threads: Threads = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(min=1, help=BATCH_TOKENS, show_default="512; 16384 on a GPU"),
    ] = None,
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
            help="Run several engines, and write a folder of .parquet files. The same command continues a killed run.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Number of engines, with --ray.", show_default="one for every four cores"),
    ] = None,
    partition_rows: Annotated[
        int | None, typer.Option(min=1, help="Texts in each output file, with --ray.", show_default="8192")
    ] = None,
) -> None:
    """Embed texts from the command line, or files of any size."""
    from contextlib import ExitStack
    from itertools import islice

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lam_engines import InputError, load_engine
    from lam_engines.files import open_writer, read_texts

    if stream and (not texts or ray or any(x is not None for x in (input_file, column, batch_tokens))):
        raise InputError(
            "expected files as arguments with --stream, and no --input, --column, --batch-tokens or --ray; see: "
            "lam-export embed --help"
        )
    if ray:
        from lam_engines.bulk.run import PARTITION_ROWS, BulkOptions

        if texts:
            raise InputError("expected no texts as arguments with --ray; name files: --input FOLDER -o FOLDER")
        options = BulkOptions(
            engine=engine,
            precision=precision,
            device=device,
            column=column,
            batch_tokens=batch_tokens,
            workers=workers,
            threads=threads,
            partition_rows=partition_rows or PARTITION_ROWS,
            force=force,
        )
        embed_with_ray(bundle, input_file, output, options)
        return
    if workers is not None or partition_rows is not None:
        raise InputError(
            "expected --ray with --workers or --partition-rows, found no --ray; add it, or leave the others out"
        )
    if (input_file is None) == (not texts):
        raise InputError("expected either texts as arguments or --input FILE; see: lam-export embed --help")

    with ExitStack() as stack:
        reader = stack.enter_context(read_texts(input_file, column)) if input_file is not None else None
        loaded = stack.enter_context(load_engine(bundle, engine, precision=precision, device=device, threads=threads))
        writer = None
        if output is not None:
            writer = stack.enter_context(open_writer(output, loaded.model.hidden_size, force=force))
        bar = stack.enter_context(
            Progress(
                TextColumn("Embedding"),
                BarColumn(),
                TextColumn("{task.fields[texts]:,} texts"),
                *([MofNCompleteColumn()] if reader is None else []),
                TimeRemainingColumn(),
                console=err,
                transient=True,
                disable=not err.is_terminal,
            )
        )
        task = bar.add_task("", total=len(texts or ()) if reader is None else reader.total, texts=0)
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            done += count
            bar.update(task, completed=done if reader is None else reader.position, texts=done)

        shown: list[tuple[str, np.ndarray]] = []
        source: Iterable[str] = reader or texts or ()
        if writer is None:  # one more than is shown tells whether there are more
            source = islice(source, _SHOWN + 1)
        if stream:
            rows = _embed_files(loaded, source, progress)
        else:
            rows = loaded.embed_many(source, batch_tokens=batch_tokens, progress=progress)
        for window, vectors in rows:
            if writer is not None:
                writer.write(window, vectors)
            else:
                shown += zip(window, vectors, strict=True)
    if output is None:
        out.print(_table(shown[:_SHOWN], more=len(shown) > _SHOWN))
    else:
        say(err, f"Wrote {output} ({done:,} embeddings of {loaded.model.hidden_size})", style="green")


def _embed_files(
    engine: "EmbeddingEngine", names: Iterable[str], progress: Callable[[int], None]
) -> "Iterator[tuple[list[str], np.ndarray]]":
    """Each file's name, with the embedding ``[1, hidden]`` of its text."""
    from lam_engines.files import read_pieces

    for name in names:
        vector = engine.embed_stream(read_pieces(Path(name)))
        progress(1)
        yield [name], vector[None]


def _table(rows: "list[tuple[str, np.ndarray]]", more: bool) -> "Table":
    import numpy as np
    from rich.markup import escape
    from rich.table import Table

    caption = f"the first {len(rows)} texts; embed all with -o FILE" if more else None
    table = Table("#", "text", "embedding", caption=caption)
    if len(rows) > 1:
        table.add_column("nearest", justify="right")
        vectors = np.stack([vector for _, vector in rows])
        cosines = vectors @ vectors.T - 2 * np.eye(len(rows))
    for i, (text, vector) in enumerate(rows):
        figures = " ".join(f"{x:+.3f}" for x in vector[:3])
        nearest = [f"#{cosines[i].argmax() + 1} ({cosines[i].max():.3f})"] if len(rows) > 1 else []
        short = text if len(text) <= 60 else text[:59] + "…"
        printable = "".join(c if c.isprintable() else "�" for c in short)
        table.add_row(str(i + 1), escape(printable), f"{figures} … ({len(vector)})", *nearest)
    return table
