"""The comment on a pull request: its tables stay whole and foreign texts stay texts."""

import re
from html import unescape

import pytest
import sample
from markdown_it import MarkdownIt

from lam_export.evidence import record
from lam_export.evidence.words import code, visible
from lam_export.validate.report.report_page import shown
from lam_export.validate.report.schema import Report


def markdown(report: Report) -> str:
    return record.markdown(shown(report))


@pytest.fixture(scope="module")
def html() -> str:
    return MarkdownIt("commonmark").enable("table").render(markdown(sample.report()))


def test_the_verdict_is_first_and_what_failed_follows() -> None:
    text = markdown(sample.report())
    assert text.startswith("### ❌ FAIL")
    assert "at least 0.9995 | 0.9983 | −0.00118" in text
    assert "layers.3.form" in text


def test_tables_are_whole(html: str) -> None:
    tables = re.findall(r"<table>.*?</table>", html, re.S)
    # Side by side, the checks and the worst texts of each candidate, where it comes from.
    assert [len(re.findall(r"<th\b", table)) for table in tables] == [7, 6, 7, 6, 7, 2]
    for table in tables:
        columns = len(re.findall(r"<th\b", table))
        rows = re.findall(r"<tr>.*?</tr>", table, re.S)[1:]
        assert rows
        for row in rows:
            cells = re.findall(r"<td.*?>(.*?)</td>", row, re.S)
            assert len(cells) == columns
            assert all(cells), row
    assert html.count("<details>") == html.count("</details>") == 5


def test_foreign_texts_are_shown_as_they_are(html: str) -> None:
    shown = [unescape(text) for text in re.findall("<code>(.*?)</code>", html, re.S)]
    for comparison in sample.report().comparisons:
        for row in comparison.worst[:5]:
            assert visible(row.text) in shown
    assert "demo-<b>bundle</b>" in shown
    assert set(re.findall(r"<(\w+)", html)) <= {
        *(
            "h3",
            "h4",
            "ul",
            "li",
            "p",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "code",
            "details",
            "summary",
            "strong",
        )
    }


@pytest.mark.parametrize("text", sample.HOSTILE)
def test_any_text_survives_in_a_table(text: str) -> None:
    html = MarkdownIt("commonmark").enable("table").render(f"| a | b |\n| --- | --- |\n| {code(text)} | end |")
    (shown, end) = re.findall(r"<td>(.*?)</td>", html, re.S)
    assert unescape(re.fullmatch("<code>(.*)</code>", shown, re.S)[1]) == visible(text)
    assert end == "end"


def test_long_texts_are_cut() -> None:
    assert code("a" * 1000) == f"<code>{'a' * 200}…</code>"


def test_it_fits_into_a_comment() -> None:
    assert len(markdown(sample.report()).encode()) < 65_536
