"""Optimization profiles: the shapes that a plan takes, and the shapes that its kernels are chosen for."""

import re
from collections.abc import Sequence

from lam_engines.bundles.manifest import OptimizationProfile, Range

from . import PlanError

DEFAULT_MAX_TOKENS = 8192
MAX_BATCH = 64
PROFILE_TOKENS = 32_768
"""Tokens, with padding, in a default profile's largest batch. TensorRT always reserves memory for the largest batch of
all profiles, so all default profiles get the same size. A longer text is a batch of its own."""

_KINDS = ((64, 1, 32), (512, 8, 128), (None, 1, 2048))
"""Longest text, and the batch and tokens to optimise for, of three kinds: one query, a few paragraphs, one document."""

MEMORY_PROFILE = OptimizationProfile(batch=Range(min=1, opt=1, max=64), tokens=Range(min=1, opt=1, max=64))
"""A memory's default profile: memories in a batch, and queries of each."""

_SHAPE = re.compile(r"0*([1-9]\d{0,8})x0*([1-9]\d{0,8})")
_EXPECTED = "expected profile MIN,OPT,MAX, each BATCHxTOKENS and none smaller than the one before, as 1x1,1x32,64x64"


def default_profiles(max_tokens: int = DEFAULT_MAX_TOKENS) -> tuple[OptimizationProfile, ...]:
    """Up to three profiles, for queries, paragraphs and documents. So a short query does not pay for long documents.

    All profiles begin at one text of one token, so a batch fits the first profile that is large enough.

    Args:
        max_tokens: the longest text of all, at least 1.
    """
    profiles: list[OptimizationProfile] = []
    for bound, batch, tokens in _KINDS:
        longest = max_tokens if bound is None else min(bound, max_tokens)
        largest = max(1, min(MAX_BATCH, PROFILE_TOKENS // longest))
        profiles.append(
            OptimizationProfile(
                batch=Range(min=1, opt=min(batch, largest), max=largest),
                tokens=Range(min=1, opt=min(tokens, longest), max=longest),
            )
        )
        if longest == max_tokens:
            break
    return tuple(profiles)


def parse_profile(text: str) -> OptimizationProfile:
    """Read a profile: ``MIN,OPT,MAX``, each ``BATCHxTOKENS``.

    Raises:
        PlanError: the text is not a profile.
    """
    shapes = [_SHAPE.fullmatch(shape.strip()) for shape in text.split(",")]
    sizes = [(int(shape[1]), int(shape[2])) for shape in shapes if shape]
    batches, tokens = [batch for batch, _ in sizes], [token for _, token in sizes]
    if len(sizes) != len(shapes) or len(sizes) != 3 or batches != sorted(batches) or tokens != sorted(tokens):
        raise PlanError(f"{_EXPECTED}; found {text!r}")
    return OptimizationProfile(
        batch=Range(min=batches[0], opt=batches[1], max=batches[2]),
        tokens=Range(min=tokens[0], opt=tokens[1], max=tokens[2]),
    )


def profiles_from_options(
    profiles: Sequence[OptimizationProfile | str], max_tokens: int | None
) -> tuple[OptimizationProfile, ...]:
    """The requested profiles, or the default ones for texts of up to ``max_tokens``.

    Raises:
        PlanError: a profile cannot be read, the length is invalid, or both options are given.
    """
    if profiles:
        if max_tokens is not None:
            raise PlanError(
                "expected --profile or --max-tokens, found both; --max-tokens is for the default profiles, leave it out"
            )
        return tuple(parse_profile(profile) if isinstance(profile, str) else profile for profile in profiles)
    if max_tokens is not None and max_tokens < 1:
        raise PlanError(f"expected max tokens of at least 1, found {max_tokens}")
    return default_profiles(DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens)
