#!/usr/bin/env python3
"""The mean of students that were trained from each other: often better than each of them.

    python scripts/distill_average.py one.safetensors two.safetensors --output mean.safetensors

`distill_score.py` says what each is worth. A decay or flux that was trained belongs to the weights that it was trained
with: after an average it is trained again (`distill_demo.py --form recurrent`).
"""

import argparse
import sys
from pathlib import Path

import torch
from distill_student import save_student
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lam_engines.errors import LamError


def mean_student(students: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor, float32.

    Raises:
        LamError: the students have other tensors, or other shapes.
    """
    first, *others = students
    for other in others:
        if {name: tensor.shape for name, tensor in first.items()} != {n: tensor.shape for n, tensor in other.items()}:
            raise LamError("expected students with the same tensors, found others; name students of one form and size")
    return {name: torch.stack([student[name].float() for student in students]).mean(0) for name in first}


def read_student(path: Path) -> dict[str, Tensor]:
    """The tensors of a student.

    Raises:
        LamError: it is no ``.safetensors`` file.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise LamError(f"expected a student (.safetensors) at {path}, found another file ({error})") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("students", type=Path, nargs="+", help=".safetensors")
    parser.add_argument("--output", type=Path, required=True, help="fp16 .safetensors")
    given = parser.parse_args()
    save_student(mean_student([read_student(path) for path in given.students]), given.output)


if __name__ == "__main__":
    try:
        main()
    except (LamError, OSError) as error:
        sys.exit(f"error: {error}")
