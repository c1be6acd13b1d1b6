"""How far each text's embedding is from the reference's: the worst texts, and the worst of each kind of text."""

from collections.abc import Mapping, Sequence

import numpy as np

from lam_export.validate.metrics import RowErrors

from .corpus import Text
from .schema import Bucket, TextRow

LENGTHS = ((1, 16), (17, 64), (65, 128), (129, 512), (513, 2048), (2049, None))
"""Buckets of lengths, in tokens with both ends included."""
WORST = 20
SHOWN = 200
"""Characters of a text in the report."""


_QUOTED = 60


def not_finite(vectors: np.ndarray) -> tuple[int, int]:
    """How many elements are NaN, and how many are infinite."""
    return int(np.isnan(vectors).sum()), int(np.isinf(vectors).sum())


def zero_unless_finite(vectors: np.ndarray) -> np.ndarray:
    """``[n, hidden]`` as float64, with every row that holds NaN or infinity set to zero.

    Nothing can be found with such a row, and so it is judged: cosine 0, relative RMS 1. Every figure of the report
    stays a number, which JSON can hold.
    """
    return np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0.0).astype(np.float64)


def readable(text: str, characters: int = SHOWN) -> str:
    """The beginning of a text; lone surrogates, which no file of Unicode can hold, become U+FFFD."""
    return text[:characters].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def in_words(text: str) -> str:
    """A text as a sentence quotes it: on one line, and not long."""
    line = " ".join(text.split())
    short = line if len(line) <= _QUOTED else f"{line[: _QUOTED - 1]}…"
    return f"'{''.join(c if c.isprintable() else '�' for c in short)}'"


def text_row(text: Text, tokens: int, errors: RowErrors, index: int) -> TextRow:
    """One text's line of the report."""
    return TextRow(
        text=readable(text.text),
        kind=text.kind,
        language=text.language,
        tokens=tokens,
        max_abs=float(errors.max_abs[index]),
        relative_rms=float(errors.relative_rms[index]),
        cosine=float(errors.cosine[index]),
    )


def worst_rows(
    texts: Sequence[Text], tokens: Sequence[int], errors: RowErrors, count: int = WORST
) -> tuple[TextRow, ...]:
    """The texts of the lowest cosines, worst first."""
    order = np.argsort(errors.cosine, kind="stable")[:count]
    return tuple(text_row(texts[i], tokens[i], errors, i) for i in order)


def buckets(texts: Sequence[Text], tokens: Sequence[int], errors: RowErrors) -> tuple[Bucket, ...]:
    """The worst figures by length, by language and by kind; a bucket without texts is left out."""
    lengths = {name: np.array([_within(n, span) for n in tokens]) for name, span in _names().items()}
    languages = _groups([text.language for text in texts])
    kinds = _groups([text.kind for text in texts])
    return (
        *(_bucket("length", name, chosen, errors) for name, chosen in lengths.items() if chosen.any()),
        *(_bucket("language", name, chosen, errors) for name, chosen in languages.items()),
        *(_bucket("kind", name, chosen, errors) for name, chosen in kinds.items()),
    )


def _names() -> Mapping[str, tuple[int, int | None]]:
    return {f"{low}-{high}" if high else f"{low}+": (low, high) for low, high in LENGTHS}


def _within(tokens: int, span: tuple[int, int | None]) -> bool:
    low, high = span
    # A text of no tokens, which a tokenizer without special tokens may give, is of the shortest.
    return (low <= tokens or low == 1) and (high is None or tokens <= high)


def _groups(names: Sequence[str]) -> Mapping[str, np.ndarray]:
    all_names = np.array(names)
    return {name: all_names == name for name in dict.fromkeys(names)}


def _bucket(by: str, name: str, chosen: np.ndarray, errors: RowErrors) -> Bucket:
    cosine = errors.cosine[chosen]
    return Bucket(
        by=by,  # type: ignore[arg-type]
        name=name,
        texts=int(chosen.sum()),
        worst_max_abs=float(errors.max_abs[chosen].max()),
        worst_relative_rms=float(errors.relative_rms[chosen].max()),
        worst_cosine=float(cosine.min()),
        mean_cosine=float(cosine.mean()),
    )
