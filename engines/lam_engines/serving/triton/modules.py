"""Copies of this package's modules, for Python models: the server's Python does not have the package."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[2]


def copied_modules(*names: str) -> dict[str, bytes]:
    """Modules for a Python model: name in the model's version folder to content.

    The copies keep their folders, so that their relative imports work. Triton imports ``1.model``, which imports the
    model from the copies.

    Args:
        names: paths below ``lam_engines``, such as ``embedding/batching.py``. The first is the model.
    """
    files = {f"{_PACKAGE.name}/{name}": (_PACKAGE / name).read_bytes() for name in names}
    module = ".".join([_PACKAGE.name, *Path(names[0]).with_suffix("").parts])
    line = f'"""Triton looks for the model here."""\n\nfrom .{module} import TritonPythonModel as TritonPythonModel\n'
    return {**files, "model.py": line.encode()}
