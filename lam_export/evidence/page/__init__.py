"""One HTML file that needs nothing else: the document, and what its plots are drawn from."""
