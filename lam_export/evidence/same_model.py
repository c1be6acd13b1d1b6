"""Whether a bundle and a checkpoint, or two bundles, are of one model."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import TOKENIZER
from lam_engines.errors import BundleError, LamError

if TYPE_CHECKING:
    from lam_export.model.checkpoint import Checkpoint
    from lam_export.model.encoder import Encoder


def encoder_of(bundle: Bundle, checkpoint: "Checkpoint") -> "Encoder":
    """The encoder in PyTorch, in the bundle's form.

    Raises:
        LamError: bundle and checkpoint are not of one model, or the form is unknown.
    """
    from lam_export.model.encoder import Encoder
    from lam_export.model.forms import FORMS

    form = bundle.manifest.form
    if form not in FORMS:
        raise LamError(f"the bundle is of the form {form!r}, unknown to this version; upgrade lam-export")
    encoder = Encoder(checkpoint, form=form, chunk_size=bundle.manifest.chunk_size)
    check_same_model(bundle, encoder)
    return encoder


def check_same_model(bundle: Bundle, encoder: "Encoder") -> None:
    """Check that a bundle has an encoder's sizes and constants.

    Raises:
        BundleError: one of them differs; the message names it.
    """
    expected = encoder.config.to_dict()
    for name, found in bundle.manifest.model.model_dump().items():
        if found != expected[name]:
            raise BundleError(
                f"expected {name} {expected[name]} as in the checkpoint, found {found} in the bundle {bundle.path}: "
                f"they are of different models; name the checkpoint that the bundle was made from "
                f"({bundle.manifest.checkpoint.file}): --checkpoint CHECKPOINT"
            )


def comparable_bundle(bundle: Bundle, path: Path) -> Bundle:
    """Open another bundle that has the same tokenizer.

    Raises:
        LamError: there is no bundle at the path, or its tokenizer differs.
    """
    other = Bundle(path)
    if other.manifest.files[TOKENIZER] != bundle.manifest.files[TOKENIZER]:
        raise LamError(
            f"expected the tokenizer of {bundle.path} in {path}, found another; only bundles of one tokenizer can be "
            f"compared: name another --against BUNDLE"
        )
    return other
