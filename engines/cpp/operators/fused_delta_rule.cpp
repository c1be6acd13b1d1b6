#include "fused_delta_rule.h"

#include <algorithm>
#include <iterator>

namespace lam::fused_delta_rule {

// fused_delta_rule_kernel.cpp, compiled once for each.
namespace baseline {
void kernel(const Call& call, const Part& part, float* scratch);
std::size_t scratch_size(std::size_t head_size);
}  // namespace baseline
#ifdef LAM_X86_KERNELS
namespace avx2 {
void kernel(const Call& call, const Part& part, float* scratch);
std::size_t scratch_size(std::size_t head_size);
}  // namespace avx2
namespace avx512 {
void kernel(const Call& call, const Part& part, float* scratch);
std::size_t scratch_size(std::size_t head_size);
}  // namespace avx512
namespace avx512_bf16 {
void kernel(const Call& call, const Part& part, float* scratch);
std::size_t scratch_size(std::size_t head_size);
}  // namespace avx512_bf16
#endif

std::size_t scratch_size(std::size_t head_size) {
    std::size_t most = baseline::scratch_size(head_size);
#ifdef LAM_X86_KERNELS
    most = std::max(
        {most, avx2::scratch_size(head_size), avx512::scratch_size(head_size), avx512_bf16::scratch_size(head_size)});
#endif
    return most;
}

const Variant* variants(std::size_t& count) {
#ifdef LAM_X86_KERNELS
    // What Operators.cmake lets the compiler use.
    static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    static const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                                   __builtin_cpu_supports("avx512vl");
#endif
    static const Variant all[] = {
#ifdef LAM_X86_KERNELS
        {"avx512_bf16", avx512_bf16::kernel, has_avx512 && __builtin_cpu_supports("avx512bf16")},
        {"avx512", avx512::kernel, has_avx512},
        {"avx2", avx2::kernel, has_avx2},
#endif
        {"baseline", baseline::kernel, true},
    };
    count = std::size(all);
    return all;
}

Kernel best_kernel() {
    std::size_t count = 0;
    const Variant* all = variants(count);
    return std::find_if(all, all + count, [](const Variant& variant) { return variant.runs_here; })->kernel;
}

}  // namespace lam::fused_delta_rule
