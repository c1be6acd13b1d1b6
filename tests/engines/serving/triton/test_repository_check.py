"""Faults planted in a repository that parses: each is found and named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import text_format
from plan_bundle import with_plan
from tritonclient.grpc.model_config_pb2 import ModelConfig

from lam_engines import BundleError
from lam_engines.bundles.bundle import Bundle
from lam_engines.serving.triton import ServingOptions, write_repository
from lam_engines.serving.triton.check import Expected, check_repository, problems

Change = Callable[[ModelConfig], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> tuple[Path, Expected]:
    """A repository of the flavour with most to go wrong."""
    folder = tmp_path_factory.mktemp("sound")
    bundle = with_plan(tiny_bundle, folder / "bundle", [(1, 1, 64, 1, 16, 64), (1, 1, 8, 1, 128, 512)])
    repository = write_repository(bundle, folder / "models", ServingOptions(flavour="tensorrt", max_batch=32))
    (plan,) = bundle.manifest.plans.values()
    return repository, Expected(bundle.manifest.model.hidden_size, bundle.manifest.graphs[plan.graph], plan.profiles)


def drop_output(name: str) -> Change:
    def change(config: ModelConfig) -> None:
        kept = [tensor for tensor in config.output if tensor.name != name]
        del config.output[:]
        config.output.extend(kept)

    return change


FAULTS: list[tuple[str, Change, str]] = [
    ("lam_core", lambda c: setattr(c, "name", "core"), "lam_core: is called 'core', unlike its folder"),
    ("lam_core", lambda c: c.dynamic_batching.preferred_batch_size.append(33), "preferred batch sizes [33] are above"),
    ("lam_core", lambda c: c.ClearField("dynamic_batching"), "takes ragged batches and has no dynamic batching"),
    ("lam_core", lambda c: setattr(c, "max_batch_size", 16), "max_batch_size 32 is above that of lam_core, 16"),
    (
        "lam_core",
        lambda c: setattr(c.input[0], "data_type", 9),
        "gives lam_core input_ids for input_ids in another type",
    ),
    ("lam_core", lambda c: c.output[0].dims.__setitem__(0, 7), "sentence_embedding has dims [7], not [32]"),
    ("lam_tokenizer", drop_output("truncated"), "takes truncated from lam_tokenizer, which gives"),
    ("lam_tokenizer", lambda c: c.input.add(name="text", data_type="TYPE_STRING", dims=[1]), "two inputs of one name"),
    ("lam_tokenizer", lambda c: c.input[0].dims.__setitem__(0, 0), "input text has dims [0]"),
    (
        "lam_tokenizer",
        lambda c: setattr(c.parameters["max_tokens"], "string_value", "513"),
        "max_tokens is above 512, the longest text that the plan takes",
    ),
    ("lam_tokenizer", lambda c: c.model_warmup[0].inputs.clear(), "warm-up text gives nothing, not text"),
    (
        "lam_embed",
        lambda c: setattr(c.ensemble_scheduling.step[1], "model_name", "core"),
        "step core, which is no model",
    ),
    (
        "lam_embed",
        lambda c: c.ensemble_scheduling.step[0].input_map.clear(),
        "gives lam_tokenizer nothing, which takes",
    ),
    (
        "lam_embed",
        lambda c: c.ensemble_scheduling.step[0].output_map.pop("truncated"),
        "output truncated, which no step",
    ),
    (
        "lam_embed",
        lambda c: c.ensemble_scheduling.step[1].input_map.update({"input_ids": "ids"}),
        "gives lam_core ids, which nothing before it makes",
    ),
    (
        "lam_embed",
        lambda c: c.ensemble_scheduling.step[0].output_map.update({"input_ids": "text"}),
        "makes text twice",
    ),
    (
        "lam_model",
        lambda c: c.input.pop(),
        "has input_ids, sentence_embedding, and the graph attention_mask, input_ids",
    ),
    ("lam_model", lambda c: setattr(c.input[0], "data_type", 8), "input_ids is not int64 [-1] as in the graph"),
    ("lam_model", lambda c: setattr(c, "max_batch_size", 65), "max_batch_size 65 is above 64, the largest batch"),
    ("lam_model", lambda c: c.instance_group[0].profile.append("2"), "names the profiles 2, of which the plan has 2"),
    (
        "lam_model",
        lambda c: setattr(c.optimization.cuda.graph_spec[-1], "batch_size", 9),
        "has a CUDA graph of 9 x 256 tokens, which no profile takes",
    ),
    ("lam_model", lambda c: setattr(c, "default_model_filename", "engine.plan"), "has no file 1/engine.plan"),
    ("lam_model", lambda c: c.model_warmup[0].inputs["input_ids"].dims.__setitem__(0, 17), "bytes for input_ids, not"),
]


@pytest.mark.parametrize(("model", "change", "message"), FAULTS, ids=[message[:40] for _, _, message in FAULTS])
def test_a_planted_fault(
    tmp_path: Path, sound: tuple[Path, Expected], model: str, change: Change, message: str
) -> None:
    repository, expected = sound
    copy = shutil.copytree(repository, tmp_path / "models")
    path = copy / model / "config.pbtxt"
    config = text_format.Parse(path.read_text(), ModelConfig())
    change(config)
    path.write_text(text_format.MessageToString(config))
    assert message in "; ".join(problems(copy, expected))


def test_a_missing_model_and_a_missing_file(tmp_path: Path, sound: tuple[Path, Expected]) -> None:
    repository, expected = sound
    copy = shutil.copytree(repository, tmp_path / "models")
    (copy / "lam_tokenizer" / "1" / "model.py").unlink()
    shutil.rmtree(copy / "lam_model")
    found = list(problems(copy, expected))
    assert "lam_tokenizer: has no file 1/model.py" in found
    assert "lam_core: asks lam_model, which is no model of the repository" in found


def test_the_first_fault_in_one_line(tmp_path: Path, sound: tuple[Path, Expected]) -> None:
    repository, expected = sound
    check_repository(repository, expected)
    copy = shutil.copytree(repository, tmp_path / "models")
    (copy / "lam_core" / "config.pbtxt").write_text("name: {")
    with pytest.raises(BundleError, match=r"does not hang together: lam_core: config.pbtxt cannot be read"):
        check_repository(copy, expected)


@pytest.mark.parametrize("flavour", ["python", "onnxruntime"])
def test_what_is_written_is_sound(tmp_path: Path, tiny_bundle: Path, flavour: str) -> None:
    repository = write_repository(tiny_bundle, tmp_path / "models", ServingOptions(flavour=flavour))
    manifest = Bundle(tiny_bundle).manifest
    expected = Expected(manifest.model.hidden_size, manifest.graphs["model.onnx"])
    assert list(problems(repository, expected)) == []
