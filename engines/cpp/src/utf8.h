#pragma once

#include <string>
#include <string_view>

namespace lam::utf8 {

/// Whether every byte is ASCII.
bool is_ascii(std::string_view text);

/// The characters; U+FFFD for each maximal part that is not UTF-8.
std::u32string decoded(std::string_view text);

/// The first character of valid UTF-8 that is not empty; `rest` becomes what follows it.
char32_t next(std::string_view& rest);

/// The last character of valid UTF-8 that is not empty; `rest` becomes what precedes it.
char32_t previous(std::string_view& rest);

/// Add a character to the end of UTF-8.
void append(char32_t c, std::string& text);

/// The same text as valid UTF-8: `text` itself if it is, otherwise a copy in `storage` with U+FFFD for what is not.
std::string_view valid(std::string_view text, std::string& storage);

}  // namespace lam::utf8
