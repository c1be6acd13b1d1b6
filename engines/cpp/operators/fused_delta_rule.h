#pragma once

#include <cstddef>
#include <cstdint>

namespace lam::fused_delta_rule {

/// One call of the operator; plugins/lam_plugins/fused_delta_rule/README.md has the maths.
///
/// B texts of L tokens, hidden size M, head size D, H = M / D heads, chunk size C. All arrays are dense, of the last
/// dimension first.
struct Call {
    /// `[B, L, W]`, W >= 4M + 3H: q | k | v | g (M columns each) | beta | fast_gate | slow_gate (H each). Rows at and
    /// beyond a text's length are not read. float32, or bfloat16 if `bf16`.
    const void* projected;
    /// `[B]`, the true tokens of each text, 0..L.
    const std::int32_t* lengths;
    /// `[3M, 4]`, depthwise taps of q, k and v.
    const float* conv_weight;
    /// `[3M]`.
    const float* conv_bias;
    /// `[D]`.
    const float* norm_weight;
    /// `[2]`, the weight of the fast and of the slow path.
    const float* blend;
    /// `[B, L, M]`, the result; zero at and beyond a text's length. Of the same type as `projected`.
    void* heads;
    /// Whether `projected` and `heads` are bfloat16. Then products may be computed of bfloat16 too, their sums and all
    /// else in float32.
    bool bf16;
    /// L.
    std::size_t tokens;
    /// W.
    std::size_t width;
    /// M.
    std::size_t hidden_size;
    /// D, any that divides M; 32 has code of its own.
    std::size_t head_size;
    /// C.
    std::size_t chunk_size;

    std::size_t head_count() const { return hidden_size / head_size; }
    std::size_t chunk_count() const { return (tokens + chunk_size - 1) / chunk_size; }
};

/// What is independent of all else in a call. There are `B * chunk_count() * head_count()` of them.
struct Part {
    std::size_t text;
    std::size_t chunk;
    std::size_t head;
};

/// The floats that a kernel needs to work in, at any address.
std::size_t scratch_size(std::size_t head_size);

/// Computes one part: writes its rows and columns of `heads`, zeros included, and uses `scratch` meanwhile.
using Kernel = void (*)(const Call& call, const Part& part, float* scratch);

/// A kernel and the instructions that it needs.
struct Variant {
    const char* name;
    Kernel kernel;
    /// Whether this CPU has the instructions.
    bool runs_here;
};

/// All kernels of this build, the fastest first, `count` of them. The last one runs anywhere.
const Variant* variants(std::size_t& count);

/// The fastest kernel that this CPU has the instructions for.
Kernel best_kernel();

}  // namespace lam::fused_delta_rule
