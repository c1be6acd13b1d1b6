"""Batches, windows and padding, for any lengths."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lam_engines.embedding.batching import batches, pad, windows

LENGTHS = st.lists(st.integers(0, 5000), max_size=200)
BUDGETS = st.integers(1, 10_000)


@given(LENGTHS, BUDGETS, st.none() | st.integers(1, 64))
def test_every_text_is_in_one_batch_and_the_budget_holds(lengths: list[int], budget: int, size: int | None) -> None:
    found = list(batches(lengths, batch_tokens=budget, batch_size=size))
    assert sorted(np.concatenate([[], *found])) == list(range(len(lengths)))
    for rows in found:
        padded = len(rows) * max(lengths[row] for row in rows)
        assert len(rows) == 1 or padded <= budget
        assert 1 <= len(rows) <= (size or len(lengths))


@given(LENGTHS, BUDGETS, st.none() | st.integers(1, 64))
def test_the_longest_come_first_and_no_batch_could_take_the_next_text(
    lengths: list[int], budget: int, size: int | None
) -> None:
    found = list(batches(lengths, batch_tokens=budget, batch_size=size))
    order = [lengths[row] for rows in found for row in rows]
    assert order == sorted(lengths, reverse=True)
    for rows in found[:-1]:
        longest = max(1, lengths[rows[0]])
        assert len(rows) == size or (len(rows) + 1) * longest > budget


def test_lengths_may_be_of_any_integer_type() -> None:
    assert [rows.tolist() for rows in batches(np.array([3, 1, 2]), batch_tokens=4)] == [[0], [2, 1]]
    assert list(batches([], batch_tokens=4)) == []


TEXTS = st.lists(st.text(max_size=20), max_size=60)


@given(TEXTS, st.integers(1, 20), st.integers(1, 100))
def test_windows_hold_all_texts_in_order(texts: list[str], size: int, characters: int) -> None:
    found = list(windows(texts, size=size, characters=characters))
    assert [text for window in found for text in window] == texts
    for i, window in enumerate(found):
        assert 1 <= len(window) <= size
        assert sum(map(len, window[:-1])) < characters  # the last text may be long, no other
        full = len(window) == size or sum(map(len, window)) >= characters
        assert full or i == len(found) - 1


@given(st.integers(1, 5), st.integers(0, 17))
def test_windows_read_no_further_than_they_must(size: int, count: int) -> None:
    read: list[str] = []

    def source() -> Iterator[str]:
        for _ in range(count):
            read.append("x")
            yield "x"

    taken: list[str] = []
    for window in windows(source(), size=size):
        taken += window
        assert read == taken
    assert len(taken) == count


IDS = st.lists(st.lists(st.integers(0, 2**31), max_size=12), min_size=1, max_size=8)


@given(IDS, st.integers(0, 7))
def test_padding_is_on_the_right_and_masked(ids: list[list[int]], pad_token_id: int) -> None:
    input_ids, mask = pad([np.array(row, dtype=np.int64) for row in ids], pad_token_id)
    assert input_ids.shape == mask.shape == (len(ids), max(1, *map(len, ids), 1))
    assert input_ids.dtype == mask.dtype == np.int64
    for row, padded, ones in zip(ids, input_ids.tolist(), mask.tolist(), strict=True):
        rest = input_ids.shape[1] - len(row)
        assert padded == row + [pad_token_id] * rest
        assert ones == [1] * len(row) + [0] * rest


@pytest.mark.parametrize("budget", [1, 64, 2048])
def test_little_is_padding(budget: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 2000)
    padded = sum(len(rows) * lengths[rows].max() for rows in batches(lengths, batch_tokens=budget))
    assert padded <= 1.05 * lengths.sum()


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(0, 200))
def test_no_batch_has_more_padding_than_it_may(lengths: list[int], max_padding: int) -> None:
    found = list(batches(lengths, batch_tokens=1024, max_padding=max_padding))
    assert sorted(int(i) for batch in found for i in batch) == list(range(len(lengths)))
    for batch in found:
        rows = [lengths[i] for i in batch]
        assert sum(max(rows) - row for row in rows) <= max_padding
        assert len(rows) == 1 or max(rows) * len(rows) <= 1024


def test_unlike_texts_go_apart() -> None:
    lengths = [100, 20, 19, 18, 98, 17]
    assert [batch.tolist() for batch in batches(lengths, batch_tokens=1024, max_padding=8)] == [[0, 4], [1, 2, 3, 5]]
    assert [batch.tolist() for batch in batches(lengths, batch_tokens=1024)] == [[0, 4, 1, 2, 3, 5]]
