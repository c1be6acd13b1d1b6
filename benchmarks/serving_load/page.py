"""A served model's figures as one HTML file, and as lines for a terminal."""

from lam_export.evidence.page.document import document
from lam_export.evidence.page.drawing import Line, Plot, linear_axis, log_axis, polyline

from .schema import Load, ServingBenchmark

_STYLES = ("good", "gold0", "gold2", "total", "gold1", "gold3", "gold4", "bad")
_RATES, _TIMES = ("requests/s", "texts/s", "tokens/s"), ("p50 ms", "p95 ms", "p99 ms", "slowest")
HEAD = ("load", *_RATES, *_TIMES, "errors", "wrong", "max-abs")


def serving_page(benchmark: ServingBenchmark) -> str:
    """The benchmark as one HTML file that needs no other file."""
    return document(
        "serving_load",
        "serving.html",
        benchmark=benchmark,
        verdict=verdict(benchmark),
        head=HEAD,
        rows=[row(load) for load in benchmark.loads],
        plot=latencies(benchmark.loads),
    )


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
