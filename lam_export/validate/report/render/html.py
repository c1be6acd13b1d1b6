"""A report as one HTML file. It needs no network, no other file and, except for comfort, no scripts."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from lam_export.evidence.page.document import document
from lam_export.validate.report.schema import Bucket, Report

from . import words
from .plots import plots

if TYPE_CHECKING:
    pass


def html_page(report: Report) -> str:
    """The report as an HTML document."""
    return document(
        __package__,
        "page.html",
        starts=report.starts,
        report=report,
        functions={name: getattr(words, name) for name in _WORDS} | {"by": _by_kind},
        sections=[(comparison, plots(comparison)) for comparison in report.comparisons],
    )


_WORDS = (
    "SUMMARY",
    "asked",
    "change",
    "correlation",
    "cosine_threshold",
    "failed_checks",
    "failure",
    "headline",
    "margin",
    "summary_row",
    "verdict",
)


def _by_kind(buckets: Sequence[Bucket]) -> list[tuple[str, list[Bucket]]]:
    return [(key, list(group)) for key, group in groupby(buckets, key=lambda bucket: bucket.by)]
