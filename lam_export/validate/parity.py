"""Check that a bundle gives the reference's embeddings."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from polygraphy.backend.base import BaseRunner
from polygraphy.comparator import Comparator, RunResults
from polygraphy.logger import G_LOGGER

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import STREAM_MODEL
from lam_engines.embedding.tokenizer import tokenizer_of
from lam_engines.progress import Progress
from lam_engines.runtimes import registry
from lam_export.evidence.cases import Case, parity_cases
from lam_export.evidence.metrics import THRESHOLDS, CompareEmbeddings, EmbeddingDiff, Thresholds, worst_of
from lam_export.evidence.same_model import check_same_model
from lam_export.model.encoder import Encoder

from .runners import runner_from_encoder, runner_from_engine, runner_from_graph, runner_from_stream


@dataclass(frozen=True)
class ParityRow:
    """The comparison of one output of one graph or plan on one case."""

    graph: str
    case: str
    output: str
    batch: int
    tokens: int
    diff: EmbeddingDiff
    thresholds: Thresholds
    engine: str = registry.REFERENCE


@dataclass(frozen=True)
class ParityReport:
    """All comparisons of a parity run."""

    rows: tuple[ParityRow, ...]

    @property
    def passed(self) -> bool:
        return all(row.diff for row in self.rows)

    @property
    def max_tokens(self) -> int:
        """Number of tokens of the longest text that was compared."""
        return max(row.tokens for row in self.rows)

    def worst(self) -> dict[str, dict[str, float]]:
        """For each graph, the worst figure of each measure over all its rows."""
        diffs = {row.graph: [other.diff for other in self.rows if other.graph == row.graph] for row in self.rows}
        return {graph: worst_of(found).figures for graph, found in diffs.items()}

    def to_dict(self) -> dict[str, Any]:
        return {"passed": self.passed, "worst": self.worst(), **asdict(self)}


def check_parity(
    bundle: Bundle,
    encoder: Encoder,
    *,
    engine: str = registry.REFERENCE,
    precision: str | None = None,
    thresholds: Mapping[str, Thresholds] = THRESHOLDS,
    progress: Progress = Progress(),
    verbose: bool = False,
) -> ParityReport:
    """Run every graph of a bundle beside the reference and compare them, output by output and row by row.

    Args:
        bundle: an open bundle.
        encoder: the reference. It is converted to float64 in place.
        engine: the runtime's name. ONNX Runtime runs every graph with all its outputs. Any other engine runs one graph
            or plan as it serves, and only the cases that are not too long for it.
        precision: precision of the graph or plan. By default, ONNX Runtime runs all graphs, and any other engine its
            default precision.
        thresholds: precision of a graph to what its worst row must hold.
        progress: told what is being run.
        verbose: let Polygraphy's log through.

    Raises:
        BundleError: the bundle is of another model than the encoder, one of its files was altered, or it has no graph
            or plan of that precision.
        EngineError: the engine cannot run here.
    """
    check_same_model(bundle, encoder)
    engine = registry.choose(engine, bundle, precision).runtime.name
    tokenizer = tokenizer_of(bundle)
    cases = parity_cases(tokenizer, bundle.manifest.model.pad_token_id)
    with ExitStack() as stack:
        stack.enter_context(G_LOGGER.verbosity(G_LOGGER.INFO if verbose else G_LOGGER.CRITICAL))
        if registry.runtime(engine).shows_inner_values:
            runners = _graph_runners(bundle, precision)
        else:
            progress.begin(f"loading {engine}", None)
            loaded = stack.enter_context(load_engine(bundle.path, engine, precision=precision))
            runners = {loaded.file: runner_from_engine(loaded, engine)}
            if loaded.max_tokens is not None:
                progress.begin(
                    f"leaving out texts of more than {loaded.max_tokens} tokens, which {loaded.file} does not take",
                    None,
                )
                cases = [case for case in cases if case.input_ids.shape[1] <= loaded.max_tokens]
        progress.begin("running the reference in PyTorch, float64", None)
        reference = Comparator.run([runner_from_encoder(encoder)], data_loader=_loader(cases))
        rows: list[ParityRow] = []
        for file, runner in runners.items():
            progress.begin(f"running {file} in {engine}", None)
            found = Comparator.run([runner], data_loader=_loader(cases))
            rows += _compare(reference, found, file, engine, cases, thresholds[_precision(bundle, file)])
    return ParityReport(tuple(rows))


def _graph_runners(bundle: Bundle, precision: str | None) -> dict[str, BaseRunner]:
    if precision is not None:
        bundle.graph(precision)
    return {
        graph: runner_from_stream(bundle) if graph == STREAM_MODEL else runner_from_graph(bundle, graph)
        for graph, entry in bundle.manifest.graphs.items()
        if precision in (None, entry.precision)
    }


def _precision(bundle: Bundle, file: str) -> str:
    manifest = bundle.manifest
    return (manifest.plans[file] if file in manifest.plans else manifest.graphs[file]).precision


def _loader(cases: list[Case]) -> Iterator[dict[str, Any]]:
    return (dict(case.feed) for case in cases)


def _compare(
    reference: RunResults, found: RunResults, graph: str, engine: str, cases: list[Case], thresholds: Thresholds
) -> list[ParityRow]:
    both = RunResults()
    both.extend(reference)
    both.extend(found)
    (result,) = Comparator.compare_accuracy(both, compare_func=CompareEmbeddings(thresholds))
    (diffs,) = result.values()
    return [
        ParityRow(
            graph,
            case.name,
            output,
            case.input_ids.shape[0],
            case.input_ids.shape[1],
            outputs[output],
            thresholds,
            engine,
        )
        for output in diffs[0]
        for case, outputs in zip(cases, diffs, strict=True)
    ]
