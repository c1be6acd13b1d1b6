"""``lam-export huggingface``: a folder that other people's tools load, written only if it matches the bundle."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.whole import FolderKind, check_place, drafted_folder, put_folder_in_place, write_whole
from lam_engines.contract import INT8_MODEL, LAST_HIDDEN_STATE, MODEL, SENTENCE_EMBEDDING
from lam_engines.embedding.tokenizer import tokenizer_of
from lam_engines.errors import BundleError, LamError
from lam_engines.progress import Progress
from lam_export.export.huggingface.card import Figure, Score, model_card
from lam_export.export.huggingface.files import CONFIG, GRAPH, INT8_GRAPH, MAKER, OPENVINO_GRAPH, small_files
from lam_export.requirements import require

from .inputs import open_bundle
from .report import FOLDER as REPORT

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from lam_export.evidence.cases import Case
    from lam_export.evidence.metrics import EmbeddingDiff
    from lam_export.validate.report.schema import Report

    Infer = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


class FolderError(LamError):
    """A folder for other tools cannot be written, or does not match its bundle."""


def _is_ours(path: Path) -> bool:
    config = path / CONFIG
    return config.is_file() and f'"{MAKER}"' in config.read_text(encoding="utf-8", errors="replace")


KIND = FolderKind("folder of lam-export huggingface", "choose another place: -o FOLDER", _is_ours, FolderError)


@dataclass(frozen=True)
class HuggingFaceFolder:
    """What :func:`export_huggingface` wrote."""

    path: Path
    parity: "Mapping[str, EmbeddingDiff]"
    """The worst difference of each graph, by its path in the folder. All of them passed."""


def export_huggingface(
    bundle: Bundle | Path | str,
    output: Path | str,
    *,
    int8: bool = False,
    openvino: bool = False,
    force: bool = False,
    progress: Progress = Progress(),
) -> HuggingFaceFolder:
    """Write a folder that sentence-transformers, fastembed, transformers.js, txtai and others load, without PyTorch.

    Each graph is compared with the bundle's own engine: its sentence embeddings, and the mean of its last hidden state,
    which several tools compute themselves.

    Args:
        bundle: the bundle, or its folder.
        output: the folder to write.
        int8: also write ``onnx/model_quantized.onnx``, from the bundle's int8 graph.
        openvino: also write ``openvino/openvino_model.xml``, for the OpenVINO backend of sentence-transformers.
        force: replace an existing folder of this kind.
        progress: told of each step.

    Raises:
        BundleError: there is no bundle, or it lacks a graph.
        LamError: a package is missing; or the folder does not match the bundle or cannot be written, and ``output`` is
            unchanged.

    Example:
        ```python
        lam_export.export_huggingface("my-model", "my-folder", int8=True).parity
        ```
    """
    place = check_place(Path(output), KIND, force)
    require("onnx", extra="huggingface")
    require("onnxruntime", extra="cpu")
    from lam_export.evidence.cases import parity_cases

    opened = open_bundle(bundle)
    graphs = {GRAPH: MODEL, **({INT8_GRAPH: INT8_MODEL} if int8 else {})}
    if missing := [name for name in graphs.values() if name not in opened.manifest.files]:
        raise BundleError(
            f"expected {', '.join(missing)} in the bundle {opened.path}, found none; make it again: lam-export onnx "
            f"CHECKPOINT -o {quote(str(opened.path))} --precision int8 --force"
        )
    model, tokenizer = opened.manifest.model, tokenizer_of(opened)
    cases = parity_cases(tokenizer, model.pad_token_id)
    parity: dict[str, EmbeddingDiff] = {}
    right = cache(lambda precision: _embedded(opened, precision, cases, progress))
    with drafted_folder(place, KIND) as draft:
        for name, content in small_files(model, tokenizer).items():
            write_whole(draft / name, content.encode("utf-8"))
        for name, source in graphs.items():
            progress.begin(f"writing {name}", None)
            graph = _write_graph(opened, source, draft / name)
            parity[name] = _compared(name, _in_onnxruntime(draft / name), cases, right, progress)
            if openvino and name == GRAPH:
                progress.begin(f"writing {OPENVINO_GRAPH}", None)
                infer = _openvino_from_graph(graph, draft / OPENVINO_GRAPH)
                parity[OPENVINO_GRAPH] = _compared(OPENVINO_GRAPH, infer, cases, right, progress)
        card = _card(opened, place.name, parity, max(case.input_ids.shape[1] for case in cases))
        write_whole(draft / "README.md", card.encode("utf-8"))
        put_folder_in_place(draft, place, replace=force)
    return HuggingFaceFolder(place, parity)


def _write_graph(bundle: Bundle, source: str, place: Path) -> "onnx.ModelProto":
    import onnx

    from lam_export.export.huggingface.graph import with_last_hidden_state

    model = bundle.manifest.model
    graph = onnx.load_model_from_string(bundle.read(source))
    changed = with_last_hidden_state(graph, model.num_hidden_layers, model.hidden_size)
    place.parent.mkdir(exist_ok=True)
    onnx.save(changed, place)
    return changed


def _in_onnxruntime(graph: Path) -> "Infer":
    import onnxruntime

    from lam_engines.runtimes.onnxruntime.session import session_options

    session = onnxruntime.InferenceSession(str(graph), session_options(None), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(names, dict(feed)), strict=True))


def _openvino_from_graph(graph: "onnx.ModelProto", place: Path) -> "Infer":
    """Write a graph as OpenVINO's own format reads it, in float32, and load it."""
    import onnx.inliner

    from lam_engines.runtimes.openvino.library import compile_options, core, library

    openvino = library()
    content = onnx.inliner.inline_local_functions(graph).SerializeToString()  # it reads no local functions
    try:
        model = core().read_model(content, b"")
        place.parent.mkdir(exist_ok=True)
        openvino.save_model(model, str(place), compress_to_fp16=False)
        compiled = core().compile_model(str(place), "CPU", compile_options(None))
    except RuntimeError as error:
        raise FolderError(
            f"OpenVINO {openvino.__version__} cannot load this model: {' '.join(str(error).split())[:300]}; leave out "
            f"--openvino"
        ) from None

    def infer(feed: "Mapping[str, np.ndarray]") -> "Mapping[str, np.ndarray]":
        found = compiled(dict(feed))
        return {name: found[name] for name in (SENTENCE_EMBEDDING, LAST_HIDDEN_STATE)}

    return infer


def _embedded(bundle: Bundle, precision: str, cases: "list[Case]", progress: Progress) -> "list[np.ndarray]":
    """The embeddings of each case by the bundle's engine."""
    progress.begin(f"embedding with the bundle in {precision}", len(cases))
    found = []
    with load_engine(bundle.path, "onnxruntime", precision=precision) as engine:
        for case in cases:
            found.append(engine.embed_ids(case.input_ids, case.attention_mask))
            progress.advance(1)
    return found


def _compared(
    name: str,
    infer: "Infer",
    cases: "list[Case]",
    embedded: "Callable[[str], list[np.ndarray]]",
    progress: Progress,
) -> "EmbeddingDiff":
    """The worst difference of a graph from what the bundle gives for the same precision.

    Raises:
        FolderError: it is too large.
    """
    import numpy as np

    from lam_export.evidence.metrics import THRESHOLDS, Thresholds, diff

    precision = "int8" if name == INT8_GRAPH else "fp32"
    # Integers may be rounded otherwise in a graph with another output.
    thresholds = Thresholds(np.inf, 0.9999) if precision == "int8" else Thresholds(1e-5, THRESHOLDS["fp32"].cosine)
    expected = [rows for rows in embedded(precision) for _ in (SENTENCE_EMBEDDING, LAST_HIDDEN_STATE)]
    progress.begin(f"comparing {name}", len(cases))
    found = []
    for case in cases:
        outputs = infer(case.feed)
        found += [outputs[SENTENCE_EMBEDDING], _mean(outputs[LAST_HIDDEN_STATE], case.attention_mask)]
        progress.advance(1)
    worst = diff(np.concatenate(found), np.concatenate(expected), thresholds)
    if not worst:
        raise FolderError(
            f"{name} does not match the bundle and was not written: {thresholds.beside(worst)}; this is a fault of "
            f"lam-export with this runtime: report it"
        )
    return worst


def _mean(hidden: "np.ndarray", mask: "np.ndarray") -> "np.ndarray":
    """``[B, L, M]`` and ``[B, L]`` to the means' directions ``[B, M]``, as the tools compute them."""
    import numpy as np

    total = (hidden * mask[..., None]).sum(axis=1)
    return total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-12)


def _card(bundle: Bundle, name: str, parity: "Mapping[str, EmbeddingDiff]", tokens: int) -> str:
    manifest = bundle.manifest
    figures = [
        Figure(
            f"`{graph}`: largest difference of an element",
            f"{worst.max_abs:.1e} (cosine at least {worst.cosine:.7f})",
            f"against the bundle in ONNX Runtime, on texts of 1 to {tokens} tokens, alone and in a padded batch",
        )
        for graph, worst in parity.items()
    ]
    for graph in (MODEL, *([INT8_MODEL] if INT8_GRAPH in parity else [])):
        found = manifest.parity[graph]
        figures.append(
            Figure(
                f"the bundle's `{graph}`: largest difference of an element",
                f"{found['max_abs']:.1e} (cosine at least {found['cosine']:.7f})",
                f"against PyTorch in float64, on texts of up to {manifest.max_tokens_tested} tokens",
            )
        )
    score = None
    if (report := _report_of(bundle)) is not None:
        for comparison in report.comparisons:
            if (sts := comparison.sts) is None:
                continue
            source = report.sources[-1]  # the pairs come last
            candidate = comparison.candidate
            figures.append(
                Figure(
                    f"Spearman's correlation, {candidate.precision} in {candidate.runtime}",
                    f"{sts.spearman.candidate:.4f}",
                    f"cosines of the {sts.pairs} pairs of `{source}` with people's scores; lam-export report",
                )
            )
            if candidate.precision == "fp32" and score is None:
                score = Score(source, sts.spearman.candidate)
    return model_card(name, manifest, figures, score, int8=INT8_GRAPH in parity, openvino=OPENVINO_GRAPH in parity)


def _report_of(bundle: Bundle) -> "Report | None":
    """The bundle's own report, if it was made of the bundle as it is."""
    from pydantic import ValidationError

    from lam_export.validate.report.schema import Report

    try:
        report = Report.model_validate_json((bundle.path / REPORT / "report.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return report if report.manifest_sha256 == bundle.manifest_sha256 else None
