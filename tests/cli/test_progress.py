"""The one display of progress, on a terminal and in a log."""

from io import StringIO

import pytest
from rich.console import Console

from lam_export.cli import _progress


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    console = Console(file=StringIO(), force_terminal=terminal, width=100, record=True, color_system=None)
    monkeypatch.setattr(_progress, "err", console)
    with _progress.shown_progress() as progress:
        progress.begin("reading [bold]a[/] file", None)
        progress.advance(1)
        progress.begin("timing", 4)
        progress.advance(3)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_log_has_a_line_for_each_step_that_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, terminal=False).splitlines()
    assert [line.rsplit(" ", 2)[0] for line in lines] == ["✓ reading [bold]a[/] file", "✓ timing"]
    assert all(line.endswith(" s") for line in lines)


def test_a_terminal_shows_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, terminal=True)
    assert "/4" in text
    assert "0/?" not in text, "a step whose pieces are not counted has no bar"
    assert "1/?" not in text
    assert "✓ reading [bold]a[/] file" in text
    assert "✓ timing" in text


def test_a_step_that_failed_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=StringIO(), width=100)
    monkeypatch.setattr(_progress, "err", console)
    with pytest.raises(ZeroDivisionError), _progress.shown_progress() as progress:
        progress.begin("one", None)
        progress.begin("two", None)
        raise ZeroDivisionError
    assert isinstance(console.file, StringIO)
    assert [line.split()[1] for line in console.file.getvalue().splitlines()] == ["one"]
