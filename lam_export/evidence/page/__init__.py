"""One HTML file that needs no other file: the document, and the shapes of its plots."""
