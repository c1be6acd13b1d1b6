#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace lam {

/// What is done to a text before it is split into words: steps, one after the other.
class Normalizer {
  public:
    enum class Step {
        /// Drop U+0000, U+FFFD and control characters, and turn white space into U+0020.
        clean_text,
        /// Put a space on either side of every ideograph.
        space_chinese,
        /// Canonical decomposition.
        decompose,
        /// Drop nonspacing marks (Mn).
        drop_nonspacing_marks,
        /// Drop all marks (M).
        drop_marks,
        lowercase,
    };

    explicit Normalizer(std::vector<Step> steps);

    /// The normalized form of valid UTF-8, in place of what `result` held.
    void apply(std::string_view text, std::string& result) const;

  private:
    std::vector<Step> steps_;
    // What becomes of each ASCII character, if it is kept: no step makes two characters of it.
    std::array<char, 128> ascii_{};
    std::array<bool, 128> ascii_kept_{};
};

}  // namespace lam
