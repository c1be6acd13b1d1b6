#include "utf8.h"

#include <unicode/utf8.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace lam::utf8 {
namespace {

// ICU's macros take positions in any integer type; with std::size_t texts of more than 2 GiB work.
UChar32 next_at(std::string_view text, std::size_t& position) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    UChar32 c;
    U8_NEXT(bytes, position, text.size(), c);
    return c;
}

}  // namespace

bool is_ascii(std::string_view text) {
    unsigned seen = 0;
    for (const char byte : text) {  // without a way out, so that the compiler can take many bytes at once
        seen |= static_cast<unsigned char>(byte);
    }
    return seen < 0x80;
}

std::u32string decoded(std::string_view text) {
    std::u32string characters;
    characters.reserve(text.size());
    for (std::size_t position = 0; position < text.size();) {
        const UChar32 c = next_at(text, position);
        characters.push_back(c < 0 ? U'\uFFFD' : static_cast<char32_t>(c));
    }
    return characters;
}

char32_t next(std::string_view& rest) {
    std::size_t position = 0;
    const UChar32 c = next_at(rest, position);
    rest.remove_prefix(position);
    return static_cast<char32_t>(c);
}

char32_t previous(std::string_view& rest) {
    std::size_t start = rest.size() - 1;
    while (start > 0 && U8_IS_TRAIL(rest[start])) {
        --start;
    }
    std::string_view last = rest.substr(start);
    rest = rest.substr(0, start);
    return next(last);
}

void append(char32_t c, std::string& text) {
    std::array<std::uint8_t, 4> bytes;
    std::size_t size = 0;
    U8_APPEND_UNSAFE(bytes, size, c);
    text.append(reinterpret_cast<const char*>(bytes.data()), size);
}

std::string_view valid(std::string_view text, std::string& storage) {
    if (is_ascii(text)) {
        return text;
    }
    for (std::size_t position = 0; position < text.size();) {
        if (next_at(text, position) < 0) {
            storage.clear();
            storage.reserve(text.size());
            for (const char32_t c : decoded(text)) {
                append(c, storage);
            }
            return storage;
        }
    }
    return text;
}

}  // namespace lam::utf8
