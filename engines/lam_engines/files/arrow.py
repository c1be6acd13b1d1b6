"""The check for pyarrow, which only ``.parquet`` files need."""

from pathlib import Path

from ..errors import LamError, installing


def require_pyarrow(path: Path, error: type[LamError]) -> None:
    """Import pyarrow and its Parquet module, or raise ``error`` with the command that installs them."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as missing:
        raise error(
            f"{path}: expected pyarrow, which .parquet files need, found none ({missing}); run: {installing('parquet')}"
        ) from missing
