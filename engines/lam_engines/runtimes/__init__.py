"""One folder for each runtime, and the registry. Only the registry compares runtimes' names."""
