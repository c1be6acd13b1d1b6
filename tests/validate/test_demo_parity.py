"""The really trained model: what its bundle was measured at when it was exported."""

from pathlib import Path

import pytest

from lam_engines import load_engine
from lam_engines.bundle import Bundle

pytestmark = pytest.mark.demo


def test_parity_of_both_precisions(demo_bundle: Path) -> None:
    manifest = Bundle(demo_bundle).manifest
    assert manifest.parity["model.onnx"]["max_abs"] <= 2e-5
    assert manifest.parity["model.onnx"]["cosine"] >= 0.999999
    assert manifest.parity["model.fp16.onnx"]["cosine"] >= 0.9995
    assert manifest.files["model.fp16.onnx"].bytes < 0.51 * manifest.files["model.onnx"].bytes


def test_neighbours_mean_something(demo_bundle: Path) -> None:
    with load_engine(demo_bundle) as engine:
        tomato, kitchen, bank, credit = engine.embed(
            [
                "A woman is slicing a tomato.",
                "Somebody cuts vegetables in a kitchen.",
                "The central bank raised interest rates.",
                "Borrowing became more expensive this week.",
            ]
        )
    assert min(tomato @ kitchen, bank @ credit) > 2 * max(tomato @ bank, tomato @ credit, kitchen @ bank)
