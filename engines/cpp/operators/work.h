#pragma once
// What a kernel works on, and how it is laid out for products. For the kernels alone, as lanes.h.

#include "tiles.h"

namespace lam::fused_delta_rule {
namespace {

using std::size_t;

/// Tokens of a block.
constexpr size_t T = 16;
/// Rows of a tile, that it and its operands fill the registers; the second where it is T wide.
constexpr size_t R = LAM_LANES == 16 ? 8 : 4;
constexpr size_t RT = LAM_LANES == 16 ? 16 : 4;
constexpr size_t taps = 4;

constexpr size_t padded(size_t size) { return (size + W - 1) / W * W; }

/// The head's parameters, and what is known of a block and of those before it. Columns are filled with zeros to P, the
/// next multiple of W after D. Products are computed of operands of the type N, which hold `n` numbers in an element;
/// where that is float, values and operands are the same.
template <typename N>
struct Work {
    static constexpr size_t n = per<N>;
    size_t D, P;
    float *q, *k, *z, *vu, *o, *s_values;          // a block
    N *q_left, *k_left, *z_left, *a, *p;           // a block, its rows as the left side of a product
    N *kt, *k_by, *z_by, *vu_by, *s;               // a block, its columns as a side of a product
    float *beta, *fast, *slow;                     // a block's gates
    float *kk, *zv, *kvu;                          // sums over the blocks before
    N *kk_by, *zv_by, *kvu_by;                     // the sums as the right side of a product
    float *conv_weight, *conv_bias, *norm_weight;  // the head's parameters
    size_t size = 0;

    LAM_INLINE Work(float* scratch, size_t head_size) : D(head_size), P(padded(head_size)) {
        // From one cache line to the next.
        const size_t first = (64 - reinterpret_cast<std::uintptr_t>(scratch) % 64) % 64 / sizeof(float);
        const auto take = [&](size_t count) LAM_INLINED {
            float* taken = scratch + first + size;
            size += (count + 15) / 16 * 16;
            return taken;
        };
        // Room for as many numbers as operands, which may be the values themselves.
        const auto operands = [&](size_t count, float* values)
                                  LAM_INLINED { return reinterpret_cast<N*>(n > 1 ? take(count / n) : values); };
        q = take(T * P), k = take(T * P), z = take(T * P), o = take(T * P);  // [T, P]
        vu = take(T * 2 * P);                                                // [T, 2P]: v' | u
        s_values = take(T * T);                                              // [T, T]: below(kb zᵀ), transposed
        q_left = operands(T * P, q), k_left = operands(T * P, k), z_left = operands(T * P, z);  // [T, P / n]
        k_by = operands(T * P, k), z_by = operands(T * P, z);                                   // [T / n, P]
        vu_by = operands(T * 2 * P, vu);                                                        // [T / n, 2P]
        s = operands(T * T, s_values);                                                          // [T / n, T]
        kt = reinterpret_cast<N*>(take(P * T / n));      // [P / n, T]: k transposed
        a = reinterpret_cast<N*>(take(T * T / n));       // [T, T / n]: below(kb kᵀ)
        p = reinterpret_cast<N*>(take(T * T / n));       // [T, T / n]: lower(q kᵀ)
        beta = take(T), fast = take(T), slow = take(T);  // [T]; fast and slow times blend / |q|
        kk = take(P * P), zv = take(P * P);              // [P, P]: sums of kᵀ k, of zᵀ v'
        kvu = take(P * 2 * P);                           // [P, 2P]: sums of kᵀ [v' | u]
        kk_by = operands(P * P, kk), zv_by = operands(P * P, zv), kvu_by = operands(P * 2 * P, kvu);  // [P / n, ...]
        conv_weight = take(3 * taps * P), conv_bias = take(3 * P);  // [3, taps, P], [3, P]
        norm_weight = take(P);                                      // [P]
    }
};

/// A block's numbers `[T, columns]` as the left side of a product.
template <typename N>
LAM_INLINE void pack_rows(const float* from, size_t columns, N* to) {
    if constexpr (per<N> > 1)
        for (size_t i = 0; i < T * columns; i += W) store_row(to + i / per<N>, load(from + i));
}

/// `columns` of a block's numbers `[T, stride]` as a side of a product that sums over tokens.
template <typename N>
LAM_INLINE void pack_columns(const float* from, size_t columns, size_t stride, N* to) {
    if constexpr (per<N> > 1)
        for (size_t r = 0; r < T; r += 2)
            for (size_t j = 0; j < columns; j += W)
                store_pairs(to + r / 2 * stride + j, load(from + r * stride + j), load(from + (r + 1) * stride + j));
}

/// `to [columns, T]` of `from [T, columns]`.
template <typename N>
LAM_INLINE void transpose(const N* from, size_t columns, N* to) {
    for (size_t j = 0; j < columns; ++j)
        for (size_t r = 0; r < T; ++r) to[j * T + r] = from[r * columns + j];
}

}  // namespace
}  // namespace lam::fused_delta_rule
