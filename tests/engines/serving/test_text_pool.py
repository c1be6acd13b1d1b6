"""The pool of texts that wait in ``lam_core``: what goes together, and who waits."""

import threading
import time
from collections import Counter
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from lam_engines.serving.pool import Pool, batch_around

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=100)


class Text(NamedTuple):
    number: int
    tokens: int


def anything(tokens: int) -> None:
    return None


@given(LENGTHS, st.integers(0, 99), st.integers(1, 1000), st.integers(0, 64), st.integers(1, 9))
def test_a_batch_holds_its_first_text_and_keeps_its_limits(
    lengths: list[int], lead: int, batch_tokens: int, max_padding: int, most: int
) -> None:
    lead %= len(lengths)
    chosen = batch_around(lead, lengths, batch_tokens, max_padding, lambda tokens: most)
    assert lead in chosen
    assert len(set(chosen)) == len(chosen) <= most
    longest = max(lengths[i] for i in chosen)
    assert len(chosen) == 1 or len(chosen) * longest <= batch_tokens
    assert sum(longest - lengths[i] for i in chosen) <= max_padding
    # Nothing between the shortest and the longest of them is left out.
    shortest = min(lengths[i] for i in chosen)
    between = [i for i, length in enumerate(lengths) if shortest < length < longest]
    assert set(between) <= set(chosen)


def test_nearest_lengths_go_together() -> None:
    assert sorted(batch_around(0, [10, 300, 11, 9, 100, 10], 512, 32, anything)) == [0, 2, 3, 5]
    assert batch_around(0, [10, 300, 11, 9, 100, 10], 512, 0, anything) == [0, 5]
    assert batch_around(0, [2000, 300], 512, 32, anything) == [0]


def test_many_threads_take_every_text_once_and_adding_waits_for_room() -> None:
    pool: Pool[Text] = Pool(batch_tokens=64, max_padding=8, max_batch=anything)
    taken: list[Text] = []

    def work() -> None:
        while batch := pool.take():
            taken.extend(batch)

    def add(start: int) -> None:
        for number in range(start, start + 500):
            pool.add([Text(number, 1 + number % 40)])
            pool.wait_for_room(256)

    workers = [threading.Thread(target=work) for _ in range(3)]
    adders = [threading.Thread(target=add, args=(start,)) for start in (0, 500)]
    for thread in (*workers, *adders):
        thread.start()
    for thread in adders:
        thread.join(30)
    while len(taken) < 1000 and any(thread.is_alive() for thread in workers):
        time.sleep(0.01)
    pool.close()
    for thread in workers:
        thread.join(30)
    assert not any(thread.is_alive() for thread in (*workers, *adders))
    assert Counter(text.number for text in taken) == Counter(range(1000))


def test_what_is_added_can_wait_while_the_pool_is_full() -> None:
    pool: Pool[Text] = Pool(batch_tokens=10, max_padding=0, max_batch=anything)
    pool.add([Text(0, 10), Text(1, 10)])
    full = threading.Thread(target=pool.wait_for_room, args=(15,))
    full.start()
    full.join(0.2)
    assert full.is_alive()
    assert [text.number for text in pool.take()] == [0]
    full.join(30)
    assert not full.is_alive()
    waiting = threading.Thread(target=pool.wait_for_room, args=(5,))
    waiting.start()
    pool.close()
    waiting.join(30)
    assert not waiting.is_alive()
    assert pool.take() == []


def test_texts_leave_the_pool_and_what_is_taken_stays_taken() -> None:
    pool: Pool[Text] = Pool(batch_tokens=10, max_padding=0, max_batch=anything)
    texts = [Text(number, 10) for number in range(4)]
    pool.add(texts)
    assert pool.take() == [texts[0]]
    assert pool.remove(texts[:3]) == 2
    assert (len(pool), pool.tokens) == (1, 10)
    assert pool.take() == [texts[3]]


@given(LENGTHS, st.integers(1, 600), st.integers(0, 64))
def test_the_oldest_and_the_shortest_text_take_turns(lengths: list[int], batch_tokens: int, max_padding: int) -> None:
    """Although a new short text comes with every batch."""
    pool: Pool[Text] = Pool(batch_tokens=batch_tokens, max_padding=max_padding, max_batch=anything)
    waiting = [Text(number, tokens) for number, tokens in enumerate(lengths)]
    pool.add(waiting)
    for turn in range(2 * len(lengths)):
        batch = pool.take()
        if turn % 2 == 0:
            assert waiting[0] in batch
        else:
            assert min(text.tokens for text in batch) == min(text.tokens for text in waiting)
        new = Text(1000 + turn, 1)
        pool.add([new])
        waiting = [*(text for text in waiting if text not in batch), new]
    assert all(text.number >= 1000 for text in waiting)
