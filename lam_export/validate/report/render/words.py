"""How a report's figures and texts are written, on every medium alike."""

import math
import re
from decimal import ROUND_FLOOR, Decimal
from unicodedata import category

from ..schema import Check, Comparison, Report

SUMMARY = ("candidate", "verdict", "worst cosine", "mean cosine", "STS change", "recall@10", "MB")
"""The columns in which candidates are compared side by side."""

_BIDI_CONTROLS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    """Spell out what would act on the reader's screen instead of being read: controls, line ends, text direction.

    Lone surrogates are spelled out too: no file can hold them. Joiners stay, since emoji and Persian need them. The
    spaces of a text that is nothing else are drawn.
    """
    if text.isspace():
        text = text.replace(" ", "␣")
    return "".join(_escaped(c) if c in _BIDI_CONTROLS or category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def figure(value: float) -> str:
    """Two or three digits that tell: ``0.0120``, ``1.2e-7``, ``0.99931``, ``1 − 3.1e-13``.

    What lies just below 1 is cut, never rounded: 0.99949 does not become 0.9995.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value):
        return f"{int(value):,}"
    if 0.9 < value < 1:
        return _below_one(value)
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
    return _short_exponent(f"{value:.1e}")


def _below_one(value: float) -> str:
    missing = 1 - value
    if missing < 1e-6:
        return f"1 − {figure(missing)}"
    digits = max(4, 1 - math.floor(math.log10(missing)))
    return str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR))


def _short_exponent(number: str) -> str:
    """``2e-05`` as ``2e-5``."""
    return re.sub(r"e([+-])0*", r"e\1", number).replace("e+", "e")


def change(value: float) -> str:
    """A difference of two correlations, five decimals and its sign."""
    return f"{value:+.5f}".replace("-", "−")


def correlation(value: float) -> str:
    return f"{value:.4f}".replace("-", "−")


def megabytes(size: int) -> str:
    """Bytes as megabytes of 10^6."""
    return f"{size / 1e6:.1f}"


def verdict(passed: bool) -> str:
    return "PASS" if passed else "FAIL"


def asked(check: Check) -> str:
    """What a check asks for: ``at least 0.9995``."""
    return f"{check.holds_if} {_short_exponent(f'{check.threshold:.10g}')}"


def margin(check: Check) -> str:
    """By how much a check holds (+) or is missed (−)."""
    room = check.found - check.threshold if check.holds_if == "at least" else check.threshold - check.found
    return "NaN" if math.isnan(room) else ("−" if room < 0 else "+") + figure(abs(room))


def failure(check: Check) -> str:
    """A failed check in a sentence: the gate's own, or ``cosine 0.9993, asked for at least 0.9995, missed by 2e-4``."""
    missed = margin(check).lstrip("−")
    figures = f"{check.name} {figure(check.found)}, asked for {asked(check)}, missed by {missed}"
    return visible(check.detail or figures)


def failed_checks(comparison: Comparison) -> list[Check]:
    return [check for check in comparison.checks if not check.passed]


def cosine_threshold(comparison: Comparison) -> float | None:
    """What the gate asks of every text's cosine; None if it does not."""
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
