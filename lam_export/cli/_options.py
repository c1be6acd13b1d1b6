"""Arguments and options that several commands have. Each has one help text, so that it reads the same everywhere."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lam_engines.contract import MOST_THREADS
from lam_engines.errors import InputError, LamError
from lam_engines.runtimes.registry import Runtime, all_runtimes, engines, one_of, precisions
from lam_engines.storage import place_of


def place(text: str) -> Path:
    """A path, or a place that is named by URI. The parser of every such option.

    Raises:
        LamError: it is empty, the scheme is unknown, or a package for it is missing.
    """
    if not text:  # as of a variable that is not set; Path("") would be the current folder
        raise LamError("expected a path or a URI, found an empty one; name it")
    try:
        return place_of(text)
    except InputError as error:
        raise LamError(str(error)) from None  # Click would take a ValueError for its own


def _defaults(of: Callable[[Runtime], str]) -> str:
    """What the first engine uses, then the engines that use something else: ``cpu; tensorrt cuda``."""
    first, *others = all_runtimes()
    return "; ".join([of(first), *(f"{other.name} {of(other)}" for other in others if of(other) != of(first))])


REPEATED = "May be repeated."
LISTED = "Separated by commas, or repeated."


def several(help: str, name: str | None = None, *, default: str | bool = False) -> Any:
    """An option of several values, separated by commas or repeated. ``default`` is what the help shows for none."""

    def split(values: list[str] | None) -> list[str] | None:
        return None if values is None else [part.strip() for value in values for part in value.split(",") if part]

    names = () if name is None else (name,)
    return typer.Option(*names, help=f"{help} {LISTED}", show_default=default, callback=split)


def results_in(default: str) -> Any:
    """The option that names the folder of a record; ``default`` is the one in the bundle."""
    return typer.Option("--output", "-o", help="Folder to write to.", show_default=default)


ENGINE = f"Engine to run: {one_of(engines())}."
PRECISION = f"Precision to run: {one_of(precisions())}."
DEFAULT_PRECISIONS = _defaults(lambda runtime: runtime.precisions[0])
DEFAULT_DEVICES = _defaults(lambda runtime: runtime.devices[0])
THREADS = "CPU threads for each batch."
MADE_FROM = "The checkpoint that the bundle was made from"
BECOMES_REFERENCE = f"{MADE_FROM}. It becomes the reference."

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
Precision = Annotated[str | None, typer.Option(help=PRECISION, show_default=DEFAULT_PRECISIONS)]
Device = Annotated[str | None, typer.Option(help="Device to run on: cpu or cuda.", show_default=DEFAULT_DEVICES)]
BatchTokens = Annotated[
    int | None, typer.Option(min=1, help="Most tokens in a batch.", show_default="512; 16384 on a GPU")
]
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
