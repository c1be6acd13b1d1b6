"""Results as tables, Markdown and a page."""

from html.parser import HTMLParser
from pathlib import Path

import chromium
import looks
import pytest
from rich.console import Console

from lam_export.bench.speed.schema import Benchmark, ProcessMemory, SpeedResult, Times
from lam_export.bench.speed.speed_page import plots, shown, summary
from lam_export.bench.speed.speed_tables import tables
from lam_export.evidence.record import headline, markdown, page, terminal, to_json, write_record
from lam_export.evidence.schema import ShapeInfo, SubjectInfo
from lam_export.evidence.tables import milliseconds

WRONG = "<b>wrong|one"


def subject(name: str) -> SubjectInfo:
    return SubjectInfo(
        name=name, model="this", precision="fp32", runtime="some 1.0", artefact="model.onnx", sha256="0" * 64, bytes=1
    )


def result(who: str, shape: ShapeInfo, seconds: float, ratios: dict[str, float]) -> SpeedResult:
    times = Times(
        seconds=(seconds, seconds),
        median=seconds,
        quartiles=(seconds, seconds),
        tokens_per_second=shape.tokens / seconds,
        times_as_fast=ratios,
    )
    memory = ProcessMemory(loaded=100 * 2**20, peak=(100 + shape.tokens) * 2**20)
    return SpeedResult(
        subject=who,
        shape=shape.name,
        status="measured",
        note="",
        max_abs=1e-6,
        cosine=1.0,
        times=times,
        memory=memory,
    )


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    lengths = [ShapeInfo(name=f"1 x {n}", kind="length", texts=1, longest=n, tokens=n) for n in (128, 4096, 65536)]
    mix = ShapeInfo(name="5 texts, 3 to 20", kind="mix", texts=5, longest=20, tokens=50)
    results = []
    for shape in (*lengths, mix):
        seconds = shape.tokens / 4096 * (1.25 if shape.longest == 65536 else 1)
        results.append(result("fast", shape, seconds, {"slow": 2.0}))
        results.append(result("slow", shape, 2 * seconds, {}))
        missing = {"status": "mismatch", "note": "embeddings differ", "times": None, "memory": None, "max_abs": None}
        results.append(results[-1].model_copy(update={"subject": WRONG, **missing}))
    return Benchmark(
        created="2026-01-01T00:00:00+00:00",
        bundle="a*bundle*",
        manifest_sha256="1" * 64,
        machine="a processor",
        load=0.25,
        threads=2,
        tools={"lam-export": "1.0"},
        reference="slow",
        baselines=("slow",),
        subjects=tuple(map(subject, ("fast", "slow", WRONG))),
        shapes=(*lengths, mix),
        results=tuple(results),
    )


def test_ratios_come_first(benchmark: Benchmark) -> None:
    ratios, lengths, many, rest = tables(benchmark)
    assert ratios.head == ("texts x tokens", "fast", WRONG)
    assert ratios.rows[0] == ("1 x 128", "2.00", "–")
    assert lengths.rows[0] == ("128", "fast", "31.2", "31.2–31.2", "4,096", "1.00", "228", "128")
    assert lengths.rows[4][5] == "1.25", "time per token at 65,536 where that at 4,096 is 1"
    assert many.rows[0][4:6] == ("4,096", "410")
    assert rest.rows == tuple((shape.name, WRONG, "embeddings differ") for shape in benchmark.shapes)


def test_what_is_wrong_is_said_and_has_no_figures(benchmark: Benchmark) -> None:
    assert not benchmark.matched
    assert headline(benchmark) == f"Some embeddings are wrong and were not timed: {WRONG}."
    assert all(row[1] != WRONG for table in tables(benchmark)[1:3] for row in table.rows)
    assert all(len(plot.lines) == 2 for plot in plots(benchmark))


def test_markdown_trusts_nothing(benchmark: Benchmark) -> None:
    text = markdown(shown(benchmark))
    assert "<b>" not in text
    assert "*bundle*" not in text
    assert "| 1 x 128 | 2.00 | – |" in text
    rows = [line.count("|") for line in text.splitlines() if line.startswith("| 1 x ") and "2.00" in line]
    assert set(rows) == {4}


def test_the_page_says_everything_and_trusts_nothing(benchmark: Benchmark) -> None:
    drawn = page(shown(benchmark))
    assert "<b>" not in drawn
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(drawn)
    assert tags.count("svg") == 3
    assert tags.count("table") == 4


def test_no_plots_without_lengths(benchmark: Benchmark) -> None:
    mix = benchmark.model_copy(update={"shapes": benchmark.shapes[-1:], "results": benchmark.results[-3:]})
    assert plots(mix) == ()
    assert "<svg" not in page(shown(mix))


def test_the_terminal_shows_names_as_they_are(benchmark: Benchmark) -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(terminal(shown(benchmark)))
    assert WRONG in capture.get()


def test_written_and_read_again(benchmark: Benchmark, tmp_path: Path) -> None:
    write_record(tmp_path / "new", "bench", shown(benchmark))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["bench.html", "bench.json", "bench.md"]
    content = (tmp_path / "new" / "bench.json").read_text(encoding="utf-8")
    assert content == to_json(benchmark)
    assert Benchmark.model_validate_json(content) == benchmark


@pytest.mark.parametrize(("seconds", "words"), [(0.00898, "8.98"), (0.0312, "31.2"), (0.5, "500"), (17.2387, "17,239")])
def test_milliseconds_have_three_digits(seconds: float, words: str) -> None:
    assert milliseconds(seconds) == words


def faster(times: Times) -> Times:
    return times.model_copy(update={"tokens_per_second": 2e4 * times.tokens_per_second})


@pytest.mark.browser
@pytest.mark.needs("chromium")
def test_nothing_is_cut_off_broken_or_touching(benchmark: Benchmark, tmp_path: Path) -> None:
    """With numbers of eight digits, whose labels on the axes are the widest."""
    fast = [
        result.model_copy(
            update={"times": times.model_copy(update={"tokens_per_second": 2e4 * times.tokens_per_second})}
        )
        for result in benchmark.results
        if (times := result.times)
    ]
    file = tmp_path / "bench.html"
    file.write_text(page(shown(benchmark.model_copy(update={"results": tuple(fast)}))), encoding="utf-8")
    with chromium.page(tmp_path / "profile") as browser:
        for width in (400, 1200):
            browser.open(file, width=width)
            assert browser.evaluate("document.querySelectorAll('svg text').length") > 10
            assert looks.clipped(browser) == []
            assert looks.broken_words(browser) == []
            assert looks.touching(browser) == []


def test_a_benchmark_opens_with_its_ratio(benchmark: Benchmark) -> None:
    found = shown(benchmark)
    assert found.headline.startswith("fast is 2.00 times as fast as slow. Some embeddings are wrong")
    assert "fast is 2.00 times as fast as slow." in markdown(found).splitlines()[2]
    assert summary(benchmark.model_copy(update={"baselines": ()})) == ""


def test_a_benchmark_names_the_span_of_its_ratios(benchmark: Benchmark) -> None:
    results = [
        r.model_copy(update={"times": r.times.model_copy(update={"times_as_fast": {"slow": 1.0 + i}})})
        if r.subject == "fast" and r.times is not None
        else r
        for i, r in enumerate(benchmark.results)
    ]
    changed = benchmark.model_copy(update={"results": tuple(results)})
    assert summary(changed) == "fast is 1.00 to 10.00 times as fast as slow."
