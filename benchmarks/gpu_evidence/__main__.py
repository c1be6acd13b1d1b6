"""Run the parts, each in a process of its own, and write what they find after every row."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Timer

from .record import Record, Row, cell, failures

ROOT = Path(__file__).parents[2]
PARTS = {
    "kernels": ("The kernels against their oracle in float64, and against the floor of their bytes", 100),
    "tests": ("tests/gpu", 150),
    "model": ("The whole model in float16, beside MiniLM", 150),
    "lengths": ("One text of each length", 60),
    "plans": ("TensorRT", 200),
    "compiled": ("The whole model once more, with torch.compile for each shape", 200),
}
"""Part to its title and the most seconds that it may take."""
NEEDED = ("torch", "triton", "numpy", "onnx", "safetensors", "tokenizers", "pytest")
EXAMPLES = """examples:
  scripts/check_gpu                          # everything, within 8 minutes
  scripts/check_gpu --part kernels           # one part again; the others are kept as they are
  scripts/check_gpu --tiny                   # no GPU: every part at tiny sizes, with Triton's interpreter

exit codes: 0 all checks held; 1 could not run; 2 a check did not hold, or a part broke off"""


def main() -> int:
    parser = argparse.ArgumentParser(
        "scripts/check_gpu", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="Only this part; may be repeated.")
    parser.add_argument("--minutes", type=float, default=8.0, help="End within so many. [default: 8]")
    parser.add_argument("--output", type=Path, help="Folder of the results. [default: benchmarks/results]")
    parser.add_argument("--commit", help="Of a copy without git. [default: what git says]")
    parser.add_argument("--tiny", action="store_true", help="Without a GPU, to see that every part works.")
    chosen = parser.parse_args()
    if chosen.tiny:
        os.environ |= {"LAM_CHECK_TINY": "1", "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    end = time.monotonic() + 60 * chosen.minutes - 5  # what ending takes
    if lacking := [package for package in NEEDED if find_spec(package) is None]:
        print(
            f"error: expected {', '.join(NEEDED)} in {sys.executable}, found no {', '.join(lacking)}; install them, or "
            f"name another Python: PYTHON=.venv/bin/python scripts/check_gpu",
            file=sys.stderr,
        )
        return 1
    from . import machine

    if not chosen.tiny and not machine.torch.cuda.is_available():
        print(
            "error: expected a CUDA device, found none that PyTorch can use; see nvidia-smi, or run: "
            "scripts/check_gpu --tiny",
            file=sys.stderr,
        )
        return 1
    about = machine.describe() | ({"commit": chosen.commit} if chosen.commit else {})
    folder = chosen.output or ROOT / ("build/check_gpu" if chosen.tiny else "benchmarks/results")
    record = Record(folder, about, "tiny" if chosen.tiny else about["device"], keep=chosen.part is not None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="lam-check-") as work:
        os.environ[machine.WORK] = work
        good = run_all(chosen.part or list(PARTS), record, about["commit"], end)
    print(record.markdown, flush=True)
    return 0 if good else 2


def run_all(parts: list[str], record: Record, commit: str, end: float) -> bool:
    """Run parts until a time of the monotonic clock; whether all of them ran whole and found nothing wrong."""
    good = True
    for part in parts:
        title, most = PARTS[part]
        record.begin(part, title, commit)
        since, rows = time.monotonic(), []
        if (left := min(most, end - since)) < 5:
            record.end(part, "not begun: no time was left", 0)
            good = False
            continue
        print(f"== {part}: {title}", flush=True)
        state = ""
        for row in run(part, left):
            if "ended" in row:
                state = row["ended"]
                continue
            record.add(part, row)
            rows.append(row)
            if "wrong" in row or "outcome" not in row:  # hundreds of tests that pass say nothing
                print("  ".join(map(cell, row.values())), flush=True)
        if wrong := failures(rows):
            state += f", {wrong} of {len(rows)} rows wrong"
        good = good and state == "whole"
        record.end(part, state, time.monotonic() - since)
        print(f"== {part}: {state}, {time.monotonic() - since:.0f} s", flush=True)
    return good


def run(part: str, seconds: float) -> Iterator[Row]:
    """The rows of a part as they come, then how it ended; its processes are gone then."""
    command = [sys.executable, "-m", "gpu_evidence.part", part]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    late = Event()

    def expire() -> None:
        late.set()
        _end(process)

    cut = Timer(seconds, expire)
    cut.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        code = process.wait()
        broken = f"cut off after {seconds:.0f} s" if late.is_set() else f"broke off ({code})"
        yield {"ended": "whole" if code == 0 else broken}
    finally:
        cut.cancel()
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main())
