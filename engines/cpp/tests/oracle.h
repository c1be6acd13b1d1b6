#pragma once

#include <vector>

#include "fused_delta_rule.h"

namespace lam {

/// `heads [B, L, M]` of a call in float32 of B texts, in double precision, by the operator's maths as it is written down, with all
/// its `[C, C]` matrices.
std::vector<double> fused_delta_rule_oracle(const fused_delta_rule::Call& call, std::size_t texts);

}  // namespace lam
