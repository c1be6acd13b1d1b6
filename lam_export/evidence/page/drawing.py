"""The parts of a plot: axes and marks in the units of the drawing. ``templates/plot.html`` writes them as SVG.

No plotting library is used, because the page must open at once on a phone and print completely. Plotly's script alone
is 4.8 MB, and draws nothing where scripts are off. These plots are some tens of KB of SVG. Their colours come from the
page's style sheet, in dark mode too.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 266
LEFT, RIGHT, TOP, BOTTOM = 38, 384, 24, 226
"""Edges of the area inside the axes, in units of the drawing."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Axis:
    """An axis: values from ``low`` to ``high`` are drawn from ``start`` to ``end``."""

    label: str
    low: float
    high: float
    start: float
    end: float
    log: bool = False
    ticks: tuple[tuple[float, str], ...] = ()
    """Place in the drawing, and the label at that place."""

    def place(self, value: float) -> float:
        """The place of a value, to a tenth of a unit. A value beyond the axis is drawn at the axis' end."""
        low, high, at = (math.log10(max(x, 1e-300)) if self.log else x for x in (self.low, self.high, value))
        share = min(max((at - low) / (high - low), 0.0), 1.0)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Points:
    """Dots of one colour."""

    style: str
    path: str
    """Data of an SVG path. Each dot is a line of zero length, so thousands of dots are one element."""
    tips: tuple[str, ...]
    """The tip of each dot."""
    texts: tuple[int, ...] = ()
    """Index of the text that each dot stands for; empty if dots stand for something else."""


@dataclass(frozen=True)
class Line:
    style: str
    path: str


@dataclass(frozen=True)
class Bar:
    style: str
    x: float
    y: float
    width: float
    height: float
    tip: str


@dataclass(frozen=True)
class Note:
    """A few words in the drawing."""

    style: str
    x: float
    y: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Plot:
    """One drawing, or the reason why there is none."""

    title: str
    caption: str
    missing: str = ""
    """Why the plot is left out; empty if it is drawn."""
    description: str = ""
    """Text for screen readers."""
    x: Axis | None = None
    y: Axis | None = None
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()
    points: tuple[Points, ...] = ()
    notes: tuple[Note, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    """Style and meaning of each entry."""


def log_axis(label: str, values: Sequence[float], *, vertical: bool = False) -> Axis:
    """A log axis of whole decades that covers all values above 0."""
    positive = [value for value in values if value > 0] or [1e-16]
    first, last = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    last = max(last, first + 1)
    step = math.ceil((last - first) / (7 if vertical else 8))
    ticks = [(10.0**power, "10" + str(power).translate(_SUPERSCRIPTS)) for power in range(first, last + 1, step)]
    return _axis(label, 10.0**first, 10.0**last, ticks, log=True, vertical=vertical)


def count_axis(label: str, values: Sequence[int]) -> Axis:
    """A horizontal log axis for counts from 1. Its labels are 1, 10, 100, or 1, 2, 5 over a short range."""
    low, high = float(max(min(values), 1)), float(max(*values, 2))
    low, high = min(low, high / 2) / 1.1, high * 1.1
    wide = high / low > 200
    ticks = [
        (value, f"{value:,}")
        for power in range(8)
        for value in (10**power * factor for factor in ((1,) if wide else (1, 2, 5)))
        if low <= value <= high
    ]
    return _axis(label, low, high, ticks, log=True)


def linear_axis(label: str, low: float, high: float, *, vertical: bool = False) -> Axis:
    """An axis from ``low`` to ``high`` with about five round numbers on it."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [(i * step, _short(i * step)) for i in range(first, last + 1)]
    return _axis(label, low, high, ticks, vertical=vertical)


def _short(value: float) -> str:
    """The number as it fits between the page's edge and a vertical axis: 250,000 as ``250k``."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * unit or (letter != "k" and abs(value) >= unit):
            return f"{value / unit:.10g}{letter}"
    return f"{value:,.10g}"


def _axis(
    label: str,
    low: float,
    high: float,
    ticks: Iterable[tuple[float, str]],
    *,
    log: bool = False,
    vertical: bool = False,
) -> Axis:
    start, end = (BOTTOM, TOP) if vertical else (LEFT, RIGHT)
    bare = Axis(label, low, high, start, end, log)
    return Axis(label, low, high, start, end, log, tuple((bare.place(value), name) for value, name in ticks))


def dots(places: Iterable[tuple[float, float]]) -> str:
    """Path data of dots at ``(x, y)``."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in places)


def polyline(places: Iterable[tuple[float, float]]) -> str:
    """Path data of a line through ``(x, y)``."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
