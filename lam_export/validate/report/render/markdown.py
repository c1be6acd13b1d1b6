"""A report as Markdown, for a comment on a pull request."""

from collections.abc import Iterable, Sequence

from lam_export.evidence.words import code, figure
from lam_export.validate.report.schema import Report

from .words import SUMMARY, asked, failed_checks, headline, margin, summary_row, verdict

_WORST = 5


def markdown(report: Report) -> str:
    """The verdict, the candidates side by side, the failed checks and the worst texts. Details are folded.

    Texts stand in ``<code>``, where they cannot mention anyone or become links. All punctuation is written as character
    references, because a code span in backticks cannot hold a ``|`` after a backslash in a table.
    """
    blocks = [
        f"### {_mark(report.passed)} {code(report.bundle)}",
        headline(report),
        _table(
            SUMMARY,
            ((code(name), *cells) for name, *cells in map(summary_row, report.comparisons)),
            numbers_from=2,
        ),
    ]
    failed = [(comparison, check) for comparison in report.comparisons for check in failed_checks(comparison)]
    if failed:
        blocks.append("**Missed**")
        blocks.append(
            _table(
                ("candidate", "check", "asked", "found", "margin", "on what"),
                (
                    (
                        code(comparison.candidate.name),
                        code(check.name),
                        asked(check),
                        figure(check.found),
                        margin(check),
                        code(check.detail),
                    )
                    for comparison, check in failed
                ),
            )
        )
    for comparison in report.comparisons:
        if comparison.suspect is not None:
            blocks.append(
                f"In {code(comparison.candidate.name)}, {code(comparison.suspect)} is the first part whose own error "
                "is more than its precision explains."
            )
    for comparison in report.comparisons:
        if comparison.worst:
            worst = _table(
                ("cosine", "max-abs", "tokens", "text"),
                (
                    (figure(row.cosine), figure(row.max_abs), figure(row.tokens), code(row.text or "(empty)"))
                    for row in comparison.worst[:_WORST]
                ),
            )
            blocks.append(_folded(f"Worst texts of {code(comparison.candidate.name)}", worst))
    blocks.append(_folded("Where this comes from", _provenance(report)))
    return "\n\n".join(blocks) + "\n"


def _provenance(report: Report) -> str:
    rows = [
        ("created", code(report.created)),
        ("machine", code(report.machine)),
        ("texts", f"{figure(report.texts)} of {', '.join(map(code, report.sources))}"),
        ("texts, SHA-256", code(report.texts_sha256)),
        ("manifest, SHA-256", code(report.manifest_sha256)),
        ("checkpoint, SHA-256", code(report.checkpoint_sha256)),
        *((f"{code(c.candidate.artefact)}, SHA-256", code(c.candidate.sha256)) for c in report.comparisons),
        *((code(name), code(version)) for name, version in sorted(report.tools.items())),
    ]
    return _table(("", ""), rows)


def _mark(passed: bool) -> str:
    return f"{'✅' if passed else '❌'} {verdict(passed)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int | None = None) -> str:
    """A table of cells that are Markdown already. The columns from ``numbers_from`` on are right-aligned."""
    rules = ["---:" if numbers_from is not None and i >= numbers_from else "---" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rules, *rows))


def _folded(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
