"""The mixed-precision graph: its types, and the hazards of float16 that it must survive."""

import copy
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from lam_export.evidence.metrics import THRESHOLDS, diff
from lam_export.export.mixed_precision import half_precision
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.encoder import Encoder
from lam_plugins.fused_delta_rule import OP_DOMAIN, naive, torch_op

FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@pytest.fixture(scope="module")
def half(tiny_encoder: Encoder) -> Encoder:
    return half_precision(tiny_encoder)


@pytest.fixture(scope="module")
def model(half: Encoder) -> onnx.ModelProto:
    return onnx_from_encoder(half)


def texts() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        "short": torch.randint(5, 100, (1, 7), generator=random),
        "one token": torch.full((1, 1), 9),
        "a word repeated": torch.full((1, 2000), 42),
        "long": torch.randint(5, 100, (1, 4000), generator=random),
    }


def assert_within_the_gate(found: np.ndarray, encoder: Encoder, ids: torch.Tensor) -> None:
    with torch.inference_mode():
        expected = copy.deepcopy(encoder).double()(ids, torch.ones_like(ids))[0].numpy()
    assert np.isfinite(found).all()
    assert diff(found, expected, THRESHOLDS["fp16"])


@pytest.mark.parametrize("name", texts())
def test_in_torch_where_half_is_half(name: str, half: Encoder, tiny_encoder: Encoder) -> None:
    ids = texts()[name]
    with torch.inference_mode():
        found = half(ids, torch.ones_like(ids))[0].numpy()
    assert_within_the_gate(found, tiny_encoder, ids)


@pytest.mark.heavy
@pytest.mark.parametrize("name", texts())
def test_in_onnxruntime(name: str, model: onnx.ModelProto, tiny_encoder: Encoder) -> None:
    ids = texts()[name]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": np.ones(ids.shape, dtype=np.int64)})
    assert found.dtype == np.float32
    assert_within_the_gate(found, tiny_encoder, ids)


def test_types_are_as_documented(model: onnx.ModelProto, tiny_encoder: Encoder) -> None:
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.output)}
    kinds |= {i.name: i.data_type for i in model.graph.initializer}

    def of(*operators: str) -> Counter[int]:
        return Counter(kinds[n.input[0]] for n in model.graph.node if n.op_type in operators)

    layers = len(tiny_encoder.layers)
    assert of("LayerNormalization") == {FLOAT: 2 * layers + 1}
    assert of("FusedDeltaRule_c128") == {FLOAT16: layers}
    assert of("Gelu") == {FLOAT16: 2 * layers}
    assert of("MatMul") == {FLOAT16: 4 * layers, FLOAT: 1}, "pooling is the one product in float32"
    assert of("ReduceL2") == {FLOAT: 1}
    assert kinds["sentence_embedding"] == FLOAT
    heads = [n.output[0] for n in model.graph.node if n.domain == OP_DOMAIN]
    assert {kinds[name] for name in heads} == {FLOAT16}
    wide = sum(np.prod(i.dims) for i in model.graph.initializer if i.data_type == FLOAT and len(i.dims) == 2)
    assert wide <= tiny_encoder.embeddings.position.numel() * 2 + 1, "matrices are stored in half"


def test_the_encoder_is_not_changed(tiny_encoder: Encoder) -> None:
    half_precision(tiny_encoder)
    assert {p.dtype for p in tiny_encoder.parameters()} == {torch.float32}


# What breaks where everything is float16: each hazard is seen to be one, and then seen to be survived.


def rule_inputs(beta: float, tokens: int = 256, head_size: int = 32, heads: int = 2) -> tuple[torch.Tensor, ...]:
    """The operator's tensors for one token repeated, with that logit of beta."""
    hidden = heads * head_size
    random = torch.Generator().manual_seed(0)
    projected = torch.randn(1, 1, 4 * hidden + 3 * heads, generator=random).repeat(1, tokens, 1)
    projected[..., 4 * hidden : 4 * hidden + heads] = beta
    conv_weight = torch.zeros(3 * hidden, 4)
    conv_weight[:, 2] = 1
    rest = (conv_weight, torch.zeros(3 * hidden), torch.ones(head_size), torch.tensor([0.1, 0.9]))
    return (projected, torch.tensor([tokens], dtype=torch.int32), *rest)


def halved(tensors: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    return [t.half() if t.is_floating_point() else t for t in tensors]


@pytest.mark.parametrize("beta", [1.0, 6.2])
def test_hazard_the_rules_raw_output(beta: float) -> None:
    tensors = rule_inputs(beta)
    expected = naive.fused_delta_rule(*(t.double() if t.is_floating_point() else t for t in tensors), 128)
    alone = naive.fused_delta_rule(*halved(tensors), 128)
    assert not alone.isfinite().all() or (alone - expected).abs().max() > 0.1, "no hazard, so no test"
    found = torch_op.fused_delta_rule(*halved(tensors), 128)
    assert found.dtype == torch.float16
    error = torch.linalg.norm(found.double() - expected) / torch.linalg.norm(expected)
    assert error <= 2e-3


def test_hazard_eps_of_the_norms(half: Encoder) -> None:
    flat = torch.full((1, 32), 0.25).half()
    eps = torch.tensor(1e-12).half()
    normalised = (flat - flat.mean()) / (flat.var(correction=0) + eps).sqrt()
    assert normalised.isnan().all(), "no hazard, so no test"

    seen: list[torch.dtype] = []
    norms = [m for m in half.modules() if isinstance(m, torch.nn.LayerNorm)]
    hooks = [norm.register_forward_hook(lambda norm, inputs, output: seen.append(inputs[0].dtype)) for norm in norms]
    with torch.inference_mode():
        half(torch.full((1, 5), 9), torch.ones(1, 5, dtype=torch.int64))
    for hook in hooks:
        hook.remove()
    assert seen == [torch.float32] * len(norms)


def test_hazard_pooling_of_many_tokens(half: Encoder) -> None:
    tokens = torch.full((1, 70_000, 1), 1.5)
    assert tokens.half().sum(1, dtype=torch.float16).isinf().all(), "no hazard, so no test"
    ids = torch.full((1, 70_000), 42)
    with torch.inference_mode():
        vector = half(ids, torch.ones_like(ids))[0]
    assert vector.dtype == torch.float32
    assert vector.norm() == pytest.approx(1, abs=1e-5)
