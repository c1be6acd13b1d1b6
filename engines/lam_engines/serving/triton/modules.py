"""Modules of this package, copied for a Python model to import where the package is not installed."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[2]


def copied_modules(*names: str) -> dict[str, bytes]:
    """Modules, for a Python model: name in the model's version folder to content.

    They keep their places among each other, so that their relative imports hold. Triton imports ``1.model``, which
    takes the model from them.

    Args:
        names: relative to ``lam_engines`` (``batching.py``). The first is the model.
    """
    files = {f"{_PACKAGE.name}/{name}": (_PACKAGE / name).read_bytes() for name in names}
    module = ".".join([_PACKAGE.name, *Path(names[0]).with_suffix("").parts])
    line = f'"""Triton looks for the model here."""\n\nfrom .{module} import TritonPythonModel as TritonPythonModel\n'
    return {**files, "model.py": line.encode()}
