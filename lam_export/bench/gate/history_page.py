"""The history of changes as one HTML file: a plot of score against time, and a table of all trials."""

from lam_export.evidence.page.document import document
from lam_export.evidence.page.drawing import Line, Plot, Points, dots, linear_axis, polyline

from .history import History, ScoredSubject, Trial
from .protocol import SCORE_TOLERANCE


def history_page(history: History) -> str:
    """The history as one HTML file that needs no other file. The history must have at least one trial."""
    return document(
        __package__,
        "history.html",
        trials=history.trials[::-1],
        kept=sum(trial.accepted for trial in history.trials),
        tolerance=SCORE_TOLERANCE,
        plot=score_against_time(history),
    )


def relative_times(history: History) -> list[float]:
    """The time of each trial's candidate, relative to the first baseline.

    A trial compares its candidate only with its own baseline, so the ratios of a chain of accepted changes are
    multiplied. A baseline that was no earlier trial's candidate counts as 1.
    """
    times: dict[tuple[str, str, str], float] = {}
    found = []
    for trial in history.trials:
        time = times.setdefault(_key(trial.baseline), 1.0) / trial.speedup
        times[_key(trial.candidate)] = time
        found.append(time)
    return found


def score_against_time(history: History) -> Plot:
    """Every trial as a dot, and a line from the first baseline through the kept changes."""
    trials, times = history.trials, relative_times(history)
    # Scores are multiplied by 100, because the axis has room for labels of five characters.
    start = (1.0, 100 * trials[0].baseline.score)
    everything = [start, *((time, 100 * trial.candidate.score) for time, trial in zip(times, trials, strict=True))]
    x = linear_axis("time, first baseline = 1", 0, 1.05 * max(time for time, _ in everything))
    scores = [score for _, score in everything]
    room = max(0.1 * (max(scores) - min(scores)), 0.05)
    y = linear_axis("STS Spearman x 100", min(scores) - room, max(scores) + room, vertical=True)

    def places(accepted: bool) -> list[tuple[float, float]]:
        chosen = [point for point, trial in zip(everything[1:], trials, strict=True) if trial.accepted == accepted]
        return [(x.place(time), y.place(score)) for time, score in chosen]

    def tips(accepted: bool) -> tuple[str, ...]:
        return tuple(_tip(trial) for trial in trials if trial.accepted == accepted)

    origin = (x.place(start[0]), y.place(start[1]))
    points = [Points("total", dots([origin]), (f"first baseline: {trials[0].baseline.score:.4f}",))]
    for style, accepted in (("own", True), ("bad", False)):
        if found := places(accepted):
            points.append(Points(style, dots(found), tips(accepted)))
    kept = sum(trial.accepted for trial in trials)
    caption = f"{len(trials)} tried, {kept} kept. To the left is faster, up is better."
    return Plot(
        "Score against time",
        caption,
        description=caption,
        x=x,
        y=y,
        lines=(Line("total", polyline([origin, *places(True)])),) if kept else (),
        points=tuple(points),
        legend=(("own", "kept"), ("bad", "rejected"), ("total", "first baseline")),
    )


def _key(subject: ScoredSubject) -> tuple[str, str, str]:
    return subject.manifest_sha256, subject.engine, subject.precision


def _tip(trial: Trial) -> str:
    return f"{trial.change}: {trial.speedup:.2f} times as fast, score {trial.candidate.score:.4f}"
