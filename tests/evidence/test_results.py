"""Embeddings that are computed once, kept, and compared later: nothing lost, nothing taken for another's."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from polygraphy.comparator import RunResults

from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import LamError
from lam_export.evidence import results as module
from lam_export.evidence.corpus import builtin_texts
from lam_export.evidence.results import Results, embeddings, load_results, results_folder, save_results
from lam_export.evidence.subject import Subject
from lam_export.evidence.subjects.pytorch import CheckpointFiles, pytorch_subject

SHA = "ab" * 32


class Counting:
    """A loaded subject, and how many texts it was given."""

    def __init__(self, subject: Subject, engine: EmbeddingEngine) -> None:
        self.subject = subject
        self._engine = engine
        self.batches = self.texts = 0

    def embed(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        self.batches += 1
        self.texts += len(input_ids)
        return self._engine.embed_ids(input_ids, attention_mask)

    def another(self) -> "Counting":
        """Under another key from now on."""
        self.subject = replace(self.subject, fingerprint=lambda: ("another",))
        return self


@pytest.fixture(scope="module")
def loaded(tiny_bundle: Path, tiny_checkpoint_folder: Path) -> Iterator[tuple[Subject, EmbeddingEngine]]:
    subject = pytorch_subject(Bundle(tiny_bundle), CheckpointFiles(tiny_checkpoint_folder), dtype="float64")
    with subject.load() as engine:
        yield subject, engine


@pytest.fixture
def counting(loaded: tuple[Subject, EmbeddingEngine]) -> Counting:
    return Counting(*loaded)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ONE_IN", 16)


def some_ids(count: int, seed: int = 0) -> list[np.ndarray]:
    """Of 0 to 12 tokens."""
    generator = np.random.default_rng(seed)
    return [generator.integers(5, 128, size=generator.integers(0, 13), dtype=np.int64) for _ in range(count)]


def run(
    counting: Counting,
    ids: Sequence[np.ndarray],
    cache: Path | None,
    progress: Callable[[int], None] = lambda done: None,
    pad_token_id: int = 0,
) -> np.ndarray:
    return embeddings(counting.subject, counting.embed, ids, pad_token_id, cache=cache, progress=progress)[0]


def test_they_are_what_the_engine_gives(counting: Counting, tiny_engine: EmbeddingEngine) -> None:
    texts = [text.text for text in builtin_texts() if len(text.text) < 300]
    ids = tiny_engine.tokenizer.encode(texts)
    done: list[int] = []
    vectors, seconds = embeddings(counting.subject, counting.embed, ids, 0, cache=None, progress=done.append)
    assert (vectors.shape, vectors.dtype) == ((len(texts), 32), np.float64)
    assert sum(done) == len(texts)
    assert seconds > 0
    np.testing.assert_allclose(vectors, tiny_engine.embed(texts), rtol=0, atol=2e-5)
    for i in (0, len(texts) // 2, len(texts) - 1):
        alone = run(counting, [ids[i]], None)
        np.testing.assert_allclose(vectors[i], alone[0], rtol=0, atol=1e-12)


def test_a_second_run_runs_nothing_and_gives_the_same_to_the_last_bit(counting: Counting, tmp_path: Path) -> None:
    ids = some_ids(100)
    first, seconds = embeddings(counting.subject, counting.embed, ids, 0, cache=tmp_path, progress=lambda done: None)
    batches, done = counting.batches, []
    second, again = embeddings(counting.subject, counting.embed, ids, 0, cache=tmp_path, progress=done.append)
    np.testing.assert_array_equal(first, second)
    assert second.dtype == first.dtype
    assert again == seconds
    assert sum(done) == len(ids)
    assert counting.batches == batches


@pytest.mark.usefixtures("small_shards")
def test_an_interrupt_costs_one_shard_at_most(counting: Counting, tmp_path: Path) -> None:
    ids = some_ids(200)
    sizes = [len(shard) for shard in module._shards(ids)]
    assert len(sizes) >= 5
    done = 0

    def progress(texts: int) -> None:
        nonlocal done
        done += texts
        if done > sum(sizes[:2]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(counting, ids, tmp_path, progress)
    assert not list(tmp_path.glob(".*"))
    counting.texts = 0
    found = run(counting, ids, tmp_path)
    assert counting.texts == sum(sizes[2:])
    np.testing.assert_array_equal(found, run(counting, ids, None))


@pytest.mark.usefixtures("small_shards")
def test_a_subject_that_fails_loses_nothing_of_before(counting: Counting, tmp_path: Path) -> None:
    ids = some_ids(200)
    first, second = list(module._shards(ids))[:2]
    wrong = np.array([10**6], dtype=np.int64)
    with pytest.raises(LamError, match="expected token ids 0 to 127, found 1000000"):
        run(counting, [*first, *second, wrong], tmp_path)
    counting.texts = 0
    run(counting, ids, tmp_path)
    assert counting.texts == len(ids) - len(first) - len(second)


@pytest.mark.usefixtures("small_shards")
def test_texts_beside_others_are_taken_from_the_cache(counting: Counting, tmp_path: Path) -> None:
    ids = some_ids(600)
    run(counting, ids, tmp_path)
    counting.texts = 0
    new = some_ids(13, seed=1)
    changed = [*new[:1], *ids[:299], *new[1:3], *ids[300:], *new[3:]]
    found = run(counting, changed, tmp_path)
    assert len(new) <= counting.texts < 0.3 * len(ids)
    np.testing.assert_allclose(found, run(counting, changed, None), rtol=0, atol=1e-12)


@pytest.mark.parametrize("limit", [{"_SHARD_TEXTS": 10}, {"_SHARD_TOKENS": 50}, {"_ONE_IN": 1}])
def test_shards_hold_all_texts_in_order(limit: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in limit.items():
        monkeypatch.setattr(module, name, value)
    ids = some_ids(300)
    shards = list(module._shards(ids))
    assert [id(row) for shard in shards for row in shard] == [id(row) for row in ids]
    assert all(shards)
    assert len(shards) >= 30
    assert max(map(len, shards)) <= limit.get("_SHARD_TEXTS", 300)
    assert all(sum(map(len, shard[:-1])) < limit.get("_SHARD_TOKENS", 10**9) for shard in shards)


@pytest.mark.parametrize(
    "other",
    [
        lambda counting, ids, cache: run(counting.another(), ids, cache),
        lambda counting, ids, cache: run(counting, ids, cache, pad_token_id=1),
        lambda counting, ids, cache: run(counting, [*ids[:-1], ids[-1] + 1], cache),
        lambda counting, ids, cache: run(counting, ids[::-1], cache),
    ],
    ids=["subject", "padding", "token", "order"],
)
def test_what_is_of_something_else_is_not_taken(
    other: Callable[[Counting, list[np.ndarray], Path], np.ndarray], counting: Counting, tmp_path: Path
) -> None:
    ids = [np.arange(5, 9 + i, dtype=np.int64) for i in range(5)]
    run(counting, ids, tmp_path)
    batches = counting.batches
    other(counting, ids, tmp_path)
    assert counting.batches > batches


def _one_bit(content: bytes) -> bytes:
    fields = json.loads(content)
    values = fields["lst"][0][1][0]["outputs"]["sentence_embedding"]["values"]
    array = bytearray(base64.b64decode(values["array"]))
    array[-5] ^= 1
    values["array"] = base64.b64encode(array).decode()
    return json.dumps(fields).encode()


def _changed(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        fields = json.loads(content)
        change(fields)
        return json.dumps(fields).encode()

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "one bit": _one_bit,
    "no text": lambda content: b"\xff\xfe\x00" * 99,
    "other JSON": lambda content: b'{"a": [1, 2]}',
    "a list": lambda content: b"[]",
    "nested": lambda content: b"[" * 100_000,
    "no results": _changed(lambda fields: fields.pop("lst")),
    "no runner": _changed(lambda fields: fields["lst"].clear()),
    "no iteration": _changed(lambda fields: fields["lst"][0][1].clear()),
    "another output": _changed(lambda fields: fields["lst"][0][1][0].update(outputs={})),
    "no seconds": _changed(lambda fields: fields["lst"][0][1][0].update(runtime=None)),
    "seconds without end": _changed(lambda fields: fields["lst"][0][1][0].update(runtime=float("inf"))),
    "no header": _changed(lambda fields: fields.pop("lam_export")),
    "newer": _changed(lambda fields: fields["lam_export"].update(format=3)),
    "half a subject": _changed(lambda fields: fields["lam_export"]["subject"].pop("name")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_the_cache_is_made_again(
    damage: str, counting: Counting, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = some_ids(20)
    expected = run(counting, ids, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = json.loads(file.read_bytes())["lam_export"]
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    batches = counting.batches
    np.testing.assert_array_equal(run(counting, ids, tmp_path), expected)
    assert counting.batches > batches
    assert json.loads(file.read_bytes())["lam_export"] == whole
    assert capfd.readouterr() == ("", "")


def test_a_file_under_anothers_name_is_not_taken(counting: Counting, tmp_path: Path) -> None:
    first, second = some_ids(20), some_ids(20, seed=1)
    run(counting, first, tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    expected = run(counting, second, tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(content)
    np.testing.assert_array_equal(run(counting, second, tmp_path), expected)


def test_a_cache_that_cannot_be_written_is_no_error(counting: Counting, tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    ids = some_ids(20)
    np.testing.assert_array_equal(run(counting, ids, taken / "results"), run(counting, ids, None))


def test_where_results_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path))
    assert results_folder() == tmp_path / "results"


def some_results(counting: Counting, dtype: type = np.float64) -> Results:
    vectors = np.random.default_rng(0).standard_normal((3, 32)).astype(dtype)
    vectors[1, :3] = np.nan, np.inf, -0.0
    return Results(counting.subject.info, SHA, vectors, 1.25)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saved_and_loaded(dtype: type, counting: Counting, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    saved = some_results(counting, dtype)
    path = tmp_path / "new folder" / "ergebnisse.json"
    save_results(path, saved)
    loaded = load_results(path, SHA)
    assert (loaded.subject, loaded.texts_sha256, loaded.seconds) == (saved.subject, SHA, 1.25)
    assert loaded.vectors.dtype == dtype
    assert loaded.vectors.tobytes() == saved.vectors.tobytes()
    assert [p.name for p in path.parent.iterdir()] == ["ergebnisse.json"]
    assert capfd.readouterr() == ("", ""), "Polygraphy is to be quiet"


def test_polygraphy_reads_them(counting: Counting, tmp_path: Path) -> None:
    saved = some_results(counting)
    save_results(tmp_path / "r.json", saved)
    loaded = RunResults.load(str(tmp_path / "r.json"))
    assert list(loaded.keys()) == ["PyTorch float64"]
    (iteration,) = loaded["PyTorch float64"]
    assert iteration.runtime == 1.25
    np.testing.assert_array_equal(iteration["sentence_embedding"], saved.vectors)


def refusal(path: Path, texts_sha256: str = SHA) -> str:
    with pytest.raises(LamError) as caught:
        load_results(path, texts_sha256)
    message = str(caught.value)
    assert message.isprintable(), message
    assert "; " in message, "a way out"
    return message


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_results_are_refused(damage: str, counting: Counting, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    save_results(path, some_results(counting))
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert "damaged or of another kind" in refusal(path)


def test_results_of_other_texts_are_refused(counting: Counting, tmp_path: Path) -> None:
    save_results(tmp_path / "r.json", some_results(counting))
    assert "found those of 3 others (abababababab...)" in refusal(tmp_path / "r.json", "cd" * 32)


def test_results_that_are_not_there(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.json")
    assert "Is a directory" in refusal(tmp_path)


def test_results_that_cannot_be_written(counting: Counting, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LamError, match="cannot write results to"):
        save_results(tmp_path / "file" / "r.json", some_results(counting))


def test_a_write_that_fails_leaves_the_old_file(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.json"
    save_results(path, some_results(counting))
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(LamError, match="No space left on device"):
        save_results(path, some_results(counting, np.float32))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
