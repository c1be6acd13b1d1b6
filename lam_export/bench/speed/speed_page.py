"""A benchmark for readers: its tables, and plots of time, speed and memory against length."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median

from lam_export.evidence.page.drawing import Axis, Line, Plot, Points, count_axis, dots, linear_axis, log_axis, polyline
from lam_export.evidence.record import Shown, measured
from lam_export.evidence.tables import mebibytes, milliseconds
from lam_export.evidence.words import visible

from .schema import Benchmark, SpeedResult
from .speed_tables import tables

_STYLES = ("good", "gold0", "gold2", "total", "gold1", "gold3", "gold4", "bad")
"""Styles of the subjects. A ninth subject has the style of the first."""


def shown(benchmark: Benchmark) -> Shown:
    """The benchmark for every medium."""
    about = "Each subject ran in its own process, in turn with the others."
    found = measured("Benchmark", benchmark, about, [plots(benchmark), *tables(benchmark)])
    return replace(found, headline=" ".join(filter(None, (summary(benchmark), found.headline))))


def summary(benchmark: Benchmark) -> str:
    """The ratios that a reader came for: of the fastest subject over all shapes, beside each baseline that is another
    one; empty without any. All others are in the tables."""
    ratios: dict[str, dict[str, list[float]]] = {}
    for result in benchmark.results:
        for baseline, ratio in () if result.times is None else result.times.times_as_fast.items():
            if baseline in benchmark.baselines and baseline != result.subject:
                ratios.setdefault(result.subject, {}).setdefault(baseline, []).append(ratio)
    others = {name: held for name, held in ratios.items() if name not in benchmark.baselines}
    if not others:
        return ""
    fastest, held = max(others.items(), key=lambda item: median(next(iter(item[1].values()))))
    found = []
    for baseline, values in held.items():
        low, high = f"{min(values):.2f}", f"{max(values):.2f}"
        found.append(f"{low if low == high else f'{low} to {high}'} times as fast as {visible(baseline)}")
    return f"{visible(fastest)} is {', '.join(found)}."


def plots(benchmark: Benchmark) -> tuple[Plot, ...]:
    """Time, tokens per second and memory against length; no plots if no single text was timed."""
    found = (
        _plot(
            benchmark,
            "Time against length",
            "Both axes are logarithmic: where cost is linear, ten times the tokens take ten times as long.",
            partial(log_axis, "ms", vertical=True),
            lambda result: None if result.times is None else 1e3 * result.times.median,
            lambda value: f"{milliseconds(value / 1e3)} ms",
        ),
        _plot(
            benchmark,
            "Tokens per second against length",
            "The line is level where cost is linear.",
            lambda values: linear_axis("tokens/s", 0, 1.05 * max(values), vertical=True),
            lambda result: None if result.times is None else result.times.tokens_per_second,
            lambda value: f"{value:,.0f} tokens/s",
        ),
        _plot(
            benchmark,
            "Memory against length",
            "The peak of a process that runs only this, with its libraries and the model.",
            partial(log_axis, "MiB", vertical=True),
            lambda result: None if result.memory is None else result.memory.peak / 2**20,
            lambda value: f"{mebibytes(round(value * 2**20))} MiB",
        ),
    )
    return tuple(plot for plot in found if plot is not None)


def _plot(
    benchmark: Benchmark,
    title: str,
    caption: str,
    vertical: Callable[[list[float]], Axis],
    value_of: Callable[[SpeedResult], float | None],
    words: Callable[[float], str],
) -> Plot | None:
    lengths = {shape.name: shape.longest for shape in benchmark.shapes if shape.kind == "length"}
    found: dict[str, list[tuple[int, float]]] = {}
    for result in benchmark.results:
        if result.shape in lengths and (value := value_of(result)) is not None:
            found.setdefault(result.subject, []).append((lengths[result.shape], value))
    if not found:
        return None
    x = count_axis("tokens", [length for series in found.values() for length, _ in series])
    y = vertical([value for series in found.values() for _, value in series])
    names = [who.name for who in benchmark.subjects]
    lines, points, legend = [], [], []
    for name, series in found.items():
        style = _STYLES[names.index(name) % len(_STYLES)]
        places = [(x.place(length), y.place(value)) for length, value in series]
        tips = tuple(f"{visible(name)}\n{length:,} tokens: {words(value)}" for length, value in series)
        lines.append(Line(style, polyline(places)))
        points.append(Points(style, dots(places), tips))
        legend.append((style, visible(name)))
    return Plot(
        title,
        caption,
        description=f"{', '.join(found)}. {caption}",
        x=x,
        y=y,
        lines=tuple(lines),
        points=tuple(points),
        legend=tuple(legend),
    )
