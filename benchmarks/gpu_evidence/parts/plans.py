"""Plans of TensorRT and of TensorRT for RTX, whichever is installed: built, compared and timed.

It goes through the commands and ``load_engine``, as a user does. Without a GPU, ONNX Runtime takes the engines' place,
so that the comparison is seen to work; a plan of TensorRT for RTX is built all the same.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gpu_evidence import machine, models, weights
from gpu_evidence.record import Row, Tell
from lam_engines import EngineError, LamError, load_engine
from lam_export.evidence.metrics import THRESHOLDS, diff

if TYPE_CHECKING:
    from lam_engines.embedding.engine import EmbeddingEngine

RTX_ENGINE = "tensorrt-rtx"
LIBRARIES = {"tensorrt": ("tensorrt", []), RTX_ENGINE: ("tensorrt_rtx", ["--rtx"])}
"""Engine to its package, and to the options of ``lam-export trt``."""
COMMANDS = ("typer", "rich", "pydantic", "polygraphy", "onnxruntime", "onnxscript", "onnx_ir")
"""What ``lam-export onnx`` and ``lam-export trt`` need."""
PROFILES = ("1x1,1x8,2x16",) if machine.tiny else ("1x1,1x128,64x512", "1x512,1x4096,1x32768")
SHAPES = ((1, 1), (2, 13)) if machine.tiny else ((1, 128), (1, 512), (1, 4_096), (1, 32_768), (64, 128), (256, 32))
SECONDS = 150
"""The longest that a command may take."""


def run(tell: Tell) -> None:
    found = {engine: options for engine, (package, options) in LIBRARIES.items() if find_spec(package)}
    if machine.tiny:
        found["onnxruntime"] = []
    for engine in LIBRARIES:
        if engine not in found:
            tell({"engine": engine, "skipped": "not installed"})
    lacking = [package for package in COMMANDS if find_spec(package) is None]
    if lacking and found:
        tell({"engine": ", ".join(found), "skipped": f"no {', '.join(lacking)}"})
        found = {}
    if RTX_ENGINE in found and (refusal := refusal_of_rtx()):
        tell({"engine": RTX_ENGINE, "what": "this GPU", "refused": refusal})
        if not machine.tiny:
            del found[RTX_ENGINE]
    if found:
        bundle = Path(os.environ[machine.WORK]) / "bundle"
        command("onnx", weights.checkpoint_folder(), "-o", bundle, "--precision", "fp16")
        reference = models.reference(models.encoder())
        for engine, options in found.items():
            for row in measured(bundle, engine, options, reference):
                tell({"engine": engine} | row)


def refusal_of_rtx() -> str:
    """Why TensorRT for RTX runs no plan on this GPU, in its own words; empty if it does.

    It is asked with a plan of one layer, for all GPUs that it knows, before minutes go into one that would not run.
    """
    # What reads bundles needs pydantic, which a machine without the library may lack.
    from lam_engines.runtimes.tensorrt.engine import check_validity, log_of
    from lam_engines.runtimes.tensorrt.library import RTX

    trt = RTX.module()
    log = log_of(trt)
    try:
        builder = trt.Builder(log)
        network = builder.create_network()
        layer = network.add_identity(network.add_input("x", trt.float32, (1,)))
        network.mark_output(layer.get_output(0))
        plan = builder.build_serialized_network(network, builder.create_builder_config())
        check_validity(trt, trt.Runtime(log), plan, f"{RTX.title} {RTX.version()} runs nothing here", "lam-export trt")
    except LamError as error:
        return str(error)
    except TypeError:  # of the bindings, where the library made nothing
        return f"{RTX.title} {RTX.version()} builds nothing here: {log.said}"
    return ""


def measured(bundle: Path, engine: str, options: list[str], reference: Callable[[Tensor], Tensor]) -> Iterator[Row]:
    """A row for the build, and one for each shape."""
    try:
        if engine in LIBRARIES:
            since = time.monotonic()
            profiles = [x for profile in PROFILES for x in ("--profile", profile)]
            command("trt", bundle, "--fp16", *profiles, *options)
            plan = max((bundle / "engines").glob("*.plan"), key=lambda path: path.stat().st_mtime)
            yield {"what": "build", "seconds": time.monotonic() - since, "MB": plan.stat().st_size / 1e6}
        with load_engine(bundle, engine, precision="fp16") as loaded:
            for batch, tokens in SHAPES:
                yield {"what": f"{batch} x {tokens:,} tokens"} | compared(loaded, batch, tokens, reference)
    except (RuntimeError, ValueError, LamError, subprocess.SubprocessError) as error:
        said = " ".join(str(error).split())[:400]
        yield {"what": "load"} | (
            {"refused": said} if machine.tiny and isinstance(error, EngineError) else {"wrong": said}
        )


def compared(engine: "EmbeddingEngine", batch: int, tokens: int, reference: Callable[[Tensor], Tensor]) -> Row:
    """Accuracy and time of a shape, from ids to embeddings in the CPU's memory."""
    ids = weights.texts(batch, tokens, engine.model.vocab_size)
    with torch.inference_mode():
        expected = reference(ids.to(machine.device)).cpu().numpy()
    apart = diff(engine.embed_ids(ids.numpy()), expected, THRESHOLDS["fp16"])
    row: Row = {"1 - cosine": max(0.0, 1 - float(apart.cosine)), "max-abs": float(apart.max_abs)}
    if not apart:
        return row | {"wrong": str(apart)}
    seconds = machine.wall_seconds_of(lambda: engine.embed_ids(ids.numpy()))
    return row | {"ms": seconds * 1e3, "tokens/s": batch * tokens / seconds}


def command(*arguments: object) -> None:
    """Run ``lam-export`` to its end."""
    line = [sys.executable, "-c", "from lam_export.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"lam-export {arguments[0]}: {done.stderr[-400:]}")
