#include "text.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <cctype>
#include <cstdint>
#include <cstdio>

namespace lam {
namespace {

/// The next code point, negative if it is not valid UTF-8; moves `at` past it.
UChar32 next(std::string_view utf8, std::int32_t& at) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(utf8.data());
    const auto size = static_cast<std::int32_t>(utf8.size());
    UChar32 point = 0;
    U8_NEXT(bytes, at, size, point);
    return point;
}

bool shown(UChar32 point) {
    constexpr std::uint32_t hidden = U_GC_C_MASK | U_GC_Z_MASK;
    return point == ' ' || (point >= 0 && (U_GET_GC_MASK(point) & hidden) == 0);
}

std::string escaped(unsigned value, const char* format) {
    char buffer[16];
    std::snprintf(buffer, sizeof buffer, format, value);
    return buffer;
}

}  // namespace

bool is_printable(std::string_view utf8) {
    for (std::int32_t at = 0; at < static_cast<std::int32_t>(utf8.size());)
        if (!shown(next(utf8, at))) return false;
    return true;
}

std::string quoted(std::string_view utf8, std::size_t longest) {
    std::string out = "'";
    for (std::int32_t at = 0; at < static_cast<std::int32_t>(utf8.size());) {
        const std::int32_t start = at;
        const UChar32 point = next(utf8, at);
        if (static_cast<std::size_t>(at) > longest) {
            out += "...";
            break;
        }
        const auto part = utf8.substr(static_cast<std::size_t>(start), static_cast<std::size_t>(at - start));
        if (point < 0)
            for (const char byte : part) out += escaped(static_cast<unsigned char>(byte), "\\x%02x");
        else if (point == '\'' || point == '\\')
            out += std::string("\\") + static_cast<char>(point);
        else if (point == '\n')
            out += "\\n";
        else if (shown(point))
            out += part;
        else
            out += escaped(static_cast<unsigned>(point), point < 0x100     ? "\\x%02x"
                                                         : point < 0x10000 ? "\\u%04x"
                                                                           : "\\U%08x");
    }
    return out + "'";
}

std::string shell_quoted(const std::string& word) {
    constexpr std::string_view plain = "@%+=:,./-_";
    bool safe = !word.empty();
    for (const char c : word)
        safe = safe && (std::isalnum(static_cast<unsigned char>(c)) != 0 || plain.find(c) != std::string_view::npos);
    if (safe) return word;
    std::string out = "'";
    for (const char c : word) out += c == '\'' ? std::string("'\"'\"'") : std::string(1, c);
    return out + "'";
}

std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (std::isspace(static_cast<unsigned char>(c)) == 0)
            out += c;
        else if (!out.empty() && out.back() != ' ')
            out += ' ';
    }
    if (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
}

std::string joined(const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts) out += (out.empty() ? "" : ", ") + part;
    return out;
}

}  // namespace lam
