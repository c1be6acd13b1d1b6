"""Pairs of texts that say nearly the same.

    pip install '.[cpu]'
    python examples/near_duplicates.py my-model reviews.csv --cosine 0.95

Every text is compared with every other, a block at a time, so that memory holds the vectors and one block of cosines.
100,000 texts are 5 billion products of vectors: minutes. For more, ask a vector database for each text's neighbours.
"""

import argparse
from pathlib import Path

import numpy as np

from lam_engines import load_engine
from lam_engines.files import read_texts

BLOCK = 2048


def near_duplicates(vectors: np.ndarray, cosine: float) -> list[tuple[float, int, int]]:
    """Pairs with at least this cosine: (cosine, first, second), the nearest first.

    Args:
        vectors: ``[n, hidden]`` of unit length, so that their product is the cosine.
        cosine: smallest cosine of a pair.
    """
    found = []
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK] @ vectors[start:].T  # what comes before was compared already
        for row, column in np.argwhere(np.triu(block >= cosine, k=1)):
            found.append((float(block[row, column]), start + int(row), start + int(column)))
    return sorted(found, reverse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("texts", type=Path, help=".txt, .jsonl, .csv or .parquet")
    parser.add_argument("--column", help="of the texts; text if left out")
    parser.add_argument("--cosine", type=float, default=0.95, help="smallest cosine of a pair")
    args = parser.parse_args()

    with read_texts(args.texts, args.column) as reader:
        texts = list(reader)
    with load_engine(args.bundle) as engine:
        vectors = engine.embed(texts)
    for cosine, first, second in near_duplicates(vectors, args.cosine):
        print(f"{cosine:.3f}\n  {first + 1}: {texts[first]}\n  {second + 1}: {texts[second]}")


if __name__ == "__main__":
    main()
