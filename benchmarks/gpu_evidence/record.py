"""What a run found, as JSON for programs and Markdown for people; both are whole after every row."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lam_engines.bundles.whole import write_whole

Row = dict[str, Any]
"""Names and values; ``table`` is the title of its table, and ``wrong`` says what should not be."""
Tell = Callable[[Row], None]
"""Called with each row as soon as it is known."""


class Record:
    """The results of one device. Parts that are not run again are kept as an earlier run left them."""

    def __init__(self, folder: Path, about: dict[str, Any], name: str, *, keep: bool) -> None:
        self.json = folder / f"gpu_{re.sub('[^a-z0-9]+', '_', name.lower()).strip('_')}.json"
        self.markdown = self.json.with_suffix(".md")
        before = json.loads(self.json.read_text(encoding="utf-8")) if keep and self.json.exists() else {}
        self._content = {**about, "parts": before.get("parts", {})}

    def begin(self, part: str, title: str, commit: str) -> None:
        """Start a part anew."""
        self._content["parts"].pop(part, None)  # to the end
        self._content["parts"][part] = {"title": title, "commit": commit, "state": "cut off", "seconds": 0, "rows": []}
        self.write()

    def add(self, part: str, row: Row) -> None:
        """Add a row to a part."""
        self._content["parts"][part]["rows"].append(row)
        self.write()

    def end(self, part: str, state: str, seconds: float) -> None:
        """Say how a part ended."""
        self._content["parts"][part] |= {"state": state, "seconds": round(seconds, 1)}
        self.write()

    def write(self) -> None:
        """Write both files, each whole or not at all."""
        write_whole(self.json, (json.dumps(self._content, indent=1) + "\n").encode())
        write_whole(self.markdown, _page(self._content).encode())


def failures(rows: list[Row]) -> int:
    """How many rows say that something is wrong."""
    return sum("wrong" in row for row in rows)


def _page(content: dict[str, Any]) -> str:
    about = {name: value for name, value in content.items() if name not in ("parts", "versions")}
    lines = [f"# {content['device']}", "", "Written by `scripts/check_gpu`.", ""]
    lines += _table([{"": name, " ": value} for name, value in about.items()])
    lines += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in content["versions"].items())]
    for part in content["parts"].values():
        lines += ["", f"## {part['title']}", "", f"{part['state']}, {part['seconds']} s, commit {part['commit']}."]
        tables: dict[str, list[Row]] = {}
        for row in part["rows"]:
            tables.setdefault(row.get("table", ""), []).append({k: v for k, v in row.items() if k != "table"})
        for title, rows in tables.items():
            lines += ["", f"### {title}"] if title else []
            lines += ["", *(_outcomes(rows) if "outcome" in rows[0] else _table(rows))]
    return "\n".join(lines) + "\n"


def _outcomes(rows: list[Row]) -> list[str]:
    """Tests: how many of each file ended how, and each that failed."""
    counts = Counter((row["test"].split("::")[0], row["outcome"], row.get("why", "")) for row in rows)
    return _table(
        [{"file": file, "outcome": how, "tests": n, "why": why} for (file, how, why), n in sorted(counts.items())]
    )


def _table(rows: list[Row]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[cell(row.get(name, "")) for name in names] for row in rows]
    return [_line(names), _line(["---"] * len(names)), *map(_line, cells)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell(value: object) -> str:
    """A value as tables show it, on one line."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return " ".join(str(value).replace("|", "/").split())
