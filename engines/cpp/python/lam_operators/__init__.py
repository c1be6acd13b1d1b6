"""The native operators of LAM for OpenVINO. The package depends on the one version of OpenVINO that they work with."""

from pathlib import Path

LIBRARY = next(Path(__file__).parent.glob("*lam_operators.*"))
"""The library. A program that brings OpenVINO loads it: ``core.add_extension(str(LIBRARY))``."""
