#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "fused_delta_rule.h"
#include "oracle.h"

namespace {

using lam::fused_delta_rule::Call;
using lam::fused_delta_rule::Variant;
using std::size_t;

constexpr float no_number = std::numeric_limits<float>::quiet_NaN();

/// A bfloat16's bits, of a float cut off.
std::uint16_t cut(float x) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &x, sizeof bits);
    return static_cast<std::uint16_t>(bits >> 16);
}

float whole(std::uint16_t bfloat16) {
    const std::uint32_t bits = std::uint32_t(bfloat16) << 16;
    float x = 0;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

/// A call with random inputs, and NaN wherever nothing may be read or is not yet written.
struct Example {
    std::vector<std::int32_t> lengths;
    std::vector<float> projected, conv_weight, conv_bias, norm_weight, heads;
    float blend[2] = {0.1f, 0.9f};
    Call call{};

    Example(std::vector<std::int32_t> given, size_t head_size, size_t chunk_size = 128, float scale = 1)
        : lengths(std::move(given)) {
        const size_t head_count = 3;
        const size_t hidden_size = head_count * head_size;
        const size_t width = 4 * hidden_size + 3 * head_count + 5;
        const auto tokens = static_cast<size_t>(*std::max_element(lengths.begin(), lengths.end()));
        std::mt19937 generator(1);
        const auto normal = [&](size_t count, float mean, float deviation) {
            std::normal_distribution<float> distribution(mean, deviation);
            std::vector<float> out(count);
            for (float& x : out) x = distribution(generator);
            return out;
        };
        projected = normal(lengths.size() * tokens * width, 0, scale);
        conv_weight = normal(12 * hidden_size, 0, 0.5f);
        conv_bias = normal(3 * hidden_size, 0, 0.1f);
        norm_weight = normal(head_size, 1, 0.1f);
        heads.resize(lengths.size() * tokens * hidden_size);
        for (size_t i = 0; i < projected.size(); ++i) {
            const size_t row = i / width;
            const bool padding = row % tokens >= static_cast<size_t>(lengths[row / tokens]);
            if (padding || i % width >= width - 5) projected[i] = no_number;
        }
        call = {projected.data(),
                lengths.data(),
                conv_weight.data(),
                conv_bias.data(),
                norm_weight.data(),
                blend,
                heads.data(),
                false,
                tokens,
                width,
                hidden_size,
                head_size,
                chunk_size};
    }

    /// In float32 or bfloat16. What is read in bfloat16 is cut off to it first, so that the oracle reads the same.
    void run(const Variant& variant, bool bf16 = false) {
        std::fill(heads.begin(), heads.end(), no_number);
        if (!bf16) return run(variant, call, lengths.size());
        std::vector<std::uint16_t> read;
        std::vector<std::uint16_t> written(heads.size(), cut(no_number));
        std::transform(projected.begin(), projected.end(), std::back_inserter(read), cut);
        std::transform(read.begin(), read.end(), projected.begin(), whole);
        Call in_bf16 = call;
        in_bf16.projected = read.data();
        in_bf16.heads = written.data();
        in_bf16.bf16 = true;
        run(variant, in_bf16, lengths.size());
        std::transform(written.begin(), written.end(), heads.begin(), whole);
    }

    static void run(const Variant& variant, const Call& call, size_t texts) {
        for (size_t text = 0; text < texts; ++text)
            for (size_t chunk = 0; chunk < call.chunk_count(); ++chunk)
                for (size_t head = 0; head < call.head_count(); ++head) {
                    // Of this size alone, so that a sanitizer sees what is too much; at no favourable address.
                    std::vector<float> scratch(lam::fused_delta_rule::scratch_size(call.head_size) + 1, no_number);
                    variant.kernel(call, {text, chunk, head}, scratch.data() + 1);
                }
    }

    /// The root of the mean square of the differences from the oracle, relative to it; NaN if it is NaN anywhere.
    double relative_rms() const {
        const std::vector<double> expected = lam::fused_delta_rule_oracle(call, lengths.size());
        double errors = 0;
        double squares = 0;
        for (size_t i = 0; i < heads.size(); ++i) {
            errors += (heads[i] - expected[i]) * (heads[i] - expected[i]);
            squares += expected[i] * expected[i];
        }
        return std::sqrt(errors / squares);
    }

    /// The largest difference from the oracle; infinite if it is NaN anywhere.
    double worst() const {
        const std::vector<double> expected = lam::fused_delta_rule_oracle(call, lengths.size());
        double worst = 0;
        for (size_t i = 0; i < heads.size(); ++i) {
            const double error = std::abs(heads[i] - expected[i]);
            worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
        }
        return worst;
    }
};

std::vector<Variant> variants() {
    size_t count = 0;
    const Variant* all = lam::fused_delta_rule::variants(count);
    std::vector<Variant> here;
    std::copy_if(all, all + count, std::back_inserter(here), [](const Variant& variant) { return variant.runs_here; });
    return here;
}

}  // namespace

TEST_CASE("every kernel agrees with double precision at every awkward length") {
    const std::vector<std::vector<std::int32_t>> batches = {{1},   {2},       {3, 16}, {31, 1, 0},    {63, 17},
                                                            {127}, {128, 15}, {129},   {300, 7, 256}, {1000}};
    for (const Variant& variant : variants())
        for (const size_t head_size : {size_t(32), size_t(8), size_t(16), size_t(20), size_t(64)})
            for (const auto& lengths : batches) {
                CAPTURE(variant.name);
                CAPTURE(head_size);
                CAPTURE(lengths[0]);
                Example example(lengths, head_size);
                example.run(variant);
                CHECK(example.worst() < 2e-5);
                example.run(variant, true);
                CHECK(example.relative_rms() < (lengths[0] == 1 ? 3e-2 : 7e-3));  // one product of q and k may cancel out
            }
}

TEST_CASE("a text in bfloat16 is the same alone and beside longer ones") {
    for (const Variant& variant : variants())
        for (const std::int32_t length : {1, 31, 128, 300}) {
            CAPTURE(variant.name);
            CAPTURE(length);
            Example alone({length}, 32), padded({length, 333}, 32);
            std::copy(alone.projected.begin(), alone.projected.end(), padded.projected.begin());
            alone.call.conv_weight = padded.call.conv_weight;
            alone.call.conv_bias = padded.call.conv_bias;
            alone.call.norm_weight = padded.call.norm_weight;
            alone.run(variant, true);
            padded.run(variant, true);
            CHECK(std::equal(alone.heads.begin(), alone.heads.end(), padded.heads.begin()));
        }
}

TEST_CASE("chunks of any size") {
    for (const Variant& variant : variants())
        for (const size_t chunk_size : {size_t(1), size_t(5), size_t(32), size_t(200)}) {
            CAPTURE(variant.name);
            CAPTURE(chunk_size);
            Example example({70, 33, 201}, 32, chunk_size);
            example.run(variant);
            CHECK(example.worst() < 2e-5);
        }
}

TEST_CASE("projections so large and so small that their exponentials leave the range of floats") {
    for (const Variant& variant : variants())
        for (const float scale : {100.0f, 1e-4f}) {
            CAPTURE(variant.name);
            CAPTURE(scale);
            Example example({40}, 32, 128, scale);
            example.run(variant);
            CHECK(example.worst() < 1e-3);
            // All tokens of the second are nearly the same, and what products of bfloat16 sum cancels out.
            example.run(variant, true);
            CHECK(example.relative_rms() < (scale > 1 ? 5e-3 : 0.15));
        }
}

TEST_CASE("a text's NaN stays in it, and in its own chunks and heads") {
    for (const Variant& variant : variants())
        for (const bool bf16 : {false, true}) {
            Example example({140, 140}, 32);
            example.run(variant, bf16);
            const std::vector<float> before = example.heads;
            const size_t token = 135;
            example.projected[token * example.call.width] = no_number;  // q of the first head
            example.run(variant, bf16);
            for (size_t i = 0; i < before.size(); ++i) {
                const size_t row = i / example.call.hidden_size;
                const bool seen = row >= token - 1 && row <= token + 2 && i % example.call.hidden_size < 32;
                CHECK(std::isnan(example.heads[i]) == seen);
                if (!seen) CHECK(example.heads[i] == before[i]);
            }
        }
}

TEST_CASE("lengths that no batch should have are kept within the batch") {
    for (const Variant& variant : variants()) {
        Example example({20, 20, 20}, 16);
        example.run(variant);
        const std::vector<float> before = example.heads;
        example.lengths = {20, 1000, -3};
        example.run(variant);
        const auto half = static_cast<std::ptrdiff_t>(before.size() / 3 * 2);
        CHECK(std::equal(before.begin(), before.begin() + half, example.heads.begin()));
        CHECK(std::all_of(example.heads.begin() + half, example.heads.end(), [](float x) { return x == 0; }));
    }
}
