"""The work that is timed: one text by length, batches, and a mix of lengths as they come in practice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.embedding.tokenizer import Tokenizer
from lam_engines.errors import LamError
from lam_export.evidence.cases import text_of
from lam_export.evidence.corpus import builtin_texts
from lam_export.evidence.schema import ShapeInfo

LENGTHS = (128, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
"""Tokens of the published table."""
BATCHES = ((32, 32), (256, 16), (8, 512))
"""Texts and tokens of each."""
MIX = 256
"""Texts of the mix."""
QUICK_LENGTHS, QUICK_BATCHES, QUICK_MIX = (128, 512, 4096), ((32, 32),), 64

_MEDIAN_WORDS, _SPREAD, _MOST_WORDS = 20, 1.0, 300
"""Of the mix: a sentence in the middle, one in twenty above 100 words, and none that a transformer of 512 positions
would cut off."""


@dataclass(frozen=True)
class Shape:
    """A piece of work: token ids of one batch, or texts for an engine to tokenise and batch."""

    info: ShapeInfo
    work: "np.ndarray | tuple[str, ...]"
    """``[texts, tokens]`` int64, or the texts."""

    def run(self, engine: EmbeddingEngine) -> np.ndarray:
        """Do it; ``[texts, hidden]`` float32."""
        return engine.embed_ids(self.work) if isinstance(self.work, np.ndarray) else engine.embed(self.work)


def shapes(
    tokenizer: Tokenizer, lengths: Sequence[int], batches: Sequence[tuple[int, int]], mix: int
) -> tuple[Shape, ...]:
    """All that is timed, in the order in which it is: shortest text first, then batches, then the mix.

    Args:
        tokenizer: of the bundle.
        lengths: tokens of one text alone.
        batches: texts and tokens of each.
        mix: how many texts of mixed lengths.
    """
    alone = [_batch(tokenizer, "length", 1, tokens) for tokens in sorted(set(lengths))]
    beside = [_batch(tokenizer, "batch", texts, tokens) for texts, tokens in batches]
    return (*alone, *beside, _mix(tokenizer, mix))


def parse_lengths(given: str) -> tuple[int, ...]:
    """``128,4096`` as numbers.

    Raises:
        LamError: something else stands there.
    """
    try:
        lengths = tuple(int(part) for part in given.split(","))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise LamError(f"expected numbers of tokens like --lengths 128,4096, found {given!r}")
    return lengths


def parse_shape(given: str) -> tuple[int, int]:
    """Texts and tokens of ``32x128``.

    Raises:
        LamError: something else stands there.
    """
    found = re.fullmatch(r"(\d{1,6})x(\d{1,7})", given)
    texts, tokens = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (texts and tokens):
        raise LamError(f"expected texts x tokens like --shape 32x128, found {given!r}")
    return texts, tokens


def _batch(tokenizer: Tokenizer, kind: str, texts: int, tokens: int) -> Shape:
    ids = np.stack([text_of(tokenizer, tokens, offset=7 * i) for i in range(texts)])
    name = f"{texts} x {tokens:,}"
    info = ShapeInfo(name=name, kind=kind, texts=texts, longest=tokens, tokens=ids.size)  # type: ignore[arg-type]
    return Shape(info, ids)


def _mix(tokenizer: Tokenizer, count: int) -> Shape:
    """Texts whose numbers of words are log-normal; always the same ones."""
    prose = [text.text for text in builtin_texts() if text.language == "en" and text.kind == "prose"]
    words = np.array(" ".join(prose).split())
    random = np.random.default_rng(0)
    sizes = np.clip(random.lognormal(np.log(_MEDIAN_WORDS), _SPREAD, count), 1, _MOST_WORDS).astype(int)
    starts = random.integers(len(words), size=count)
    texts = tuple(" ".join(np.roll(words, -start)[:size]) for start, size in zip(starts, sizes, strict=True))
    tokens = [len(ids) for ids in tokenizer.encode(texts)]
    info = ShapeInfo(
        name=f"{count} texts, {min(tokens)} to {max(tokens):,}",
        kind="mix",
        texts=count,
        longest=max(tokens),
        tokens=sum(tokens),
    )
    return Shape(info, texts)
