"""A bundle in the runtimes that serve it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import LamError
from lam_engines.runtimes import registry
from lam_export.evidence.metrics import THRESHOLDS
from lam_export.evidence.same_model import comparable_bundle
from lam_export.evidence.schema import SubjectInfo
from lam_export.evidence.subject import Subject


def engine_subject(
    bundle: Bundle,
    engine: str = registry.REFERENCE,
    precision: str | None = None,
    *,
    device: str | None = None,
    threads: int | None = None,
    prefix: str = "",
) -> Subject:
    """A bundle in one runtime.

    Args:
        bundle: an open bundle.
        engine: the runtime's name, or ``auto``.
        precision: precision of the graph or plan; by default the runtime's first.
        device: by default the runtime's first.
        threads: number of CPU threads; by default the runtime chooses.
        prefix: put before the subject's name in tables.

    Raises:
        LamError: there is no such runtime, it is not installed, or the bundle has nothing for it.
    """
    runtime = registry.choose(engine, bundle, precision, device).runtime
    precision = precision or runtime.precisions[0]
    file = runtime.file_of(bundle, precision)
    entry = bundle.manifest.files[file]
    on_device = f" on {device.upper()}" if device not in (None, runtime.devices[0]) else ""
    variant = f", {found}" if (found := runtime.variant(bundle)) else ""
    info = SubjectInfo(
        name=f"{prefix}{runtime.title} {precision}{on_device}{variant}",
        model="this",
        precision=precision,  # type: ignore[arg-type]
        runtime=f"{runtime.name} {runtime.version()}",
        artefact=Path(file).name,
        sha256=entry.sha256,
        bytes=entry.bytes,
    )
    return Subject(
        info,
        partial(
            load_engine,
            bundle.path,
            runtime.name,
            precision=precision,
            device=device,
            threads=threads if runtime.takes_threads else None,
        ),
        partial(runtime.fingerprint, bundle, precision, device or runtime.devices[0]),
        THRESHOLDS[precision],
        shows_inner_values=runtime.shows_inner_values,
    )


def other_bundle(bundle: Bundle, path: Path, *, threads: int | None = None) -> Subject:
    """The fp32 graph of another bundle in the reference runtime.

    Raises:
        LamError: there is no bundle at the path, or its tokenizer differs.
    """
    other = comparable_bundle(bundle, path)
    found = engine_subject(other, threads=threads, prefix=f"{path.resolve().name}: ")
    if other.manifest.checkpoint == bundle.manifest.checkpoint and other.manifest.teacher == bundle.manifest.teacher:
        return found
    return Subject(found.info.model_copy(update={"model": "other"}), found.load, found.fingerprint)


def engines_here(bundle: Bundle) -> list[tuple[str, str]]:
    """All pairs of runtime and precision that this machine runs of a bundle; the reference runtime comes first."""
    return [(runtime.name, precision) for runtime in registry.all_runtimes() for precision in runtime.runs(bundle)]


def chosen_engines(
    bundle: Bundle, engines: Sequence[str] | None, precisions: Sequence[str] | None
) -> list[tuple[str, str]]:
    """The pairs of :func:`engines_here` that the user named; all if the user named nothing.

    Raises:
        LamError: no pair is left, or a named engine or precision does not run here.
    """
    engines = [
        registry.choose(engine, bundle, precision).runtime.name
        for engine in engines or ()
        for precision in precisions or (None,)
    ]
    here = engines_here(bundle)
    chosen = [
        (engine, precision)
        for engine, precision in here
        if (not engines or engine in engines) and (not precisions or precision in precisions)
    ]
    missing = [f"--engine {name}" for name in dict.fromkeys(engines) if name not in {engine for engine, _ in chosen}]
    missing += [
        f"--precision {name}" for name in precisions or () if name not in {precision for _, precision in chosen}
    ]
    if missing or not chosen:
        there = ", ".join(f"{precision} in {engine}" for engine, precision in here) or "nothing"
        raise LamError(
            f"expected something for {' '.join(missing) or 'an engine'}, found {there}, which is all that this machine "
            f"runs of {bundle.path}; see: lam-export doctor {bundle.path}"
        )
    return chosen
