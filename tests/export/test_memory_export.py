"""The memory's graph in ONNX Runtime, against the formulas by hand and the float64 reference."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from memories import Case

from lam_engines.memories.state import INPUTS, OUTPUTS, PAST, PRESENT
from lam_export.export.memory_step import onnx_from_memory
from lam_export.model.memory_step import Memory

pytestmark = pytest.mark.heavy

STORES = (1, 2, 40, 300)


class Graph:
    """A graph with the state of a batch of memories."""

    def __init__(self, model: onnx.ModelProto, memory: Memory, batch: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        self.state = [part.float().numpy() for part in memory.empty(batch)]

    def run(self, *given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``recall`` and ``stored``; the state is kept."""
        recall, stored, *self.state = self.session.run(
            [*OUTPUTS, *PRESENT], dict(zip([*INPUTS, *PAST], [*given, *self.state], strict=True))
        )
        return recall, stored


@pytest.fixture(params=[False, True], ids=["per-head", "shared"], scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return Case(32, shared=request.param)


@pytest.fixture(scope="module")
def model(case: Case) -> onnx.ModelProto:
    return onnx_from_memory(case.memory(), opset=20)


def test_a_sequence_of_stores(case: Case, model: onnx.ModelProto) -> None:
    keys, values, queries = case.vectors(300, 2), case.vectors(300, 2, seed=1), case.vectors(2, 4, seed=2)
    graph = Graph(model, case.memory(), 2)
    yes = np.ones((2, 1), bool)
    for n, (key, value) in enumerate(zip(keys, values, strict=True), start=1):
        recall, stored = graph.run(key, value, queries, yes)
        if n not in STORES:
            continue
        for row in range(2):
            states = case.by_hand(keys[:n, row], values[:n, row])
            expected = case.recalled_by_hand(states, queries[row])
            assert np.abs(recall[row] - expected).max() <= 5e-5
            for mine, theirs in zip(graph.state, map(np.array, zip(*states, strict=True)), strict=True):
                assert np.abs(mine[row] - theirs).max() <= 5e-5 * max(1, np.abs(theirs).max())
    assert np.abs(stored - case.memory().v_proj(torch.from_numpy(values[-1])).numpy()).max() <= 5e-5


def test_rows_do_not_move_each_other(case: Case, model: onnx.ModelProto) -> None:
    keys, queries = case.vectors(5, 3), case.vectors(3, 2, seed=2)
    together = Graph(model, case.memory(), 3)
    flags = np.array([[[row != step] for row in range(3)] for step in range(5)])
    answers = [together.run(keys[step], keys[step], queries, flags[step])[0] for step in range(5)]
    for row in range(3):
        alone = Graph(model, case.memory(), 1)
        one = slice(row, row + 1)
        for step in range(5):
            recall, _ = alone.run(keys[step, one], keys[step, one], queries[one], flags[step, one])
            np.testing.assert_allclose(recall[0], answers[step][row], rtol=0, atol=1e-6)


def test_without_a_question_and_without_a_store(case: Case, model: onnx.ModelProto) -> None:
    graph = Graph(model, case.memory(), 1)
    vector = case.vectors(1)
    yes, no = np.ones((1, 1), bool), np.zeros((1, 1), bool)
    assert not graph.run(vector, vector, case.vectors(1, 3), no)[0].any(), "an empty memory answers zero, not NaN"
    assert graph.run(vector, vector, case.vectors(1, 0), yes)[0].shape == (1, 0, case.hidden)
    before = graph.state
    assert graph.run(np.full_like(vector, np.nan), vector, case.vectors(1, 3), no)[0].any()
    assert all(np.array_equal(a, b) for a, b in zip(before, graph.state, strict=True))


@pytest.mark.parametrize("opset", [18, 23])
def test_other_opsets(opset: int) -> None:
    found = onnx_from_memory(Case().memory(), opset=opset)
    assert [entry.version for entry in found.opset_import] == [opset]
    onnx.checker.check_model(found, full_check=True)


def test_the_graph_tells_nothing_of_the_machine(model: onnx.ModelProto) -> None:
    assert b"/" not in b"".join(node.SerializeToString() for node in model.graph.node)
    assert not model.functions
    assert model.producer_name == "lam-export"


def test_state_names_pair_by_their_place_when_sorted() -> None:
    """Triton's server pairs them so, and takes a name that goes on where another ends for that one's neighbour."""
    order = [sorted(names) for names in (PAST, PRESENT)]
    assert [name.removeprefix("past_") for name in order[0]] == [name.removeprefix("present_") for name in order[1]]
    assert not any(a != b and b.startswith(a) for names in order for a in names for b in names)
