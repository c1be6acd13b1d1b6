"""A profile as tables of words and figures, for every medium alike."""

from collections import defaultdict
from statistics import median

from lam_export.anatomy.parts import MEANING, Part
from lam_export.evidence.tables import Table, milliseconds

from .advice import by_part, next_to_optimise
from .arithmetic import CONVENTION
from .schema import Profile, Result

_NONE = "–"
_KINDS = 3
"""Kinds of operators that are named for a part."""


def headline(profile: Profile) -> str:
    """What a reader must know before the figures."""
    wrong = list(dict.fromkeys(result.entrant for result in profile.results if result.status == "mismatch"))
    if wrong:
        return f"Wrong embeddings, and so no times where they were found: {', '.join(wrong)}."
    return "All embeddings that were timed hold the thresholds of their precision."


def tables(profile: Profile, *, layers: bool) -> list[Table]:
    """All tables; those that would have no row are left out."""
    measured = [result for result in profile.results if result.status == "measured"]
    found = []
    for result in measured:
        found.append(_parts(result))
        if layers:
            found.append(_layers(result))
    found += [_overhead(measured), _without_times(profile)]
    return [table for table in found if table.rows]


def provenance(profile: Profile) -> tuple[tuple[str, str], ...]:
    """Where the figures come from, as pairs of a name and what it is."""
    load = _NONE if profile.load is None else f"{profile.load:.2f}"
    return (
        ("created", profile.created),
        ("machine", profile.machine),
        ("load before", f"{load} processes that wanted to run, in the minute before the first measurement"),
        ("threads", str(profile.threads)),
        ("compared with", profile.reference),
        ("bundle", f"{profile.bundle}, manifest {profile.manifest_sha256}"),
        *((who.name, f"{who.runtime}, {who.precision}, {who.artefact} {who.sha256}") for who in profile.entrants),
        *profile.tools.items(),
    )


def title(result: Result) -> str:
    """``ONNX Runtime fp32, 1 x 512 tokens``."""
    return f"{result.entrant}, {result.shape} tokens"


def _parts(result: Result) -> Table:
    seconds = by_part(result)
    total, arithmetic = sum(seconds.values()), sum(result.operations.values())

    def row(part: Part) -> tuple[str, ...]:
        count = result.operations.get(part, 0.0)
        rate = f"{count / seconds[part] / 1e9:,.1f}" if count and seconds[part] else _NONE
        share = _percent(count, arithmetic) if part != "runtime" else _NONE
        return (part, _mostly(result, part), milliseconds(seconds[part]), _percent(seconds[part], total), share, rate)

    rows = [row(part) for part in MEANING if part in seconds]
    rows.append(("all", "", milliseconds(total), "100 %", _NONE, _rate(arithmetic, total)))
    return Table(
        title(result),
        ("part", "mostly", "ms", "of time", "of arithmetic", "GFLOP/s"),
        tuple(rows),
        2,
        next_to_optimise(result),
    )


def _mostly(result: Result, part: Part) -> str:
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


def _layers(result: Result) -> Table:
    sums: dict[int | None, dict[Part, float]] = defaultdict(lambda: defaultdict(float))
    for cell in result.cells:
        sums[cell.layer][cell.part] += cell.seconds
    parts = [part for part in MEANING if any(part in found for layer, found in sums.items() if layer is not None)]
    rows = tuple(
        (
            f"layer {layer}",
            *(milliseconds(sums[layer][part]) if part in sums[layer] else _NONE for part in parts),
            milliseconds(sum(sums[layer].values())),
        )
        for layer in sorted(layer for layer in sums if layer is not None)
    )
    return Table(f"{title(result)}: ms by layer", ("", *parts, "all"), rows, 1)


def _overhead(results: list[Result]) -> Table:
    def row(result: Result) -> tuple[str, ...]:
        plain, profiled = median(result.plain), median(result.profiled)
        seconds = by_part(result)
        other = _percent(seconds.get("other", 0.0), sum(seconds.values()))
        return (
            result.shape,
            result.entrant,
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
        "Medians of runs in turn. The tables above add up the median of each operator, so that a moment in which the "
        f"machine did something else is in none. {CONVENTION}",
    )


def _without_times(profile: Profile) -> Table:
    rows = tuple((r.shape, r.entrant, r.note) for r in profile.results if r.note)
    return Table("What else to know", ("texts x tokens", "", ""), rows, 3)


def _rate(operations: float, seconds: float) -> str:
    return f"{operations / seconds / 1e9:,.1f}" if operations and seconds else _NONE


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else _NONE
