"""A served model's figures for readers: a row and a line for each load."""

from lam_export.evidence.page.drawing import Line, Plot, linear_axis, log_axis, polyline
from lam_export.evidence.record import Section, Shown
from lam_export.evidence.tables import Table

from .schema import Account, Load, ServingBenchmark

_STYLES = ("good", "gold0", "gold2", "total", "gold1", "gold3", "gold4", "bad")
_RATES, _TIMES = ("requests/s", "texts/s", "tokens/s"), ("p50 ms", "p95 ms", "p99 ms", "slowest")
HEAD = ("load", *_RATES, *_TIMES, "errors", "wrong", "max-abs")


def shown(benchmark: ServingBenchmark) -> Shown:
    """The benchmark for every medium."""
    accounts = Table(
        "Where the server says the time goes",
        ("model", "requests", "in batches of", "queueing, ms", "computing, ms"),
        tuple(map(_account, benchmark.accounts)),
        1,
        "Means over all requests since the server started.",
    )
    loads = Table("Loads", HEAD, tuple(map(row, benchmark.loads)), 1)
    return Shown(
        "Load test",
        benchmark.bundle,
        benchmark,
        not any(load.wrong or load.errors for load in benchmark.loads),
        verdict(benchmark),
        [Section([(latencies(benchmark.loads),), loads, accounts])],
        about=f"Through {benchmark.protocol}, with {benchmark.texts_per_request} texts a request, of up to "
        f"{benchmark.longest} tokens. An answer is wrong if a figure of it is more than {benchmark.tolerance} off the "
        "engine's own.",
        provenance=(("created", benchmark.created), ("machine", benchmark.machine), *benchmark.tools.items()),
    )


def _account(account: Account) -> tuple[str, ...]:
    batch = f"{account.requests / account.executions:.1f}" if account.executions else ""
    return (account.model, f"{account.requests:,}", batch, f"{account.queue:.2f}", f"{account.compute:.2f}")


def verdict(benchmark: ServingBenchmark) -> str:
    """The result in one line."""
    wrong = sum(load.wrong for load in benchmark.loads)
    unanswered = sum(sum(load.errors.values()) for load in benchmark.loads)
    right = f"{wrong:,} embeddings were wrong" if wrong else "Every answer was right"
    return f"{right}, {unanswered:,} requests were not answered" if unanswered else right


def row(load: Load) -> tuple[str, ...]:
    """A load's figures under :data:`HEAD`."""
    times = [f"{load.quantiles[q] * 1e3:,.1f}" if load.quantiles else "none" for q in (50, 95, 99, 100)]
    rates = [f"{count / load.seconds:,.1f}" for count in (load.requests, load.texts, load.tokens)]
    errors = ", ".join(f"{count} {kind}" for kind, count in sorted(load.errors.items())) or "0"
    return (load.name, *rates, *times, errors, str(load.wrong), f"{load.max_abs:.1e}")


def latencies(loads: tuple[Load, ...]) -> Plot:
    """Share of the requests that took at most so long, with a line for each load."""
    title = "How long requests took"
    answered = [load for load in loads if load.quantiles]
    if not answered:
        return Plot(title, "", missing="No request was answered.")
    x = log_axis("ms", [1e3 * value for load in answered for value in load.quantiles])
    y = linear_axis("% of requests", 0, 100, vertical=True)
    lines, legend = [], []
    for i, load in enumerate(answered):
        style = _STYLES[i % len(_STYLES)]
        lines.append(Line(style, polyline([(x.place(1e3 * t), y.place(q)) for q, t in enumerate(load.quantiles)])))
        legend.append((style, load.name))
    caption = "Further left is faster. A line that bends right at the top has some slow requests."
    return Plot(title, caption, description=caption, x=x, y=y, lines=tuple(lines), legend=tuple(legend))
