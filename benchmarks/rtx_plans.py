"""Plans of TensorRT for RTX: size, time and peak memory of the build. It needs no GPU.

pip install '.[export,rtx]'
python benchmarks/rtx_plans.py demo-bundle                                  # fp16 for all GPUs
python benchmarks/rtx_plans.py demo-bundle --precision fp32 --gpu 8.6
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer


def main(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles of encoders or memories. They stay as they are.")],
    precision: Annotated[list[str] | None, typer.Option(help="fp16 or fp32.", show_default="the bundle's own")] = None,
    gpu: Annotated[list[str] | None, typer.Option(help="A set, such as 8.6,8.9.", show_default="all")] = None,
) -> None:
    from lam_engines.bundles.bundle import Bundle

    print("| form | precision | GPUs | plan, MB | processor seconds | seconds | peak memory, MB |")
    print(f"|{'---|' * 7}")
    for bundle in bundles:
        for options in ([f"--{name}"] if name else [] for name in precision or [""]):
            for gpus in (["--gpu", several] if several else [] for several in gpu or [""]):
                with tempfile.TemporaryDirectory() as folder:
                    copy = Path(shutil.copytree(bundle, Path(folder) / "bundle"))
                    command = [
                        sys.executable,
                        "-c",
                        "from lam_export.cli import main; main()",
                        "trt",
                        str(copy),
                        "--rtx",
                    ]
                    start = time.perf_counter()
                    process = subprocess.Popen([*command, *options, *gpus], stdout=subprocess.DEVNULL)
                    _, status, used = os.wait4(process.pid, 0)  # the largest of the process and its worker
                    seconds = time.perf_counter() - start
                    if status:
                        raise typer.Exit(1)
                    opened = Bundle(copy, kind=None)
                    name = list(opened.manifest.plans)[-1]  # the newest
                    plan, size = opened.manifest.plans[name], opened.manifest.files[name].bytes
                    gpus_of = ", ".join(plan.compute_capabilities)
                    processor = used.ru_utime + used.ru_stime
                    row = f"{opened.manifest.form} | {plan.precision} | {gpus_of} | {size / 1e6:.1f} | {processor:.0f}"
                    print(f"| {row} | {seconds:.0f} | {used.ru_maxrss / 1e3:.0f} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
