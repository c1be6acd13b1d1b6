"""What keeps a record of a runtime's runs: a file for each runtime, by its name."""
