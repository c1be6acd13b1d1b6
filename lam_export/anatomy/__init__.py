"""Which part of the model a node, a value or a layer belongs to."""
