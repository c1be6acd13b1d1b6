"""Plans that TensorRT really builds, against the reference in float64."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from lam_export.evidence.metrics import THRESHOLDS, diff
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder

if TYPE_CHECKING:
    from lam_engines.bundles.bundle import Bundle

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.tensorrt,
    pytest.mark.needs("tensorrt", "polygraphy", "pydantic", "typer", "cuda"),
]
MAX_TOKENS = 600
SHAPES = [(1, 1), (1, 7), (3, 64), (1, 128), (4, 129), (2, MAX_TOKENS)]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tiny_checkpoint_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lam_export.pipelines.added_graph import add_fp16_graph

    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("trt") / "bundle"))
    return add_fp16_graph(opened(path), load_checkpoint(tiny_checkpoint_folder)).path


def opened(path: Path) -> "Bundle":
    from lam_engines.bundles.bundle import Bundle

    return Bundle(path)


def built(bundle: Path, *options: str) -> str:
    """Run the command; the name of the plan that it wrote."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "400"}
    command = [sys.executable, "-c", "from lam_export.cli import main; main()"]
    command += ["trt", str(bundle), "--max-tokens", str(MAX_TOKENS), "--optimization-level", "1", *options]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    (name,) = [name for name in opened(bundle).manifest.plans if name in result.stdout]
    return name


def embedded(bundle: Path, plan: str, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner

    found = opened(bundle)
    fits = [
        profile.batch.max >= input_ids.shape[0] and profile.tokens.max >= input_ids.shape[1]
        for profile in found.manifest.plans[plan].profiles
    ]
    with TrtRunner(EngineFromBytes(found.read(plan)), optimization_profile=fits.index(True)) as runner:
        outputs = runner.infer({"input_ids": input_ids, "attention_mask": attention_mask})
        return np.array(outputs["sentence_embedding"])


@pytest.mark.parametrize(
    "options", [["--fp16"], ["--fp16", "--no-plugin"], ["--fp32"], ["--fp32", "--no-plugin"]], ids=str
)
def test_a_plan_gives_the_references_embeddings(bundle: Path, tiny_encoder: Encoder, options: list[str]) -> None:
    name = built(bundle, *options)
    plan = opened(bundle).manifest.plans[name]
    assert plan.plugin is ("--no-plugin" not in options)
    assert len(plan.tactics) == (len(tiny_encoder.layers) if plan.plugin else 0), "the inspector names each fused node"
    reference = copy.deepcopy(tiny_encoder).double()
    for batch, tokens in SHAPES:
        random = torch.Generator().manual_seed(tokens)
        ids = torch.randint(5, 100, (batch, tokens), generator=random)
        lengths = torch.tensor([[max(1, tokens - 3 * row)] for row in range(batch)])
        mask = (torch.arange(tokens) < lengths).long()
        with torch.inference_mode():
            expected = reference(ids, mask)[0].numpy()
        found = embedded(bundle, name, ids.numpy(), mask.numpy())
        assert np.isfinite(found).all()
        assert diff(found, expected, THRESHOLDS[plan.precision]), (batch, tokens)


def test_a_second_build_uses_the_timing_cache_and_replaces_the_plan(bundle: Path) -> None:
    built(bundle, "--no-plugin")
    before = opened(bundle).manifest
    name = built(bundle, "--no-plugin")
    after = opened(bundle).manifest
    assert len(before.timing_cache) == len(after.timing_cache) == 1
    assert len(before.plans) == len(after.plans)
    assert len(before.files) == len(after.files)
    assert name in after.plans
