"""``tokenizer.json`` from strangers: only what BERT's tokenizers are made of, within limits.

The ``tokenizers`` library would run any file. A regular expression can take for ever, nested replacements of a short
text take gigabytes, and some damaged parts abort with a panic.
"""

import json
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_BYTES = 32 << 20
"""The largest vocabulary that is known, of 501,153 tokens, takes 10 MB."""
_MOST_STEPS = 16
"""Of a normalizer, of a pre-tokenizer and of a template; BERT's have 1, 1 and 5."""
_MOST_IDS = 16
"""Ids that one step of a template puts beside a text; BERT's have 1."""
_MOST_ADDED = 10_000
_LONGEST_ADDED = 256
_LONGEST_WORD = 256
"""Characters of a word that has pieces; BERT's have 100. The time for a word grows with its cube."""
_LONGEST_PREFIX = 16
_NORMALIZERS = ("BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Lowercase", "Strip")
_PRE_TOKENIZERS = ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation")
_WORDPIECE = {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"}


def checked(content: bytes) -> str:
    """The JSON of a tokenizer that is safe to build, with nothing truncated and nothing padded.

    What the library could read in two ways, such as a repeated name, is left in one.

    Raises:
        ValueError: says in a few words which part is refused.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"expected at most {_MOST_BYTES} bytes, found {len(content)}")
    try:
        file = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from None
    file = _object("it", file)
    _check_steps("normalizer", file.get("normalizer"), "normalizers", _NORMALIZERS)
    _check_steps("pre_tokenizer", file.get("pre_tokenizer"), "pretokenizers", _PRE_TOKENIZERS)
    model = _wordpiece(_object("model", file.get("model")))
    for token in _list("added_tokens", file.get("added_tokens") or [], _MOST_ADDED):
        _check_text("added_tokens.content", _object("added_tokens", token).get("content"), _LONGEST_ADDED)
    if (processor := file.get("post_processor")) is not None:
        _check_processor(_object("post_processor", processor))
    decoder = file.get("decoder")
    known = isinstance(decoder, Mapping) and decoder.get("type") == "WordPiece"  # it does not make embeddings
    return json.dumps(
        {**file, "model": model, "truncation": None, "padding": None, "decoder": decoder if known else None}
    )


def _check_steps(part: str, value: object, inner: str, known: Sequence[str]) -> None:
    waiting, steps = [value] if value is not None else [], 0
    while waiting:
        step = _object(part, waiting.pop())
        if (steps := steps + 1) > _MOST_STEPS:
            raise ValueError(f"expected at most {_MOST_STEPS} steps in {part}")
        if step.get("type") == "Sequence":
            waiting += _list(f"{part}.{inner}", step.get(inner), _MOST_STEPS)
        else:
            _check_type(part, step, known)


def _wordpiece(model: Mapping[str, Any]) -> dict[str, Any]:
    """The model, with the type that files of 2020 lack."""
    model = {"type": "WordPiece", **model} if set(model) <= _WORDPIECE else dict(model)
    _check_type("model", model, ("WordPiece",))
    _check_text("model.continuing_subword_prefix", model.get("continuing_subword_prefix", ""), _LONGEST_PREFIX)
    longest = model.get("max_input_chars_per_word", 0)
    if not isinstance(longest, int) or longest > _LONGEST_WORD:
        raise ValueError(
            f"expected model.max_input_chars_per_word of at most {_LONGEST_WORD}, found {reprlib.repr(longest)}"
        )
    return model


def _check_processor(processor: Mapping[str, Any]) -> None:
    _check_type("post_processor", processor, ("BertProcessing", "TemplateProcessing"))
    if processor["type"] == "TemplateProcessing":
        tokens = _object("post_processor.special_tokens", processor.get("special_tokens"))
        for token in tokens.values():
            for field in ("ids", "tokens"):
                _list(f"post_processor.special_tokens.{field}", _object("a special token", token).get(field), _MOST_IDS)
        for template in ("single", "pair"):
            for piece in _list(f"post_processor.{template}", processor.get(template), _MOST_STEPS):
                special = _object("a piece of a template", piece).get("SpecialToken")
                if special is not None and str(_object("SpecialToken", special).get("id")) not in tokens:
                    raise ValueError(f"post_processor.special_tokens has no {reprlib.repr(special)}")  # else it panics


def _check_type(part: str, value: Mapping[str, Any], known: Sequence[str]) -> None:
    if (found := value.get("type")) not in known:
        raise ValueError(f"expected a {part} of {', '.join(known)}, found {reprlib.repr(found)}")


def _check_text(part: str, value: object, longest: int) -> None:
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(f"expected a text of at most {longest} characters as {part}, found {reprlib.repr(value)}")


def _object(part: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object as {part}, found {reprlib.repr(value)}")
    return value


def _list(part: str, value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"expected a list of at most {most} as {part}, found {reprlib.repr(value)}")
    return value
