"""``lam-export embed --format openai-batch``: a file of OpenAI's requests."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lam_engines import InputError
from lam_engines.contract import MAX_TEXT_BYTES, OPENAI_BATCH
from lam_export.requirements import require

from ._console import err, note, say
from ._embed_file import Job
from ._progress import shown_texts

if TYPE_CHECKING:
    from lam_engines.embedding.engine import EmbeddingEngine
    from lam_engines.files import Reading


def check_batch(source: Path | None, reading: "Reading", output: Path | None) -> None:
    """Refuse what the format does not have, before a bundle is loaded.

    Raises:
        InputError: names what does not apply, or is missing.
    """
    from lam_engines.files import Reading

    require("msgspec", "orjson", "starlette", extra="serve")
    if source is None or output is None or source.is_dir():
        raise InputError(f"expected --input FILE and -o FILE.jsonl with --format {OPENAI_BATCH}, found one missing")
    if reading != Reading(format=OPENAI_BATCH, max_text_bytes=reading.max_text_bytes):
        raise InputError(
            f"expected none of --column, --keep, --id-column, --delimiter and --on-error with --format {OPENAI_BATCH}, "
            f"found one; leave it out"
        )


def embed_requests(engine: "EmbeddingEngine", source: Path, job: Job, max_text_bytes: int = MAX_TEXT_BYTES) -> None:
    """Answer the requests of a file.

    Raises:
        typer.Exit: 2; some requests were answered with an error.
    """
    from lam_engines.files.reasons import reasons_beside
    from lam_engines.serving.http.batch_file import embed_batch

    assert job.output is not None  # noqa: S101 - check_batch has seen to it
    total = source.stat().st_size if source.is_file() else None
    with shown_texts("Embedding", total) as shown:
        done = embed_batch(
            engine,
            source,
            job.output,
            force=job.force,
            batch_tokens=job.batch_tokens,
            max_text_bytes=max_text_bytes,
            progress=shown.advance,
        )
    if not done.requests:
        note(f"found no request in {source}")
    say(err, f"Wrote {job.output} ({done.requests - done.failed:,} requests, {done.texts:,} texts)", style="green")
    if done.failed:
        note(f"{done.failed:,} requests were answered with an error; see {reasons_beside(job.output)}")
        raise typer.Exit(2)
