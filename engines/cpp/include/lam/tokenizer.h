#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "lam/errors.h"
#include "lam/export.h"

namespace lam {

/// A BERT WordPiece tokenizer read from a `tokenizer.json`: the same ids as the `tokenizers` library gives.
///
/// It is never changed once read, so many threads may share one; a copy is cheap and shares the vocabulary.
class LAM_API Tokenizer {
  public:
    /// Read a `tokenizer.json`.
    ///
    /// Throws BundleError if it cannot be read, is no tokenizer, or asks for a part that is not supported: nothing is
    /// guessed. Its truncation and padding are ignored.
    static Tokenizer from_file(const std::filesystem::path& tokenizer_json);

    /// Read the content of a `tokenizer.json`; throws as `from_file`.
    static Tokenizer from_json(std::string_view json);

    /// The ids of a text, special tokens included, without truncation.
    ///
    /// Bytes that are not UTF-8 are read as U+FFFD, one for each maximal invalid part, as Python's
    /// `bytes.decode("utf-8", errors="replace")` does. Time and memory grow linearly with the text.
    std::vector<std::int64_t> encode(std::string_view utf8) const;

    /// The id of `[PAD]`; 0 if the vocabulary has none.
    std::int64_t pad_id() const;

    /// The largest id that `encode` can give.
    std::int64_t max_id() const;

  private:
    struct Parts;
    explicit Tokenizer(std::shared_ptr<const Parts> parts);

    std::shared_ptr<const Parts> parts_;
};

}  // namespace lam
