"""The work that is timed: single texts of many lengths, batches, and a mix of lengths as in practice."""

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
"""Tokens of the single texts in the published table."""
BATCHES = ((32, 32), (256, 16), (8, 512))
"""Texts and tokens of each batch."""
MIX = 256
"""Number of texts in the mix."""
QUICK_LENGTHS, QUICK_BATCHES, QUICK_MIX = (128, 512, 4096), ((32, 32),), 64

_MEDIAN_WORDS, _SPREAD, _MOST_WORDS = 20, 1.0, 300
"""Words of the texts in the mix: the median is a sentence, and one text in twenty has more than 100 words. The limit
keeps all texts within the 512 positions of a transformer."""


@dataclass(frozen=True)
class Shape:
    """A piece of work: token ids of one batch, or texts for an engine to tokenise and batch."""

    info: ShapeInfo
    work: "np.ndarray | tuple[str, ...]"
    """Token ids ``[texts, tokens]`` int64, or the texts."""

    def run(self, engine: EmbeddingEngine) -> np.ndarray:
        """Do the work with an engine; ``[texts, hidden]`` float32."""
        return engine.embed_ids(self.work) if isinstance(self.work, np.ndarray) else engine.embed(self.work)


def shapes(
    tokenizer: Tokenizer, lengths: Sequence[int], batches: Sequence[tuple[int, int]], mix: int
) -> tuple[Shape, ...]:
    """All work in the order in which it is timed: single texts from the shortest, then batches, then the mix.

    Args:
        tokenizer: the bundle's tokenizer.
        lengths: tokens of each single text.
        batches: texts and tokens of each batch.
        mix: number of texts in the mix.
    """
    alone = [_batch(tokenizer, "length", 1, tokens) for tokens in sorted(set(lengths))]
    beside = [_batch(tokenizer, "batch", texts, tokens) for texts, tokens in batches]
    return (*alone, *beside, _mix(tokenizer, mix))


def parse_lengths(given: str) -> tuple[int, ...]:
    """Read numbers of tokens such as ``128,4096``.

    Raises:
        LamError: the text is something else.
    """
    try:
        lengths = tuple(int(part) for part in given.split(","))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise LamError(f"expected numbers of tokens like --lengths 128,4096, found {given!r}")
    return lengths


def parse_shape(given: str) -> tuple[int, int]:
    """Read texts and tokens such as ``32x128``.

    Raises:
        LamError: the text is something else.
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


def mixed_texts(count: int) -> tuple[str, ...]:
    """Texts with log-normal numbers of words. They are always the same."""
    prose = [text.text for text in builtin_texts() if text.language == "en" and text.kind == "prose"]
    words = np.array(" ".join(prose).split())
    random = np.random.default_rng(0)
    sizes = np.clip(random.lognormal(np.log(_MEDIAN_WORDS), _SPREAD, count), 1, _MOST_WORDS).astype(int)
    starts = random.integers(len(words), size=count)
    return tuple(" ".join(np.roll(words, -start)[:size]) for start, size in zip(starts, sizes, strict=True))


def _mix(tokenizer: Tokenizer, count: int) -> Shape:
    texts = mixed_texts(count)
    tokens = [len(ids) for ids in tokenizer.encode(texts)]
    info = ShapeInfo(
        name=f"{count} texts, {min(tokens)} to {max(tokens):,}",
        kind="mix",
        texts=count,
        longest=max(tokens),
        tokens=sum(tokens),
    )
    return Shape(info, texts)
