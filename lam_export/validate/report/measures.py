"""The error of each text's embedding against the reference: the worst texts, and the worst figures of each group."""

from collections.abc import Sequence

import numpy as np

from lam_export.evidence.corpus import Text
from lam_export.evidence.metrics import RowErrors
from lam_export.evidence.texts import readable

from .schema import Bucket, TextRow

LENGTHS = ((1, 16), (17, 64), (65, 128), (129, 512), (513, 2048), (2049, None))
"""Buckets of lengths in tokens, both ends included."""
WORST = 20
"""Number of worst texts in the report."""


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
    """The texts with the lowest cosines, worst first."""
    order = np.argsort(errors.cosine, kind="stable")[:count]
    return tuple(text_row(texts[i], tokens[i], errors, i) for i in order)


def buckets(texts: Sequence[Text], tokens: Sequence[int], errors: RowErrors) -> tuple[Bucket, ...]:
    """The worst figures by length, by language and by kind; a bucket without texts is left out."""
    names = {
        "length": [_range_of(n) for n in tokens],
        "language": [text.language for text in texts],
        "kind": [text.kind for text in texts],
    }
    in_order = {**names, "length": [_range_of(n) for n in sorted(tokens)]}
    return tuple(
        _bucket(by, name, np.array(names[by]) == name, errors) for by in names for name in dict.fromkeys(in_order[by])
    )


def _range_of(tokens: int) -> str:
    """The name of a bucket of lengths. A text of no tokens, which some tokenizers give, is in the shortest."""
    return next(f"{low}-{high}" if high else f"{low}+" for low, high in LENGTHS if high is None or tokens <= high)


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
