#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lam {

/// Whether every character can be shown in a message of one line: no control, format or unassigned characters, no
/// space but U+0020, and valid UTF-8.
bool is_printable(std::string_view utf8);

/// What a file or a user wrote, in quotes, with everything that is not printable escaped; cut after `longest` bytes.
std::string quoted(std::string_view utf8, std::size_t longest = 120);

/// A word of a command that a user may copy into a POSIX shell.
std::string shell_quoted(const std::string& word);

/// `text` with every run of white space as one space, and none at its ends.
std::string one_line(std::string_view text);

/// `a, b, c`.
std::string joined(const std::vector<std::string>& parts);

}  // namespace lam
