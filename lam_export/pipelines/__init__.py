"""The work of each command as a Python function with typed options. Each file is named after its function.

A pipeline checks its options first, then looks for the packages that it needs, and only then imports anything heavy. So
importing a pipeline is cheap, and a mistake is reported at once.
"""
