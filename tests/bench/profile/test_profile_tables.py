"""A profile as tables, Markdown, HTML and files; and what it says to do next."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from lam_export.anatomy.parts import Place
from lam_export.bench.profile.advice import next_to_optimise
from lam_export.bench.profile.measure import summed
from lam_export.bench.profile.profile_page import plots, shown
from lam_export.bench.profile.profile_tables import tables
from lam_export.bench.profile.recorders.samples import Run, Sample
from lam_export.bench.profile.schema import Cell, Profile, ProfileResult
from lam_export.evidence.record import headline, markdown, page, terminal, to_json, write_record
from lam_export.evidence.schema import SubjectInfo

NAME = "an <b>engine|one"


def cell(part: str, operator: str, seconds: float, layer: int | None = None, count: int = 1) -> Cell:
    return Cell(part=part, layer=layer, operator=operator, count=count, seconds=seconds)  # type: ignore[arg-type]


def result(*cells: Cell, **operations: float) -> ProfileResult:
    return ProfileResult(
        subject=NAME,
        shape="1 x 4,096",
        status="measured",
        note="",
        max_abs=1e-6,
        cosine=1.0,
        plain=(0.1, 0.11, 0.12),
        profiled=(0.121, 0.122, 0.5),
        cells=cells,
        operations=operations,  # type: ignore[arg-type]
    )


@pytest.fixture
def measured() -> ProfileResult:
    return result(
        cell("projections", "MatMul", 0.02, layer=0, count=2),
        cell("norms", "LayerNormalization", 0.015, layer=0),
        cell("norms", "ReduceL2", 0.005, layer=1),
        cell("FFN", "MatMul", 0.06, layer=1),
        cell("other", "Strange", 0.001),
        projections=2e9,
        norms=1e7,
        FFN=6e9,
    )


@pytest.fixture
def profile(measured: ProfileResult) -> Profile:
    wrong = measured.model_copy(
        update={"shape": "1 x 32", "status": "mismatch", "note": "embeddings differ", "cells": ()}
    )
    subject = SubjectInfo(
        name=NAME, model="this", precision="fp32", runtime="some 1.0", artefact="model.onnx", sha256="0" * 64, bytes=1
    )
    return Profile(
        created="2026-01-01T00:00:00+00:00",
        bundle="a*bundle*",
        manifest_sha256="1" * 64,
        machine="a processor",
        load=None,
        threads=2,
        tools={"lam-export": "1.0"},
        reference="ONNX Runtime fp32",
        subjects=(subject,),
        results=(measured, wrong),
    )


def test_the_part_that_could_save_most_is_named(measured: ProfileResult) -> None:
    expected = (
        "Next to optimise: norms, 20 % of the time at 0.1 % of the arithmetic; 75 % of that in LayerNormalization."
    )
    assert next_to_optimise(measured) == expected


def test_no_part_is_named_where_all_are_alike() -> None:
    even = result(cell("projections", "MatMul", 0.02), cell("FFN", "MatMul", 0.06), projections=2e9, FFN=6e9)
    assert next_to_optimise(even).startswith("No part stands out")


def test_without_arithmetic_the_longest_is_named(measured: ProfileResult) -> None:
    assert next_to_optimise(measured.model_copy(update={"operations": {}})) == "FFN take most of the time: 59 %."


def test_figures(profile: Profile) -> None:
    parts, layers, cost, rest = tables(profile, layers=True)
    assert parts.rows[0] == ("projections", "2 MatMul 100 %", "20.0", "19.8 %", "25.0 %", "100.0")
    assert parts.rows[1][1] == "1 LayerNormalization 75 %, 1 ReduceL2 25 %"
    assert parts.rows[-1][2:4] == ("101", "100 %")
    assert layers.head == ("", "projections", "norms", "FFN", "all")
    assert layers.rows == (("layer 0", "20.0", "15.0", "–", "35.0"), ("layer 1", "–", "5.00", "60.0", "65.0"))
    assert cost.rows == (("1 x 4,096", NAME, "110", "122", "+11 %", "101", "1.0 %"),)
    assert rest.rows == (("1 x 32", NAME, "embeddings differ"),)
    assert len(list(shown(profile, layers=False).tables("terminal"))) == 3


def test_wrong_embeddings_are_said(profile: Profile) -> None:
    assert not profile.matched
    assert headline(profile) == f"Some embeddings are wrong and were not timed: {NAME}."


def test_bars_fill_the_axis(profile: Profile) -> None:
    (plot,) = plots(profile)
    assert plot.x is not None
    assert sum(bar.width for bar in plot.bars) == pytest.approx(plot.x.end - plot.x.start)
    assert [style for style, _ in plot.legend] == ["good", "gold3", "gold4", "bad", "total"]


def test_every_medium_trusts_nothing(profile: Profile) -> None:
    drawn, text = page(shown(profile, layers=True)), markdown(shown(profile, layers=True))
    assert "<b>" not in drawn + text
    assert "*bundle*" not in text
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(drawn)
    assert (tags.count("svg"), tags.count("table")) == (1, 4)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(terminal(shown(profile, layers=False)))
    assert NAME in capture.get()


def test_written_and_read_again(profile: Profile, tmp_path: Path) -> None:
    write_record(tmp_path / "new", "profile", shown(profile, layers=True))
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["profile.html", "profile.json", "profile.md"]
    content = (tmp_path / "new" / "profile.json").read_text(encoding="utf-8")
    assert content == to_json(profile)
    assert Profile.model_validate_json(content) == profile


def test_a_disturbed_run_moves_no_median() -> None:
    place = Place("FFN", 0)
    quiet = Run(1.0, (Sample("a", "MatMul", place, 0.4, 10), Sample("b", "MatMul", place, 0.5, 10)))
    disturbed = Run(9.0, (Sample("a", "MatMul", place, 8.4, 10), Sample("b", "MatMul", place, 0.5, 10)))
    cells, operations = summed([quiet, disturbed, quiet])
    assert [(c.part, c.count, round(c.seconds, 6)) for c in cells] == [("FFN", 2, 0.9), ("runtime", 1, 0.1)]
    assert operations == {"FFN": 20}
