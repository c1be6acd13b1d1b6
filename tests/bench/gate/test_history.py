"""What is remembered of changes, and the page that shows it."""

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lam_engines.errors import LamError
from lam_export.bench.gate.history import HISTORY, History, ScoredSubject, Trial, read_history
from lam_export.bench.gate.history_page import relative_times, score_against_time, shown
from lam_export.evidence.record import markdown, page, write_record


def subject(name: str, score: float = 0.8) -> ScoredSubject:
    digest = name.encode().hex().ljust(64, "0")[:64]
    return ScoredSubject(bundle=name, manifest_sha256=digest, engine="onnxruntime", precision="fp32", score=score)


def trial(before: str, after: str, speedup: float, *, reasons: Sequence[str] = (), change: str = "a change") -> Trial:
    return Trial(
        change=change,
        created="2026-01-01T00:00:00+00:00",
        machine="a processor, 2 cores",
        baseline=subject(before),
        candidate=subject(after),
        speedups={"1 x 16": speedup},
        speedup=speedup,
        low=speedup - 0.1,
        high=speedup + 0.1,
        accepted=not reasons,
        reasons=tuple(reasons),
    )


CHAIN = History(
    trials=(
        trial("a", "b", 2.0),
        trial("b", "c", 0.5, reasons=["not faster beyond doubt"]),
        trial("b", "d", 4.0, change='<b>"bold"</b>'),
    )
)


def test_ratios_multiply_along_the_chain() -> None:
    assert relative_times(CHAIN) == [0.5, 1.0, 0.125]


def test_kept_and_rejected_are_told_apart() -> None:
    plot = score_against_time(CHAIN)
    assert {points.style: len(points.tips) for points in plot.points} == {"total": 1, "own": 2, "bad": 1}
    (line,) = plot.lines
    assert line.path.count("L") == 2, "through the changes that were kept"


def test_the_page_says_everything_and_trusts_nothing() -> None:
    drawn, text = page(shown(CHAIN)), markdown(shown(CHAIN))
    assert "2 of 3 kept" in drawn
    assert text.startswith("### ✅ ACCEPTED")
    for medium in (drawn, text):
        assert "not faster beyond doubt" in medium
        assert "<b>" not in medium
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(drawn)
    assert tags.count("svg") == 1
    assert tags.count("tr") == 6 + 4, "the latest trial, and all of them"


def test_a_bundle_without_history(tmp_path: Path) -> None:
    assert read_history(tmp_path) == History()


def test_written_and_read_again(tmp_path: Path) -> None:
    write_record(tmp_path / HISTORY.parent, HISTORY.stem, shown(CHAIN))
    assert read_history(tmp_path) == CHAIN
    assert sorted(p.name for p in (tmp_path / "reports").iterdir()) == ["history.html", "history.json", "history.md"]
    assert json.loads((tmp_path / HISTORY).read_text())["history_version"] == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"history_version": 2}', b"\xff\xfe", b'{"trials": [{}]}'])
def test_what_is_no_history_is_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / HISTORY
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LamError, match=r"expected the history of a bundle in .*history\.json, found: .*move the file"):
        read_history(tmp_path)
    assert path.read_bytes() == content
