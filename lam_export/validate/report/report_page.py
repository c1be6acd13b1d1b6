"""A report for readers: the candidates side by side, what was missed, and the tables and plots of each candidate."""

import math
from collections.abc import Iterator
from itertools import groupby

from lam_export.evidence.record import NONE, Section, Shown
from lam_export.evidence.tables import Entry, Table
from lam_export.evidence.words import figure, megabytes, short_exponent

from .plots import plots
from .schema import Bucket, Check, Comparison, Report
from .score_tables import change, sts_table, tasks_table

_WORST_IN_MARKDOWN = 5


def shown(report: Report) -> Shown:
    """The report for every medium."""
    return Shown(
        "Accuracy report",
        report.bundle,
        report,
        report.passed,
        headline(report),
        [Section([_side_by_side(report)]), *map(_section, report.comparisons)],
        verdict=_verdict(report.passed),
        faults=[
            (comparison.candidate.name, fault) for comparison in report.comparisons for fault in _faults(comparison)
        ],
        provenance=_provenance(report),
        starts=report.starts,
    )


def headline(report: Report) -> str:
    """How many candidates failed, and how many checks."""
    total = len(report.comparisons)
    failed = [comparison for comparison in report.comparisons if not comparison.passed]
    if not failed:
        return "Every check holds." if total == 1 else f"{total} of {total} candidates hold every check."
    checks = sum(not check.passed for comparison in failed for check in comparison.checks)
    who = "" if total == 1 else f"{len(failed)} of {total} candidates {'fails' if len(failed) == 1 else 'fail'}: "
    return f"{who}{checks} {'check is' if checks == 1 else 'checks are'} missed."


def margin(check: Check) -> str:
    """By how much a check holds (+) or is missed (−)."""
    room = check.found - check.threshold if check.holds_if == "at least" else check.threshold - check.found
    return "NaN" if math.isnan(room) else ("−" if room < 0 else "+") + figure(abs(room))


def _verdict(passed: bool) -> str:
    return "PASS" if passed else "FAIL"


def _badge(passed: bool) -> Entry:
    return Entry(_verdict(passed), passed=passed)


def _figure(value: float) -> Entry:
    return Entry(figure(value), value)


def _faults(comparison: Comparison) -> Iterator[str]:
    yield from (check.detail for check in comparison.checks if not check.passed)
    if comparison.suspect is not None:
        yield f"look first at {comparison.suspect}: its own error is more than its precision explains"


def _side_by_side(report: Report) -> Table:
    rows = tuple(
        (
            comparison.candidate.name,
            _badge(comparison.passed),
            figure(comparison.cosine),
            figure(comparison.mean_cosine),
            change(comparison.sts.spearman.difference) if comparison.sts else NONE,
            figure(comparison.neighbours.recall_at_10),
            megabytes(comparison.candidate.bytes),
        )
        for comparison in report.comparisons
    )
    return Table(
        "Candidates side by side",
        ("candidate", "verdict", "worst cosine", "mean cosine", "STS change", "recall@10", "MB"),
        rows,
        2,
        f"Compared with {report.comparisons[0].reference.name} on {figure(report.texts)} texts. STS change: change of "
        "the Spearman correlation with the gold scores. MB: size of the file.",
    )


def _section(comparison: Comparison) -> Section:
    return Section(
        [
            _in_figures(comparison),
            _checks(comparison),
            plots(comparison),
            _worst(comparison),
            *(_buckets(by, list(group), comparison) for by, group in groupby(comparison.buckets, lambda b: b.by)),
            *([sts_table(comparison.sts)] if comparison.sts else []),
            *([tasks_table(comparison.tasks)] if comparison.tasks else []),
            _neighbours(comparison),
            _stability(comparison),
            _parts(comparison),
            _compared(comparison),
        ],
        comparison.candidate.name,
        f"against {comparison.reference.name}",
        comparison.passed,
    )


def _in_figures(comparison: Comparison) -> Table:
    head = ("", "seconds", "worst cosine", "mean cosine", "worst max-abs", "worst relative RMS", "NaN", "infinite")
    found = (comparison.cosine, comparison.mean_cosine, comparison.max_abs, comparison.relative_rms)
    counts = (comparison.nan, comparison.inf)
    row = (f"{figure(comparison.texts)} texts", f"{comparison.seconds:.1f}", *map(figure, (*found, *counts)))
    return Table("In figures", head, (row,), 1, missed=frozenset([0] if any(counts) else ()), least="page")


def _checks(comparison: Comparison) -> Table:
    rows = tuple(
        (
            check.name,
            _badge(check.passed),
            f"{check.holds_if} {short_exponent(f'{check.threshold:.10g}')}",
            figure(check.found),
            margin(check),
            check.detail,
        )
        for check in comparison.checks
    )
    missed = frozenset(i for i, check in enumerate(comparison.checks) if not check.passed)
    return Table(
        "Checks",
        ("check", "verdict", "asked", "found", "margin", "on what"),
        rows,
        3,
        numbers_to=5,
        missed=missed,
        least="markdown",
        folded_in_markdown=len(rows),
    )


def _worst(comparison: Comparison) -> Table:
    limit = comparison.asked_cosine
    rows: tuple[tuple[str | Entry, ...], ...] = tuple(
        (
            *map(_figure, (row.cosine, row.max_abs, row.relative_rms, row.tokens)),
            row.language,
            row.kind,
            Entry(row.text or "(empty)", foreign=True),
        )
        for row in comparison.worst
    )
    missed = frozenset(i for i, row in enumerate(comparison.worst) if limit is not None and not row.cosine >= limit)
    return Table(
        "Worst texts",
        ("cosine", "max-abs", "rel. RMS", "tokens", "language", "kind", "text"),
        rows,
        0,
        f"Marked: below the gate's cosine of {limit}." if missed else "",
        numbers_to=4,
        missed=missed,
        least="markdown",
        folded_in_markdown=_WORST_IN_MARKDOWN,
        sortable=True,
    )


def _buckets(by: str, buckets: list[Bucket], comparison: Comparison) -> Table:
    limit = comparison.asked_cosine
    return Table(
        f"By {by}",
        (by, "texts", "worst cosine", "mean cosine"),
        tuple((b.name, figure(b.texts), figure(b.worst_cosine), figure(b.mean_cosine)) for b in buckets),
        1,
        missed=frozenset(i for i, b in enumerate(buckets) if limit is not None and not b.worst_cosine >= limit),
        least="page",
        narrow=True,
    )


def _neighbours(comparison: Comparison) -> Table:
    found = comparison.neighbours
    return Table(
        "Nearest neighbours",
        ("", "the same"),
        (("recall@1", figure(found.recall_at_1)), ("recall@10", figure(found.recall_at_10))),
        1,
        f"The share of a text's nearest texts, among {figure(found.corpus)}, that are the same for reference and "
        "candidate.",
        least="page",
        narrow=True,
    )


def _stability(comparison: Comparison) -> Table:
    found = comparison.stability
    return Table(
        "The same text again",
        ("", "found"),
        (
            ("cosine in another batch", figure(found.batch_cosine)),
            ("cosine when padded", figure(found.padding_cosine)),
            ("cosine with other neighbours", figure(found.neighbours_cosine)),
            (f"max-abs of {figure(found.runs)} runs", figure(found.runs_max_abs)),
        ),
        1,
        f"Each cosine compares a text with itself. It is the worst of {figure(found.texts)} texts. The worst text: "
        f"{found.worst_text}",
        least="page",
        narrow=True,
    )


def _parts(comparison: Comparison) -> Table:
    return Table(
        f"All {len(comparison.parts)} parts in figures",
        ("part", "own", "total"),
        tuple(
            (Entry(part.part, i, small=("suspect",) if part.suspect else ()), _figure(part.own), _figure(part.total))
            for i, part in enumerate(comparison.parts)
        ),
        1,
        "Relative RMS over all tokens of the texts that were examined.",
        missed=frozenset(i for i, part in enumerate(comparison.parts) if part.suspect),
        least="page",
        folded=True,
        sortable=True,
        narrow=True,
    )


def _compared(comparison: Comparison) -> Table:
    sides = (("reference", comparison.reference), ("candidate", comparison.candidate))
    return Table(
        "What was compared",
        ("", "name", "precision", "runtime", "file", "bytes", "SHA-256"),
        tuple(
            (role, side.name, side.precision, side.runtime, side.artefact, f"{side.bytes:,}", side.sha256)
            for role, side in sides
        ),
        5,
        numbers_to=6,
        least="page",
        folded=True,
    )


def _provenance(report: Report) -> tuple[tuple[str, str], ...]:
    return (
        ("created", report.created),
        ("machine", report.machine),
        ("texts", f"{figure(report.texts)}, from {', '.join(report.sources)}"),
        *sorted(report.tools.items()),
        ("texts, SHA-256", report.texts_sha256),
        ("manifest, SHA-256", report.manifest_sha256),
        ("checkpoint, SHA-256", report.checkpoint_sha256),
        *((f"{c.candidate.artefact}, SHA-256", c.candidate.sha256) for c in report.comparisons),
    )
