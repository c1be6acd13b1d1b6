"""Advice on what to optimise next."""

from collections import defaultdict

from lam_export.anatomy.parts import Part

from .schema import ProfileResult

_OF_NOTE = 0.03
"""Smallest share of the time that is worth a change."""
_MUCH = 0.1
"""Smallest share of the arithmetic of a part whose speed shows what the machine can do."""


def by_part(result: ProfileResult) -> dict[Part, float]:
    """Seconds of each part."""
    seconds: dict[Part, float] = defaultdict(float)
    for cell in result.cells:
        seconds[cell.part] += cell.seconds
    return dict(seconds)


def next_to_optimise(result: ProfileResult) -> str:
    """A sentence that names the part to optimise next.

    This is the part that would save most time if it computed at the rate of the fastest part. Without known arithmetic,
    it is the part that takes longest.
    """
    seconds = by_part(result)
    total, arithmetic = sum(seconds.values()), sum(result.operations.values())
    if not arithmetic:
        part = max(seconds, key=lambda part: seconds[part])
        return f"{part} take most of the time: {_percent(seconds[part] / total)}."
    rates = {
        part: count / seconds[part]
        for part, count in result.operations.items()
        if count > _MUCH * arithmetic and seconds.get(part)
    }
    if not rates:
        return "The engine keeps no record of its parts; profile another one to see where the time goes."
    fastest = max(rates, key=lambda part: rates[part])
    excess = {part: time - result.operations.get(part, 0) / rates[fastest] for part, time in seconds.items()}
    part = max(excess, key=lambda part: excess[part])
    if excess[part] < _OF_NOTE * total:
        return f"No part stands out: none is much slower at its arithmetic than {fastest}."
    share = _percent(result.operations.get(part, 0) / arithmetic)
    kinds: dict[str, float] = defaultdict(float)
    for cell in result.cells:
        if cell.part == part:
            kinds[cell.operator] += cell.seconds
    mostly = max(kinds, key=lambda kind: kinds[kind])
    inside = f"; {_percent(kinds[mostly] / seconds[part])} of that in {mostly}" if len(kinds) > 1 else ""
    return (
        f"Next to optimise: {part}, {_percent(seconds[part] / total)} of the time at {share} of the arithmetic{inside}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"
