#pragma once

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "lam/engine.h"

namespace lam {

/// What `lam-embed` was asked for.
struct Arguments {
    std::filesystem::path bundle;
    /// Empty: standard output.
    std::filesystem::path output;
    bool force = false;
    std::size_t batch_tokens = 0;
    Options options;
    bool help = false;
    bool version = false;
};

/// A command line that cannot be followed.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Throws UsageError.
Arguments parse_arguments(int count, char** values);

/// The text of `--help`.
const char* help();

}  // namespace lam
