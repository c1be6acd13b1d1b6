"""Put a benchmark together with everything that its figures depend on."""

from collections.abc import Sequence

from lam_engines.bundles.bundle import Bundle
from lam_export.evidence.provenance import Setting
from lam_export.evidence.subject import Subject

from .schema import Benchmark, SpeedResult
from .shapes import Shape


def record(
    bundle: Bundle,
    setting: Setting,
    reference: Subject,
    baselines: Sequence[str],
    subjects: Sequence[Subject],
    shapes: Sequence[Shape],
    results: Sequence[SpeedResult],
) -> Benchmark:
    """The benchmark of some results. Shapes without results are left out."""
    done = {result.shape for result in results}
    return Benchmark(
        **setting.head(bundle, subjects),
        reference=f"{reference.info.name} ({reference.info.runtime})",
        baselines=tuple(baselines),
        shapes=tuple(shape.info for shape in shapes if shape.info.name in done),
        results=tuple(results),
    )
