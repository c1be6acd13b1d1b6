"""The texts of the distillation: read, made anew, tokenised, and put into batches of equal length."""

import csv
import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

LONGEST = 512
"""Tokens; everything longer is cut."""
EXACT = 32
"""Tokens; up to this length a text stays as it is. A longer one is cut to the next lower length of a grid."""
JOINED = (5.5, 8)
"""Powers of two between which the words of joined texts lie."""
SWAPPED = 4
"""Letters; shorter words are not exchanged."""


def read_sentences(path: Path) -> list[str]:
    """The sentences of a ``.txt`` (one a line) or of a headerless STS ``.csv`` (its columns 1 and 2)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row[:2] for row in csv.reader(file)] if path.suffix == ".csv" else [[line] for line in file]
    return [sentence.strip() for sentence in itertools.chain.from_iterable(rows) if sentence.strip()]


def normalised(sentence: str) -> str:
    """The sentence's letters and digits in lower case: what tells whether two sentences are the same."""
    return re.sub(r"[\W_]+", "", sentence).lower()


def load_tokenizer(teacher: Path) -> Tokenizer:
    """The teacher's tokenizer, without padding, cutting at ``LONGEST``."""
    tokenizer = Tokenizer.from_file(str(teacher / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer


class Texts:
    """Endless texts of several kinds, made from sentences of two sorts.

    - ``sentence``: a sentence like those of the STS benchmark, as it is.
    - ``blend``: such sentences, crossed where they have a word in common: a chain of words in which three in a row
      come from one sentence. It gives new sentences of the same manner.
    - ``dropped``: such a sentence without 20 % of its words.
    - ``swapped``: a blend in which words of four letters and more are exchanged, each with probability 0.3, for any
      word of both sorts with the same two last letters. It says something new, in the manner of the sentences.
    - ``wide``: a text of the wide collection, as it is.
    - ``joined``: texts of one of the sorts in a row, for long texts: at least 45 to 256 words, as many of 45 to 90 as
      of 90 to 180.
    """

    def __init__(self, sentences: list[str], wide: list[str], excluded: Set[str] = frozenset()) -> None:
        """``excluded`` holds sentences, :func:`normalised`, that must not come about by chance either."""
        self.sentences, self.wide, self.excluded = sentences, wide or sentences, excluded
        self.chain: dict[tuple[str, str], list[str]] = defaultdict(list)
        for sentence in sentences:
            for a, b, c in self._triples(sentence):
                self.chain[a, b].append(c)
        self.endings: dict[str, list[str]] = defaultdict(list)
        for word in sorted(set(itertools.chain.from_iterable(text.split() for text in (*sentences, *wide)))):
            if word.isalpha() and len(word) >= SWAPPED:
                self.endings[word[-2:]].append(word)

    @staticmethod
    def _triples(sentence: str) -> Iterable[tuple[str, str, str]]:
        words = ["", "", *sentence.split(), ""]
        return zip(words, words[1:], words[2:], strict=False)

    def sentence(self, rng: random.Random) -> str:
        return rng.choice(self.sentences)

    def blend(self, rng: random.Random) -> str:
        words = ["", ""]
        while len(words) < 60:
            word = rng.choice(self.chain[words[-2], words[-1]])
            if not word:
                break
            words.append(word)
        return " ".join(words[2:])

    def dropped(self, rng: random.Random) -> str:
        words = self.sentence(rng).split()
        return " ".join([word for word in words if rng.random() > 0.2] or words)

    def swapped(self, rng: random.Random) -> str:
        words = self.blend(rng).split()
        return " ".join(rng.choice(self.endings[w[-2:]]) if self._is_swapped(w, rng) else w for w in words)

    def _is_swapped(self, word: str, rng: random.Random) -> bool:
        return len(word) >= SWAPPED and word[-2:] in self.endings and rng.random() < 0.3

    def wide_text(self, rng: random.Random) -> str:
        return rng.choice(self.wide)

    def joined(self, rng: random.Random) -> str:
        source = self.wide if rng.random() < 0.5 else self.sentences
        words, wanted = list[str](), 2 ** rng.uniform(*JOINED)
        while len(words) < wanted:
            words += rng.choice(source).split()
        return " ".join(words)

    def of(self, mixture: Mapping[str, float], count: int, rng: random.Random) -> list[str]:
        """``count`` texts, without the excluded among them; ``mixture`` gives the share of each kind."""
        makers = {
            "sentence": self.sentence,
            "blend": self.blend,
            "dropped": self.dropped,
            "swapped": self.swapped,
            "wide": self.wide_text,
            "joined": self.joined,
        }
        kinds = rng.choices(list(mixture), list(mixture.values()), k=count)
        texts = [makers[kind](rng) for kind in kinds]
        return [text for text in texts if normalised(text) not in self.excluded]

    def endless(self, mixture: Mapping[str, float], rng: random.Random) -> Iterator[str]:
        """Texts of a mixture, without end."""
        return itertools.chain.from_iterable(self.of(mixture, 500, rng) for _ in itertools.count())


def grid_length(tokens: int) -> int:
    """The length to which a text of so many tokens is cut: 1 to 32 as it is, then steps of about an eighth."""
    if tokens <= EXACT:
        return tokens
    step = 1 << (tokens.bit_length() - 4)
    return tokens // step * step


def equal_length_batches(texts: Iterable[str], tokenizer: Tokenizer, tokens: int) -> Iterator[Tensor]:
    """Batches ``[B, L]`` int64 of texts of one length each, without padding, so that no step needs a mask.

    Args:
        texts: as they come.
        tokenizer: of :func:`load_tokenizer`.
        tokens: of a batch, at most; a text that is longer is a batch by itself.
    """
    waiting: dict[int, list[list[int]]] = defaultdict(list)
    for text in texts:
        ids = tokenizer.encode(text).ids
        length = grid_length(len(ids))
        group = waiting[length]
        group.append([*ids[: length - 1], ids[-1]])
        if (len(group) + 1) * length > tokens:
            yield torch.tensor(group)
            waiting[length] = []
    yield from (torch.tensor(group) for group in waiting.values() if group)


def padded_batches(
    texts: list[str], tokenizer: Tokenizer, tokens: int = 4096
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Texts of like length together: their indices, ``input_ids`` and ``attention_mask``, ``[B, L]`` int64."""
    ids = [torch.tensor(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    while order:
        size = max(1, tokens // len(ids[order[min(len(order), tokens // len(ids[order[0]])) - 1]]))
        group, order = order[:size], order[size:]
        rows = torch.nn.utils.rnn.pad_sequence([ids[i] for i in group], batch_first=True)
        ones = torch.nn.utils.rnn.pad_sequence([torch.ones_like(ids[i]) for i in group], batch_first=True)
        yield group, rows, ones
