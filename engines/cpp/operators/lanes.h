#pragma once
// Vectors of LAM_LANES floats for the compiler's instruction set, and tiles of them that stay in registers. For the
// kernels alone: the same names mean other code in each of them, so everything here is in an unnamed namespace.

#include <cstddef>
#include <cstdint>

#define LAM_INLINED __attribute__((always_inline))
#define LAM_INLINE inline LAM_INLINED

namespace lam::fused_delta_rule {
namespace {

/// A size as the compiler's vectors and tiles want it.
constexpr int lanes = LAM_LANES;
constexpr std::size_t W = LAM_LANES;

typedef float Floats __attribute__((vector_size(lanes * 4)));
typedef std::int32_t Ints __attribute__((vector_size(lanes * 4)));
typedef float Unaligned __attribute__((vector_size(lanes * 4), aligned(4), may_alias));

LAM_INLINE Floats load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
LAM_INLINE void store(float* to, Floats x) { *reinterpret_cast<Unaligned*>(to) = x; }
LAM_INLINE Floats all(float x) { return x - Floats{}; }

/// The first `count` floats, and zeros after them.
LAM_INLINE Floats load(const float* from, std::size_t count) {
    if (count >= W) return load(from);
    Floats x{};
    for (std::size_t i = 0; i < count; ++i) x[i] = from[i];
    return x;
}

LAM_INLINE void store(float* to, Floats x, std::size_t count) {
    if (count >= W) return store(to, x);
    for (std::size_t i = 0; i < count; ++i) to[i] = x[i];
}

/// x where the mask is set, elsewhere zero.
LAM_INLINE Floats keep(Floats x, Ints mask) { return (Floats)((Ints)x & mask); }

/// first, first + 1, ...
LAM_INLINE Ints count_from(std::size_t first) {
    Ints x{};
    for (int i = 0; i < lanes; ++i) x[i] = static_cast<std::int32_t>(first) + i;
    return x;
}

/// e to the x, within 2 units in the last place from -87 to 87 and as at these bounds beyond them; NaN stays NaN.
LAM_INLINE Floats exponential(Floats x) {
    x = x > 87.0f ? all(87.0f) : x;  // comparisons leave NaN as it is
    x = x < -87.0f ? all(-87.0f) : x;
    // 1.5 * 2^23 rounds what is added to it to a whole number n; 127 is the bias of an exponent.
    const Floats shifted = x * 1.44269504f + (12582912.0f + 127.0f);
    const Floats n = shifted - (12582912.0f + 127.0f);
    // x - n log 2, in two parts of which n times the first is exact.
    const Floats r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    // Minimax on [-log(2) / 2, log(2) / 2], the usual coefficients of the Cephes library.
    Floats p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + (r + 1.0f);
    return p * (Floats)((Ints)shifted << 23);
}

LAM_INLINE Floats sigmoid(Floats x) { return 1.0f / (1.0f + exponential(-x)); }
LAM_INLINE Floats silu(Floats x) { return x / (1.0f + exponential(-x)); }

/// The sum of the squares of a row of `size` floats, a multiple of W.
LAM_INLINE float sum_of_squares(const float* row, std::size_t size) {
    Floats sums{};
    for (std::size_t j = 0; j < size; j += W) sums += load(row + j) * load(row + j);
    float halves[W];
    store(halves, sums);
    for (std::size_t half = W / 2; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i) halves[i] += halves[i + half];
    return halves[0];
}

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
    /// [depth, N * W]` with rows `stride` apart.
    LAM_INLINE void add_product(const float* left, std::size_t row, std::size_t step, const float* right,
                                std::size_t stride, std::size_t depth) {
        for (std::size_t k = 0; k < depth; ++k) {
            Floats x[N];
#pragma GCC unroll 16
            for (std::size_t n = 0; n < N; ++n) x[n] = load(right + k * stride + n * W);
#pragma GCC unroll 16
            for (std::size_t r = 0; r < ROWS; ++r) {
                const Floats y = all(left[r * row + k * step]);
#pragma GCC unroll 16
                for (std::size_t n = 0; n < N; ++n) at[r][n] += y * x[n];
            }
        }
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
