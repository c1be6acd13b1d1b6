"""``embed_stream``: one text in pieces has the embedding that it has in one."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
from bundles import forge

from lam_engines import BundleError, EngineError, InputError, LamError, load_engine
from lam_engines.bundles.bundle import file_entry
from lam_engines.contract import FP16_MODEL, MODEL, STREAM_MODEL, WINDOW
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.embedding.long_texts import RECURRENT_WINDOW_TOKENS, WINDOW_TOKENS
from lam_export.model.checkpoint import load_checkpoint
from lam_export.pipelines.export_onnx import export_onnx

LONG = 2 * WINDOW_TOKENS + 257
assert LONG > 2 * RECURRENT_WINDOW_TOKENS


@pytest.fixture(scope="module")
def bundles(
    tiny_checkpoint_folder: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    recurrent = tmp_path_factory.mktemp("bundles") / "recurrent"
    export_onnx(load_checkpoint(tiny_checkpoint_folder), recurrent, form="recurrent", stream=True, inline=True)
    return {"flat": tiny_bundle, "recurrent": recurrent}


@pytest.fixture(
    scope="module",
    params=[
        ("flat", "onnxruntime"),
        ("recurrent", "onnxruntime"),
        pytest.param(("flat", "openvino"), marks=pytest.mark.needs("openvino")),
    ],
    ids=" in ".join,
)
def engine(request: pytest.FixtureRequest, bundles: dict[str, Path]) -> Iterator[EmbeddingEngine]:
    form, runtime = request.param
    with load_engine(bundles[form], runtime) as engine:
        yield engine


def whole(engine: EmbeddingEngine, ids: np.ndarray) -> np.ndarray:
    """The graph's own answer to all tokens at once."""
    import onnxruntime

    content = engine.bundle.read(engine.file)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": ids[None], "attention_mask": np.ones_like(ids)[None]})[0][0]


def random_ids(tokens: int) -> np.ndarray:
    return np.random.default_rng(tokens).integers(5, tiny.VOCAB, tokens)


@pytest.mark.heavy
@pytest.mark.parametrize("size", [1, 1000, LONG])
@pytest.mark.parametrize("told", [True, False])
def test_pieces_of_ids(engine: EmbeddingEngine, size: int, told: bool) -> None:
    ids = random_ids(LONG)
    pieces = (ids[i : i + size] for i in range(0, LONG, size))
    found = engine.embed_stream(pieces, tokens=LONG if told else None)
    assert found.shape == (tiny.HIDDEN,)
    assert found.dtype == np.float32
    assert np.abs(found - whole(engine, ids)).max() <= 2e-6
    np.testing.assert_array_equal(engine.embed_ids(ids[None])[0], found)


@pytest.mark.heavy
def test_pieces_of_text(engine: EmbeddingEngine) -> None:
    text = "The cat runs in the street.\nA woman reads, and the man is happy [SEP] no: 東京! " * 400
    pieces = [text[i : i + 97] for i in range(0, len(text), 97)]
    (ids,) = engine.tokenizer.encode([text])
    expected = whole(engine, ids)
    for found in (engine.embed_stream(iter(pieces)), engine.embed_stream(pieces, tokens=len(ids))):
        assert np.abs(found - expected).max() <= 2e-6


def test_the_lines_of_a_file(engine: EmbeddingEngine, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("the old house\nin the new street\n" * 50, encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        found = engine.embed_stream(file)
    np.testing.assert_allclose(found, engine.embed([path.read_text(encoding="utf-8")])[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("pieces", [[], [""], ["", ""], iter(())])
def test_no_text_is_the_empty_text(engine: EmbeddingEngine, pieces: list[str]) -> None:
    np.testing.assert_allclose(engine.embed_stream(pieces), engine.embed([""])[0], rtol=0, atol=1e-6)


def test_no_ids_are_no_tokens(engine: EmbeddingEngine) -> None:
    assert not engine.embed_stream([np.zeros(0, np.int64)]).any()
    assert not engine.embed_stream([[]], tokens=0).any()


@pytest.mark.parametrize("told", [0, 99, 101, 20_000])
def test_a_wrong_number_of_tokens(engine: EmbeddingEngine, told: int) -> None:
    with pytest.raises(InputError, match=rf"expected {told:,} tokens \(tokens=\), found 100; pass tokens=100, or"):
        engine.embed_stream([random_ids(50), random_ids(50)], tokens=told)


@pytest.mark.parametrize(
    ("pieces", "tokens", "said"),
    [
        ("one text", None, "expected the pieces of a text, found one string; pass [text]"),
        (7, None, "expected the pieces of a text, found int"),
        (["a", b"b"], None, "expected a string in piece 1, as in the first, found bytes"),
        ([[5], "a"], None, "expected text or a row of integers in piece 1, found str"),
        (np.array([5, 6]), None, "expected text or a row of integers in piece 0, found int64 (int64 []); pass one"),
        ([[[5]]], None, "expected text or a row of integers in piece 0, found list (int64 [1, 1])"),
        ([[0.5]], None, "expected text or a row of integers in piece 0, found list (float64 [1])"),
        ([[5], [tiny.VOCAB]], None, f"expected token ids 0 to {tiny.VOCAB - 1}, found {tiny.VOCAB} to {tiny.VOCAB} in"),
        ([[-1]], 1, f"expected token ids 0 to {tiny.VOCAB - 1}, found -1 to -1 in piece 0"),
        (["a"], -1, "expected tokens as a number, at least 0, or None, found -1"),
        (["a"], 2.0, "expected tokens as a number, at least 0, or None, found 2.0"),
    ],
)
def test_what_is_refused(engine: EmbeddingEngine, pieces: object, tokens: int | None, said: str) -> None:
    with pytest.raises(InputError) as error:
        engine.embed_stream(pieces, tokens=tokens)  # type: ignore[arg-type]
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_error_of_the_pieces_is_theirs(engine: EmbeddingEngine) -> None:
    def pieces() -> Iterator[str]:
        yield "the cat "
        raise OSError(5, "the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        engine.embed_stream(pieces())


@pytest.mark.heavy
def test_other_precisions_of_the_flat_form(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    ids = random_ids(WINDOW_TOKENS + 257)
    checkpoint = load_checkpoint(tiny_checkpoint_folder)
    export_onnx(checkpoint, tmp_path / "bundle", precisions=("fp16", "int8"))
    for precision in ("fp16", "int8"):
        with load_engine(tmp_path / "bundle", precision=precision) as engine:
            assert np.abs(engine.embed_stream([ids]) - whole(engine, ids)).max() <= 1e-4


def refusal(bundle: Path, engine: str = "onnxruntime", **options: str) -> str:
    with load_engine(bundle, engine, **options) as loaded, pytest.raises(LamError) as error:
        loaded.embed_stream(_unread())
    assert "\n" not in str(error.value)
    return str(error.value)


def _unread() -> Iterator[str]:
    pytest.fail("pieces were read")
    yield ""


@pytest.fixture
def copied(bundles: dict[str, Path], tmp_path: Path) -> Path:
    """The recurrent bundle, to be changed."""
    return shutil.copytree(bundles["recurrent"], tmp_path / "copied")


def test_the_parallel_form_cannot(copied: Path) -> None:
    forge(copied, lambda m: m.update(form="parallel", chunk_size=None))
    assert "found parallel, in which every token reads the whole text" in refusal(copied)


def test_the_recurrent_form_needs_its_graph(copied: Path) -> None:
    forge(copied, lambda m: (m["files"].pop(STREAM_MODEL), m["graphs"].pop(STREAM_MODEL)))
    said = refusal(copied)
    assert f"expected {STREAM_MODEL} in the bundle {copied} to embed a text in pieces, found none" in said
    assert f"lam-export onnx CHECKPOINT -o {copied} --form recurrent --stream --force" in said


def test_the_recurrent_form_has_it_in_fp32(copied: Path) -> None:
    shutil.copy(copied / MODEL, copied / FP16_MODEL)
    forge(copied, lambda m: [m[part].update({FP16_MODEL: m[part][MODEL]}) for part in ("files", "graphs")])
    assert f"expected {MODEL} to embed a text in pieces" in refusal(copied, precision="fp16")


def test_a_flat_graph_needs_its_window(tiny_bundle: Path, tmp_path: Path) -> None:
    import onnx

    foreign = shutil.copytree(tiny_bundle, tmp_path / "foreign")
    model = onnx.load(foreign / MODEL)
    next(value for value in model.graph.initializer if value.name == WINDOW).name = "other"
    for node in model.graph.node:
        node.input[:] = ["other" if name == WINDOW else name for name in node.input]
    onnx.save(model, foreign / MODEL)
    forge(foreign, lambda m: m["files"].update({MODEL: file_entry(foreign / MODEL).model_dump()}))
    with pytest.raises(BundleError, match=r"expected model\.onnx with inputs input_ids, attention_mask"):
        load_engine(foreign)


def test_a_closed_engine(bundles: dict[str, Path]) -> None:
    for bundle in bundles.values():
        with load_engine(bundle) as engine:
            engine.close()
            with pytest.raises(EngineError, match="this engine is closed"):
                engine.embed_stream(["a"])


@pytest.mark.needs("openvino")
def test_openvino_says_what_can(bundles: dict[str, Path]) -> None:
    said = refusal(bundles["recurrent"], "openvino")
    assert "expected the engine onnxruntime" in said
    assert "model.inlined.onnx" in said


def test_an_altered_graph_is_not_run(copied: Path) -> None:
    (copied / STREAM_MODEL).write_bytes((copied / STREAM_MODEL).read_bytes()[:-1] + b"\0")
    with load_engine(copied) as engine, pytest.raises(BundleError, match=f"{STREAM_MODEL} is not the file"):
        engine.embed_stream(["a"])


GROWTH = """
import sys
import numpy as np
from lam_engines import load_engine
from lam_export.evidence.process_memory import peak

def embed(tokens):
    ids = np.random.default_rng(0).integers(5, {vocabulary}, 1000)
    engine.embed_stream(ids for _ in range(tokens // 1000))
    return peak()

with load_engine(sys.argv[1], threads=1) as engine:
    short = embed(20_000)
    print((embed(200_000) - short) / 1e6)
"""


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's figure of a process's peak")
@pytest.mark.parametrize("form", ["flat", "recurrent"])
def test_memory_does_not_grow(bundles: dict[str, Path], form: str) -> None:
    """All at once, 200,000 tokens of the tiny model take more than a gigabyte."""
    code = GROWTH.format(vocabulary=tiny.VOCAB)
    run = subprocess.run([sys.executable, "-c", code, str(bundles[form])], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 30


FULL = """
import resource, sys
import numpy as np
from lam_engines import EngineError, load_engine

with load_engine(sys.argv[1], threads=1) as engine:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
    try:
        engine.embed_stream(np.full(1000, 5) for _ in range(int(sys.argv[2])))
    except EngineError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on a file's size")
@pytest.mark.parametrize("thousands", [525, 3000])  # the limit lies in what is still buffered, and long before the end
def test_no_room_for_the_ids(tiny_bundle: Path, thousands: int) -> None:
    command = [sys.executable, "-c", FULL, str(tiny_bundle), str(thousands)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "expected room for the token ids, 4 bytes each, in" in run.stdout
    assert "pass tokens=N" in run.stdout
