"""``lam-export web``: a bundle to a static site that searches texts in the browser."""

from dataclasses import dataclass
from pathlib import Path

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.whole import check_place, drafted_folder, put_folder_in_place
from lam_engines.progress import Progress
from lam_export.requirements import require

_PRECISION = "int8"
_PROBES = (
    "A woman is slicing a tomato.",
    "Naïve café: ÅNGSTRÖM, 東京, Ελλάδα & 42 % of “it”",
    # More than a chunk of the flat form.
    " ".join(f"Line {i}: the parcel was left with a neighbour because nobody was at home." for i in range(12)),
)
"""Texts by which the page checks that the browser computes what the engine computes."""


@dataclass(frozen=True)
class Site:
    """A site that was written."""

    path: Path
    first_visit: int
    """The largest number of bytes that a first visit downloads, from a server that compresses text."""


def build_site(
    bundle: Bundle | Path | str,
    output: Path | str,
    *,
    title: str | None = None,
    force: bool = False,
    progress: Progress = Progress(),
) -> Site:
    """Write a static site that searches texts by meaning with the bundle's int8 graph, in the browser alone.

    Its JavaScript libraries are downloaded from npm once, and kept in the caches' folder.

    Args:
        bundle: the bundle, with an int8 graph.
        output: folder of the site.
        title: heading of the page. Default: the name of the bundle's folder.
        force: replace an existing site.
        progress: told of each step.

    Raises:
        BundleError: there is no bundle, it has no int8 graph, or it is damaged.
        SiteError: ``output`` is taken or cannot be written.
        LamError: ONNX Runtime is missing, or a library cannot be downloaded.
    """
    from lam_export.export.web import SITE, Probe, write_site

    place = check_place(Path(output), SITE, force)
    source = bundle if isinstance(bundle, Bundle) else Bundle(bundle)
    graph = source.graph(_PRECISION)
    require("onnxruntime", extra="cpu")
    from lam_engines import load_engine
    from lam_engines.embedding.tokenizer import tokenizer_of

    progress.begin("embedding the texts that the page checks itself with", None)
    tokenizer = tokenizer_of(source)
    with load_engine(source.path, precision=_PRECISION) as engine:
        embeddings = engine.embed(_PROBES)
    probes = [
        Probe(text, ids.tolist(), [round(value, 6) for value in embedding.tolist()])
        for text, ids, embedding in zip(_PROBES, tokenizer.encode(_PROBES), embeddings, strict=True)
    ]
    model, name = source.manifest.model, source.path.resolve().name
    with drafted_folder(place, SITE) as draft:
        first_visit = write_site(
            draft,
            title=title or name,
            facts=f"Model {name}: {model.num_hidden_layers} layers, {model.hidden_size} dimensions, {_PRECISION}.",
            graph=source.read(graph),
            tokenizer=tokenizer.to_json().encode(),
            probes=probes,
            pad=model.pad_token_id,
            progress=progress,
        )
        put_folder_in_place(draft, place, replace=force)
    return Site(Path(output).resolve(), first_visit)
