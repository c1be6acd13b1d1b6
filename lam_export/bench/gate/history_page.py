"""The history of changes for readers: the latest trial, a plot of score against time, and a table of all trials."""

from lam_export.evidence.page.drawing import Line, Plot, Points, dots, linear_axis, polyline
from lam_export.evidence.record import Section, Shown
from lam_export.evidence.tables import Entry, Table

from .history import History, ScoredSubject, Trial
from .protocol import SCORE_TOLERANCE


def shown(history: History) -> Shown:
    """The history for every medium. It must have at least one trial; the verdict is the latest's."""
    latest = history.trials[-1]
    kept = sum(trial.accepted for trial in history.trials)
    return Shown(
        "Trials",
        latest.candidate.bundle,
        history,
        latest.accepted,
        f"A change is kept if it costs at most {SCORE_TOLERANCE} of the score and is faster beyond doubt.",
        [Section([_latest(latest), (score_against_time(history),), _all(history)])],
        verdict="ACCEPTED" if latest.accepted else "REJECTED",
        about=f"{kept} of {len(history.trials)} kept.",
        faults=[(latest.change, reason) for reason in latest.reasons],
    )


def _latest(trial: Trial) -> Table:
    before, after = trial.baseline, trial.candidate
    subjects = [(who.bundle, f"{who.engine} {who.precision}") for who in (before, after)]
    return Table(
        trial.change,
        ("", "baseline", "with the change", ""),
        (
            *((name, *both, "") for name, *both in zip(("bundle", "engine"), *subjects, strict=True)),
            ("STS Spearman", f"{before.score:.4f}", f"{after.score:.4f}", f"{after.score - before.score:+.4f}"),
            *((f"{shape} tokens", "1", f"{ratio:.2f}", "times as fast") for shape, ratio in trial.speedups.items()),
            ("all shapes", "1", f"{trial.speedup:.2f}", f"95 % interval {trial.low:.2f} to {trial.high:.2f}"),
        ),
        4,
    )


def _all(history: History) -> Table:
    trials = history.trials[::-1]
    return Table(
        "All trials, latest first",
        ("change", "verdict", "times as fast", "95 % from", "to", "score", "score gained", "compared"),
        tuple(map(_row, trials)),
        2,
        "Times as fast: the geometric mean over all shapes (texts x tokens). The figure of a shape is the median of "
        "the ratios of neighbouring runs. Score: Spearman correlation on the STS benchmark.",
        numbers_to=7,
        missed=frozenset(i for i, trial in enumerate(trials) if not trial.accepted),
        least="markdown",
        folded_in_markdown=20,
        sortable=True,
    )


def _row(trial: Trial) -> tuple[str | Entry, ...]:
    before, after = trial.baseline, trial.candidate
    ratios = ", ".join(f"{shape} {ratio:.2f}" for shape, ratio in trial.speedups.items())
    subjects = [f"{who.bundle}, {who.engine} {who.precision}" for who in (after, before)]
    return (
        Entry(trial.change, foreign=True),
        Entry("kept" if trial.accepted else "rejected", passed=trial.accepted, small=trial.reasons),
        *(Entry(f"{value:.2f}", value) for value in (trial.speedup, trial.low, trial.high)),
        Entry(f"{after.score:.4f}", after.score),
        Entry(f"{after.score - before.score:+.4f}", after.score - before.score),
        Entry(", with ".join(subjects), small=(f"{trial.created}, {trial.machine}; {ratios}",)),
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
