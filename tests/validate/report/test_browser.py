"""The page in a real browser, from a file and without a network."""

import re
from collections.abc import Iterator
from pathlib import Path

import chromium
import looks
import pytest
import sample

from lam_export.evidence.record import page as html_page
from lam_export.validate.report.report_page import shown

pytestmark = [
    pytest.mark.browser,
    pytest.mark.needs("chromium"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_page(shown(sample.report())), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.page(tmp_path_factory.mktemp("profile")) as page:
        yield page


SIZES = """[...document.querySelectorAll("svg")].map((svg) => {
    const box = svg.getBoundingClientRect();
    const marks = [...svg.querySelectorAll(".points, .bar")].filter((mark) => {
        const style = getComputedStyle(mark);
        const painted = mark.matches(".bar") ? style.fill : style.stroke;
        return painted !== "none" && painted !== getComputedStyle(document.body).backgroundColor;
    });
    return [box.width, box.height, marks.length];
})"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1200])
def test_it_opens_at_any_width_without_a_complaint(page: chromium.Page, file: Path, width: int, dark: bool) -> None:
    page.open(file, width=width, dark=dark)
    assert page.evaluate("document.title").startswith("FAIL")
    plots = page.evaluate(SIZES)
    assert len(plots) == 8
    assert all(across > 250 and down > 150 and marks for across, down, marks in plots)
    assert page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]") == [width, width]
    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red + green + blue < 150) == dark
    assert page.complaints == []
    assert page.requests == [file.as_uri()]


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_cut_off_broken_or_touching(page: chromium.Page, file: Path, width: int) -> None:
    page.open(file, width=width)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert looks.clipped(page) == []
    assert looks.broken_words(page) == []
    assert looks.touching(page) == []


def test_colours_in_the_dark(page: chromium.Page, file: Path) -> None:
    """Lines are visible, and a part is as blue or grey as in the light."""
    seen = {}
    for dark in (False, True):
        page.open(file, width=1200, dark=dark)
        assert looks.contrast(page, "--line") >= 1.3
        assert looks.contrast(page, "--grid") >= (1.5 if dark else 1.1)
        seen[dark] = [looks.hue(page, name) for name in ("--good", "--fail", "--total")]
    assert seen[False] == pytest.approx(seen[True], abs=15)


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_long_names_do_not_widen_it(page: chromium.Page, tmp_path: Path, width: int) -> None:
    report, long = sample.report(), "W" * 150
    _, bad = report.comparisons
    side = bad.candidate.model_copy(update={"name": long, "artefact": long, "runtime": long})
    bad = bad.model_copy(
        update={
            "candidate": side,
            "reference": side,
            "parts": tuple(part.model_copy(update={"part": long}) for part in bad.parts),
            "checks": tuple(check.model_copy(update={"name": long, "detail": long}) for check in bad.checks),
            "buckets": tuple(bucket.model_copy(update={"name": long}) for bucket in bad.buckets),
            "worst": tuple(row.model_copy(update={"kind": long, "language": long}) for row in bad.worst),
        }
    )
    update = {"comparisons": (bad,), "bundle": long, "machine": long, "sources": (long,), "tools": {long: long}}
    file = tmp_path / "long.html"
    file.write_text(html_page(shown(report.model_copy(update=update))), encoding="utf-8")
    page.open(file, width=width)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.scrollingElement.scrollWidth") == width


def test_the_policy_refuses_what_is_not_the_pages_own(page: chromium.Page, file: Path) -> None:
    page.open(file, width=1200)
    page.evaluate("""new Promise((done) => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'taken'";
        const image = new Image();
        image.onerror = done;
        image.src = "https://example.org/x.png";
        document.body.append(script, image);
    })""")
    assert page.evaluate("document.title").startswith("FAIL")
    assert len([complaint for complaint in page.complaints if "Content Security Policy" in complaint]) == 2


COLUMN = """[...document.querySelector("#section-3 .sortable").tBodies[0].rows].map(
    (row) => row.cells[{column}].dataset.value ?? row.cells[{column}].textContent)"""


def test_the_worst_texts_are_sorted_by_keyboard(page: chromium.Page, file: Path) -> None:
    page.open(file, width=1200)
    cosines = [float(value) for value in page.evaluate(COLUMN.format(column=0))]
    assert cosines == sorted(cosines)
    button = 'document.querySelector("#section-3 .sortable thead th:nth-child(4) button")'
    state = f'{button}.parentElement.getAttribute("aria-sort")'
    page.evaluate(f"{button}.focus()")
    for key, code, text, order in (("Enter", 13, "\r", "ascending"), (" ", 32, " ", "descending")):
        page.press(key, code, text)
        assert page.evaluate(state) == order
        tokens = [int(value) for value in page.evaluate(COLUMN.format(column=3))]
        assert tokens == sorted(tokens, reverse=order == "descending")
    assert page.evaluate("document.querySelectorAll('#section-3 .sortable [aria-sort]').length") == 1
    page.press("Tab", 9)
    page.press("Enter", 13, "\r")
    languages = page.evaluate(COLUMN.format(column=4))
    assert languages == sorted(languages)
    assert page.complaints == []


def test_a_dot_says_which_text_it_is(page: chromium.Page, file: Path) -> None:
    page.open(file, width=1200)
    x, y = page.evaluate("""(() => {
        const path = document.querySelector("#section-3 .points.bad");
        path.scrollIntoView({block: "center"});
        const [, x, y] = path.getAttribute("d").match(/M(\\S+) (\\S+?)h0/).map(Number);
        const at = new DOMPoint(x, y).matrixTransform(path.getScreenCTM());
        return [at.x, at.y];
    })()""")
    page.point(x, y)
    tip = page.evaluate("document.getElementById('tip').innerText")
    assert "442 tokens, relative RMS 0.0580" in tip
    assert "| a pipe | `ticks`" in tip
    page.point(2, 2)
    assert page.evaluate("document.getElementById('tip').hidden")


def test_without_scripts_it_says_the_same(page: chromium.Page, file: Path) -> None:
    page.open(file, width=1200)
    words = page.evaluate("document.body.innerText.replace(/[↑↓↕]/g, '')").split()
    page.open(file, width=1200, scripts=False)
    assert page.evaluate("document.querySelectorAll('thead button').length") == 0
    assert page.evaluate("document.body.innerText").split() == words
    assert len([marks for *_, marks in page.evaluate(SIZES) if marks]) == 8


@pytest.mark.parametrize("scripts", [True, False])
def test_on_paper_everything_is_open(page: chromium.Page, file: Path, scripts: bool) -> None:
    page.open(file, width=1200, dark=True, scripts=scripts)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    whole = pages(page.pdf())
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = false; })")
    assert pages(page.pdf()) == whole >= 6
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0


def test_paper_is_white(page: chromium.Page, file: Path) -> None:
    page.open(file, width=1200, dark=True)
    page.send("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", pdf))
