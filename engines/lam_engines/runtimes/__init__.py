"""A folder for each runtime, and the registry: nothing outside it compares the name of one."""
