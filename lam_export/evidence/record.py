"""Show a record as an HTML page, as Markdown or on a terminal, and write it to a folder.

The code that makes a record puts it into a :class:`Shown`, together with the tables and plots that show it. The
functions of this module show any of these.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.whole import write_whole
from lam_engines.errors import LamError

from .page.document import document
from .page.drawing import Plot
from .schema import Measured, Outcome, Record
from .tables import Medium, Table, as_text, markdown_table, rich_table, verdict_style
from .words import code, visible

if TYPE_CHECKING:
    from rich.console import Group

NONE = "–"
"""What a table shows where it has no figure."""
WHERE_ELSE = "name another folder: -o FOLDER"
"""What to do if a folder cannot be written to."""


@dataclass(frozen=True)
class Section:
    """Tables and plots in the order in which they are read."""

    blocks: Sequence[Table | tuple[Plot, ...]]
    title: str = ""
    """What the section is about, such as one candidate; empty if it is about the whole record."""
    about: str = ""
    """A few words below the title."""
    passed: bool | None = None
    """The verdict on what the section is about; None if there is none."""


@dataclass(frozen=True)
class Shown:
    """A record, with the tables and plots that show it."""

    kind: str
    """What the record is called in headings, such as ``Benchmark``."""
    name: str
    """What the record is about: the name of a bundle."""
    record: Record
    passed: bool
    headline: str
    """The most important fact, in a sentence."""
    sections: Sequence[Section]
    verdict: str = ""
    """The outcome in a word, such as ``PASS``; empty if nothing was judged."""
    about: str = ""
    """How the figures came about, in a few sentences."""
    faults: Sequence[tuple[str, str]] = ()
    """What is wrong: the title of a section, and a sentence about it."""
    provenance: Sequence[tuple[str, str]] = ()
    """Where the figures come from, as pairs of a name and a value."""
    starts: Sequence[str] = field(default=(), repr=False)
    """The beginnings of the texts that the dots of the plots stand for."""

    def tables(self, medium: Medium) -> Iterator[tuple[Section, Table]]:
        """The tables that a medium shows, each with its section."""
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Table) and block.shown_in(medium):
                    yield section, block


def measured(kind: str, record: Measured, about: str, blocks: Sequence[Table | tuple[Plot, ...]]) -> Shown:
    """A measurement, with the tables and plots that show it."""
    return Shown(
        kind,
        record.bundle,
        record,
        record.matched,
        headline(record),
        [Section(blocks)],
        about=f"{record.machine}; {record.threads} threads. {about}",
        provenance=provenance(record),
    )


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


def to_json(record: Record) -> str:
    """The record as JSON, as its file holds it."""
    return record.model_dump_json(indent=2) + "\n"


def page(shown: Shown) -> str:
    """An HTML document that needs nothing else."""
    return document(shown=shown, starts=shown.starts)


def markdown(shown: Shown) -> str:
    """The tables as Markdown for a comment on a pull request, with a folded list of where the figures come from.

    Texts from anywhere stand in ``<code>``, where they cannot mention anyone or become links. All punctuation in them
    is written as character references, because a code span in backticks cannot hold a ``|`` after a backslash in a
    table.
    """
    mark = f"{'✅' if shown.passed else '❌'} {shown.verdict} · " if shown.verdict else ""
    blocks = [f"### {mark}{shown.kind} of {code(shown.name)}", as_text(shown.headline)]
    if shown.faults:
        blocks.append("\n".join(f"- {as_text(who)}: {as_text(what)}" for who, what in shown.faults))
    for section, table in shown.tables("markdown"):
        if table.folded_in_markdown is not None:
            of = f" of {as_text(section.title)}" if section.title else ""
            blocks.append(_folded(f"{as_text(table.title)}{of}", markdown_table(table)))
        else:
            blocks += [f"#### {as_text(table.title)}", markdown_table(table)]
            blocks += [as_text(table.note)] if table.note else []
    if shown.provenance:
        facts = Table("", ("", ""), tuple(shown.provenance), 2)
        blocks.append(_folded("Where this comes from", markdown_table(facts)))
    return "\n\n".join(blocks) + "\n"


def _folded(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def terminal(shown: Shown) -> "Group":
    """The tables that fit a terminal of 80 columns, what is wrong and the verdict, for ``rich`` to print.

    No text of the record is read as markup or reaches the terminal as a control character.
    """
    from rich.console import Group
    from rich.text import Text

    drawn = (part for _, table in shown.tables("terminal") for part in rich_table(table))
    faults = [
        Text.assemble(("✗ ", "bold red"), (visible(who), "bold"), f": {visible(what)}") for who, what in shown.faults
    ]
    verdict = Text(" ".join(filter(None, (shown.verdict, visible(shown.headline)))), verdict_style(shown.passed))
    return Group(*drawn, *faults, *([Text()] if faults else []), verdict)


def check_folder(folder: Path) -> None:
    """Check that a record can be written, before it takes minutes to make one.

    Raises:
        LamError: there is a file at the folder's path, or the folder may not be written to.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise LamError(f"expected a folder at {folder}, found a file at {existing}; {WHERE_ELSE}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise LamError(f"cannot write to {folder} ({existing} may not be written to); {WHERE_ELSE}")


@dataclass(frozen=True)
class Written:
    """A record, and the folder that it was written to."""

    shown: Shown
    folder: Path


def write_record(folder: Path, name: str, shown: Shown, remedy: str = WHERE_ELSE) -> Written:
    """Write ``NAME.html``, ``NAME.md`` and, last, ``NAME.json`` into a folder.

    Each file is written whole or not at all, and replaces an old one.

    Raises:
        LamError: the disk is full, or the folder may not be written to.
    """
    files = {f"{name}.html": page(shown), f"{name}.md": markdown(shown), f"{name}.json": to_json(shown.record)}
    try:
        for file, content in files.items():
            write_whole(folder / file, content.encode("utf-8"))
    except OSError as error:
        raise LamError(f"{', '.join(files)} were not written to {folder} ({error.strerror}); {remedy}") from None
    return Written(shown, folder)
