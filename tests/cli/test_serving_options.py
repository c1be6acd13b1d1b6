"""The options that ``serve`` and ``triton`` share are those of ``ServingOptions``, with the same defaults."""

import inspect
from dataclasses import fields

import pytest

from lam_engines.serving.triton import ServingOptions
from lam_export.cli import serve, triton


@pytest.mark.parametrize("command", [serve, triton])
def test_every_option_has_its_name_and_default(command: object) -> None:
    parameters = inspect.signature(command.run).parameters
    assert {field.name: parameters[field.name].default for field in fields(ServingOptions)} == {
        field.name: field.default for field in fields(ServingOptions)
    }
