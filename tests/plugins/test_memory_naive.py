"""The memory step's oracle against the formulas written out by hand, through the layer that feeds it."""

import numpy as np
import pytest
import torch
from memories import Case
from torch import Tensor

from lam_export.model.checkpoint import CheckpointError
from lam_export.model.memory_step import Memory
from lam_plugins.dual_state_delta_rule.naive import PSI_RANGE
from lam_plugins.memory_step import naive

LAYOUTS = pytest.mark.parametrize("shared", [False, True], ids=["per-head", "shared"])


def feed(memory: Memory, keys: np.ndarray, values: np.ndarray) -> naive.State:
    """The float64 state after storing ``[n, B, M]``."""
    state = memory.double().empty(keys.shape[1])
    yes = torch.ones(keys.shape[1], 1, dtype=torch.bool)
    nothing = torch.zeros(keys.shape[1], 0, keys.shape[2], dtype=torch.float64)
    for key, value in zip(*(torch.from_numpy(x).double() for x in (keys, values)), strict=True):
        state = naive.State(*memory(key, value, nothing, yes, *state)[2:])
    return state


def ask(memory: Memory, state: naive.State, queries: np.ndarray) -> Tensor:
    """``[B, Q, M]`` of float64 queries of that shape."""
    vector, no = torch.zeros(len(queries), queries.shape[2]).double(), torch.zeros(len(queries), 1, dtype=torch.bool)
    return memory(vector, vector, torch.from_numpy(queries).double(), no, *state)[0]


@LAYOUTS
@pytest.mark.parametrize("stores", [1, 2, 40])
def test_the_formulas(stores: int, shared: bool) -> None:
    case = Case(shared=shared)
    keys, values, queries = case.vectors(stores, 2), case.vectors(stores, 2, seed=1), case.vectors(2, 5, seed=2)
    memory = case.memory()
    state = feed(memory, keys, values)
    answers = ask(memory, state, queries)
    for row in range(2):
        expected = case.by_hand(keys[:, row], values[:, row])
        for head, (fast, slow, psi) in enumerate(expected):
            np.testing.assert_allclose(state.fast[row, head].numpy(), fast, rtol=0, atol=1e-12)
            np.testing.assert_allclose(state.slow[row, head].numpy(), slow, rtol=0, atol=1e-12)
            assert abs(float(state.psi[row, head]) - psi) < 1e-12
        np.testing.assert_allclose(
            answers[row].numpy(), case.recalled_by_hand(expected, queries[row]), rtol=0, atol=1e-12
        )
    assert float(state.psi.max() - state.psi.min()) > 0.1, "a case in which psi matters"
    assert PSI_RANGE[0] <= float(state.psi.min()) <= float(state.psi.max()) <= PSI_RANGE[1]


def test_the_slow_state_sees_the_new_fast_one() -> None:
    """Unlike in the recurrent form; with nothing stored before, both are the same outer product until then."""
    case = Case()
    keys = case.vectors(1, 1)
    state = feed(case.memory(), keys, keys)
    psi = state.psi[0, :, None, None]
    c = 0.05 + 0.1 * psi.mean()
    written = state.fast[0] / (1 + c * psi)
    torch.testing.assert_close(state.slow[0], written * (1 + c * (1 - psi) * (1 + c * psi)), rtol=0, atol=1e-12)


def test_an_empty_memory_answers_zero() -> None:
    case = Case()
    memory = case.memory().double()
    assert not ask(memory, memory.empty(2), case.vectors(2, 3)).any()


def test_a_row_that_stores_nothing_keeps_its_state() -> None:
    case = Case()
    memory = case.memory().double()
    state = feed(memory, case.vectors(3, 2), case.vectors(3, 2))
    key = torch.from_numpy(case.vectors(2)).double()
    key[1] = float("nan")  # and is not moved by what stands there
    flags = torch.tensor([[True], [False]])
    after = naive.State(*memory(key, key, key[:, None], flags, *state)[2:])
    for new, old in zip(after, state, strict=True):
        assert torch.equal(new[1], old[1])
        assert not torch.equal(new[0], old[0])


def test_odd_vectors_leave_the_state_finite() -> None:
    case = Case()
    keys = case.vectors(4, 1)
    keys[0] = 0
    keys[1] *= 1e12
    keys[2] *= 1e-30
    memory = case.memory()
    state = feed(memory, keys, keys)
    assert all(part.isfinite().all() for part in (*state, ask(memory, state, keys.swapaxes(0, 1))))


def test_the_layer_is_the_last_or_the_one_that_is_named(tiny_checkpoint_folder: object) -> None:
    from lam_export.model.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(str(tiny_checkpoint_folder))
    assert Memory(checkpoint).layer == 1
    first = Memory(checkpoint, 0)
    assert torch.equal(first.k_proj.weight, checkpoint.layer(0)["k_proj.weight"])
    for layer in (2, -1):
        with pytest.raises(CheckpointError, match=r"expected a layer of 0 to 1, .* found -?\d; .*--layer"):
            Memory(checkpoint, layer)
