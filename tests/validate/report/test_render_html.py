"""The page is whole, holds nothing but itself, and shows hostile texts as texts."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import pytest
import sample

from lam_export.evidence import record
from lam_export.evidence.words import visible
from lam_export.validate.report.report_page import shown
from lam_export.validate.report.schema import Comparison, Report

VOID = {"meta", "br", "hr", "img", "input", "link"}
SVG_LEAVES = {"path", "rect", "circle"}


class Page(HTMLParser):
    """The elements of a document; what is opened and not closed is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_LEAVES, tag
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report() -> Report:
    return sample.report()


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return html_page(report)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def html_page(report: Report) -> str:
    return record.page(shown(report))


def changed(report: Report, **update: object) -> Report:
    """The report with its second comparison changed."""
    good, bad = report.comparisons
    return report.model_copy(update={"comparisons": (good, bad.model_copy(update=update))})


def test_nothing_is_loaded_from_anywhere(text: str, page: Page) -> None:
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "data", "action", "poster", "background", "style"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert attributes.get("href", "#").startswith("#"), attributes
    assert not {"link", "base", "iframe", "object", "img", "image", "use"} & {tag for tag, _ in page.elements}
    (style,) = page.texts["style"]
    assert "url(" not in style
    assert "@import" not in style
    assert len(text.encode()) < 1_000_000


def test_the_policy_lets_only_the_pages_own_script_and_style_run(page: Page) -> None:
    policy = next(meta["content"] for meta in page.named("meta") if "http-equiv" in meta)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    data, script = page.texts["script"]
    for rule, inline in (("script-src", script), ("style-src", page.texts["style"][0])):
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert json.loads(data) == [visible(start) for start in sample.report().starts]


def test_hostile_texts_are_texts(report: Report, text: str, page: Page) -> None:
    cells = " ".join("".join(parts) for parts in page.texts.values())
    for row in (row for comparison in report.comparisons for row in comparison.worst):
        assert visible(row.text) in cells
    assert "demo-<b>bundle</b>" in cells
    assert len(page.named("script")) == 2
    assert not page.named("b")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", text)


def test_names_of_a_users_making_are_texts_too(report: Report) -> None:
    evil = "<i>'\"\n{{ 1 }}"
    good, bad = report.comparisons
    side = bad.candidate.model_copy(update={"name": evil, "runtime": evil, "artefact": evil})
    parts = (bad.parts[0].model_copy(update={"part": evil, "suspect": True}), *bad.parts[1:])
    evil_one = bad.model_copy(update={"candidate": side, "parts": parts})
    update = {"comparisons": (good, evil_one), "machine": evil, "tools": {evil: evil}, "created": evil}
    page = Page(html_page(report.model_copy(update={**update, "sources": (evil,)})))
    assert not page.named("i") or all(set(i) == {"class"} for i in page.named("i"))
    assert sum(visible(evil) in part for parts in page.texts.values() for part in parts) >= 9


def test_every_plot_is_drawn(report: Report, page: Page) -> None:
    assert len(page.named("svg")) == 8
    for svg in page.named("svg"):
        assert svg["role"] == "img"
        assert len(svg["aria-label"]) > 60
    points = [path for path in page.named("path") if path.get("class", "").startswith("points")]
    dots = [path["d"].count("h0") for path in points]
    assert [len(json.loads(path["data-tips"])) for path in points] == dots
    # A dot for each text, for each part's own and total error, for each pair.
    parts = len(report.comparisons[0].parts)
    assert sum(dots) == 2 * (sample.TEXTS + 2 * parts + sample.PAIRS)
    bars = [int(re.match(r"\d+", bar["data-tip"])[0]) for bar in page.named("rect")]
    assert sum(bars) == 2 * sample.TEXTS
    assert any("bad" in bar["class"] for bar in page.named("rect"))


def test_a_plot_that_cannot_be_drawn_says_why(report: Report) -> None:
    text = html_page(changed(report, parts=(), sts=None))
    assert len(Page(text).named("svg")) == 6
    assert "shows no inner values" in text
    assert "No pairs with gold scores were given" in text


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_figures_that_are_no_numbers_or_nothing_do_not_stop_the_page(report: Report, value: float) -> None:
    bad = report.comparisons[1]
    none = bad.series.model_copy(
        update={
            "cosine": (value, *bad.series.cosine[1:]),
            "relative_rms": (value, *bad.series.relative_rms[1:]),
            "sts_candidate": (value,) * sample.PAIRS,
        }
    )
    parts = tuple(part.model_copy(update={"own": value, "total": value}) for part in bad.parts)
    text = html_page(changed(report, series=none, parts=parts, cosine=value, nan=384, max_abs=value))
    assert len(Page(text).named("svg")) >= 7
    if value:
        assert "1 text, NaN or infinite, left out" in text


def test_one_text_of_one_token_and_equal_results_are_drawn(report: Report) -> None:
    bad = report.comparisons[1]
    series = bad.series.model_copy(
        update={
            "tokens": (1,),
            "max_abs": (0.0,),
            "relative_rms": (0.0,),
            "cosine": (1.0,),
            "sts_gold": (0.0,),
            "sts_reference": (0.5,),
            "sts_candidate": (0.5,),
        }
    )
    text = html_page(changed(report, series=series, parts=bad.parts[:1]))
    assert len(Page(text).named("svg")) == 8


def test_without_a_gate_on_cosine_nothing_is_marked(report: Report) -> None:
    text = html_page(changed(report, checks=()))
    assert text.count('class="line gate"') == 1  # the other candidate's


def test_headings_tables_and_names_are_for_everyone(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "href"):
            if name in attributes:
                assert attributes[name].removeprefix("#") in ids
    assert all(cell.get("scope") in ("col", "row") for cell in page.named("th"))
    assert len(page.named("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_colours_can_be_read_in_the_light_and_in_the_dark() -> None:
    style = (files("lam_export.evidence.page") / "templates" / "style.css").read_text(encoding="utf-8")
    palettes = [
        dict(re.findall(r"--([\w-]+): #([0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    ]
    light, dark = [palette for palette in palettes if palette]
    assert set(light) == set(dark)
    for palette in (light, dark):
        for text, back in (
            *((ink, ground) for ink in ("ink", "quiet") for ground in ("page", "raised")),
            *((ink, "fail-back") for ink in ("ink", "link", "on-fail")),
            *((ink, "page") for ink in ("link", "pass", "fail", "on-fail")),
            ("pass", "pass-back"),
        ):
            assert contrast(palette[text], palette[back]) >= 4.5, (text, back)
        for mark in ("good", "fail", "total", *(f"gold{i}" for i in range(1, 5))):
            assert contrast(palette[mark], palette["page"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    """Of two colours, by WCAG 2.2."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_failed_checks_come_first(report: Report, text: str) -> None:
    failed: Comparison = report.comparisons[1]
    assert text.index("<h1") < text.index("cosine 0.9983 is below 0.9995") < text.index("<h2")
    assert not failed.passed
    passed = report.model_copy(update={"comparisons": report.comparisons[:1], "passed": True})
    assert "is below" not in html_page(passed)
