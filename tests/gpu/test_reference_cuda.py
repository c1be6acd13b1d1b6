"""The reference in float32 on a CUDA device, against itself in float64 on the CPU."""

import copy

import numpy as np
import pytest
import torch

from lam_export.evidence.metrics import Thresholds, diff
from lam_export.model.encoder import Encoder

pytestmark = [pytest.mark.gpu, pytest.mark.needs("cuda")]


@pytest.mark.parametrize("tokens", [1, 2, 31, 63, 127, 128, 129, 300, 1000, 2000])
def test_float32_on_cuda(tiny_encoder: Encoder, tokens: int) -> None:
    ids = torch.randint(5, 100, (3, tokens), generator=torch.Generator().manual_seed(tokens))
    lengths = torch.tensor([[tokens], [1], [(tokens + 1) // 2]])
    mask = (torch.arange(tokens) < lengths).long()
    with torch.inference_mode():
        expected = copy.deepcopy(tiny_encoder).double()(ids, mask)[0].numpy()
        found = copy.deepcopy(tiny_encoder).cuda()(ids.cuda(), mask.cuda())[0].cpu().numpy()
    assert np.isfinite(found).all()
    assert diff(found, expected, Thresholds())
