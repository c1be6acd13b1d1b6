"""Show a record as an HTML page, as Markdown or on a terminal, and write it to a folder.

A record is a :class:`~lam_export.evidence.schema.Measured`. The code that makes a record puts it into a :class:`Shown`,
together with the tables and plots that show it. The functions of this module show any of these.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.whole import write_whole
from lam_engines.errors import LamError

from .page.document import document
from .page.drawing import Plot
from .schema import Measured, Outcome
from .tables import Table, as_text, markdown_table, rich_table
from .words import code

if TYPE_CHECKING:
    from rich.console import Group

NONE = "–"
"""What a table shows where it has no figure."""


@dataclass(frozen=True)
class Shown:
    """A record, with the tables and plots that show it."""

    kind: str
    """What the record is called in headings, such as ``Benchmark``."""
    record: Measured
    about: str
    """How it was measured, in a sentence."""
    tables: Sequence[Table]
    plots: Sequence[Plot]
    page_tables: Sequence[Table] | None = None
    """The tables of the page; None if they are the same as ``tables``."""


def headline(record: Measured) -> str:
    """One sentence before the figures: whether all embeddings are right."""
    wrong = list(dict.fromkeys(result.subject for result in record.results if result.status == "mismatch"))
    if not wrong:
        return "All embeddings that were timed hold the thresholds of their precision."
    return f"Some embeddings are wrong and were not timed: {', '.join(wrong)}."


def provenance(record: Measured) -> tuple[tuple[str, str], ...]:
    """Where the figures come from, as pairs of a name and a value."""
    load = NONE if record.load is None else f"{record.load:.2f}"
    return (
        ("created", record.created),
        ("machine", record.machine),
        ("load before", f"{load} runnable processes on average in the minute before the first measurement"),
        ("threads", str(record.threads)),
        ("compared with", record.reference),
        ("bundle", f"{record.bundle}, manifest {record.manifest_sha256}"),
        *((who.name, f"{who.runtime}, {who.precision}, {who.artefact} {who.sha256}") for who in record.subjects),
        *record.tools.items(),
    )


def remarks(results: Sequence[Outcome]) -> Table:
    """A table of notes: why some results have no figures, and caveats of others."""
    rows = tuple((result.shape, result.subject, result.note) for result in results if result.note)
    return Table("What else to know", ("texts x tokens", "", ""), rows, 3)


def to_json(record: Measured) -> str:
    """The record as JSON, as its file holds it."""
    return record.model_dump_json(indent=2) + "\n"


def page(shown: Shown) -> str:
    """An HTML document that needs nothing else."""
    return document(
        __package__ + ".page",
        "record.html",
        kind=shown.kind,
        record=shown.record,
        about=shown.about,
        headline=headline(shown.record),
        tables=shown.page_tables or shown.tables,
        plots=shown.plots,
        provenance=provenance(shown.record),
    )


def markdown(shown: Shown) -> str:
    """All tables as Markdown, with a folded list of where the figures come from."""
    blocks = [f"### {shown.kind} of {code(shown.record.bundle)}", as_text(headline(shown.record))]
    for table in shown.tables:
        blocks += [f"#### {as_text(table.title)}", markdown_table(table), *([table.note] if table.note else [])]
    facts = markdown_table(Table("", ("", ""), provenance(shown.record), 2))
    blocks.append(f"<details><summary>Where this comes from</summary>\n\n{facts}\n\n</details>")
    return "\n\n".join(blocks) + "\n"


def terminal(shown: Shown) -> "Group":
    """All tables for ``rich`` to print. Nothing in them is read as markup."""
    from rich.console import Group
    from rich.text import Text

    style = "green" if shown.record.matched else "bold red"
    drawn = (part for table in shown.tables for part in rich_table(table))
    return Group(*drawn, Text(headline(shown.record), style))


def check_folder(folder: Path) -> None:
    """Check that a record can be written, before it takes minutes to make one.

    Raises:
        LamError: there is a file at the folder's path, or the folder may not be written to.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise LamError(f"expected a folder at {folder}, found a file at {existing}; name another folder: -o FOLDER")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise LamError(f"cannot write to {folder} ({existing} may not be written to); name another folder: -o FOLDER")


def write_record(folder: Path, name: str, shown: Shown) -> None:
    """Write ``NAME.html``, ``NAME.md`` and, last, ``NAME.json`` into a folder.

    Raises:
        LamError: the disk is full, or the folder may not be written to.
    """
    write_files(
        folder, {f"{name}.html": page(shown), f"{name}.md": markdown(shown), f"{name}.json": to_json(shown.record)}
    )


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts into a folder, in order. Each file is written whole or not at all, and replaces an old one.

    Raises:
        LamError: the disk is full, or the folder may not be written to.
    """
    try:
        for name, content in files.items():
            write_whole(folder / name, content.encode("utf-8"))
    except OSError as error:
        raise LamError(
            f"{', '.join(files)} were not written to {folder} ({error.strerror}); name another folder: -o FOLDER"
        ) from None
