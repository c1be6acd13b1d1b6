#pragma once

#include <string>
#include <string_view>

// The properties of characters as the `tokenizers` library sees them. Its parts carry tables of different Unicode
// versions, so every function here says which one it follows, whatever the version of ICU.
namespace lam::unicode {

/// White_Space; no version since 6.3 has changed it.
bool is_white_space(char32_t c);

/// Control, format or private use (Cc, Cf, Co), Unicode 8.0. Unassigned characters are not.
bool is_control(char32_t c);

/// ASCII punctuation and symbols, or any punctuation (P), Unicode 8.0.
bool is_punctuation(char32_t c);

/// Nonspacing mark (Mn), Unicode 8.0.
bool is_nonspacing_mark(char32_t c);

/// Any mark (M), Unicode 9.0.
bool is_mark(char32_t c);

/// An ideograph of the blocks that BERT sets apart.
bool is_chinese(char32_t c);

/// What a regular expression's `\w` matches, Unicode 16.0.
bool is_word(char32_t c);

/// `c` in lower case without regard to its neighbours, Unicode 17.0, at the end of `text`.
void append_lower_case(char32_t c, std::u32string& text);

/// Canonical decomposition with its marks in canonical order, Unicode 9.0, in O(n log n) for any text.
std::u32string decomposed(std::u32string_view text);

}  // namespace lam::unicode
