"""Figures and texts as every medium writes them."""

import math

import pytest
import sample

from lam_export.evidence import words
from lam_export.validate.report.report_page import headline
from lam_export.validate.report.report_page import margin as margin_of
from lam_export.validate.report.schema import Check

JOINED = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f468\u200d\U0001f469"
"""A Persian word and an emoji that are held together by joiners."""


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (1379, "1,379"),
        (0.012, "0.0120"),
        (12.34, "12.3"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (1.2e-7, "1.2e-7"),
        (-1.2e-7, "-1.2e-7"),
        (3.4e12 + 0.5, "3.4e12"),
        (0.99949999, "0.99949"),
        (0.9995, "0.99950"),
        (0.99935, "0.99935"),
        (1 - 3.1e-13, "1 − 3.1e-13"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_figures(value: float, written: str) -> None:
    assert words.figure(value) == written


def test_what_is_below_a_threshold_is_never_written_as_at_it() -> None:
    for missing in (1e-4, 3e-5, 1e-6, 1e-9, 1e-12):
        assert words.figure(0.9995 - missing) < words.figure(0.9995)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, ünïcode, 机器", "plain, ünïcode, 机器"),
        ("two\nlines\ttab", r"two\nlines\ttab"),
        ("\x1b[31m\x00\x7f\x9b", r"\x1b[31m\x00\x7f\x9b"),
        ("\u202e\u2066\u2028", r"\u202e\u2066\u2028"),
        ("\ud83d", r"\ud83d"),
        ("  \n ", r"␣␣\n␣"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 👨‍👩‍👧",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 👨‍👩‍👧",
        ),
    ],
)
def test_controls_are_spelled_out_and_letters_stay(text: str, seen: str) -> None:
    assert words.visible(text) == seen


@pytest.mark.parametrize(
    ("holds_if", "threshold", "found", "margin"),
    [
        ("at least", 0.9995, 0.9993, "−2.0e-4"),
        ("at least", 0.9995, 0.9996, "+1.0e-4"),
        ("at most", 0.001, 0.004, "−0.00300"),
        ("at most", 2e-5, 0.0, "+2.0e-5"),
        ("at least", 0.9995, math.nan, "NaN"),
    ],
)
def test_margins(holds_if: str, threshold: float, found: float, margin: str) -> None:
    check = Check(name="x", holds_if=holds_if, threshold=threshold, found=found, passed=False, detail="")
    assert margin_of(check) == margin


def test_the_headline_counts() -> None:
    report = sample.report()
    assert headline(report) == "1 of 2 candidates fails: 1 check is missed."
    good, bad = report.comparisons
    assert headline(report.model_copy(update={"comparisons": (good, good)})) == ("2 of 2 candidates hold every check.")
    assert headline(report.model_copy(update={"comparisons": (bad,)})) == "1 check is missed."
