"""``lam-export validate --bisect``: which parts must stay in float32?"""

from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from ._console import out, say

if TYPE_CHECKING:
    from lam_export.evidence.cases import Case
    from lam_export.evidence.metrics import EmbeddingDiff, Thresholds
    from lam_export.model.encoder import Encoder
    from lam_export.validate.bisect import PrecisionSearch

_SHOWN = 10


def search_precision(
    encoder: "Encoder",
    cases: "Sequence[Case]",
    thresholds: "Thresholds",
    step: Callable[[str], None],
) -> Callable[[Path, Path], None]:
    """Search, confirm the proposal in ONNX Runtime, and give what shows the result for a checkpoint and a bundle."""
    from lam_export.validate.bisect import in_onnxruntime, precision_search

    search = precision_search(encoder, cases, thresholds, step)
    confirmed = search.proposed
    if search.keep:
        step("exporting the proposal and running it in ONNX Runtime")
        confirmed = in_onnxruntime(encoder, search.keep, cases, thresholds)

    def show(checkpoint: Path, bundle: Path) -> None:
        if search.keep is None:
            say(out, f"Not even float32 throughout holds these thresholds (worst {_figures(search.proposed)}).")
            return
        if not search.keep:
            say(out, f"Nothing need stay in float32: all parts in float16 give {_figures(search.all_half)}.")
            return
        _show_harm(search)
        say(out, "The fewest parts to keep in float32, of those none can be spared:", style="bold")
        for part in search.keep:
            say(out, f"  {part}")
        say(out, f"  PyTorch in half precision: all parts in float16 {_figures(search.all_half)}")
        say(out, f"  PyTorch in half precision: with these in float32 {_figures(search.proposed)}")
        say(out, f"  ONNX Runtime: with these in float32 {_figures(confirmed)}, {'holds' if confirmed else 'FAILS'}")
        options = " ".join(f"--keep-fp32 {part}" for part in search.keep)
        paths = f"{quote(str(checkpoint))} -o {quote(str(bundle))}"
        say(out, f"Apply it: lam-export onnx {paths} --precision fp16 {options} --force")

    return show


def _show_harm(search: "PrecisionSearch") -> None:
    from rich.table import Table

    table = Table(
        "part alone in float16",
        title="What each part does alone, worst first",
        caption=f"{min(_SHOWN, len(search.alone))} of {len(search.alone)} parts",
    )
    table.add_column("max-abs", justify="right")
    table.add_column("1 - cosine", justify="right")
    for part, found in search.alone[:_SHOWN]:
        table.add_row(part, f"{found.max_abs:.1e}", f"{1 - found.cosine:.1e}")
    out.print(table)


def _figures(found: "EmbeddingDiff") -> str:
    return f"max-abs {found.max_abs:.1e}, 1 - cosine {1 - found.cosine:.1e}"
