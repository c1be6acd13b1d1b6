"""Find the part of the model to which a node, a value or a layer belongs."""
