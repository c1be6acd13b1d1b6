"""The accuracy report: how figures are measured, judged and shown."""
