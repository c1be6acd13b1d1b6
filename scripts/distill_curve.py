"""The curve of a training run: a table beside the weights, and its drawing."""

import csv
import io
from pathlib import Path

from lam_engines.bundles.whole import write_whole

_WIDTH, _HEIGHT, _MARGIN, _TITLE = 560, 150, 60, 22


class Curve:
    """Rows of one run by step: ``NAME.curve.csv``, and ``NAME.curve.svg`` with a panel for each column of numbers."""

    def __init__(self, output: Path) -> None:
        """Read the rows that the run has written so far."""
        self.table, self.drawing = output.with_suffix(".curve.csv"), output.with_suffix(".curve.svg")
        self.rows: list[dict[str, str]] = []
        if self.table.exists():
            with self.table.open(encoding="utf-8", newline="") as file:
                self.rows = list(csv.DictReader(file))

    def cut(self, step: int) -> None:
        """Forget what came after a step: the run goes on from there."""
        self.rows = [row for row in self.rows if int(row["step"]) <= step]

    def add(self, step: int, stage: str, **numbers: float) -> None:
        """A row, written at once."""
        self.rows.append(
            {"step": str(step), "stage": stage, **{name: f"{value:.5f}" for name, value in numbers.items()}}
        )
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_whole(self.table, text.getvalue().encode())
        write_whole(self.drawing, self._svg().encode())

    def _svg(self) -> str:
        columns = [name for name in self.rows[-1] if name not in ("step", "stage")]
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {len(columns) * _HEIGHT}" '
            'font-family="sans-serif" font-size="11" fill="#333"><rect width="100%" height="100%" fill="#fff"/>'
        ]
        for i, name in enumerate(columns):
            parts.append(f'<g transform="translate(0 {i * _HEIGHT})">{self._panel(name)}</g>')
        return "\n".join([*parts, "</svg>\n"])

    def _panel(self, name: str) -> str:
        steps, values = ([float(row[column]) for row in self.rows] for column in ("step", name))
        low, high = min(values), max(values)
        right, bottom = _WIDTH - 20, _HEIGHT - 20

        def place(step: float, value: float) -> str:
            x = _MARGIN + (right - _MARGIN) * step / max(steps[-1], 1)
            y = bottom - (bottom - _TITLE) * (value - low) / (high - low or 1)
            return f"{x:.1f},{y:.1f}"

        points = " ".join(place(step, value) for step, value in zip(steps, values, strict=True))
        starts = [row for row, before in zip(self.rows[1:], self.rows, strict=False) if row["stage"] != before["stage"]]
        bars = "".join(
            f'<polyline points="{place(float(row["step"]), low)} {place(float(row["step"]), high)}" stroke="#ccc"/>'
            f'<text x="{place(float(row["step"]), low).split(",")[0]}" y="{_TITLE - 2}">{row["stage"]}</text>'
            for row in (self.rows[0], *starts)
        )
        return (
            f'<text x="4" y="12" font-weight="bold">{name}</text>{bars}'
            f'<text x="{_MARGIN - 4}" y="{_TITLE + 8}" text-anchor="end">{high:.4f}</text>'
            f'<text x="{_MARGIN - 4}" y="{bottom}" text-anchor="end">{low:.4f}</text>'
            f'<text x="{right}" y="{_HEIGHT - 6}" text-anchor="end">step {steps[-1]:.0f}</text>'
            f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="1.5"/>'
        )
