"""``lam-export embed`` of arguments, a file or a pipe, into one file or onto the screen."""

import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lam_engines import InputError
from lam_engines.storage import is_remote

from ._console import empty_texts, err, note, out, say
from ._progress import ShownTexts, shown_texts

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from lam_engines.embedding.engine import EmbeddingEngine
    from lam_engines.files import Reading

_SHOWN = 20
_WARNINGS = 3
_Window = tuple[list[str], "np.ndarray", list[tuple[Any, ...]]]


@dataclass
class Job:
    """What is embedded, and where to."""

    output: Path | None
    force: bool
    batch_tokens: int | None
    empty: int = field(default=0, init=False)
    """Texts of white space alone, so far."""

    def count_empty(self, texts: Iterable[str]) -> None:
        self.empty += sum(not text.strip() for text in texts)


def embed_arguments(engine: "EmbeddingEngine", texts: list[str], job: Job) -> None:
    """Embed the texts themselves. A text that is the name of a file gets a warning."""
    named = [text for text in texts if _is_there(text)]
    for text in named[:_WARNINGS]:
        note(f"{text!r} is embedded as a text, and is also a file; to embed its content: --input {text}")
    if len(named) > _WARNINGS:
        note(f"so are {len(named) - _WARNINGS:,} more; a folder of files: --input FOLDER")

    def windows(shown: ShownTexts) -> Iterator[_Window]:
        some = texts if job.output is not None else texts[: _SHOWN + 1]  # one more tells that there are more
        for window, vectors in engine.embed_many(some, batch_tokens=job.batch_tokens, progress=shown.advance):
            job.count_empty(window)
            yield window, vectors, [()] * len(window)

    with shown_texts("Embedding", len(texts)) as shown:
        done = _write(engine, windows(shown), job, {})
    _tell(engine, done, job, "the arguments")


def embed_source(engine: "EmbeddingEngine", source: Path, reading: "Reading", job: Job) -> None:
    """Embed the rows of a file, a folder or standard input.

    Raises:
        LamError: a row has no readable text and ``reading`` allows none, or a file cannot be read or written.
    """
    from lam_engines.embedding.batching import windows as cut
    from lam_engines.files import read_rows
    from lam_engines.files.reasons import open_reasons, reasons_beside
    from lam_engines.files.rows import is_missing

    if reading.on_error == "skip" and job.output is not None and job.output.suffix.lower() == ".npy":
        raise InputError(
            f"expected an output that names its rows with --on-error skip, found {job.output}; take .jsonl or "
            f".parquet, or --on-error empty, which keeps every row in its place"
        )
    output = None if job.output is None or is_remote(source) or is_remote(job.output) else job.output.resolve()
    if output is not None and output.is_relative_to(source.resolve()):
        raise InputError(f"expected an output outside of the input {source}, found {job.output}; name another")
    with ExitStack() as stack:
        reasons_file = None if job.output is None else reasons_beside(job.output)
        reasons = stack.enter_context(open_reasons(reasons_file, job.force))
        reader = stack.enter_context(read_rows(source, reading, reasons.add, engine.check_length))
        never = set(reader.kept_types)  # a key of JSON lines may be misspelt, and be in no row

        def windows(shown: ShownTexts) -> Iterator[_Window]:
            before = 0
            rows = islice(reader, _SHOWN + 1) if job.output is None else reader
            for window in cut(rows, measure=lambda row: row.size):
                texts = [row.text for row in window]
                job.count_empty(texts)
                share = (reader.position - before) / len(window)  # a window is read before it is embedded
                before = reader.position
                progress = lambda texts, share=share: shown.advance(texts, texts * share)  # noqa: E731
                vectors = engine.embed(texts, batch_tokens=job.batch_tokens, progress=progress)
                for row in window if never else ():
                    values = zip(reader.kept_types, row.kept, strict=True)
                    never.difference_update(name for name, value in values if not is_missing(value))
                yield texts, vectors, [row.kept for row in window]

        with shown_texts("Embedding", reader.total) as shown:
            done = _write(engine, windows(shown), job, reader.kept_types)
    if reasons.count:
        see = f"; see {reasons_file}" if reasons_file else ""
        note(f"{reasons.count:,} rows had no readable text (--on-error {reading.on_error}){see}")
    if done and never:
        note(f"no row has a value in {', '.join(map(repr, sorted(never)))}")
    _tell(engine, done, job, str(source))


def embed_whole_files(engine: "EmbeddingEngine", names: list[str], job: Job) -> None:
    """Embed each file as one text, in constant memory.

    Raises:
        InputError: a pipe is named twice: it can be read once.
        LamError: a file cannot be read or written.
    """
    from lam_engines.files import read_pieces

    pipes = [pipe for name in names if (pipe := _pipe(name))]
    if len(pipes) != len(set(pipes)):
        raise InputError("expected standard input or a pipe once with --stream, found it twice; it can be read once")

    def windows(shown: ShownTexts) -> Iterator[_Window]:
        for name in names:
            blank = True

            def pieces(name: str = name) -> Iterator[str]:
                nonlocal blank
                for piece in read_pieces(Path(name)):
                    blank = blank and not piece.strip()
                    yield piece

            vector = engine.embed_stream(pieces())
            job.empty += blank
            shown.advance(1)
            yield [name], vector[None], [()]

    with shown_texts("Embedding", len(names)) as shown:
        done = _write(engine, windows(shown), job, {})
    _tell(engine, done, job, "the files")


def _write(engine: "EmbeddingEngine", windows: Iterator[_Window], job: Job, kept: Any) -> int:
    from lam_engines.files import open_writer

    done = 0
    if job.output is None:
        shown = [pair for texts, vectors, _ in windows for pair in zip(texts, vectors, strict=True)]
        if shown:
            out.print(_table(shown[:_SHOWN], more=len(shown) > _SHOWN))
        return len(shown)
    with open_writer(job.output, engine.model.hidden_size, force=job.force, kept=kept) as writer:
        for texts, vectors, values in windows:
            writer.write(texts, vectors, values)
            done += len(texts)
    return done


def _tell(engine: "EmbeddingEngine", done: int, job: Job, source: str) -> None:
    if not done:
        note(f"found no text in {source}")
    if job.empty:
        note(empty_texts(job.empty, done))
    if job.output is not None:
        say(err, f"Wrote {job.output} ({done:,} embeddings of {engine.model.hidden_size})", style="green")


def _is_there(text: str) -> bool:
    try:
        return text != "" and Path(text).exists()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False


def _pipe(name: str) -> object:
    """What tells a pipe from others; None for a file, which can be read again."""
    try:
        about = Path("/dev/stdin" if name == "-" else name).stat()
    except OSError:
        return "-" if name == "-" else None
    return (about.st_dev, about.st_ino) if name == "-" or not stat.S_ISREG(about.st_mode) else None


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
