"""What the commands share on the terminal: notes on standard error, results on standard output."""

from rich.console import Console

out = Console()
err = Console(stderr=True)


def say(console: Console, message: str, style: str = "") -> None:
    """Print a line that may hold what a user or a file wrote: no markup is read in it, and it is not folded."""
    console.print(message, style=style, markup=False, highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """Say on standard error what makes a result doubtful."""
    say(err, f"note: {message}", style="yellow")


def examples(*lines: str) -> str:
    """A command's examples, as the foot of its help."""
    return "Examples:\n\n" + "\n\n".join(lines)
