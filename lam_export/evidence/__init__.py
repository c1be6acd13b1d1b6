"""The ground of all proof: what is measured, on which texts and machine, and how its figures are shown."""
