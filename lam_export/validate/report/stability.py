"""Does an embedding move when nothing about its text changed? In other batches, under padding, in another run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lam_engines.embedding.batching import pad
from lam_export.evidence.metrics import row_errors
from lam_export.evidence.subjects.function_engine import Embed
from lam_export.evidence.texts import readable, zero_unless_finite

from .schema import Stability

TEXTS = 8
RUNS = 3
_MOST_TOKENS = 300
"""Of a text that is tried: past two chunks of 128, and beside a text four times as long past the position table."""
_LEAST_PADDED = 600
_BESIDE = 5
"""Texts beside the one that is looked at."""
_SEED = 0


@dataclass(frozen=True)
class Moved:
    """What :func:`stability` saw, with the text behind each figure."""

    figures: Stability
    worst: dict[str, int]
    """``batch_cosine``, ``padding_cosine`` and ``neighbours_cosine`` to the index of the text that moved most."""


def stability(
    embed: Embed,
    ids: Sequence[np.ndarray],
    texts: Sequence[str],
    chosen: Sequence[int],
    pad_token_id: int,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> Moved:
    """Embed some texts in several surroundings and compare each text's embeddings with one another.

    Args:
        embed: what embeds a padded batch.
        ids: ``[tokens]`` of each text.
        texts: the same texts as they are read.
        chosen: indices of those that are tried, by :func:`sample`.
        pad_token_id: of the model.
        progress: called with 1 as each of them is done.
    """
    longest = max(ids, key=len)
    lowest = dict.fromkeys(("batch_cosine", "padding_cosine", "neighbours_cosine"), np.inf)
    worst: dict[str, int] = {}
    for i in chosen:
        for name, batch, other in _surroundings(i, ids, longest):
            first, second = (embed(*pad(rows, pad_token_id))[:1] for rows in (batch, other))
            cosine = float(row_errors(zero_unless_finite(second), zero_unless_finite(first)).cosine[0])
            if cosine < lowest[name]:
                lowest[name], worst[name] = cosine, i
        progress(1)
    again = pad([ids[i] for i in chosen], pad_token_id)
    runs = [zero_unless_finite(embed(*again)) for _ in range(RUNS)]
    return Moved(
        Stability(
            texts=len(chosen),
            **lowest,
            worst_text=readable(texts[worst[min(lowest, key=lambda name: lowest[name])]]),
            runs=RUNS,
            runs_max_abs=float(max(np.abs(run - runs[0]).max() for run in runs)),
        ),
        worst,
    )


def sample(lengths: Sequence[int], count: int = TEXTS) -> list[int]:
    """Indices of texts of odd lengths, evenly spread over the lengths that there are.

    Kernels work in powers of two: at an odd length every remainder is there. The longest are left out, for each text
    is run many times.

    Args:
        lengths: tokens of each text.
        count: how many at most.
    """
    first_of: dict[int, int] = {}
    for i, n in enumerate(lengths):
        first_of.setdefault(n, i)
    found = sorted(n for n in first_of if n % 2 and n <= _MOST_TOKENS) or [min(first_of)]
    places = np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)
    return [first_of[found[place]] for place in places]


def _surroundings(
    i: int, ids: Sequence[np.ndarray], longest: np.ndarray
) -> Iterator[tuple[str, list[np.ndarray], list[np.ndarray]]]:
    """What differs, and two batches whose first row is text ``i``."""
    own = ids[i]
    n = max(1, len(own))
    generator = np.random.default_rng(_SEED)
    nearest = sorted((j for j in range(len(ids)) if j != i), key=lambda j: abs(len(ids[j]) - n))[:_BESIDE]
    yield "batch_cosine", [own], [own, *(ids[j] for j in nearest)]
    yield "padding_cosine", [own], [own, np.resize(longest, max(_LEAST_PADDED, 4 * n))]

    # Of the same length, so that nothing but the neighbours differs. One word again and again drives values highest.
    def beside() -> list[np.ndarray]:
        return [np.resize(ids[j], n) for j in generator.integers(len(ids), size=_BESIDE)]

    word = np.full(n, longest[len(longest) // 2])
    yield "neighbours_cosine", [own, *beside()], [own, *beside()[1:], word]
