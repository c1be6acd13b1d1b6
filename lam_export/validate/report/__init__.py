"""The accuracy diff report: what is measured, how it is judged, how it is shown."""
