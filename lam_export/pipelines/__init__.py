"""What each command does, as a Python function with typed options: one a file, under its name.

Options are checked first, then the packages that the work needs are looked for, and only then is anything heavy
imported. So importing a pipeline is cheap, and a mistake is answered at once.
"""
