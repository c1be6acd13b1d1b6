"""A report on disk: a folder of one page, one comment, one JSON file, and what each side gave."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from lam_engines.bundles.whole import write_whole
from lam_engines.errors import LamError
from lam_export.evidence.results import Results, save_results

from .render import html_page, markdown
from .schema import Report

PAGE, COMMENT, JSON = "report.html", "report.md", "report.json"
RESULTS = "results"
_ELSEWHERE = "name another folder: -o FOLDER"


def check_folder(folder: Path) -> None:
    """See that a report can be written, before the minutes that it takes to make it.

    Raises:
        LamError: the folder's place is taken by a file, or may not be written to.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise LamError(f"expected a folder for the report at {folder}, found a file at {existing}; {_ELSEWHERE}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise LamError(f"cannot write a report to {folder} ({existing} may not be written to); {_ELSEWHERE}")


def write_report(folder: Path, report: Report, results: Sequence[Results]) -> None:
    """Write a report, each file whole or not at all and ``report.json`` last; one that is there is replaced.

    Args:
        folder: made if need be.
        report: the report.
        results: of the sides, the reference's first.

    Raises:
        LamError: the disk is full, or the folder may not be written to.
    """
    names = ["reference", *(_file_name(result.side.name) for result in results[1:])]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, result in zip(names, results, strict=True):
            save_results(folder / RESULTS / f"{name}.json", result)
        for name, content in ((PAGE, html_page(report)), (COMMENT, markdown(report)), (JSON, to_json(report))):
            write_whole(folder / name, content.encode("utf-8"))
    except OSError as error:
        raise LamError(f"the report was not written to {folder} ({error.strerror}); {_ELSEWHERE}") from None


def to_json(report: Report) -> str:
    """``report.json``, as ``docs/report.schema.json`` describes it."""
    return report.model_dump_json() + "\n"


def json_schema() -> str:
    """What ``docs/report.schema.json`` holds: JSON Schema of ``report.json``, with a description of every field."""
    schema = Report.model_json_schema(mode="serialization")
    draft = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps({"$schema": draft, **schema}, indent=2, ensure_ascii=False) + "\n"


def _file_name(side: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", side.lower())
