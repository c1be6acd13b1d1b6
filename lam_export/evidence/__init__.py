"""The basis of all proof: what is measured, on which texts and machine, and how the figures are shown."""
