"""Every field of a record has a description that can stand alone: published schemas show them."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

import lam_export
from lam_export.evidence.schema import Record
from lam_export.validate.report.thresholds import Limits

PACKAGE = Path(lam_export.__file__).parent
RECORD = re.compile(r"^class \w+\((Record|Measured|Outcome)\):", re.MULTILINE)


def descendants(parent: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in parent.__subclasses__():
        yield child
        yield from descendants(child)


def fields() -> dict[str, str | None]:
    """Name of every field of every record, with its class, to its description."""
    for file in sorted(PACKAGE.rglob("*.py")):
        if RECORD.search(file.read_text(encoding="utf-8")):
            import_module(".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts))
    models = (*descendants(Record), Limits)
    return {
        f"{model.__module__}.{model.__name__}.{name}": field.description
        for model in models
        if model.__module__.startswith("lam_export.")
        for name, field in model.model_fields.items()
    }


FIELDS = fields()


def test_all_schemas_are_looked_at() -> None:
    modules = {name.rsplit(".", 2)[0] for name in FIELDS}
    expected = {"validate.report", "bench.speed", "bench.profile", "evidence"}
    assert {f"lam_export.{package}.schema" for package in expected} < modules
    assert "lam_export.bench.gate.history" in modules


@pytest.mark.parametrize("name", FIELDS)
def test_a_description_is_a_whole_sentence(name: str) -> None:
    description = FIELDS[name]
    assert description, "a string below the field describes it"
    assert description[0].isupper()
    assert description.endswith(".")
    assert len(description.split()) >= 4
