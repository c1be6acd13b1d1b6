"""What a checkpoint's ``config.json`` may say, and what wins where it lies."""

import json
from pathlib import Path

import pytest
import tiny
import torch
from loading import refusal

from lam_export.model.checkpoint import load_checkpoint


def test_shapes_win_over_a_lying_config(tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path)
    lies = {"hidden_size": 384, "num_heads": 12, "num_layers": 6, "vocab_size": "128", "max_position_embeddings": 32768}
    (folder / "config.json").write_text(json.dumps(lies))
    checkpoint = load_checkpoint(folder)
    assert checkpoint.config == load_checkpoint(tiny.write_checkpoint(tmp_path / "honest")).config
    assert checkpoint.notes == (
        "config says hidden_size = 384, the tensors say 32",
        "config says num_layers = 6, the tensors say 2",
        "config says num_heads = 12, the tensors say 2",
        "config says vocab_size = '128', the tensors say 128",
        "config says max_position_embeddings = 32768, the tensors say 16",
    )


def test_constants_come_from_the_config(tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path)
    constants = {"layer_norm_eps": 1e-5, "pad_token_id": 4, "ffn_activation_passes": 1, "blend": [0.25, 0.75]}
    for config in (constants, {"lam_config": constants, "pad_token_id": 3}):
        (folder / "config.json").write_text(json.dumps(config))
        found = load_checkpoint(folder).config
        assert (found.layer_norm_eps, found.pad_token_id) == (1e-5, 4)
        assert (found.ffn_activation_passes, found.blend) == (1, (0.25, 0.75))


def test_a_training_checkpoints_own_config_counts_where_there_is_no_other(tmp_path: Path) -> None:
    odd = {"device": torch.device("cpu"), "sizes": torch.ones(3), 7: None, "hidden_size": torch.ones(2)}
    held = tiny.content("model_state_dict") | {"config": {"pad_token_id": 9, "ffn_activation_passes": 1} | odd}
    tiny.write_weights(tmp_path, held, "pickle")
    found = load_checkpoint(tmp_path)
    assert (found.config.pad_token_id, found.config.ffn_activation_passes) == (9, 1)
    assert all(note.isprintable() for note in found.notes)
    (tmp_path / "config.json").write_text('{"pad_token_id": 8}')
    assert load_checkpoint(tmp_path).config.pad_token_id == 8


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('{"hidden_act": "relu"}', "expected hidden_act 'gelu', found 'relu'"),
        ('{"lam_config": {"hidden_act": "gelu_new"}}', "found 'gelu_new'"),
        ('{"ffn_activation_passes": 3}', "expected ffn_activation_passes 1 or 2, found 3"),
        ('{"ffn_activation_passes": "twice"}', "ffn_activation_passes = 'twice'"),
        ('{"layer_norm_eps": "small"}', "layer_norm_eps = 'small'"),
        ('{"layer_norm_eps": NaN}', "layer_norm_eps = nan"),
        ('{"layer_norm_eps": -1e-12}', "layer_norm_eps above 0, found -1e-12"),
        ('{"pad_token_id": 1e999}', "pad_token_id = inf"),
        ('{"pad_token_id": -1}', "expected pad_token_id in the vocabulary (0..127), found -1"),
        ('{"pad_token_id": 128}', "found 128"),
        ('{"pad_token_id": "128"}', "pad_token_id = '128'"),
        ('{"pad_token_id": 2.7}', "pad_token_id = 2.7"),
        ('{"cross_coupling": "yes"}', "cross_coupling = 'yes'"),
        ('{"surprise_threshold": Infinity}', "surprise_threshold = inf"),
        ('{"blend": [0.1]}', "blend = [0.1]"),
        ('{"blend": [0.1, Infinity]}', "blend = [0.1, inf]"),
        ('{"blend": 0.5}', "blend = 0.5"),
        ('{"lam_config": [1]}', "lam_config, found [1]"),
        ("[1, 2]", "expected a JSON object"),
        ("", "no valid JSON"),
        ('{"hidden_size": 32', "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("\ufeff\ufeff{}", "no valid JSON"),
    ],
)
def test_a_config_that_cannot_be_meant(config: str, said: str, tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path)
    (folder / "config.json").write_text(config, encoding="utf-8")
    assert said in refusal(folder)


def test_a_config_that_is_no_text(tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path)
    (folder / "config.json").write_bytes(b"\xff\xfe\x00{")
    assert "config.json is no valid JSON" in refusal(folder)


@pytest.mark.parametrize("config", ['{"hidden_act": null, "lam_config": null, "vocab_size": null}', "{}"])
def test_a_config_that_is_silent(config: str, tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path)
    (folder / "config.json").write_text(config)
    assert load_checkpoint(folder).notes == ()
