"""Streams that are closed, full, or read by nobody: no result is lost without a word, and no work for a note."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import MAIN, WIDE, lam_export, lam_export_process

PRINTS: dict[str, tuple[str, ...]] = {
    "version": ("--version",),
    "help": ("embed", "--help"),
    "a table of embeddings": ("embed", "BUNDLE", "a text", "another"),
    "a bundle": ("inspect", "BUNDLE"),
    "a bundle as JSON": ("inspect", "BUNDLE", "--json"),
    "a checkpoint": ("inspect", "CHECKPOINT"),
    "the machine": ("doctor",),
    "the machine as JSON": ("doctor", "--json"),
    "a comparison": ("validate", "BUNDLE", "--checkpoint", "CHECKPOINT"),
    "a report": ("report", "BUNDLE", "--against", "BUNDLE", "-o", "OUT"),
    "a report as JSON": ("report", "BUNDLE", "--against", "BUNDLE", "--json", "-o", "OUT"),
    "a folder that was written": ("huggingface", "BUNDLE", "-o", "OUT"),
}


@pytest.fixture
def full() -> Iterator[int]:
    with Path("/dev/full").open("wb") as file:
        yield file.fileno()


@pytest.fixture
def unread() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.heavy
@pytest.mark.parametrize("what", PRINTS)
def test_no_result_is_lost_without_a_word(
    what: str,
    tiny_bundle: Path,
    tiny_checkpoint_folder: Path,
    tmp_path: Path,
    full: int,
    unread: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path / "cache"))
    places = {"BUNDLE": tiny_bundle, "CHECKPOINT": tiny_checkpoint_folder, "OUT": tmp_path / "out"}
    command = [places.get(argument, argument) for argument in PRINTS[what]]
    lost = lam_export(*command, stdout=full)
    said = lost.stderr.splitlines()[-1]
    assert (lost.returncode, said) == (
        1,
        "error: expected standard output to take the result, found: No space left on device; send it elsewhere (what "
        "went into files is whole)",
    )
    assert (tmp_path / "out").exists() == ("OUT" in PRINTS[what])
    if what == "a folder that was written":
        command.append("--force")
    left = lam_export(*command, stdout=unread)
    assert left.returncode == 141
    assert not [line for line in left.stderr.splitlines() if not line.startswith("✓")], left.stderr


@pytest.mark.heavy
def test_a_terminal_without_columns_and_a_folder_that_is_gone(tiny_bundle: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shown = shell("", "embed", tiny_bundle, "a text", "another", COLUMNS="0").stdout
    assert "a text" in shown
    assert "#2 (" in shown
    lost = lam_export_process("doctor", code=f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); {MAIN}")
    assert (lost.returncode, lost.stderr) == (
        1,
        "error: expected a current folder, found that it was removed; cd to another\n",
    )


def shell(redirected: str, *arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with streams as the shell opens and closes them."""
    environment = {**os.environ, **WIDE, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    command = ["bash", "-c", f'"$@" {redirected}', "sh", sys.executable, "-c", MAIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.heavy
def test_streams_that_are_closed(tiny_bundle: Path, tmp_path: Path) -> None:
    lost = shell(">&-", "embed", tiny_bundle, "a text")
    assert (lost.returncode, lost.stderr) == (
        1,
        "error: expected standard output to take the result, found it closed; send it elsewhere (what went into files "
        "is whole)\n",
    )
    for buffered in ("", "1"):
        lost = shell(">/dev/full", "inspect", tiny_bundle, "--json", PYTHONUNBUFFERED=buffered)
        assert (lost.returncode, lost.stderr.count("found: No space left on device")) == (1, 1)
    output = tmp_path / "all.npy"
    all_closed = shell("<&- >&- 2>&-", "embed", tiny_bundle, "a text", "-o", output)
    assert all_closed.returncode == 0, "nothing was to be printed"
    assert np.load(output).shape == (1, 32)
    unread = shell("<&-", "embed", tiny_bundle, "--input", "-", "-o", tmp_path / "none.npy")
    assert (unread.returncode, unread.stdout) == (1, "")
    assert unread.stderr == "error: expected texts on standard input, found it closed; pipe them in, or name a file\n"
    assert [path.name for path in tmp_path.iterdir()] == ["all.npy"]


@pytest.mark.heavy
@pytest.mark.parametrize("place", ["2>&-", "2>/dev/full", "2> >(exit)"])
def test_notes_that_cannot_be_written_stop_nothing(place: str, tiny_bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("a text\n\n")
    done = shell(place, "embed", tiny_bundle, "--input", source, "-o", tmp_path / "out.npy")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert np.load(tmp_path / "out.npy").shape == (2, 32)
