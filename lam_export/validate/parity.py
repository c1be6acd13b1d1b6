"""Does a bundle give the reference's embeddings?"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from polygraphy.comparator import Comparator, RunResults
from polygraphy.logger import G_LOGGER

from lam_engines.bundle import TOKENIZER, Bundle
from lam_engines.tokenizer import Tokenizer
from lam_export.model.encoder import Encoder

from .cases import Case, parity_cases
from .metrics import CompareEmbeddings, EmbeddingDiff, Thresholds
from .runners import ReferenceRunner, runner_from_graph


@dataclass(frozen=True)
class ParityRow:
    """One output of one graph on one case."""

    graph: str
    case: str
    output: str
    batch: int
    tokens: int
    diff: EmbeddingDiff


@dataclass(frozen=True)
class ParityReport:
    """All comparisons of a parity run."""

    rows: tuple[ParityRow, ...]
    thresholds: Thresholds

    @property
    def passed(self) -> bool:
        return all(row.diff for row in self.rows)

    @property
    def max_tokens(self) -> int:
        """Length of the longest text that was compared."""
        return max(row.tokens for row in self.rows)

    def worst(self) -> dict[str, float]:
        """The worst figure of each measure over all rows."""
        return {
            "max_abs": max(row.diff.max_abs for row in self.rows),
            "relative_rms": max(row.diff.relative_rms for row in self.rows),
            "cosine": min(row.diff.cosine for row in self.rows),
        }

    def to_dict(self) -> dict[str, Any]:
        return {"passed": self.passed, "worst": self.worst(), **asdict(self)}


def check_parity(
    bundle: Bundle,
    encoder: Encoder,
    *,
    thresholds: Thresholds = Thresholds(),
    on_step: Callable[[str], None] = lambda step: None,
    verbose: bool = False,
) -> ParityReport:
    """Run every graph of a bundle beside the reference and compare them, output by output and row by row.

    Args:
        bundle: an open bundle.
        encoder: the reference; it is turned to float64 in place.
        thresholds: for the worst row.
        on_step: told what is being run.
        verbose: let Polygraphy's log through.
    """
    tokenizer = Tokenizer(bundle.read(TOKENIZER), bundle.manifest.model.vocab_size)
    cases = parity_cases(tokenizer, bundle.manifest.model.pad_token_id)
    with G_LOGGER.verbosity(G_LOGGER.INFO if verbose else G_LOGGER.CRITICAL):
        on_step("reference, PyTorch float64")
        reference = Comparator.run([ReferenceRunner(encoder)], data_loader=_loader(cases))
        rows: list[ParityRow] = []
        for graph in bundle.manifest.graphs:
            on_step(f"{graph}, ONNX Runtime")
            found = Comparator.run([runner_from_graph(bundle, graph)], data_loader=_loader(cases))
            rows += _compare(reference, found, graph, cases, thresholds)
    return ParityReport(tuple(rows), thresholds)


def _loader(cases: list[Case]) -> Iterator[dict[str, Any]]:
    return (dict(case.feed) for case in cases)


def _compare(
    reference: RunResults, found: RunResults, graph: str, cases: list[Case], thresholds: Thresholds
) -> list[ParityRow]:
    both = RunResults()
    both.extend(reference)
    both.extend(found)
    (result,) = Comparator.compare_accuracy(both, compare_func=CompareEmbeddings(thresholds))
    (diffs,) = result.values()
    return [
        ParityRow(graph, case.name, output, case.input_ids.shape[0], case.input_ids.shape[1], outputs[output])
        for output in diffs[0]
        for case, outputs in zip(cases, diffs, strict=True)
    ]
