"""``lam-export embed -o FOLDER``, with ``--ray`` or without."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines import InputError

from ._console import empty_texts, err, note, say
from ._progress import shown_texts

if TYPE_CHECKING:
    from lam_engines.bulk.run import BulkOptions


def embed_into_folder(bundle: Path, source: Path | None, output: Path | None, options: "BulkOptions") -> None:
    """Embed a file or folder into a folder of Parquet files, with progress on standard error.

    Raises:
        InputError: the input or the output is missing, or the input is standard input.
        LamError: as for :func:`lam_engines.bulk.run.embed_folder`.
    """
    if source is None or output is None or str(source) == "-":
        which = "with --ray" if options.ray else "for an output folder"
        raise InputError(f"expected an input and an output folder {which}; name them: --input FOLDER -o FOLDER")
    from lam_engines.bulk.output import REASONS
    from lam_engines.bulk.run import embed_folder
    from lam_engines.progress import Progress

    with shown_texts("reading the texts", None) as texts:
        done = embed_folder(bundle, source, output, options, Progress(texts.begin, texts.advance, texts.tell))
    before = f", {done.partitions_before} of them by earlier runs" if done.partitions_before else ""
    if done.errors:
        note(
            f"{done.errors:,} rows had no readable text (--on-error {options.reading.on_error}); see {output / REASONS}"
        )
    if done.empty:
        note(empty_texts(done.empty, done.rows))
    say(
        err,
        f"Wrote {output} ({done.rows:,} embeddings of {done.hidden_size} in {done.partitions} files{before})",
        style="green",
    )
