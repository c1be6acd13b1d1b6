"""OpenVINO: a second engine for CPUs."""
