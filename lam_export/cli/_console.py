"""Printing, shared by all commands: results go to standard output, notes to standard error."""

from rich.console import Console

out = Console()
err = Console(stderr=True)
_NARROWEST = 60
for _console in (out, err):
    if _console.width < _NARROWEST:  # a table would lose what it has to say; COLUMNS=0 would leave nothing of it
        _console.width = _NARROWEST


def say(console: Console, message: str, style: str = "") -> None:
    """Print a line as it is, unwrapped. It may quote a user or a file, so markup in it is not interpreted."""
    console.print(message, style=style, markup=False, highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """Print a reason to doubt a result, on standard error."""
    say(err, f"note: {message}", style="yellow")


def examples(*lines: str) -> str:
    """A command's examples, as they end its help."""
    return "Examples:\n\n" + "\n\n".join(lines)


def empty_texts(empty: int, texts: int) -> str:
    """What to say of texts of white space alone."""
    return f"{empty:,} of {texts:,} texts are empty or white space alone; all of these have the same embedding"
