"""Arguments and options that several commands have. Each has one help text, so that it reads the same everywhere."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from lam_engines.contract import MOST_THREADS
from lam_engines.errors import InputError, LamError
from lam_engines.runtimes.registry import REFERENCE, Runtime, all_runtimes, engines, one_of, precisions
from lam_engines.storage import place_of


def place(text: str) -> Path:
    """A path, or a place that is named by URI. The parser of every such option.

    Raises:
        LamError: the scheme is unknown, or a package for it is missing.
    """
    try:
        return place_of(text)
    except InputError as error:
        raise LamError(str(error)) from None  # Click would take a ValueError for its own


def _defaults(of: Callable[[Runtime], str]) -> str:
    """What the first engine uses, then the engines that use something else: ``cpu; tensorrt cuda``."""
    first, *others = all_runtimes()
    return "; ".join([of(first), *(f"{other.name} {of(other)}" for other in others if of(other) != of(first))])


def listed(values: list[str] | None) -> list[str] | None:
    """What a list option was given, repeated or with commas. The callback of every such option."""
    return None if values is None else [part for value in values for part in value.split(",") if part]


REPEATED = "May be repeated."
LISTED = "Separated by commas, or repeated."
ENGINE = f"Engine to run: {one_of(engines())}."
PRECISION = f"Precision to run: {one_of(precisions())}."
DEFAULT_PRECISIONS = _defaults(lambda runtime: runtime.precisions[0])
DEFAULT_DEVICES = _defaults(lambda runtime: runtime.devices[0])
THREADS = "CPU threads for each batch."
BATCH_TOKENS = "Most tokens in a batch."
MADE_FROM = "The checkpoint that the bundle was made from"

BundleArgument = Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)]
BundlePlace = Annotated[
    Path,
    typer.Argument(
        help="The bundle's folder, or its URI such as s3://bucket/my-model.",
        show_default=False,
        parser=place,
        metavar="BUNDLE",
    ),
]
CheckpointArgument = Annotated[
    Path, typer.Argument(help="The checkpoint's folder or weights file.", show_default=False)
]
Teacher = Annotated[
    Path | None,
    typer.Option(
        help="The checkpoint's teacher (a BERT's folder), if the checkpoint lacks weights or the tokenizer.",
        show_default=False,
    ),
]
OutputBundle = Annotated[
    Path, typer.Option("--output-bundle", "-o", help="Folder of the bundle to write.", show_default=False)
]
Opset = Annotated[
    int,
    typer.Option(min=18, max=23, help="ONNX opset. 20 is the lowest with a Gelu operator; below, Gelu is five nodes."),
]
Engine = Annotated[str, typer.Option(help=ENGINE)]
Engines = Annotated[
    list[str] | None, typer.Option("--engine", help=f"{ENGINE} {LISTED}", show_default=REFERENCE, callback=listed)
]
Device = Annotated[str | None, typer.Option(help="Device to run on: cpu or cuda.", show_default=DEFAULT_DEVICES)]
Threads = Annotated[int | None, typer.Option(min=1, max=MOST_THREADS, help=THREADS, show_default="one per core")]
Column = Annotated[str | None, typer.Option(help="Column that holds the texts.", show_default="text")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of text.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also show the messages of the libraries that do the work.")
]


def separated(option: str, given: list[str] | None) -> tuple[str, ...]:
    """The values of a list option, given with commas, repeated, or both. A value with a comma is quoted as in CSV.

    Raises:
        InputError: a value is empty, or a quote is not closed.
    """
    try:
        values = [value.strip() for part in given or () for row in csv.reader([part], strict=True) for value in row]
    except csv.Error as error:
        raise InputError(f"expected {option} as NAME,NAME, found a broken quote ({error}); close it") from None
    if not all(values) or (given and not values):
        raise InputError(f"expected {option} as NAME,NAME, found an empty name; leave it out")
    return tuple(dict.fromkeys(values))


def low_to_high(given: str) -> tuple[int, int]:
    """``4..64``, a smallest and a largest number of workers; ``4`` stands for ``4..4``.

    Raises:
        InputError: it is neither.
    """
    low, _, high = given.partition("..")
    numbers = [int(text) for text in (low, high or low) if text.isdecimal()]
    if len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1] <= 10_000:
        raise InputError(f"expected --workers NUMBER or LOW..HIGH, such as 4..64, found {given!r}")
    return numbers[0], numbers[1]
