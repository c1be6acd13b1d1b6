"""A profile as tables of words and figures, the same for every medium."""

from collections import defaultdict
from statistics import median

from lam_export.anatomy.arithmetic import CONVENTION
from lam_export.anatomy.parts import MEANING, Part
from lam_export.evidence.record import NONE, remarks
from lam_export.evidence.tables import Medium, Table, milliseconds

from .advice import by_part, next_to_optimise
from .schema import Profile, ProfileResult

_KINDS = 3
"""Largest number of kinds of operators that are named for a part."""


def tables(profile: Profile, *, layers: bool) -> list[Table]:
    """All tables that have rows. Those of layers are on the page alone, unless ``layers`` are asked for."""
    measured = [result for result in profile.results if result.status == "measured"]
    found = []
    for result in measured:
        found += [_parts(result), _layers(result, "terminal" if layers else "page")]
    found += [_overhead(measured), remarks(profile.results)]
    return [table for table in found if table.rows]


def title(result: ProfileResult) -> str:
    """The title of a result, such as ``ONNX Runtime fp32, 1 x 512 tokens``."""
    return f"{result.subject}, {result.shape} tokens"


def _parts(result: ProfileResult) -> Table:
    seconds = by_part(result)
    total, arithmetic = sum(seconds.values()), sum(result.operations.values())

    def row(part: Part) -> tuple[str, ...]:
        count = result.operations.get(part, 0.0)
        share = _percent(count, arithmetic) if part != "runtime" else NONE
        times = milliseconds(seconds[part]), _percent(seconds[part], total)
        return (part, _mostly(result, part), *times, share, _rate(count, seconds[part]))

    rows = [row(part) for part in MEANING if part in seconds]
    rows.append(("all", "", milliseconds(total), "100 %", NONE, _rate(arithmetic, total)))
    return Table(
        title(result),
        ("part", "mostly", "ms", "of time", "of arithmetic", "GFLOP/s"),
        tuple(rows),
        2,
        next_to_optimise(result),
    )


def _mostly(result: ProfileResult, part: Part) -> str:
    kinds: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for cell in result.cells:
        if cell.part == part:
            kinds[cell.operator][0] += cell.count
            kinds[cell.operator][1] += cell.seconds
    if part == "runtime":
        return MEANING[part]
    total = sum(seconds for _, seconds in kinds.values())
    first = sorted(kinds.items(), key=lambda item: -item[1][1])[:_KINDS]
    return ", ".join(f"{int(count)} {kind} {100 * seconds / total:.0f} %" for kind, (count, seconds) in first)


def _layers(result: ProfileResult, least: Medium) -> Table:
    sums: dict[int | None, dict[Part, float]] = defaultdict(lambda: defaultdict(float))
    for cell in result.cells:
        sums[cell.layer][cell.part] += cell.seconds
    parts = [part for part in MEANING if any(part in found for layer, found in sums.items() if layer is not None)]
    rows = tuple(
        (
            f"layer {layer}",
            *(milliseconds(sums[layer][part]) if part in sums[layer] else NONE for part in parts),
            milliseconds(sum(sums[layer].values())),
        )
        for layer in sorted(layer for layer in sums if layer is not None)
    )
    return Table(f"{title(result)}: ms by layer", ("", *parts, "all"), rows, 1, least=least)


def _overhead(results: list[ProfileResult]) -> Table:
    def row(result: ProfileResult) -> tuple[str, ...]:
        plain, profiled = median(result.plain), median(result.profiled)
        seconds = by_part(result)
        other = _percent(seconds.get("other", 0.0), sum(seconds.values()))
        return (
            result.shape,
            result.subject,
            milliseconds(plain),
            milliseconds(profiled),
            f"{100 * (profiled / plain - 1):+.0f} %",
            milliseconds(sum(seconds.values())),
            other,
        )

    return Table(
        "What profiling costs",
        ("texts x tokens", "", "plain ms", "profiled ms", "more", "in the table ms", "other"),
        tuple(map(row, results)),
        2,
        "Medians of runs in turn. The tables above add up the median of each operator, so a moment in which the "
        f"machine did something else does not count. {CONVENTION}",
    )


def _rate(operations: float, seconds: float) -> str:
    return f"{operations / seconds / 1e9:,.1f}" if operations and seconds else NONE


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else NONE
