"""A benchmark as tables of words and figures, the same for every medium."""

from collections.abc import Callable, Sequence

from lam_export.evidence.record import NONE, remarks
from lam_export.evidence.schema import ShapeInfo
from lam_export.evidence.tables import Table, mebibytes, milliseconds

from .schema import Benchmark, ProcessMemory, SpeedResult, Times

UNIT_LENGTH = 4096
"""Length in tokens at which the time per token counts as 1."""


def tables(benchmark: Benchmark) -> list[Table]:
    """All tables that have rows, ratios first."""
    found = [_ratios(benchmark, baseline) for baseline in benchmark.baselines]
    found += [_lengths(benchmark), _batches(benchmark), remarks(benchmark.results)]
    return [table for table in found if table.rows]


def _ratios(benchmark: Benchmark, baseline: str) -> Table:
    others = [who.name for who in benchmark.subjects if who.name != baseline]
    rows = []
    for shape in benchmark.shapes:
        found = {result.subject: result for result in _results(benchmark, shape)}
        cells = [_ratio(found.get(who), baseline) for who in others]
        if any(cell != NONE for cell in cells):
            rows.append((shape.name, *cells))
    note = "Medians of the ratios of neighbouring runs: above 1 is faster."
    return Table(f"Times as fast as {baseline}", ("texts x tokens", *others), tuple(rows), 1, note)


def _ratio(result: SpeedResult | None, baseline: str) -> str:
    if result is None or result.times is None or baseline not in result.times.times_as_fast:
        return NONE
    return f"{result.times.times_as_fast[baseline]:.2f}"


def _lengths(benchmark: Benchmark) -> Table:
    alone = [shape for shape in benchmark.shapes if shape.kind == "length"]
    unit = next((shape for shape in alone if shape.longest == UNIT_LENGTH), None)
    units = {} if unit is None else {r.subject: r.times for r in _results(benchmark, unit)}

    def row(shape: ShapeInfo, result: SpeedResult, times: Times) -> tuple[str, ...]:
        at = units.get(result.subject)
        per_token = NONE if at is None else f"{at.tokens_per_second / times.tokens_per_second:.2f}"
        return (f"{shape.longest:,}", result.subject, *_figures(times), per_token, *_memory(result.memory))

    return Table(
        "One text, by length",
        ("tokens", "", "ms", "quartiles", "tokens/s", "per token", "peak MiB", "text MiB"),
        _rows(benchmark, alone, row),
        2,
        f"Medians. Per token: the time per token, divided by that at {UNIT_LENGTH:,} tokens; it stays near 1 where "
        "cost is linear. Peak: most main memory of a process that runs only this. Text: how much of the peak came "
        "after the model was loaded.",
    )


def _batches(benchmark: Benchmark) -> Table:
    beside = [shape for shape in benchmark.shapes if shape.kind != "length"]

    def row(shape: ShapeInfo, result: SpeedResult, times: Times) -> tuple[str, ...]:
        texts = f"{shape.texts / times.median:,.0f}"
        return (shape.name, result.subject, *_figures(times), texts)

    head = ("texts x tokens", "", "ms", "quartiles", "tokens/s", "texts/s")
    note = "Medians. Padding is not counted as tokens. Each subject batches texts of many lengths in its own way."
    return Table("Many texts", head, _rows(benchmark, beside, row), 2, note)


def _rows(
    benchmark: Benchmark,
    shapes: Sequence[ShapeInfo],
    row: Callable[[ShapeInfo, SpeedResult, Times], tuple[str, ...]],
) -> tuple[tuple[str, ...], ...]:
    return tuple(
        row(shape, result, result.times)
        for shape in shapes
        for result in _results(benchmark, shape)
        if result.times is not None
    )


def _results(benchmark: Benchmark, shape: ShapeInfo) -> list[SpeedResult]:
    return [result for result in benchmark.results if result.shape == shape.name]


def _figures(times: Times) -> tuple[str, str, str]:
    low, high = map(milliseconds, times.quartiles)
    return milliseconds(times.median), f"{low}–{high}", f"{times.tokens_per_second:,.0f}"


def _memory(memory: ProcessMemory | None) -> tuple[str, str]:
    return (NONE, NONE) if memory is None else (mebibytes(memory.peak), mebibytes(memory.peak - memory.loaded))
