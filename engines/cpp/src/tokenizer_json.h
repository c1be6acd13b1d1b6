#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "added_tokens.h"
#include "normalizer.h"
#include "wordpiece.h"

namespace lam {

/// What a `tokenizer.json` describes.
struct TokenizerParts {
    Normalizer normalizer;
    /// Tokens found in the text as it is.
    AddedTokens raw_tokens;
    /// Tokens found in the normalized text.
    AddedTokens normalized_tokens;
    WordPiece model;
    /// The ids before, between and behind the places where the ids of the text go.
    std::vector<std::vector<std::int64_t>> around;
    std::int64_t pad_id;
    std::int64_t max_id;
};

/// Read the content of a `tokenizer.json`.
///
/// Throws BundleError if it is no tokenizer, or one with parts that are not supported.
TokenizerParts tokenizer_parts(std::string_view json);

}  // namespace lam
