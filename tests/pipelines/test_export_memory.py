"""A checkpoint to a memory's bundle: what is written, and what is not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from torch import Tensor

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import MEMORY_MODEL
from lam_engines.errors import BundleError
from lam_export.export import memory_step
from lam_export.export.graphs import ExportError
from lam_export.model.checkpoint import CheckpointError, load_checkpoint
from lam_export.pipelines.export_memory import export_memory
from lam_plugins.memory_step import naive


def test_the_bundle_says_what_it_is(tiny_memory: Path, tiny_checkpoint_folder: Path) -> None:
    bundle = Bundle(tiny_memory, kind="memory")
    manifest, checkpoint = bundle.manifest, load_checkpoint(tiny_checkpoint_folder)
    assert (manifest.form, manifest.memory_layer) == ("memory", tiny.LAYERS - 1)
    assert manifest.checkpoint.sha256 == checkpoint.sha256
    assert manifest.model.model_dump() == checkpoint.config.to_dict()
    assert manifest.parity[MEMORY_MODEL]["max_abs"] <= 5e-5
    assert set(manifest.files) == set(manifest.graphs) == {MEMORY_MODEL}
    shapes = {spec.name: spec.shape for spec in manifest.graphs[MEMORY_MODEL].inputs}
    assert shapes["past_fast"] == ("batch", tiny.HEADS, tiny.HEAD_SIZE, tiny.HEAD_SIZE)
    assert shapes["query"] == ("batch", "queries", tiny.HIDDEN)
    assert str(tiny_checkpoint_folder.parent) not in (tiny_memory / "manifest.json").read_text()


def a_little_louder(state: naive.State, q: Tensor) -> Tensor:
    return recall(state, q) * 1.0001


def no_number(state: naive.State, q: Tensor) -> Tensor:
    return recall(state, q) * float("nan")


def coupled_as_in_the_recurrent_form(state: naive.State, entry: naive.Entry, flux: naive.Flux) -> naive.State:
    after = store(state, entry, flux)
    psi = after.psi[..., None, None]
    c = 0.05 + 0.1 * psi.mean(1, keepdim=True)
    before_slow = after.slow - c * (1 - psi) * after.fast
    before_fast = after.fast - c * psi * before_slow
    return naive.State(after.fast, before_slow + c * (1 - psi) * before_fast, after.psi)


store, recall = naive.store, naive.recall
FAULTS = [("store", coupled_as_in_the_recurrent_form), ("recall", a_little_louder), ("recall", no_number)]


@pytest.mark.heavy
@pytest.mark.parametrize(("place", "fault"), FAULTS)
def test_an_export_that_does_not_match_is_not_written(
    place: str,
    fault: Callable[..., object],
    tiny_checkpoint_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fault is in what is exported and not in the reference."""
    exporting = memory_step.onnx_from_memory

    def faulty(*arguments: object, **options: object) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"lam_export.model.memory_step.{place}", fault)
            return exporting(*arguments, **options)

    monkeypatch.setattr(memory_step, "onnx_from_memory", faulty)
    with pytest.raises(ExportError, match=r"does not match the reference and was not written: memory\.onnx: max-abs"):
        export_memory(load_checkpoint(tiny_checkpoint_folder), tmp_path / "memory")
    assert not list(tmp_path.iterdir())


def test_no_such_layer(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected a layer of 0 to 1, .* found 7; name one of them: --layer"):
        export_memory(load_checkpoint(tiny_checkpoint_folder), tmp_path / "memory", layer=7)
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_is_there_is_kept(tiny_memory: Path, tiny_checkpoint_folder: Path) -> None:
    with pytest.raises(BundleError, match=r"there is a bundle at .* already; replace it with --force"):
        export_memory(load_checkpoint(tiny_checkpoint_folder), tiny_memory)


@pytest.mark.heavy
@pytest.mark.parametrize("shared", [False, True], ids=["per-head", "shared"])
def test_another_layer_and_both_layouts_of_the_flux(shared: bool, tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path / "lam", tensors=tiny.lam_tensors(seed=3, shared_flux=shared))
    bundle = export_memory(load_checkpoint(folder), tmp_path / "memory", layer=0, opset=18)
    assert bundle.manifest.memory_layer == 0
    assert bundle.manifest.graphs[MEMORY_MODEL].opset == 18
