"""Prepare arbitrary texts and vectors for a report."""

import numpy as np

from lam_engines.embedding.texts import without_surrogates

SHOWN = 200
"""Characters of a text that a report shows."""
_QUOTED = 60


def not_finite(vectors: np.ndarray) -> tuple[int, int]:
    """How many elements are NaN, and how many are infinite."""
    return int(np.isnan(vectors).sum()), int(np.isinf(vectors).sum())


def zero_unless_finite(vectors: np.ndarray) -> np.ndarray:
    """``[n, hidden]`` as float64, with every row that holds NaN or infinity set to zero.

    A search finds nothing with such a row, so the row is judged as useless: cosine 0, relative RMS 1. Every figure of
    the report stays a number that JSON can hold.
    """
    return np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0.0).astype(np.float64)


def readable(text: str, characters: int = SHOWN) -> str:
    """The beginning of a text. Lone surrogates become U+FFFD, because UTF-8 cannot hold them."""
    return without_surrogates(text[:characters])


def in_words(text: str) -> str:
    """A text as a sentence quotes it: on one line and cut short."""
    line = " ".join(text.split())
    short = line if len(line) <= _QUOTED else f"{line[: _QUOTED - 1]}…"
    return f"'{''.join(c if c.isprintable() else '�' for c in short)}'"
