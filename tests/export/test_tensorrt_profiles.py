"""Optimization profiles: those asked for, and those that a plan gets unasked."""

import pytest

from lam_export.export.tensorrt import PlanError
from lam_export.export.tensorrt.profiles import (
    MAX_BATCH,
    PROFILE_TOKENS,
    default_profiles,
    parse_profile,
    profiles_from_options,
)


def test_the_defaults() -> None:
    assert [str(profile) for profile in default_profiles(8192)] == [
        "1x1,1x32,64x64",
        "1x1,8x128,64x512",
        "1x1,1x2048,4x8192",
    ]


@pytest.mark.parametrize(
    "longest", [1, 2, 31, 32, 63, 64, 65, 128, 511, 512, 513, 2048, 8192, 32_768, 65_536, 1_000_000]
)
def test_defaults_for_any_longest_text(longest: int) -> None:
    profiles = default_profiles(longest)
    assert len(profiles) == (1 if longest <= 64 else 2 if longest <= 512 else 3)
    assert max(profile.tokens.max for profile in profiles) == longest
    for profile in profiles:
        assert (profile.batch.min, profile.tokens.min) == (1, 1)
        assert profile.batch.max <= MAX_BATCH
        assert profile.batch.max == 1 or profile.batch.max * profile.tokens.max <= PROFILE_TOKENS
    assert [p.tokens.max for p in profiles] == sorted({p.tokens.max for p in profiles}), "each is larger than the last"
    assert profiles[0].batch.max == MAX_BATCH


@pytest.mark.parametrize("text", ["1x1,1x32,64x64", "1x1,1x1,1x1", "8x16,8x32,8x64", "1x1,1x4096,1x131072"])
def test_a_profile_is_read_and_str(text: str) -> None:
    assert str(parse_profile(text)) == text


def test_spaces_and_leading_zeros_do_no_harm() -> None:
    assert str(parse_profile(" 1x1, 01x032 ,64x64")) == "1x1,1x32,64x64"


MISTAKES = [
    "", "1x1", "1x1,2x2", "1x1,1x2,1x3,1x4", "1,2,3", "1x1,1x0,1x2", "0x1,1x1,1x2", "-1x1,1x1,1x2", "1x1;1x2;1x3",
    "1x1,,1x3", "4x1,2x32,64x64", "1x1,1x64,64x32", "1x1x1,1x2,1x3", "axb,1x2,1x3", "1x1,1x2,1x1e3",
    "1x1,1x2,1x9999999999", "1*1,1*2,1*3", "١x1,1x2,1x3",
]  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match=r"expected profile MIN,OPT,MAX, each BATCHxTOKENS .* found '") as caught:
        parse_profile(text)
    assert str(caught.value).isprintable()


def test_from_options() -> None:
    assert profiles_from_options((), None) == default_profiles(8192)
    assert profiles_from_options((), 100) == default_profiles(100)
    assert [str(p) for p in profiles_from_options(["1x1,1x2,1x3", "1x1,1x1,9x9"], None)] == [
        "1x1,1x2,1x3",
        "1x1,1x1,9x9",
    ]
    with pytest.raises(PlanError, match="found both"):
        profiles_from_options(["1x1,1x2,1x3"], 100)
    with pytest.raises(PlanError, match="expected max tokens of at least 1, found 0"):
        profiles_from_options((), 0)
    assert profiles_from_options(default_profiles(64), None) == default_profiles(64)
