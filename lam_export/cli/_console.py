"""What the commands share on the terminal: progress on standard error, results on standard output."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

out = Console()
err = Console(stderr=True)


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
            err.print(f"[green]✓[/] {step} [dim]{time.perf_counter() - since:.1f} s[/]", highlight=False)

    with err.status("") as status:

        def begin(step: str) -> None:
            finish()
            started.append((step, time.perf_counter()))
            status.update(step)

        yield begin
        finish()


def examples(*lines: str) -> str:
    """A command's examples, as the foot of its help."""
    return "Examples:\n\n" + "\n\n".join(lines)
