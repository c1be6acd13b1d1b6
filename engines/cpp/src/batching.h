#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace lam {

/// Right-padded texts: `input_ids` and `attention_mask`, both `[rows, tokens]`.
struct Batch {
    std::size_t rows = 0;
    std::size_t tokens = 0;
    std::vector<std::int64_t> input_ids;
    std::vector<std::int64_t> attention_mask;
};

/// Indices of the texts of each batch, the longest texts first.
///
/// Sorting by length keeps padding out of the batches; the longest come first so that too little memory shows at the
/// start of a run and not at its end. `lengths` are the tokens of each text; a batch has at most `batch_tokens`,
/// padding counted, or one text; at most `max_padding` tokens of padding, for with more one batch more is cheaper;
/// `max_batch` says how many texts of so many tokens the backend takes, 0: any number.
std::vector<std::vector<std::size_t>> batches(const std::vector<std::size_t>& lengths, std::size_t batch_tokens,
                                              std::size_t max_padding,
                                              const std::function<std::size_t(std::size_t)>& max_batch);

/// The texts of one batch, padded to the longest; at least one token wide.
Batch pad(const std::vector<std::vector<std::int64_t>>& ids, const std::vector<std::size_t>& rows,
          std::int64_t pad_token_id);

/// A batch in a larger shape: more padding, and rows of no tokens.
Batch pad_to(const Batch& batch, std::size_t rows, std::size_t tokens, std::int64_t pad_token_id);

/// The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is at least `count`, which is at least 1.
///
/// Powers of two and the steps half-way between them: few shapes for a runtime that prepares for each, and less than
/// half as much again to compute.
std::size_t bucket(std::size_t count);

}  // namespace lam
