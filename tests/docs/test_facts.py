"""Figures and names that pages state, held against the code that decides them."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from pages import ROOT


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading, without code marks."""
    lines = text[text.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`*") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def numbers(text: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"\b\d[\d,]*\b", text)]


def test_every_extra_has_its_row() -> None:
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {row[0] for row in table(page("get-started"), "extra")} == set(extras)


def test_every_dependency_of_users_has_both_bounds() -> None:
    """The lower ones are installed by ``scripts/test_oldest``, the newest versions by ``scripts/test``."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "dev"}
    needed = [Requirement(line) for lines in (project["dependencies"], *extras.values()) for line in lines]
    bounds: dict[str, dict[str, str]] = {}
    for wanted in needed:
        if wanted.name != "lam-export":
            bounds.setdefault(wanted.name, {x.operator: x.version for x in wanted.specifier})
    assert {name for name, found in bounds.items() if not {">=", "<"} <= set(found) and "==" not in found} == set()

    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / "scripts" / name).read_text().splitlines()
        return dict(line.split("==") for line in lines if "==" in line)

    for name, version in pins("oldest.txt").items():
        if name in bounds:
            assert Version(bounds[name][">="]) == Version(version), name
    newest = pins("constraints.txt")
    assert not [str(w) for w in needed if w.name in newest and not w.specifier.contains(newest[w.name])]


def test_exit_codes() -> None:
    from lam_export.cli import COULD_NOT_RUN, FAILED, HUNG_UP, INTERRUPTED, NOT_READ, PASSED, TERMINATED

    stated = [int(row[0]) for row in table(page("pipeline"), "code")]
    assert stated == [PASSED, COULD_NOT_RUN, FAILED, HUNG_UP, INTERRUPTED, NOT_READ, TERMINATED]


def test_thresholds_of_the_gate() -> None:
    from lam_export.validate.report.thresholds import DEFAULTS

    rows = table(page("proof"), "check")
    fields = ("cosine", "batch_cosine", "sts_difference", "ndcg_difference", "recall_at_10", "suspect_parts")
    for column, precision in enumerate(("fp32", "fp16", "int8"), start=1):
        stated = [1 - 1e-6 if row[column] == "1 - 1e-6" else float(row[column]) for row in rows[: len(fields)]]
        assert stated == [getattr(DEFAULTS[precision], field) for field in fields], precision
        assert DEFAULTS[precision].padding_cosine == DEFAULTS[precision].neighbours_cosine == stated[1]


def test_thresholds_and_lengths_of_parity() -> None:
    from lam_engines.contract import GRAPHS
    from lam_export.evidence.cases import BATCH_LENGTHS, LENGTHS
    from lam_export.evidence.metrics import THRESHOLDS

    text = page("proof")
    for graph, max_abs, cosine in table(text, "graph"):
        (precision,) = [name for name, file in GRAPHS.items() if file == graph]
        assert (float(max_abs), float(cosine)) == (THRESHOLDS[precision].max_abs, THRESHOLDS[precision].cosine)
    stated = text[text.index("The texts have") :].split(" tokens")[0]
    assert tuple(numbers(stated)) == LENGTHS
    assert f"batch of {len(BATCH_LENGTHS)} lengths" in text


def test_the_corpus_of_a_report() -> None:
    from lam_export.evidence.corpus import read_corpus

    texts = read_corpus(None, None).texts
    languages = {text.language for text in texts} - {"none"}
    assert f"{len(texts)} texts in {len(languages)} languages" in page("proof"), sorted(languages)


def test_profiles_of_a_plan() -> None:
    from lam_export.export.tensorrt.profiles import default_profiles

    stated = [tuple(numbers(" ".join(row))) for row in table(page("tensorrt"), "texts, at most")]
    assert stated == [(profile.batch.max, profile.tokens.max) for profile in default_profiles()]


def test_windows_of_long_texts() -> None:
    from lam_engines.embedding.long_texts import RECURRENT_WINDOW_TOKENS, WINDOW_TOKENS

    text = page("embed")
    assert f"more than {WINDOW_TOKENS:,} tokens" in text
    assert f"windows of {WINDOW_TOKENS:,} tokens" in text
    assert f"windows of {RECURRENT_WINDOW_TOKENS:,} tokens" in text


def test_partitions_of_ray() -> None:
    from lam_engines.bulk.run import PARTITION_ROWS

    assert f"{PARTITION_ROWS:,} texts (`--partition-rows`)" in re.sub(r"\s+", " ", page("many-texts"))


def test_files_of_a_bundle() -> None:
    from lam_engines import contract

    shown = re.findall(r"^        ([\w./]+)", page("bundle"), flags=re.MULTILINE)
    files = {contract.MANIFEST, contract.CHECKSUMS, contract.TOKENIZER, contract.TOKENIZER_CONFIG}
    files |= {contract.INLINED_MODEL, contract.STREAM_MODEL}
    assert {name.rstrip("/") for name in shown} == {*files, *contract.GRAPHS.values(), contract.PLANS, contract.REPORTS}


def test_folders_of_the_house() -> None:
    places = {"lam_export": ROOT / "lam_export", "engines/lam_engines": ROOT / "engines" / "lam_engines"}
    house = page("how-it-works")
    for name, place in places.items():
        shown = re.search(rf"^    {name}/ .*?(?=^    \w)", house, flags=re.MULTILINE | re.DOTALL)
        assert shown, name
        rooms = set(re.findall(r"^        (\w+)/", shown[0], flags=re.MULTILINE))
        assert rooms == {folder.parent.name for folder in place.glob("*/__init__.py")}, name
