#pragma once
// Vectors of LAM_LANES floats for the compiler's instruction set. For the kernels alone: the same names mean other code
// in each of them, so everything here is in an unnamed namespace.

#include <cstddef>
#include <cstdint>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#define LAM_INLINED __attribute__((always_inline))
#define LAM_INLINE inline LAM_INLINED

namespace lam::fused_delta_rule {
namespace {

/// A size as the compiler's vectors and tiles want it.
constexpr int lanes = LAM_LANES;
constexpr std::size_t W = LAM_LANES;

typedef float Floats __attribute__((vector_size(lanes * 4)));
typedef std::int32_t Ints __attribute__((vector_size(lanes * 4)));
typedef std::uint32_t Words __attribute__((vector_size(lanes * 4)));
typedef float Unaligned __attribute__((vector_size(lanes * 4), aligned(4), may_alias));

/// A bfloat16: the upper half of a float.
struct Bfloat16 {
    std::uint16_t upper;
} __attribute__((may_alias));
typedef std::uint16_t Halves __attribute__((vector_size(lanes * 2)));
typedef std::uint16_t UnalignedHalves __attribute__((vector_size(lanes * 2), aligned(2), may_alias));

LAM_INLINE Floats load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
LAM_INLINE void store(float* to, Floats x) { *reinterpret_cast<Unaligned*>(to) = x; }
LAM_INLINE Floats all(float x) { return x - Floats{}; }

LAM_INLINE Floats load(const Bfloat16* from) {
    const Halves halves = *reinterpret_cast<const UnalignedHalves*>(from);
    return (Floats)(__builtin_convertvector(halves, Words) << 16);
}

LAM_INLINE float number(float x) { return x; }
LAM_INLINE float number(Bfloat16 x) {
    const std::uint32_t bits = static_cast<std::uint32_t>(x.upper) << 16;
    float whole;
    __builtin_memcpy(&whole, &bits, sizeof whole);
    return whole;
}

/// Rounded to the nearest, to even ones between two.
LAM_INLINE Halves rounded(Floats x) {
#ifdef __AVX512BF16__
    return (Halves)_mm512_cvtneps_pbh(x);
#else
    const Words bits = (Words)x;
    const Words nearest = bits + 0x7fff + ((bits >> 16) & 1);
    const Words not_a_number = bits | 0x400000;
    return __builtin_convertvector((x == x ? nearest : not_a_number) >> 16, Halves);
#endif
}

LAM_INLINE void store(Bfloat16* to, Floats x) { *reinterpret_cast<UnalignedHalves*>(to) = rounded(x); }

/// The first `count` numbers, and zeros after them.
template <typename Element>
LAM_INLINE Floats load(const Element* from, std::size_t count) {
    if (count >= W) return load(from);
    Element some[W] = {};
    for (std::size_t i = 0; i < count; ++i) some[i] = from[i];
    return load(some);
}

template <typename Element>
LAM_INLINE void store(Element* to, Floats x, std::size_t count) {
    if (count >= W) return store(to, x);
    Element some[W];
    store(some, x);
    for (std::size_t i = 0; i < count; ++i) to[i] = some[i];
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

}  // namespace
}  // namespace lam::fused_delta_rule
