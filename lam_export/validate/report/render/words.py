"""Write a report's figures and texts in the same way on every medium."""

import math

from lam_export.evidence.words import figure, megabytes, short_exponent, visible
from lam_export.validate.report.schema import Check, Comparison, Report

SUMMARY = ("candidate", "verdict", "worst cosine", "mean cosine", "STS change", "recall@10", "MB")
"""Columns of the table that compares candidates side by side."""


def change(value: float) -> str:
    """A difference of two correlations, with its sign and five decimals."""
    return f"{value:+.5f}".replace("-", "−")


def correlation(value: float) -> str:
    return f"{value:.4f}".replace("-", "−")


def verdict(passed: bool) -> str:
    return "PASS" if passed else "FAIL"


def asked(check: Check) -> str:
    """What a check asks for: ``at least 0.9995``."""
    return f"{check.holds_if} {short_exponent(f'{check.threshold:.10g}')}"


def margin(check: Check) -> str:
    """By how much a check holds (+) or is missed (−)."""
    room = check.found - check.threshold if check.holds_if == "at least" else check.threshold - check.found
    return "NaN" if math.isnan(room) else ("−" if room < 0 else "+") + figure(abs(room))


def failure(check: Check) -> str:
    """A failed check in a sentence: the check's detail, or else its figures.

    The figures read ``cosine 0.9993, asked for at least 0.9995, missed by 2e-4``.
    """
    missed = margin(check).lstrip("−")
    figures = f"{check.name} {figure(check.found)}, asked for {asked(check)}, missed by {missed}"
    return visible(check.detail or figures)


def failed_checks(comparison: Comparison) -> list[Check]:
    return [check for check in comparison.checks if not check.passed]


def cosine_threshold(comparison: Comparison) -> float | None:
    """The gate's threshold for every text's cosine; None if there is none."""
    return next((check.threshold for check in comparison.checks if check.name == "cosine"), None)


def headline(report: Report) -> str:
    """How many candidates failed, and how many checks."""
    total = len(report.comparisons)
    failed = [comparison for comparison in report.comparisons if not comparison.passed]
    if not failed:
        return "Every check holds." if total == 1 else f"{total} of {total} candidates hold every check."
    checks = sum(len(failed_checks(comparison)) for comparison in failed)
    who = "" if total == 1 else f"{len(failed)} of {total} candidates {'fails' if len(failed) == 1 else 'fail'}: "
    return f"{who}{checks} {'check is' if checks == 1 else 'checks are'} missed."


def summary_row(comparison: Comparison) -> tuple[str, ...]:
    """The cells of :data:`SUMMARY`."""
    return (
        visible(comparison.candidate.name),
        verdict(comparison.passed),
        figure(comparison.cosine),
        figure(comparison.mean_cosine),
        change(comparison.sts.spearman.difference) if comparison.sts else "–",
        figure(comparison.neighbours.recall_at_10),
        megabytes(comparison.candidate.bytes),
    )
