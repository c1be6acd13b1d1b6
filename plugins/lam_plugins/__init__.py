"""LAM's operators: one folder each, every face of an operator beside the others."""
