"""The terminal: 80 columns, no markup, no controls."""

from io import StringIO

import sample
from rich.console import Console

from lam_export.evidence.record import terminal
from lam_export.validate.report.report_page import shown
from lam_export.validate.report.schema import Report


def printed(report: Report, *, colours: bool = False) -> str:
    file = StringIO()
    Console(width=80, file=file, force_terminal=colours, color_system="standard" if colours else None).print(
        terminal(shown(report))
    )
    return file.getvalue()


def test_it_fits_in_80_columns_and_says_what_failed() -> None:
    text = printed(sample.report())
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "model.onnx" in text
    assert "1 − 9.5e-13" in text
    assert "cosine 0.9983 is below 0.9995" in " ".join(text.split())
    assert "layers.3.form" in text
    assert text.rstrip().splitlines()[-1] == "FAIL 1 of 2 candidates fails: 1 check is missed."


def test_a_report_that_passes_is_short() -> None:
    report = sample.report()
    text = printed(report.model_copy(update={"comparisons": report.comparisons[:1], "passed": True}))
    assert "is below" not in text
    assert text.rstrip().splitlines()[-1] == "PASS Every check holds."


def test_foreign_texts_are_neither_markup_nor_controls() -> None:
    report = sample.report()
    bad = report.comparisons[1]
    evil = "[red]a[/] \x1b]0;taken\x07 \u202e \ud83d [link=https://example.org]b[/link]"
    checks = (bad.checks[0].model_copy(update={"detail": evil, "name": evil}),)
    side = bad.candidate.model_copy(update={"name": evil})
    report = report.model_copy(update={"comparisons": (bad.model_copy(update={"checks": checks, "candidate": side}),)})
    text = printed(report)
    assert "[red]a[/]" in text
    assert not {"\x1b", "\x07", "\u202e", "\ud83d"} & set(text)
    assert "\x1b]" not in printed(report, colours=True)
