"""A runtime as a contributor would add it: one folder, put beside the others in ``lam_engines/runtimes``."""
