"""A profile for readers: a stacked bar for every shape, and all tables."""

from collections.abc import Sequence

from lam_export.anatomy.parts import MEANING, Part
from lam_export.evidence.page.drawing import BOTTOM, RIGHT, TOP, Bar, Note, Plot, linear_axis
from lam_export.evidence.record import Shown, measured
from lam_export.evidence.tables import milliseconds

from .advice import by_part, next_to_optimise
from .profile_tables import tables
from .schema import Profile, ProfileResult

_STYLES: dict[Part, str] = {
    "projections": "good",
    "convolutions": "gold0",
    "rule": "gold1",
    "operator": "gold1",
    "gates": "gold2",
    "norms": "gold3",
    "FFN": "gold4",
    "other": "bad",
}
_REST = "total"
"""Style of the parts that have no colour of their own."""


def shown(profile: Profile, *, layers: bool) -> Shown:
    """The profile for every medium. The page always shows each layer."""
    about = "Plain and profiled runs took turns."
    return measured("Profile", profile, about, [plots(profile), *tables(profile, layers=layers)])


def plots(profile: Profile) -> tuple[Plot, ...]:
    """A drawing for each engine that was timed, with a bar for each shape."""
    names = dict.fromkeys(result.subject for result in profile.results if result.status == "measured")
    return tuple(_plot(name, [r for r in profile.results if r.subject == name and r.cells]) for name in names)


def _plot(name: str, results: Sequence[ProfileResult]) -> Plot:
    x = linear_axis("% of the time", 0, 100)
    row = (BOTTOM - TOP) / len(results)
    bars, notes, seen = [], [], []
    for i, result in enumerate(results):
        seconds = by_part(result)
        total, start = sum(seconds.values()), 0.0
        top = TOP + i * row + min(16, row / 2)
        notes.append(Note("", x.place(0), round(top - 3, 1), "start", f"{result.shape} tokens"))
        notes.append(Note("", RIGHT, round(top - 3, 1), "end", f"{milliseconds(total)} ms"))
        for part in (part for part in MEANING if seconds.get(part)):
            end = start + 100 * seconds[part] / total
            tip = f"{part}: {milliseconds(seconds[part])} ms, {end - start:.1f} %\n{MEANING[part]}"
            left, right = x.place(start), x.place(end)
            bars.append(
                Bar(_STYLES.get(part, _REST), left, round(top, 1), right - left, TOP + (i + 1) * row - top - 2, tip)
            )
            start = end
            seen.append(part)
    legend = [(style, part) for part, style in _STYLES.items() if part in seen]
    return Plot(
        f"Where the time goes: {name}",
        next_to_optimise(results[-1]),
        description=" ".join(f"{result.shape} tokens: {next_to_optimise(result)}" for result in results),
        x=x,
        bars=tuple(bars),
        notes=tuple(notes),
        legend=(*legend, (_REST, "the rest")),
    )
