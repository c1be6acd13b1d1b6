# %% [markdown]
# # From a checkpoint to a bundle that was judged
#
# Every step is a function of `lam_export`, and does what the command of that name does. In VS Code and Jupyter (with
# jupytext) the parts between `%%` are cells. As a program:
# `python examples/export_pipeline.py`, in a folder with these files.

# %%
from pathlib import Path

import lam_export

CHECKPOINT = Path("my-checkpoint")
STS = Path("stsb/dev.csv")  # sentence1, sentence2, score
BUNDLE = Path("exported")

# %% [markdown]
# ## Export
#
# The bundle is written only if every text of the comparison holds. `parity` has all figures.

# %%
exported = lam_export.export_onnx(CHECKPOINT, BUNDLE, precisions=["int8"], force=True)
for graph, worst in exported.parity.worst().items():
    print(f"{graph}: max-abs {worst['max_abs']:.1e}, cosine {worst['cosine']:.7f}")

# %% [markdown]
# ## Report
#
# `report.html` in the folder is for people, and the object for programs.

# %%
written = lam_export.report(BUNDLE, checkpoint=CHECKPOINT, sts=STS)
print("passed" if written.report.passed else "failed", written.folder / "report.html")
for comparison in written.report.comparisons:
    missed = [check.detail for check in comparison.checks if not check.passed]
    print(f"{comparison.candidate.precision}: worst cosine {comparison.cosine:.7f}", *missed, sep="\n  ")

# %% [markdown]
# ## Gate
#
# Is int8 worth it? It must be faster beyond doubt, and score within 0.001 of float32.

# %%
trial = lam_export.gate(
    BUNDLE, precision="int8", baseline=written.folder / "report.json", sts=STS, change="int8 products"
)
print(f"{trial.speedup:.2f} times as fast ({trial.low:.2f} to {trial.high:.2f})")
print("accepted" if trial.accepted else "rejected", *trial.reasons, sep="\n  ")
