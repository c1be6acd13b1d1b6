"""A benchmark with all that its figures depend on."""

from collections.abc import Sequence

from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.contract import MANIFEST
from lam_export.evidence.entrants import Entrant
from lam_export.evidence.provenance import Setting, machine, tools

from .schema import Benchmark, Result
from .shapes import Shape


def record(
    bundle: Bundle,
    setting: Setting,
    reference: Entrant,
    baselines: Sequence[str],
    entrants: Sequence[Entrant],
    shapes: Sequence[Shape],
    results: Sequence[Result],
) -> Benchmark:
    """Put results together; of the shapes those that have some."""
    done = {result.shape for result in results}
    return Benchmark(
        created=setting.created,
        bundle=bundle.path.resolve().name,
        manifest_sha256=file_entry(bundle.path / MANIFEST).sha256,
        machine=machine(),
        load=setting.load,
        threads=setting.threads,
        tools=tools(),
        reference=f"{reference.info.name} ({reference.info.runtime})",
        baselines=tuple(baselines),
        entrants=tuple(entrant.info for entrant in entrants),
        shapes=tuple(shape.info for shape in shapes if shape.info.name in done),
        results=tuple(results),
    )
