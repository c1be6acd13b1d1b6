"""Time a bundle's fastest engine beside its rivals on this machine's CPU, and hold the ratios against goals.

    scripts/install_operators
    python benchmarks/cpu_goals.py demo-bundle demo-checkpoint -o cpu_goals

It runs ``lam-export bench`` with the rivals and, for long texts, without them (about 14 minutes with the default of 30
seconds for each shape). Their pages stay in the folder. ``goals.md`` there has median and quartiles of the ratios of
neighbouring runs, and all tables after them. Run it on a quiet machine.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lam_engines.bundles.whole import write_whole
from lam_export.bench.speed.schema import Benchmark, SpeedResult
from lam_export.bench.speed.speed_page import shown
from lam_export.evidence.record import markdown

LENGTHS = ("16,128,512,4096", "4096,65536")
"""With rivals, and alone: attention over 65,536 tokens takes minutes."""
BF16, FP32 = "OpenVINO bf16, native operator", "OpenVINO fp32, native operator"
MINILM, ONNX_RUNTIME = "all-MiniLM-L6-v2 in OpenVINO", "ONNX Runtime fp32"
SHORT, LONG = ("1 x 16", "1 x 128", "32 x 32", "256 x 16"), ("1 x 512", "8 x 512")
GOALS = (
    *((BF16, f"{MINILM} bf16", shape, 1.0) for shape in SHORT),
    *((BF16, f"{MINILM} bf16", shape, 1.3) for shape in LONG),
    *((FP32, MINILM, shape, 0.93) for shape in SHORT),
    *((FP32, MINILM, shape, 1.15) for shape in LONG),
    (FP32, "all-MiniLM-L6-v2 in ONNX Runtime", "1 x 4,096", 3.5),
    *((FP32, "torch.compile", shape, 1.2) for shape in (*SHORT, *LONG, "1 x 4,096")),
    *((BF16, ONNX_RUNTIME, shape, 2.5) for shape in ("1 x 16", "1 x 128")),
    (BF16, ONNX_RUNTIME, "32 x 32", 3.0),
    *((BF16, ONNX_RUNTIME, shape, 4.0) for shape in (*LONG, "1 x 4,096")),
)
"""Engine, rival, texts x tokens, and how many times as fast the engine shall be."""
LONG_TEXT, UNIT, LEAST_SHARE = "1 x 65,536", "1 x 4,096", 0.9
Results = Mapping[tuple[str, str], SpeedResult]
"""By subject and shape."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--threads", default="2", help="CPU threads (default: 2)")
    parser.add_argument("--seconds", default="30", help="seconds for each shape (default: 30)")
    given = parser.parse_args()
    rivals = [f"--against={name}" for name in ("compile", "minilm-onnx", "minilm-openvino", "minilm-openvino-bf16")]
    beside = _bench(given, "beside-rivals", LENGTHS[0], "openvino,onnxruntime", rivals)
    alone = _bench(given, "long-texts", LENGTHS[1], "openvino", [])
    page = goals_page(by_shape(beside)) + long_texts(by_shape(alone))
    load = "unknown" if beside.load is None else f"{beside.load:.2f}"
    about = f"{beside.machine}, {beside.threads} threads, {beside.created}; load before: {load}"
    details = [markdown(shown(benchmark)) for benchmark in (beside, alone)]
    parts = ["### Beside the goals of a CPU", about, page, *details]
    write_whole(given.output / "goals.md", "\n\n".join(parts).encode())
    print(page)


def _bench(given: argparse.Namespace, name: str, lengths: str, engines: str, rivals: list[str]) -> Benchmark:
    command = [sys.executable, "-m", "lam_export", "bench", given.bundle, "--checkpoint", given.checkpoint]
    command += ["--engine", engines, "--precision", "fp32,bf16", "--lengths", lengths, "--threads", given.threads]
    subprocess.run([*command, "--seconds", given.seconds, *rivals, "-o", given.output / name], check=True)
    return Benchmark.model_validate_json((given.output / name / "bench.json").read_bytes())


def by_shape(benchmark: Benchmark) -> Results:
    """The results by subject and shape."""
    return {(result.subject, result.shape): result for result in benchmark.results}


def goals_page(results: Results) -> str:
    """A table in Markdown of every goal whose engine and rival were measured."""
    lines = ["| engine | beside | texts x tokens | times as fast | quartiles | goal |", "|---|---|---|---|---|---|"]
    for engine, rival, shape, goal in GOALS:
        ours, theirs = (results.get((who, shape)) for who in (engine, rival))
        if ours is None or theirs is None or ours.times is None or theirs.times is None:
            continue
        ratios = np.divide(theirs.times.seconds, ours.times.seconds)
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        lines.append(f"| {engine} | {rival} | {shape} | {middle:.2f} | {low:.2f}-{high:.2f} | {goal} |")
    return "\n".join(lines) + "\n"


def long_texts(results: Results) -> str:
    """Rows for texts of 65,536 tokens: the share of the tokens a second at 4,096, and the peak of memory."""
    lines = ""
    for engine in (FP32, BF16):
        long, unit = (results.get((engine, shape)) for shape in (LONG_TEXT, UNIT))
        if long is None or unit is None or long.times is None or unit.times is None:
            continue
        share = long.times.tokens_per_second / unit.times.tokens_per_second
        lines += f"| {engine} | itself at {UNIT} | {LONG_TEXT} | {share:.2f} | | {LEAST_SHARE} |\n"
        if long.memory is not None:
            lines += f"| {engine} | 1,000 MB at most | {LONG_TEXT} | {long.memory.peak / 1e6:,.0f} MB | | |\n"
    return lines


if __name__ == "__main__":
    main()
