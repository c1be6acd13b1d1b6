"""The four plots of a comparison."""

import math
from collections.abc import Sequence
from itertools import groupby

from lam_export.evidence.page.drawing import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Bar,
    Line,
    Note,
    Plot,
    Points,
    count_axis,
    dots,
    linear_axis,
    log_axis,
    polyline,
)
from lam_export.evidence.words import figure, visible

from .schema import Comparison, PartError

_BINS_PER_DECADE = 4
_GOLD_CLASSES = 5
_LONGEST_NOTE = 32


def plots(comparison: Comparison) -> tuple[Plot, ...]:
    """All plots of a comparison, in the order in which they are read."""
    return (
        cosine_histogram(comparison),
        error_by_length(comparison),
        layer_profile(comparison),
        sts_scatter(comparison),
    )


def cosine_histogram(comparison: Comparison) -> Plot:
    """A histogram of the texts by 1 − cosine, with the gate's threshold."""
    title = "Cosine histogram"
    missing = [1 - cosine for cosine in comparison.series.cosine if math.isfinite(cosine)]
    if not missing:
        return Plot(title, "", missing="No text has a cosine that is a number.")
    asked = comparison.asked_cosine
    limit = None if asked is None else 1 - asked
    x = log_axis("1 − cosine", [*missing, *([] if limit is None else [limit])])
    bins = round(_BINS_PER_DECADE * math.log10(x.high / x.low))
    edges = [x.low * 10 ** (i / _BINS_PER_DECADE) for i in range(bins + 1)]
    counts = [0] * bins
    for value in missing:
        place = math.floor(_BINS_PER_DECADE * math.log10(max(value, x.low) / x.low) + 1e-9)
        counts[min(place, bins - 1)] += 1
    y = linear_axis("texts", 0, max(max(counts) * 1.05, 5), vertical=True)
    bars = []
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        if count:
            left, right, top = x.place(low), x.place(high), min(y.place(count), BOTTOM - 2)  # one text is still seen
            tip = f"{_count(count, 'text')} from {figure(low)} to {figure(high)}"
            beyond = limit is not None and low >= limit * 0.999
            bars.append(Bar("bad" if beyond else "good", left, top, right - left - 0.8, BOTTOM - top, tip))
    found = sorted(missing)
    median = found[len(found) // 2]
    failing = 0 if limit is None else sum(value > limit for value in missing)
    caption = f"Median {figure(median)}, worst {figure(found[-1])}." + _left_out(
        len(comparison.series.cosine) - len(missing), "text"
    )
    exact = sum(value <= 0 for value in missing)
    if exact:
        caption += (
            f" {_count(exact, 'text')} with a cosine of 1 {'is' if exact == 1 else 'are'} in the bar at the left."
        )
    return Plot(
        title,
        caption,
        description=f"Histogram of 1 − cosine over {_count(len(missing), 'text')}, on a log axis. {caption}"
        + (f" {_count(failing, 'text')} beyond the threshold of {figure(limit)}." if limit is not None else ""),
        x=x,
        y=y,
        bars=tuple(bars),
        lines=() if limit is None else (_upright(x.place(limit)),),
        notes=() if limit is None else (_beside(x.place(limit), f"cosine {asked:g}"),),
    )


def error_by_length(comparison: Comparison) -> Plot:
    """Every text's error against its length, which shows whether the error grows."""
    title = "Error against length"
    series = comparison.series
    rows = [
        (i, tokens, error, cosine)
        for i, (tokens, error, cosine) in enumerate(zip(series.tokens, series.relative_rms, series.cosine, strict=True))
        if math.isfinite(error)
    ]
    if not rows:
        return Plot(title, "", missing="No text has an error that is a number.")
    asked = comparison.asked_cosine
    x = count_axis("tokens", [tokens for _, tokens, _, _ in rows])
    y = log_axis("relative RMS", [error for _, _, error, _ in rows], vertical=True)
    groups: dict[str, list[tuple[int, int, float, float]]] = {"good": [], "bad": []}
    for row in rows:
        groups["bad" if asked is not None and not row[3] >= asked else "good"].append(row)
    worst = max(rows, key=lambda row: row[2])
    caption = f"One dot a text. Worst {figure(worst[2])}, at {worst[1]:,} tokens."
    caption += _left_out(len(series.tokens) - len(rows), "text")
    return Plot(
        title,
        caption,
        description=f"Relative RMS error against the number of tokens, log axes. {caption}",
        x=x,
        y=y,
        points=tuple(
            Points(
                style,
                dots((x.place(tokens), y.place(error)) for _, tokens, error, _ in group),
                tuple(f"{tokens:,} tokens, relative RMS {figure(error)}" for _, tokens, error, _ in group),
                tuple(i for i, *_ in group),
            )
            for style, group in groups.items()
            if group
        ),
        legend=(("bad", "misses the gate's cosine"),) if groups["bad"] else (),
    )


def layer_profile(comparison: Comparison) -> Plot:
    """The error of each part of the network, which shows where the error comes from."""
    title = "Error by part of the network"
    if not comparison.parts:
        return Plot(title, "", missing="This runtime shows no inner values, so its parts could not be compared.")
    step = (RIGHT - LEFT) / len(comparison.parts)
    parts = [(round(LEFT + (i + 0.5) * step, 1), part) for i, part in enumerate(comparison.parts)]
    y = log_axis(
        "relative RMS",
        [value for _, part in parts for value in (part.own, part.total) if math.isfinite(value)],
        vertical=True,
    )
    total = [(x, part, part.total) for x, part in parts if math.isfinite(part.total)]
    own = [(x, part, part.own) for x, part in parts if math.isfinite(part.own) and not part.suspect]
    bad = [(x, part, part.own) for x, part in parts if math.isfinite(part.own) and part.suspect]
    suspects = [(x, visible(part.part)) for x, part in parts if part.suspect]
    largest = max((part for _, part in parts), key=lambda part: math.inf if math.isnan(part.own) else part.own)
    caption = f"Largest error of a part alone: {figure(largest.own)}, {visible(largest.part)}."
    if suspects:
        caption += f" First suspect: {suspects[0][1]}."
    dividers, names = _layers(comparison.parts, step)
    return Plot(
        title,
        caption,
        description="Relative RMS error of every part of the network, alone and with all before it, on a log axis. "
        + caption,
        y=y,
        lines=(
            *dividers,
            *(_upright(x, "suspect") for x, _ in suspects),
            *([Line("total", polyline((x, y.place(value)) for x, _, value in total))] if total else ()),
        ),
        points=tuple(
            Points(
                style,
                dots((x, y.place(value)) for x, _, value in rows),
                tuple(f"{visible(p.part)}: own {figure(p.own)}, total {figure(p.total)}" for _, p, _ in rows),
            )
            for style, rows in (("total", total), ("own", own), ("bad", bad))
            if rows
        ),
        notes=(*names, *(_beside(*suspect) for suspect in suspects[:1])),
        legend=(("own", "the part alone"), ("total", "with all before it"), *((("bad", "suspect"),) if bad else ())),
    )


def sts_scatter(comparison: Comparison) -> Plot:
    """The candidate's cosine of every pair against the reference's."""
    title = "STS scores, old against new"
    series = comparison.series
    pairs = [
        pair
        for pair in zip(series.sts_reference, series.sts_candidate, series.sts_gold, strict=True)
        if all(map(math.isfinite, pair))
    ]
    if comparison.sts is None:
        return Plot(title, "", missing="No pairs with gold scores were given (--sts).")
    if not pairs:
        return Plot(title, "", missing="No pair has a score that is a number.")
    low = min(min(pair[:2]) for pair in pairs)
    high = max(max(pair[:2]) for pair in pairs)
    room = 0.03 * max(high - low, 0.01)  # so that the frame cuts no dot
    low, high = low - room, high + room
    x = linear_axis("reference's cosine", low, high)
    y = linear_axis("candidate's cosine", low, high, vertical=True)
    top = max(gold for *_, gold in pairs)
    # Most scales of gold scores run from 0 to 1 or from 0 to 5.
    top = next((full for full in (1, 5) if top <= full), top)
    classes: list[list[tuple[float, float, float]]] = [[] for _ in range(_GOLD_CLASSES)]
    for pair in pairs:
        classes[min(max(int(pair[2] / top * _GOLD_CLASSES), 0), _GOLD_CLASSES - 1)].append(pair)
    moved = max(abs(candidate - reference) for reference, candidate, _ in pairs)
    caption = f"One dot a pair. The one that moved most moved by {figure(moved)}."
    caption += _left_out(len(series.sts_gold) - len(pairs), "pair")
    return Plot(
        title,
        caption,
        description=f"The candidate's cosine of {_count(len(pairs), 'pair')} against the reference's. {caption}",
        x=x,
        y=y,
        lines=(Line("divide", f"M{LEFT} {BOTTOM}L{RIGHT} {TOP}"),),
        points=tuple(
            Points(
                f"gold{i}",
                dots((x.place(reference), y.place(candidate)) for reference, candidate, _ in group),
                tuple(f"gold {gold:g}: {reference:.4f} → {candidate:.4f}" for reference, candidate, gold in group),
            )
            for i, group in enumerate(classes)
            if group
        ),
        legend=tuple(
            (f"gold{i}", f"{'gold ' if i == 0 else ''}{top * i / _GOLD_CLASSES:g}–{top * (i + 1) / _GOLD_CLASSES:g}")
            for i in range(_GOLD_CLASSES)
        ),
    )


def _layers(parts: Sequence[PartError], step: float) -> tuple[list[Line], list[Note]]:
    """A line between two layers, and the number of each layer below it."""
    dividers, names = [], []
    at = 0
    for layer, group in groupby(parts, key=_layer):
        size = len(list(group))
        if layer:
            names.append(Note("tick", round(LEFT + (at + size / 2) * step, 1), BOTTOM + 16, "middle", layer))
        if at:
            dividers.append(_upright(round(LEFT + at * step, 1), "divide"))
        at += size
    names.append(Note("label", (LEFT + RIGHT) / 2, BOTTOM + 36, "middle", "layer, its parts in order"))
    return dividers, names


def _layer(part: PartError) -> str:
    """The number of a part's layer, ``3`` for ``layers.3.form``; empty outside the layers."""
    return next((piece for piece in part.part.split(".") if piece.isdigit()), "")


def _upright(x: float, style: str = "gate") -> Line:
    return Line(style, f"M{x:g} {TOP}V{BOTTOM}")


def _beside(x: float, text: str) -> Note:
    """A label at the top of a vertical line, on the side that has room."""
    right = x < (LEFT + RIGHT) / 2
    text = text if len(text) <= _LONGEST_NOTE else "…" + text[1 - _LONGEST_NOTE :]
    return Note("flag", x + (4 if right else -4), TOP + 9, "start" if right else "end", text)


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def _left_out(number: int, of: str) -> str:
    return f" {_count(number, of)}, NaN or infinite, left out." if number else ""
