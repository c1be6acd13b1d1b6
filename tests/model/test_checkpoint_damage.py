"""Damaged files are refused in one line, or give the very same model."""

from pathlib import Path

import pytest
import tiny
import torch
from loading import load_or_refusal, refusal, same

from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.checkpoint.files import sha256_of


@pytest.mark.parametrize("file_format", tiny.FILE_FORMATS)
def test_a_truncated_file_is_refused_at_every_length(file_format: str, tmp_path: Path) -> None:
    path = tiny.write_weights(tmp_path, tiny.content("flat"), file_format)
    whole = path.read_bytes()
    lengths = {*range(0, 200, 7), *range(0, len(whole), len(whole) // 80), *range(len(whole) - 40, len(whole))}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        assert path.name in refusal(path)


def corruptions(whole: bytes, end: int, count: int = 200) -> list[tuple[str, bytes]]:
    """Seeded damage to the first ``end`` bytes: flipped bits, changed bytes, zeroed and doubled stretches."""
    generator = torch.Generator().manual_seed(end)

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    damaged = []
    for i in range(count):
        data, at = bytearray(whole), below(end)
        kind = ("bit", "byte", "zeros", "stretch")[i % 4]
        if kind == "bit":
            data[at] ^= 1 << below(8)
        elif kind == "byte":
            data[at] ^= 1 + below(255)
        elif kind == "zeros":
            length = min(1 + below(64), end - at)
            data[at : at + length] = bytes(length)
        else:
            data[at:at] = data[at : at + 1 + below(64)]
        if bytes(data) != whole:
            damaged.append((f"{kind} at {at}", bytes(data)))
    return damaged


def is_refused(path: Path) -> bool:
    """Whether the file is refused, in one line; if it is not, it must give the very same model."""
    outcome = load_or_refusal(path)
    assert outcome.isprintable() if isinstance(outcome, str) else same(outcome, tiny.lam_tensors())
    return isinstance(outcome, str)


def test_damage_to_a_zipped_pickle_never_changes_the_model(tmp_path: Path) -> None:
    path = tiny.write_weights(tmp_path, tiny.content("flat"), "pickle")
    whole = path.read_bytes()
    refused = 0
    for _, data in corruptions(whole, len(whole)):
        path.write_bytes(data)
        refused += is_refused(path)
    # The rest hit alignment bytes, time stamps and the like.
    assert refused > 100


def test_damage_to_a_safetensors_header_never_changes_the_model(tmp_path: Path) -> None:
    path = tiny.write_weights(tmp_path, tiny.content("flat"))
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for _, data in corruptions(whole, header):
        path.write_bytes(data)
        refused += is_refused(path)
    assert refused > 180


@pytest.mark.filterwarnings("ignore:Defining your `__torch_function__`")  # torch, of a class it finds in the damage
def test_damage_to_a_legacy_pickle_raises_nothing_else(tmp_path: Path) -> None:
    path = tiny.write_weights(tmp_path, tiny.content("flat"), "legacy_pickle")
    whole = path.read_bytes()
    # The format has no checksums: in its values damage cannot be seen, in its structure it must be refused.
    structure = len(whole) - sum(t.numel() * t.element_size() for t in tiny.content("flat").values())
    for _, data in corruptions(whole, structure):
        path.write_bytes(data)
        outcome = load_or_refusal(path)
        assert not isinstance(outcome, str) or outcome.isprintable()


@pytest.mark.parametrize("file_format", tiny.FILE_FORMATS)
def test_one_flipped_bit_is_found_by_the_checksums(file_format: str, tmp_path: Path) -> None:
    path = tiny.write_weights(tmp_path, tiny.content("flat"), file_format)
    whole = path.read_bytes()
    (tmp_path / "SHA256SUMS").write_text(f"{sha256_of(path)}  {path.name}\n")
    assert same(load_checkpoint(tmp_path), tiny.lam_tensors())
    for what, data in corruptions(whole, len(whole)):
        path.write_bytes(data)
        assert "is damaged or was changed: expected sha256" in refusal(tmp_path), what


def test_a_flipped_bit_in_the_values_of_a_zipped_pickle_fails_its_crc(tmp_path: Path) -> None:
    path = tiny.write_weights(tmp_path, tiny.content("flat"), "pickle")
    whole = bytearray(path.read_bytes())
    values = tiny.lam_tensors()["deltanet_layers.1.o_proj.weight"].numpy().tobytes()
    whole[whole.index(values) + 100] ^= 1
    path.write_bytes(whole)
    assert "fails its CRC" in refusal(path)


def test_a_tensor_marked_as_a_folder_is_not_read_as_garbage(tmp_path: Path) -> None:
    path = tiny.write_weights(tmp_path, tiny.content("flat"), "pickle")
    whole = bytearray(path.read_bytes())
    # The attributes come 8 bytes before the name in the archive's directory, which is the name's last place.
    whole[whole.rindex(b"pytorch_model/data/9") - 8] ^= 0x10
    path.write_bytes(whole)
    assert "is marked as a folder" in refusal(path)


def test_checksums_cover_the_whole_folder(tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path)
    names = ("config.json", "model.safetensors", "tokenizer.json")
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(f"{sha256_of(folder / name)}  {name}\n" for name in names))
    load_checkpoint(folder)
    (folder / "tokenizer.json").write_text("{}")
    assert "tokenizer.json is damaged or was changed" in refusal(folder)
    (folder / "tokenizer.json").unlink()
    assert "lists tokenizer.json, which is not in" in refusal(folder)


@pytest.mark.parametrize("style", ["{}  {}", "{} *{}", "{}  ./{}"])
def test_checksums_in_every_style_of_sha256sum(style: str, tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path)
    weights = folder / "model.safetensors"
    others = "0" * 64 + "  optimizer.pt\n" + "0" * 64 + "  ../elsewhere\n"  # of no interest here
    (folder / "SHA256SUMS").write_text(style.format(sha256_of(weights), weights.name) + "\n" + others)
    load_checkpoint(folder)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert "model.safetensors is damaged or was changed" in refusal(folder)


@pytest.mark.parametrize("line", ["nonsense", "0" * 63 + "  a", "\x00\x1b[2J"])
def test_checksums_that_are_damaged(line: str, tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path)
    (folder / "SHA256SUMS").write_text(line + "\n")
    assert "SHA256SUMS is damaged" in refusal(folder)
