"""Where subjects come from: a bundle's runtimes, PyTorch, transformers, and the names that users give."""
