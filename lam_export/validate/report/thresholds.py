"""The gate: the thresholds of an artefact that goes to production, and a sentence for each that it misses."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lam_engines.errors import LamError, reason_of

from .schema import Check, Comparison

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Cosine = Annotated[float, Field(ge=-1, le=1)]


class Limits(BaseModel):
    """The thresholds of a candidate. Some apply to every text, others to all texts together."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    cosine: Cosine
    """Smallest allowed cosine of a text with the reference."""
    batch_cosine: Cosine
    """Smallest allowed cosine of a text alone with itself in a batch of texts of about its length."""
    padding_cosine: Cosine
    """Smallest allowed cosine of a text alone with itself padded beside a much longer text."""
    neighbours_cosine: Cosine
    """Smallest allowed cosine of a text in one batch with itself in a batch of the same shape with other texts."""
    sts_difference: Annotated[float, Field(ge=0, le=2)] = 0.001
    """Largest allowed absolute change of Spearman's correlation. This is the published quality gate."""
    ndcg_difference: Annotated[float, Field(ge=0, le=2)] = 0.005
    """Largest allowed absolute change of nDCG@10 on a task of retrieval."""
    recall_at_10: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Smallest allowed mean share of a text's 10 nearest neighbours that the candidate keeps."""
    suspect_parts: Annotated[int, Field(ge=0)] = 0
    """Largest allowed number of parts whose own error is more than their precision explains.

    A fault in such a part may hide behind a cosine that is allowed.
    """


def _limits(cosine: float, invariance: float) -> Limits:
    return Limits(cosine=cosine, batch_cosine=invariance, padding_cosine=invariance, neighbours_cosine=invariance)


# Invariance: kernels of different shapes add in a different order, so sums differ in the last bit (6e-8 in float32).
# Where a sum is then rounded to 16 bits or to int8, it may round the other way. In int8, such flips cost up to 1.5e-4
# in the cosine of an embedding. Graphs exported here give the same bits in every batch on x86. Naive int8, which has
# one scale for the activations of a batch, costs 2e-4 to 2e-2.
DEFAULTS: Mapping[str, Limits] = {
    "fp32": _limits(cosine=0.999999, invariance=1 - 1e-6),
    "fp16": _limits(cosine=0.9995, invariance=0.9999),
    "bf16": _limits(cosine=0.9995, invariance=0.9999),
    "int8": _limits(cosine=0.99, invariance=0.9999),
}
"""Limits by the precision of a candidate."""


def read_limits(path: Path | None = None, options: Mapping[str, float | None] | None = None) -> dict[str, Limits]:
    """The limits of every precision.

    Later sources override earlier ones: the defaults, the file, the file's table of that precision, the options.
    Every line of the file may be left out::

        recall_at_10 = 0.98

        [fp16]
        cosine = 0.9999

    Args:
        path: a TOML file.
        options: field of :class:`Limits` to value; None where the user gave none.

    Raises:
        LamError: the file cannot be read, or the file or the options hold an unknown name or a bad value.
    """
    content = {} if path is None else _read(path)
    everywhere = {name: value for name, value in content.items() if not isinstance(value, dict)}
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    given = {name: value for name, value in (options or {}).items() if value is not None}
    if unknown := sorted(set(tables) - set(DEFAULTS)):
        raise LamError(f"{path}: expected tables {', '.join(DEFAULTS)}, found {', '.join(unknown)}; rename or remove")
    for where, names in (("", everywhere), *((f" in [{name}]", table) for name, table in tables.items())):
        if unknown := sorted(set(names) - set(Limits.model_fields)):
            known = ", ".join(Limits.model_fields)
            raise LamError(f"{path}: expected thresholds {known}, found {', '.join(unknown)}{where}; rename or remove")
    for where, values in ((f"{path}: ", everywhere), ("", given)):
        _check(where, DEFAULTS["fp32"], values)
    return {
        precision: _check(f"{path}: [{precision}] ", default, {**everywhere, **tables.get(precision, {}), **given})
        for precision, default in DEFAULTS.items()
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LamError(
            f"expected thresholds in TOML at {path}, which cannot be read ({reason_of(error)}); mend it"
        ) from None


def _check(where: str, default: Limits, values: Mapping[str, Any]) -> Limits:
    try:
        return Limits.model_validate({**default.model_dump(), **values})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise LamError(
            f"{where}{name}: {first['msg'][0].lower()}{first['msg'][1:]}, found {first['input']!r}; mend it"
        ) from None


def judge(comparison: Comparison, limits: Limits, worst: Mapping[str, str]) -> tuple[Check, ...]:
    """Compare the figures of a comparison with the limits.

    Args:
        comparison: the figures. Its ``checks`` are not read.
        limits: the limits of the candidate's precision.
        worst: name of a check to its worst text or pair, in the words that the sentence uses.
    """
    stability, sts = comparison.stability, comparison.sts
    scores = [] if sts is None else [(abs(sts.spearman.difference), "sts_difference", worst.get("sts_difference"))]
    names = {"Spearman": "sts_difference", "nDCG@10": "ndcg_difference"}
    scores += [(abs(task.difference), names[task.measure], f"the task {task.task}") for task in comparison.tasks]
    most = {name: (value, where) for value, name, where in sorted(scores, key=lambda score: score[0])}
    worst = {**worst, **{name: where for name, (_, where) in most.items() if where}}
    found: dict[str, float] = {
        "not_finite": comparison.nan + comparison.inf,
        "cosine": comparison.cosine,
        "recall_at_10": comparison.neighbours.recall_at_10,
        **{name: value for name, (value, _) in sorted(most.items(), reverse=True)},
        **({} if not comparison.parts else {"suspect_parts": sum(part.suspect for part in comparison.parts)}),
        "batch_cosine": stability.batch_cosine,
        "padding_cosine": stability.padding_cosine,
        "neighbours_cosine": stability.neighbours_cosine,
    }
    thresholds = {"not_finite": 0.0, **limits.model_dump()}
    if comparison.suspect is not None:
        worst = {**worst, "suspect_parts": comparison.suspect}
    begins = "" if comparison.suspect is None else f"; the error begins in {comparison.suspect}"
    return tuple(
        _check_of(name, value, thresholds[name], worst.get(name), begins if name == "cosine" else "")
        for name, value in found.items()
    )


_SAID = {
    "not_finite": "NaN and infinite elements:",
    "cosine": "cosine",
    "recall_at_10": "recall@10",
    "sts_difference": "Spearman's correlation differs:",
    "ndcg_difference": "nDCG@10 differs:",
    "suspect_parts": "parts with an error of their own:",
    "batch_cosine": "cosine with itself among others of its length",
    "padding_cosine": "cosine with itself padded beside a longer text",
    "neighbours_cosine": "cosine with itself beside other texts",
}
_AT_MOST = ("not_finite", "sts_difference", "ndcg_difference", "suspect_parts")
_JOINED = {"suspect_parts": ", first "} | dict.fromkeys((*_AT_MOST[:3], "recall_at_10"), ", worst on ")


def _check_of(name: str, found: float, threshold: float, worst: str | None, begins: str) -> Check:
    at_most = name in _AT_MOST
    passed = found <= threshold if at_most else found >= threshold
    if passed:
        detail = "" if worst is None else f"worst on {worst}"
    else:
        apart = f"is {'above' if at_most else 'below'} {threshold:.8g} by {abs(found - threshold):.2g}"
        where = "" if worst is None else _JOINED.get(name, " on ") + worst
        detail = f"{_SAID[name]} {found:.8g} {apart}{where}{begins}"
    return Check(
        name=name,
        holds_if="at most" if at_most else "at least",
        threshold=threshold,
        found=found,
        passed=passed,
        detail=detail,
    )
