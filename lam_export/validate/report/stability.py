"""How much an embedding moves while its text stays the same: in other batches, under padding, in another run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lam_engines.embedding.batching import pad
from lam_export.evidence.metrics import row_errors
from lam_export.evidence.subjects.function_engine import Embed
from lam_export.evidence.texts import readable, zero_unless_finite

from .schema import Stability

TEXTS = 8
"""Number of texts that are tried."""
RUNS = 3
"""Number of runs of the same batch."""
_MOST_TOKENS = 300
"""Most tokens of a text that is tried. This is more than two chunks of 128, and four times as many tokens are more than
the position table has."""
_LEAST_PADDED = 600
"""Fewest tokens of the long text that causes padding."""
_BESIDE = 5
"""Number of texts beside the text that is tried."""
_SEED = 0


@dataclass(frozen=True)
class Moved:
    """The figures of :func:`stability`, with the text behind each."""

    figures: Stability
    worst: dict[str, int]
    """Name of a figure, such as ``batch_cosine``, to the index of the text that moved most."""


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
        embed: a function that embeds a padded batch.
        ids: token ids ``[tokens]`` of each text.
        texts: the same texts as strings.
        chosen: indices of the texts to try, from :func:`sample`.
        pad_token_id: the model's id of padding.
        progress: called with 1 after each tried text.
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
    """Indices of texts of odd lengths, evenly spread over the lengths that occur.

    Kernels work in powers of two, so an odd length leaves a remainder in every kernel. The longest texts are left out,
    because each text is run many times.

    Args:
        lengths: tokens of each text.
        count: largest number of texts.
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
    """Name of a figure, and two batches that have text ``i`` as their first row."""
    own = ids[i]
    n = max(1, len(own))
    generator = np.random.default_rng(_SEED)
    nearest = sorted((j for j in range(len(ids)) if j != i), key=lambda j: abs(len(ids[j]) - n))[:_BESIDE]
    yield "batch_cosine", [own], [own, *(ids[j] for j in nearest)]
    yield "padding_cosine", [own], [own, np.resize(longest, max(_LEAST_PADDED, 4 * n))]

    # All texts get the same length, so that only the neighbours differ. A repeated word drives values highest.
    def beside() -> list[np.ndarray]:
        return [np.resize(ids[j], n) for j in generator.integers(len(ids), size=_BESIDE)]

    word = np.full(n, longest[len(longest) // 2])
    yield "neighbours_cosine", [own, *beside()], [own, *beside()[1:], word]
