"""What the commands share on the terminal: progress on standard error, results on standard output."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape

out = Console()
err = Console(stderr=True)


def say(console: Console, message: str, style: str = "") -> None:
    """Print a line that may hold what a user or a file wrote: no markup is read in it, and it is not folded."""
    console.print(message, style=style, markup=False, highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """Say on standard error what makes a result doubtful."""
    say(err, f"note: {message}", style="yellow")


@contextmanager
def steps(verbose: bool = False) -> Iterator[Callable[[str], None]]:
    """Show which step of a longer work is under way, and how long each took.

    Yields a function to call as each step begins. On a terminal the running step has a spinner; in a log every
    step is one line when it is done.
    """
    import time

    started: list[tuple[str, float]] = []

    def finish() -> None:
        if started:
            step, since = started.pop()
            say(err, f"✓ {step} {time.perf_counter() - since:.1f} s")

    with err.status("") if err.is_terminal else nullcontext() as status:

        def begin(step: str) -> None:
            finish()
            started.append((step, time.perf_counter()))
            if status is not None:
                status.update(escape(step))

        yield begin
        finish()


def examples(*lines: str) -> str:
    """A command's examples, as the foot of its help."""
    return "Examples:\n\n" + "\n\n".join(lines)
