"""The thresholds' file, and the sentences of the gate."""

from pathlib import Path

import pytest

from lam_engines.errors import LamError
from lam_export.evidence.schema import Scores, Sts, SubjectInfo
from lam_export.validate.report.schema import Comparison, Neighbours, Stability
from lam_export.validate.report.thresholds import DEFAULTS, Limits, judge, read_limits

SERIES = dict.fromkeys(
    ("tokens", "max_abs", "relative_rms", "cosine", "sts_gold", "sts_reference", "sts_candidate"), ()
)
SUBJECT = SubjectInfo(name="a", model="this", precision="fp32", runtime="b", artefact="c", sha256="0" * 64, bytes=1)
TEXT = "'a text' (131 tokens, de)"


def correlation(difference: float) -> Scores:
    return Scores(reference=0.8, candidate=0.8 + difference, difference=difference, low=-0.1, high=0.1)


def task(difference: float, name: str = "pets", measure: str = "nDCG@10") -> dict[str, object]:
    scores = {"reference": 0.5, "candidate": 0.5 + difference, "difference": difference, "low": -0.1, "high": 0.1}
    return {"task": name, "measure": measure, "cases": 5, "documents": 9, **scores}


def comparison(**changes: object) -> Comparison:
    stability = Stability(
        texts=1,
        batch_cosine=1.0,
        padding_cosine=1.0,
        neighbours_cosine=1.0,
        worst_text="a text",
        runs=3,
        runs_max_abs=0.0,
    )
    fields: dict[str, object] = {
        "reference": SUBJECT,
        "candidate": SUBJECT,
        "texts": 10,
        "nan": 0,
        "inf": 0,
        "max_abs": 0.0,
        "relative_rms": 0.0,
        "cosine": 1.0,
        "mean_cosine": 1.0,
        "worst": (),
        "buckets": (),
        "parts": [{"part": "layers.0.form", "total": 0.0, "own": 0.0, "suspect": False}],
        "neighbours": Neighbours(corpus=10, recall_at_1=1.0, recall_at_10=1.0),
        "sts": Sts(pairs=5, spearman=correlation(0.0), pearson=correlation(0.0)),
        "stability": stability,
        "seconds": 1.0,
        "checks": (),
        "series": SERIES,
    }
    moved = {name: changes.pop(name) for name in list(changes) if name in Stability.model_fields}
    return Comparison.model_validate(
        {**fields, "stability": stability.model_copy(update=moved).model_dump(), **changes}
    )


def failures(found: Comparison, precision: str = "fp16") -> dict[str, str]:
    worst = dict.fromkeys(("cosine", "recall_at_10", "not_finite", "neighbours_cosine", "sts_difference"), TEXT)
    return {check.name: check.detail for check in judge(found, DEFAULTS[precision], worst) if not check.passed}


def test_equal_embeddings_pass_at_every_precision() -> None:
    for limits in DEFAULTS.values():
        checks = judge(comparison(tasks=[task(0.0)]), limits, {})
        assert all(check.passed for check in checks)
        assert {check.name for check in checks} == {"not_finite", *Limits.model_fields}


FAILING = {
    "cosine": ({"cosine": 0.9987}, f"cosine 0.9987 is below 0.9995 by 0.0008 on {TEXT}"),
    "recall_at_10": (
        {"neighbours": {"corpus": 10, "recall_at_1": 1.0, "recall_at_10": 0.95}},
        f"recall@10 0.95 is below 0.99 by 0.04, worst on {TEXT}",
    ),
    "sts_difference": (
        {"sts": {"pairs": 5, "spearman": correlation(-0.003), "pearson": correlation(0.0)}},
        f"Spearman's correlation differs: 0.003 is above 0.001 by 0.002, worst on {TEXT}",
    ),
    "ndcg_difference": (
        {"tasks": [task(0.001), task(-0.025, "law"), task(0.0005, "pairs", "Spearman")]},
        "nDCG@10 differs: 0.025 is above 0.005 by 0.02, worst on the task law",
    ),
    "sts_difference of a task": (
        {"tasks": [task(0.003, "pairs", "Spearman")]},
        "Spearman's correlation differs: 0.003 is above 0.001 by 0.002, worst on the task pairs",
    ),
    "not_finite": ({"nan": 2, "inf": 1}, f"NaN and infinite elements: 3 is above 0 by 3, worst on {TEXT}"),
    "neighbours_cosine": (
        {"neighbours_cosine": 0.983},
        f"cosine with itself beside other texts 0.983 is below 0.9999 by 0.017 on {TEXT}",
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_failed_threshold_says_by_how_much_and_on_which_text(name: str) -> None:
    changes, sentence = FAILING[name]
    assert failures(comparison(**changes)) == {name.partition(" ")[0]: sentence}


def test_the_first_suspect_part_is_named() -> None:
    parts = [
        {"part": "layers.2.form", "total": 0.0, "own": 0.0, "suspect": False},
        {"part": "layers.3.form", "total": 0.1, "own": 0.1, "suspect": True},
        {"part": "layers.4.form", "total": 0.2, "own": 0.1, "suspect": True},
    ]
    found = failures(comparison(cosine=0.5, parts=parts))
    assert found["cosine"].endswith("; the error begins in layers.3.form")
    assert found["suspect_parts"] == "parts with an error of their own: 2 is above 0 by 2, first layers.3.form"


def test_a_fault_that_the_cosine_hides_fails() -> None:
    parts = [{"part": "layers.2.form", "total": 0.01, "own": 0.01, "suspect": True}]
    assert set(failures(comparison(parts=parts))) == {"suspect_parts"}
    assert "suspect_parts" not in {check.name for check in judge(comparison(parts=[]), DEFAULTS["fp16"], {})}


def test_no_benchmark_no_check() -> None:
    assert "sts_difference" not in {check.name for check in judge(comparison(sts=None), DEFAULTS["fp16"], {})}


def test_the_limit_itself_holds() -> None:
    assert not failures(
        comparison(cosine=0.9995, sts={"pairs": 1, **dict.fromkeys(("spearman", "pearson"), correlation(-0.001))})
    )
    assert set(failures(comparison(cosine=0.9995), "fp32")) == {"cosine"}


def write(folder: Path, content: str) -> Path:
    path = folder / "gate.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_options_beat_the_precisions_table_beats_the_file_beats_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "cosine = 0.98\nsts_difference = 0\n[fp16]\ncosine = 0.99\n[int8]\nrecall_at_10 = 1\n")
    limits = read_limits(path)
    assert {precision: found.cosine for precision, found in limits.items()} == {
        "fp32": 0.98,
        "fp16": 0.99,
        "bf16": 0.98,
        "int8": 0.98,
    }
    assert all(found.sts_difference == 0 for found in limits.values())
    assert (limits["int8"].recall_at_10, limits["fp16"].recall_at_10) == (1, 0.99)
    assert limits["fp32"].padding_cosine == DEFAULTS["fp32"].padding_cosine
    given = read_limits(path, {"cosine": 0.5, "recall_at_10": None})
    assert {found.cosine for found in given.values()} == {0.5}
    assert given["int8"].recall_at_10 == 1
    assert read_limits() == dict(DEFAULTS)


REFUSED = {
    "an unknown threshold": ("cosin = 0.9", "expected thresholds cosine, batch_cosine, padding_cosine"),
    "one in a table": ("[fp16]\nmax_abs = 1", "found max_abs in [fp16]"),
    "an unknown precision": ("[fp8]\ncosine = 0.9", "expected tables fp32, fp16, bf16, int8, found fp8"),
    "a cosine above one": ("cosine = 99.95", "cosine: input should be less than or equal to 1, found 99.95"),
    "a percentage in a table": ("[int8]\nrecall_at_10 = 99", "[int8] recall_at_10: input should be less than"),
    "a string": ("cosine = '0.9'", "cosine: input should be a valid number, found '0.9'"),
    "a truth value": ("cosine = true", "found True"),
    "no number": ("cosine = nan", "finite"),
    "no TOML": ("cosine: 0.9", "cannot be read"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_mistake_in_the_file_is_one_clear_line(mistake: str, tmp_path: Path) -> None:
    content, expected = REFUSED[mistake]
    with pytest.raises(LamError) as caught:
        read_limits(write(tmp_path, content))
    assert expected in str(caught.value)
    assert str(caught.value).startswith(("expected thresholds in TOML at", str(tmp_path)))
    assert str(caught.value).isprintable()


def test_a_missing_file_and_a_wrong_option() -> None:
    with pytest.raises(LamError, match=r"at nowhere\.toml, which cannot be read \(No such file"):
        read_limits(Path("nowhere.toml"))
    with pytest.raises(LamError, match=r"^cosine: input should be less"):
        read_limits(options={"cosine": 2.0})
