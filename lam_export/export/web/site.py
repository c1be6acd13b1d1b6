"""Composes the site's folder.

    index.html, sw.js       the page, and what keeps it for use without a network
    app/HASH/               scripts, styles, libraries, settings.json
    files/NAME.HASH.gz      graph, tokenizer, runtimes: compressed here, decompressed in the page, so no server needs to
    LICENSES.txt

Addresses hold hashes, so that a browser never mixes files of two versions, and loads again only what has changed.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from lam_engines.bundles.whole import FolderKind
from lam_engines.contract import INPUTS, SENTENCE_EMBEDDING
from lam_engines.errors import LamError
from lam_engines.progress import Progress
from lam_export.version import __version__

from .packages import INSIDE_UMAP, ONNXRUNTIME_WEB, PAPAPARSE, TOKENIZERS, UMAP, read_package

LEAST_COSINE = 0.99
"""Smallest cosine between a probe's embedding in the browser and the engine's. See docs/web.md."""
_RUNTIMES = {"wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")} | {
    "webgpu": ("ort.jspi.bundle.min.mjs", "ort-wasm-simd-threaded.jspi.wasm")
}
"""Builds of ONNX Runtime: script and binary. That for WebGPU is the one with JSPI, because it is the smallest."""
_NOTICES = ("LICENSE", "ThirdPartyNotices.txt")
"""Of ONNX Runtime. Its npm package lacks them, its Python package has them."""


class SiteError(LamError):
    """A site cannot be written."""


SITE = FolderKind(
    "site of lam-export web",
    "choose another place: -o SITE",
    lambda path: (path / "sw.js").is_file() and (path / "app").is_dir(),
    SiteError,
)


@dataclass(frozen=True)
class Probe:
    """A text with what the page must compute for it before it may be used."""

    text: str
    ids: list[int]
    embedding: list[float]


def write_site(
    draft: Path,
    *,
    title: str,
    facts: str,
    graph: bytes,
    tokenizer: bytes,
    probes: Sequence[Probe],
    pad: int,
    progress: Progress,
) -> int:
    """Write the site into an empty folder.

    Args:
        draft: the folder.
        title: heading of the page.
        facts: a sentence about the model, for the foot of the page.
        graph: the ONNX graph.
        tokenizer: ``tokenizer.json``.
        probes: texts by which the page checks the browser.
        pad: the id that fills up shorter texts in a batch.
        progress: told of each step.

    Returns:
        The largest number of bytes that a first visit downloads, from a server that compresses text.

    Raises:
        LamError: a library cannot be had.
    """
    progress.begin("fetching the libraries", 6)
    dist = [f"dist/{name}" for pair in _RUNTIMES.values() for name in pair]
    runtime = {name.removeprefix("dist/"): data for name, data in read_package(ONNXRUNTIME_WEB, dist).items()}
    progress.advance(1)
    licences = {f"ONNX Runtime Web {ONNXRUNTIME_WEB.version}": _runtime_notices()}
    app = {script.replace(".mjs", ".js"): runtime[script] for script, _ in _RUNTIMES.values()}
    for package, file, name in (
        (TOKENIZERS, "dist/tokenizers.min.mjs", "tokenizers.js"),
        (PAPAPARSE, "papaparse.min.js", "papaparse.js"),
        (UMAP, "lib/umap-js.min.js", "umap.js"),
        *((inner, None, "") for inner in INSIDE_UMAP),
    ):
        content = read_package(package, [*filter(None, [file]), "LICENSE"])
        licences[f"{package.name} {package.version}"] = content["LICENSE"]
        if file:
            app[name] = content[file]
        progress.advance(1)

    progress.begin("compressing", 2 + len(_RUNTIMES))
    (draft / "files").mkdir()

    def packed(name: str, content: bytes) -> dict[str, str | int]:
        place = draft / "files" / f"{name}.{_hash(content)}.gz"
        place.write_bytes(_gzip(content))
        progress.advance(1)
        return {"url": f"../../files/{place.name}", "bytes": place.stat().st_size}

    settings = {
        "model": packed("model.onnx", graph),
        "tokenizer": packed("tokenizer.json", tokenizer),
        "runtimes": {
            kind: {"script": f"./{script.replace('.mjs', '.js')}", "binary": packed(binary, runtime[binary])}
            for kind, (script, binary) in _RUNTIMES.items()
        },
        "inputs": INPUTS,
        "output": SENTENCE_EMBEDDING,
        "hidden": len(probes[0].embedding),
        "pad": pad,
        "probes": [asdict(probe) for probe in probes],
        "leastCosine": LEAST_COSINE,
    }
    icon = {"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}
    manifest = {"name": title, "start_url": "../../", "scope": "../../", "display": "standalone", "icons": [icon]}
    app |= {"settings.json": _json(settings), "manifest.webmanifest": _json(manifest)}
    templates = {file.name: file.read_bytes() for file in (files(__package__) / "templates").iterdir()}
    page, keeper = (Template(templates.pop(name).decode()) for name in ("index.html", "sw.js"))
    app |= templates
    folder = draft / "app" / _hash(b"".join(f"{name}\0{_hash(app[name])}\0".encode() for name in sorted(app)))
    folder.mkdir(parents=True)
    for name, content in app.items():
        (folder / name).write_bytes(content)
    address = folder.relative_to(draft).as_posix()
    html = page.substitute(
        title=escape(title),
        app=address,
        facts=escape(f"{facts} ONNX Runtime Web {ONNXRUNTIME_WEB.version}, in this browser."),
    )
    (draft / "index.html").write_text(html, encoding="utf-8")
    # Only one build of the runtime is loaded; the worker keeps it.
    builds = [build["script"].removeprefix("./") for build in settings["runtimes"].values()]
    small = ["./", *sorted(f"{address}/{name}" for name in app if name not in builds)]
    large = [f"{address}/{name}" for name in builds] + sorted(
        f"files/{place.name}" for place in (draft / "files").iterdir()
    )
    version = hashlib.sha256(html.encode()).hexdigest()[:16]
    keeper_text = keeper.substitute(version=version, small=json.dumps(small), large=json.dumps(large))
    (draft / "sw.js").write_text(keeper_text, encoding="utf-8")
    rule = b"\n\n" + b"=" * 78 + b"\n"
    (draft / "LICENSES.txt").write_bytes(rule.join(f"{name}\n\n".encode() + text for name, text in licences.items()))
    binaries = [build["binary"]["bytes"] for build in settings["runtimes"].values()]  # a browser loads one of them
    packed_bytes = sum(place.stat().st_size for place in (draft / "files").iterdir()) - min(binaries)
    return packed_bytes + sum(len(_gzip(content)) for name, content in app.items()) + len(_gzip(html.encode()))


def _runtime_notices() -> bytes:
    spec = find_spec("onnxruntime")
    places = [Path(spec.origin or "").parent / name for name in _NOTICES] if spec else []
    if not places or not all(place.is_file() for place in places):
        raise LamError(
            f"expected ONNX Runtime's {' and '.join(_NOTICES)} in its Python package, for the site's licences, found "
            f"none; install it from PyPI: pip install --force-reinstall onnxruntime"
        )
    return b"\n\n".join(place.read_bytes() for place in places)


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16, memLevel=9)  # gzip, with more memory than its module takes
    return packer.compress(content) + packer.flush()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
