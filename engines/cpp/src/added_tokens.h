#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trie.h"

namespace lam {

/// A token that is found in a text before it is split into words.
struct AddedToken {
    std::string content;
    std::uint32_t id = 0;
    /// Only where no word character stands beside it.
    bool single_word = false;
    /// Takes the white space before it.
    bool lstrip = false;
    /// Takes the white space behind it.
    bool rstrip = false;
};

/// A set of added tokens, and where they are in a text.
class AddedTokens {
  public:
    /// A part of a text: an added token, or what is between two of them.
    struct Piece {
        std::string_view text;
        std::optional<std::uint32_t> id;
    };

    /// Tokens of different, non-empty contents.
    explicit AddedTokens(std::vector<AddedToken> tokens);

    /// The pieces of valid UTF-8, in their order; the leftmost token is taken first, of several the longest.
    std::vector<Piece> split(std::string_view text) const;

  private:
    std::vector<AddedToken> tokens_;
    Trie trie_;
};

}  // namespace lam
