"""What is looked at: a module each, whose ``run(tell)`` tells of every row."""
