#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bundle.h"
#include "manifest.h"

namespace lam {

/// One of the two libraries that run plans.
struct PlanLibrary {
    /// The engine's name, which a plan's entry in the manifest has too.
    const char* name;
    const char* title;
    /// What chooses it in a command `lam-export trt`.
    const char* build_option;
};
inline constexpr PlanLibrary tensorrt_library{"tensorrt", "TensorRT", ""};
inline constexpr PlanLibrary rtx_library{"tensorrt-rtx", "TensorRT for RTX", " --rtx"};

/// What a plan is bound to.
struct Environment {
    PlanLibrary library;
    /// Full version, such as 10.9.0.34. A library loads a plan only in the exact version that built it.
    std::string version;
    /// Of the GPU, such as 9.0; none where no GPU can be asked.
    std::optional<std::string> compute_capability;
};

/// What builds a plan of a bundle for the machine where it is run.
std::string build_command(const Bundle& bundle, const std::string& precision, const PlanLibrary& library);

/// The name of the plan that runs here; of several the one that was built last.
///
/// `precision` is fp16 or fp32. Throws EngineError: there is no such precision; BundleError: the bundle has no plan of
/// it, or none for this library and this GPU, or it was built from another graph; says which command builds it.
std::string choose_plan(const Bundle& bundle, const std::string& precision, const Environment& environment);

/// The plan of a name that `choose_plan` gave.
const Plan& plan_of(const Bundle& bundle, const std::string& name);

/// The longest text that a plan takes.
std::size_t max_tokens(const Plan& plan);

/// How many texts of so many tokens a plan takes at once.
///
/// Throws InputError: none; names the longest text that it takes, and the command that builds a plan for longer ones.
std::size_t max_batch(const Plan& plan, std::size_t tokens, const std::string& build_command);

/// The index of the tightest profile that takes a batch, as one of them does: its kernels were chosen for the most
/// similar shapes.
std::size_t choose_profile(const std::vector<Profile>& profiles, std::size_t batch, std::size_t tokens);

/// The shape `(batch, tokens)` that a batch is padded to: the next bucket, within the profile.
std::pair<std::size_t, std::size_t> padded_shape(const Profile& profile, std::size_t batch, std::size_t tokens);

}  // namespace lam
