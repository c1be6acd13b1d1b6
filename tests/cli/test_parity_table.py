"""The parity table at 80 columns, where most terminals are."""

from io import StringIO

from rich.console import Console

from lam_export.cli._parity import parity_tables
from lam_export.evidence.metrics import EmbeddingDiff, Thresholds
from lam_export.validate.parity import ParityReport, ParityRow


def test_every_figure_is_readable_at_80_columns() -> None:
    good, bad = EmbeddingDiff(1.2e-7, 3.4e-7, 1 - 5e-14, True), EmbeddingDiff(0.5, 0.7, 0.3, False)
    rows = [
        ParityRow(graph, "16 mixed lengths, padded", output, 16, 300, figures, Thresholds())
        for graph, figures in (("model.onnx", good), ("model.inlined.onnx", bad))
        for output in ("sentence_embedding", "token_embeddings")
    ]
    console = Console(width=80, record=True, file=StringIO())
    console.print(parity_tables(ParityReport(tuple(rows))))
    lines = console.export_text().splitlines()
    assert sum("16 mixed lengths, padded" in line and "1.2e-07" in line and "✓" in line for line in lines) == 2
    assert sum("5.0e-01" in line and "7.0e-01" in line and "✗" in line for line in lines) == 2
    assert any("model.inlined.onnx, token_embeddings" in line for line in lines)
