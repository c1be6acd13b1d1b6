#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lam {

/// An object of JSON, written as Python's `json` module writes it: that is how a bundle's manifest is signed and
/// stored.
struct CanonicalObject {
    /// Without white space, keys in order, and without the outermost member that was left out: what the digest is of.
    std::string canonical;
    /// As it was read but for white space and the spelling of values: indented by two, without the closing brace and
    /// without that member.
    std::string indented;
    /// Whether a key stands twice in an object: readers do not agree which of the two counts.
    bool repeats = false;
};

/// Read an object, without one of its members.
///
/// Throws std::invalid_argument, saying what and where, if it is no JSON; nullopt if it is JSON of another kind.
std::optional<CanonicalObject> canonical_object(std::string_view json, std::string_view left_out);

/// A finite number as Python's `repr` spells it: the fewest digits that read back as the same one.
std::string python_float(double value);

}  // namespace lam
