"""A report on disk: a folder with an HTML page, a Markdown comment, a JSON file, and each subject's results."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from lam_export.evidence.record import write_record
from lam_export.evidence.results import Results, save_results

from .report_page import shown
from .schema import Report

RESULTS = "results"


def write_report(folder: Path, report: Report, results: Sequence[Results]) -> None:
    """Write a report. Each file is written whole or not at all, ``report.json`` last. Old files are replaced.

    Args:
        folder: where to write; created if it is missing.
        report: the report.
        results: the results of all subjects, with the reference's first.

    Raises:
        LamError: the disk is full, or the folder may not be written to.
    """
    names = ["reference", *(_file_name(result.subject.name) for result in results[1:])]
    for name, result in zip(names, results, strict=True):
        save_results(folder / RESULTS / f"{name}.json", result)
    write_record(folder, "report", shown(report))


def json_schema() -> str:
    """The content of ``docs/report.schema.json``: the JSON Schema of ``report.json``, with every field described."""
    schema = Report.model_json_schema(mode="serialization")
    draft = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps({"$schema": draft, **schema}, indent=2, ensure_ascii=False) + "\n"


def _file_name(subject: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", subject.lower())
