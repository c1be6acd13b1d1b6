#include "batching.h"

#include <algorithm>
#include <numeric>

namespace lam {

std::vector<std::vector<std::size_t>> batches(const std::vector<std::size_t>& lengths, std::size_t batch_tokens,
                                              std::size_t max_padding,
                                              const std::function<std::size_t(std::size_t)>& max_batch) {
    std::vector<std::size_t> order(lengths.size());
    std::iota(order.rbegin(), order.rend(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
    std::vector<std::vector<std::size_t>> out;
    for (std::size_t start = 0; start < order.size();) {
        const std::size_t left = order.size() - start;
        const std::size_t longest = std::max<std::size_t>(1, lengths[order[start]]);
        const std::size_t taken = max_batch(longest);
        const std::size_t most = std::min(batch_tokens / longest, taken == 0 ? left : taken);
        const std::size_t fitting = std::clamp<std::size_t>(most, 1, left);
        std::size_t count = 1;
        for (std::size_t padding = 0; count < fitting; ++count) {
            padding += longest - lengths[order[start + count]];
            if (padding > max_padding) break;
        }
        const auto first = order.begin() + static_cast<std::ptrdiff_t>(start);
        out.emplace_back(first, first + static_cast<std::ptrdiff_t>(count));
        start += count;
    }
    return out;
}

Batch pad(const std::vector<std::vector<std::int64_t>>& ids, const std::vector<std::size_t>& rows,
          std::int64_t pad_token_id) {
    Batch batch;
    batch.rows = rows.size();
    batch.tokens = 1;
    for (const std::size_t row : rows) batch.tokens = std::max(batch.tokens, ids[row].size());
    batch.input_ids.assign(batch.rows * batch.tokens, pad_token_id);
    batch.attention_mask.assign(batch.rows * batch.tokens, 0);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::vector<std::int64_t>& row = ids[rows[i]];
        const auto start = static_cast<std::ptrdiff_t>(i * batch.tokens);
        std::copy(row.begin(), row.end(), batch.input_ids.begin() + start);
        std::fill_n(batch.attention_mask.begin() + start, row.size(), 1);
    }
    return batch;
}

Batch pad_to(const Batch& batch, std::size_t rows, std::size_t tokens, std::int64_t pad_token_id) {
    Batch out{rows, tokens, std::vector<std::int64_t>(rows * tokens, pad_token_id),
              std::vector<std::int64_t>(rows * tokens, 0)};
    for (std::size_t row = 0; row < batch.rows; ++row) {
        const auto from = static_cast<std::ptrdiff_t>(row * batch.tokens);
        const auto to = static_cast<std::ptrdiff_t>(row * tokens);
        std::copy_n(batch.input_ids.begin() + from, batch.tokens, out.input_ids.begin() + to);
        std::copy_n(batch.attention_mask.begin() + from, batch.tokens, out.attention_mask.begin() + to);
    }
    return out;
}

std::size_t bucket(std::size_t count) {
    std::size_t power = 1;
    while (power < count) power *= 2;
    const std::size_t between = power / 4 * 3;
    return count <= between ? between : power;
}

}  // namespace lam
