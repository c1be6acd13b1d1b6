"""A report on disk: a folder of one page, one comment, one JSON file, and what each subject gave."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from lam_export.evidence.record import write_files
from lam_export.evidence.results import Results, save_results

from .render import html_page, markdown
from .schema import Report

PAGE, COMMENT, JSON = "report.html", "report.md", "report.json"
RESULTS = "results"


def write_report(folder: Path, report: Report, results: Sequence[Results]) -> None:
    """Write a report, each file whole or not at all and ``report.json`` last; one that is there is replaced.

    Args:
        folder: made if need be.
        report: the report.
        results: of the subjects, the reference's first.

    Raises:
        LamError: the disk is full, or the folder may not be written to.
    """
    names = ["reference", *(_file_name(result.subject.name) for result in results[1:])]
    for name, result in zip(names, results, strict=True):
        save_results(folder / RESULTS / f"{name}.json", result)
    write_files(folder, {PAGE: html_page(report), COMMENT: markdown(report), JSON: to_json(report)})


def to_json(report: Report) -> str:
    """``report.json``, as ``docs/report.schema.json`` describes it."""
    return report.model_dump_json() + "\n"


def json_schema() -> str:
    """What ``docs/report.schema.json`` holds: JSON Schema of ``report.json``, with a description of every field."""
    schema = Report.model_json_schema(mode="serialization")
    draft = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps({"$schema": draft, **schema}, indent=2, ensure_ascii=False) + "\n"


def _file_name(subject: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", subject.lower())
