"""All evidence that needs a GPU, as parts that run one after the other: ``scripts/check_gpu``."""
