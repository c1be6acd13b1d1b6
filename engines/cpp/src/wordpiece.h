#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trie.h"

namespace lam {

/// Splits normalized text into words as BERT does, and words into the longest pieces that the vocabulary has.
class WordPiece {
  public:
    struct Options {
        /// The id of a word that cannot be put together.
        std::uint32_t unknown = 0;
        /// What stands in the vocabulary before a piece that does not begin a word.
        std::string continuing_prefix = "##";
        /// A word of more characters is unknown.
        std::uint64_t longest_word = 100;
    };

    WordPiece(const std::map<std::string, std::uint32_t>& vocabulary, const Options& options);

    /// Add the ids of valid UTF-8 to `ids`.
    void encode(std::string_view text, std::vector<std::int64_t>& ids) const;

  private:
    enum class Kind : unsigned char { word, white_space, punctuation };

    static Kind kind_of(char32_t c);
    void encode_word(std::string_view word, std::size_t characters, std::vector<std::int64_t>& ids) const;

    Trie vocabulary_;
    std::optional<Trie::Node> continuing_;
    std::uint32_t unknown_;
    std::uint64_t longest_word_;
    std::array<Kind, 128> ascii_kinds_{};
};

}  // namespace lam
