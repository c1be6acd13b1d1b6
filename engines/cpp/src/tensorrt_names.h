#pragma once

namespace lam::tensorrt {

// The inputs and the output of a plan.
inline constexpr const char* ids = "input_ids";
inline constexpr const char* mask = "attention_mask";
inline constexpr const char* output = "sentence_embedding";

}  // namespace lam::tensorrt
