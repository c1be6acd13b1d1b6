"""Silence for native libraries, which write to the standard error of the process and not to Python's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent() -> Iterator[None]:
    """Discard what is written to standard error in the block, by any thread of the process."""
    error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(error, 2)
        os.close(nowhere)
        os.close(error)
