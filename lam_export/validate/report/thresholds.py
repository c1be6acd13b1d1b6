"""The gate: what an artefact must hold to go to production, and one sentence for each thing that it does not."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lam_engines.errors import LamError

from .schema import Check, Comparison

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Cosine = Annotated[float, Field(ge=-1, le=1)]


class Limits(BaseModel):
    """What every text, or all of them together, must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    cosine: Cosine
    """Of every text with the reference: at least."""
    batch_cosine: Cosine
    """Of a text alone with itself among others of its length: at least."""
    padding_cosine: Cosine
    """Of a text alone with itself padded beside a much longer one: at least."""
    neighbours_cosine: Cosine
    """Of a text beside some texts with itself beside others: at least."""
    sts_difference: Annotated[float, Field(ge=0, le=2)] = 0.001
    """Of Spearman's correlation from the reference's, whichever way: at most. The published quality gate."""
    recall_at_10: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Of nearest neighbours: at least."""
    suspect_parts: Annotated[int, Field(ge=0)] = 0
    """Parts of the network whose own error is more than their precision explains: at most. A fault in one of them may
    hide behind a cosine that is allowed."""


def _limits(cosine: float, invariance: float) -> Limits:
    return Limits(cosine=cosine, batch_cosine=invariance, padding_cosine=invariance, neighbours_cosine=invariance)


# Invariance: kernels differ by shape and add in another order, so that sums differ in their last bit, 6e-8 in float32.
# In 16 bits, and where activations are rounded to int8, a sum on the edge then falls to the other side; in int8 such
# flips were seen to come to 1.5e-4 in the cosine of an embedding. Graphs exported here give the same bits in
# every batch on x86. One scale for the activations of a batch, as naive int8 has it, costs 2e-4 to 2e-2.
DEFAULTS: Mapping[str, Limits] = {
    "fp32": _limits(cosine=0.999999, invariance=1 - 1e-6),
    "fp16": _limits(cosine=0.9995, invariance=0.9999),
    "bf16": _limits(cosine=0.9995, invariance=0.9999),
    "int8": _limits(cosine=0.99, invariance=0.9999),
}
"""By the precision of a candidate."""


def read_limits(path: Path | None = None, options: Mapping[str, float | None] | None = None) -> dict[str, Limits]:
    """The limits of every precision: defaults, then a file's, then its table of that precision, then options.

    A file, every line of which may be left out::

        recall_at_10 = 0.98

        [fp16]
        cosine = 0.9999

    Args:
        path: a TOML file.
        options: field of :class:`Limits` to value; None where the user gave none.

    Raises:
        LamError: the file cannot be read, or a name or value in it or in the options makes no sense.
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
        reason = getattr(error, "strerror", None) or error
        raise LamError(f"expected thresholds in TOML at {path}, which cannot be read ({reason}); mend it") from None


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
    """Hold a comparison against the limits.

    Args:
        comparison: its ``checks`` are not looked at.
        limits: of the candidate's precision.
        worst: name of a check to the text or pair that it is worst on, as the sentence is to name it.
    """
    stability, sts = comparison.stability, comparison.sts
    found: dict[str, float] = {
        "not_finite": comparison.nan + comparison.inf,
        "cosine": comparison.cosine,
        "recall_at_10": comparison.neighbours.recall_at_10,
        **({} if sts is None else {"sts_difference": abs(sts.spearman.difference)}),
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
    "suspect_parts": "parts with an error of their own:",
    "batch_cosine": "cosine with itself among others of its length",
    "padding_cosine": "cosine with itself padded beside a longer text",
    "neighbours_cosine": "cosine with itself beside other texts",
}
_AT_MOST = ("not_finite", "sts_difference", "suspect_parts")
_JOINED = {"suspect_parts": ", first "} | dict.fromkeys(("not_finite", "sts_difference", "recall_at_10"), ", worst on ")


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
