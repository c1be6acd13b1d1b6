#include <doctest/doctest.h>

#include "batching.h"

using Rows = std::vector<std::vector<std::size_t>>;

TEST_CASE("texts are batched by length, the longest first, as in Python") {
    const auto any = [](std::size_t) { return std::size_t{0}; };
    CHECK(lam::batches({}, 8, 99, any).empty());
    CHECK(lam::batches({3, 5, 3, 1, 9}, 8, 99, any) == Rows{{4}, {1}, {2, 0}, {3}});
    CHECK(lam::batches({3, 5, 3, 1, 9}, 100, 6, any) == Rows{{4, 1}, {2, 0, 3}});
    CHECK(lam::batches({0, 0, 0}, 2, 99, any) == Rows{{2, 1}, {0}});
    CHECK(lam::batches({4, 4, 4}, 1000, 99, [](std::size_t tokens) { return tokens / 2; }) == Rows{{2, 1}, {0}});
}

TEST_CASE("a batch is padded on the right") {
    const lam::Batch batch = lam::pad({{7}, {}, {5, 6, 7}}, {2, 0, 1}, 9);
    CHECK(batch.rows == 3);
    CHECK(batch.tokens == 3);
    CHECK(batch.input_ids == std::vector<std::int64_t>{5, 6, 7, 7, 9, 9, 9, 9, 9});
    CHECK(batch.attention_mask == std::vector<std::int64_t>{1, 1, 1, 1, 0, 0, 0, 0, 0});
    CHECK(lam::pad({{}}, {0}, 9).tokens == 1);
}

TEST_CASE("a batch in a larger shape") {
    const lam::Batch batch = lam::pad_to(lam::pad({{5, 6}}, {0}, 9), 2, 3, 9);
    CHECK(batch.input_ids == std::vector<std::int64_t>{5, 6, 9, 9, 9, 9});
    CHECK(batch.attention_mask == std::vector<std::int64_t>{1, 1, 0, 0, 0, 0});
}

TEST_CASE("buckets") {
    const std::vector<std::size_t> buckets{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
    std::size_t smallest = 0;
    for (std::size_t count = 1; count <= 64; ++count) {
        if (count > buckets[smallest]) ++smallest;
        CHECK(lam::bucket(count) == buckets[smallest]);
    }
}
