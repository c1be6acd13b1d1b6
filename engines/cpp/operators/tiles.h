#pragma once
// What products are computed of, float32 or pairs of bfloat16, and tiles of sums that stay in registers. For the
// kernels alone, as lanes.h.

#include "lanes.h"

namespace lam::fused_delta_rule {
namespace {

/// How many numbers an operand holds in one element.
template <typename Operand>
constexpr std::size_t per = 1;

LAM_INLINE void add_products(Floats& sums, float left, Floats right) { sums += left * right; }
LAM_INLINE Floats load_operand(const float* from) { return load(from); }

/// A row of numbers, as the left operand of a product.
LAM_INLINE void store_row(float* to, Floats x) { store(to, x); }

/// Its second argument says what it is needed for.
LAM_INLINE Floats sigmoid(Floats x, const float*) { return 1.0f / (1.0f + exponential(-x)); }

#ifdef __AVX512BF16__
/// Two bfloat16 that follow each other along the dimension that a product sums over. Sums are float32.
struct Pair {
    std::uint32_t both;
} __attribute__((may_alias));

template <>
constexpr std::size_t per<Pair> = 2;

LAM_INLINE void add_products(Floats& sums, Pair left, Floats right) {
    sums = _mm512_dpbf16_ps(sums, (__m512bh)_mm512_set1_epi32(static_cast<int>(left.both)), (__m512bh)right);
}
LAM_INLINE Floats load_operand(const Pair* from) { return *reinterpret_cast<const Unaligned*>(from); }
LAM_INLINE void store_row(Pair* to, Floats x) { store(reinterpret_cast<Bfloat16*>(to), x); }

/// Of two rows, the numbers of each column beside each other.
LAM_INLINE void store_pairs(Pair* to, Floats even, Floats odd) {
    alignas(64) static constexpr std::uint16_t order[] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                          8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i rows = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
    *reinterpret_cast<Unaligned*>(to) = (Floats)_mm512_permutexvar_epi16(_mm512_load_si512(order), rows);
}

/// Within 2^-12 of it, a sixteenth of what bfloat16 tells apart.
LAM_INLINE Floats sigmoid(Floats x, const Pair*) {
    x = x > 87.0f ? all(87.0f) : x;
    x = x < -87.0f ? all(-87.0f) : x;
    const Floats shifted = x * -1.44269504f + (12582912.0f + 127.0f);  // as in `exponential`, of -x
    const Floats r = x * -1.44269504f - (shifted - (12582912.0f + 127.0f));
    // Minimax of 2^r on [-1/2, 1/2].
    const Floats p = ((r * 0.05517167f + 0.24261112f) * r + 0.69326099f) * r + 0.99992807f;
    return _mm512_maskz_rcp14_ps(0xffff, 1.0f + p * (Floats)((Ints)shifted << 23));
}
using Product = Pair;
#else
using Product = float;
#endif

/// `[ROWS, N * W]` of floats in registers.
template <std::size_t ROWS, std::size_t N>
struct Tile {
    Floats at[ROWS][N] = {};

    /// Call `action(row, column, vector)` for every vector; `column` is that of its first float.
    template <typename Action>
    LAM_INLINE void each(Action action) {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < ROWS; ++r)
#pragma GCC unroll 16
            for (std::size_t n = 0; n < N; ++n) action(r, n * W, at[r][n]);
    }

    /// Multiply every row by a number of its own.
    LAM_INLINE void scale(const float* numbers) {
        each([&](std::size_t r, std::size_t, Floats& x) LAM_INLINED { x *= numbers[r]; });
    }

    /// Add the product of `left [ROWS, depth]`, whose element (r, k) is at `r * row + k * step`, and of `right
    /// [depth, N * W]` with rows `stride` apart; `depth` counts elements.
    template <typename Operand>
    LAM_INLINE void add_product(const Operand* left, std::size_t row, std::size_t step, const Operand* right,
                                std::size_t stride, std::size_t depth) {
        for (std::size_t k = 0; k < depth; ++k) {
            Floats x[N];
#pragma GCC unroll 16
            for (std::size_t n = 0; n < N; ++n) x[n] = load_operand(right + k * stride + n * W);
#pragma GCC unroll 16
            for (std::size_t r = 0; r < ROWS; ++r)
#pragma GCC unroll 16
                for (std::size_t n = 0; n < N; ++n) add_products(at[r][n], left[r * row + k * step], x[n]);
        }
    }

    /// Store the rows in pairs for the right side of a product, `columns` apart.
    template <typename Operand>
    LAM_INLINE void store_paired(Operand* to, std::size_t columns) {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < ROWS; r += 2)
#pragma GCC unroll 16
            for (std::size_t n = 0; n < N; ++n) store_pairs(to + r / 2 * columns + n * W, at[r][n], at[r + 1][n]);
    }
};

/// Cut `columns`, a multiple of W, into panels of two vectors, with one of one vector at the end if they are odd: calls
/// `action(column, N)` for each, N the vectors as a constant of the type `Count`.
template <std::size_t N>
struct Count {
    static constexpr std::size_t value = N;
};
template <typename Action>
LAM_INLINE void each_panel(std::size_t columns, Action action) {
    std::size_t j = 0;
    for (; j + 2 * W <= columns; j += 2 * W) action(j, Count<2>{});
    if (j < columns) action(j, Count<1>{});
}

}  // namespace
}  // namespace lam::fused_delta_rule
