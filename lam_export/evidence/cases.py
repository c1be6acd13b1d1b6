"""The texts of a parity run: every awkward length alone, then many lengths in one padded batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lam_engines.contract import ATTENTION_MASK, INPUT_IDS
from lam_engines.embedding.batching import pad
from lam_engines.embedding.tokenizer import Tokenizer

LENGTHS = (1, 2, 5, 31, 32, 33, 127, 128, 129, 300, 1000, 2000)
"""Tokens of the texts that are run alone: around the chunk sizes 32 and 128, and far past both."""
BATCH_LENGTHS = (300, 1, 2, 3, 7, 16, 31, 32, 33, 64, 100, 127, 128, 129, 200, 257)
"""Tokens of the rows of the padded batch."""

_TEXT = """The courier reached the harbour before dawn, when only the bakers and the gulls were awake. She carried
forty-two letters, a parcel of seeds and a receipt for €17.50; nobody had told her which ship was hers. "Ask for
Captain Oyelaran," the clerk had said, but three captains answered to that name, and the fourth was asleep. By 9:15 the
fog had lifted. Gradient descent, compound interest and the migration of storks have this in common: small steps,
repeated without complaint, end a long way from home. Der Zug nach Görlitz fährt um 7:48 Uhr ab, sofern es nicht
schneit. La biblioteca cierra a las ocho; después sólo quedan los gatos. 東京の朝は静かだ。 Москва не сразу строилась.
HTTP 429 means: too many requests, wait and try again. Our measurements (n = 1,024) were taken at 21.5 °C with the
door shut. How much does it cost to move a piano up two flights of stairs? It depends on the piano, the stairs and the
uncle. The committee adjourned without a decision, as it had in March, in May and on both occasions in July."""


@dataclass(frozen=True)
class Case:
    """One batch of a parity run."""

    name: str
    input_ids: np.ndarray
    attention_mask: np.ndarray

    @property
    def feed(self) -> Mapping[str, np.ndarray]:
        return {INPUT_IDS: self.input_ids, ATTENTION_MASK: self.attention_mask}


def parity_cases(tokenizer: Tokenizer, pad_token_id: int, lengths: tuple[int, ...] = LENGTHS) -> list[Case]:
    """Batches of real text, cut and repeated to exact numbers of tokens.

    Each text of :data:`LENGTHS` comes alone. A padded batch follows, whose rows are cut from different places. The
    batch's last row repeats one word, because that drives the rule's unnormalised values highest.
    """
    first, *_, last = text_of(tokenizer, 3)
    word = tokenizer.encode(["dawn"])[0][1:2]
    cases = [Case(f"{n} tokens", *pad([text_of(tokenizer, n)], pad_token_id)) for n in lengths]
    rows = [text_of(tokenizer, n, offset=7 * i) for i, n in enumerate(BATCH_LENGTHS[:-1])]
    rows.append(np.array([first, *np.resize(word, BATCH_LENGTHS[-1] - 2), last], dtype=np.int64))
    cases.append(Case(f"{len(rows)} mixed lengths, padded", *pad(rows, pad_token_id)))
    return cases


def text_of(tokenizer: Tokenizer, tokens: int, offset: int = 0) -> np.ndarray:
    """Ids of real text with exactly ``tokens`` tokens, ``[tokens]`` int64. Each offset starts at another word."""
    first, *body, last = tokenizer.encode([_TEXT])[0]
    inner = np.resize(np.roll(body, -offset), max(tokens - 2, 0))
    return np.array([first, *inner, last][:tokens] if tokens > 1 else [first], dtype=np.int64)
