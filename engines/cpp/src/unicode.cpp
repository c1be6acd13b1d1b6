#include "unicode.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace lam::unicode {
namespace {

struct Range {
    char32_t first;
    char32_t last;
};

// Word characters that came with Unicode 15.1 and 16.0, for an older ICU.
constexpr std::array new_word_characters{
    Range{0x897, 0x897},     Range{0x1C89, 0x1C8A},   Range{0xA7CB, 0xA7CD},   Range{0xA7DA, 0xA7DC},
    Range{0x105C0, 0x105F3}, Range{0x10D40, 0x10D65}, Range{0x10D69, 0x10D6D}, Range{0x10D6F, 0x10D85},
    Range{0x10EC2, 0x10EC4}, Range{0x10EFC, 0x10EFC}, Range{0x11380, 0x11389}, Range{0x1138B, 0x1138B},
    Range{0x1138E, 0x1138E}, Range{0x11390, 0x113B5}, Range{0x113B7, 0x113C0}, Range{0x113C2, 0x113C2},
    Range{0x113C5, 0x113C5}, Range{0x113C7, 0x113CA}, Range{0x113CC, 0x113D3}, Range{0x113E1, 0x113E2},
    Range{0x116D0, 0x116E3}, Range{0x11BC0, 0x11BE0}, Range{0x11BF0, 0x11BF9}, Range{0x11F5A, 0x11F5A},
    Range{0x13460, 0x143FA}, Range{0x16100, 0x16139}, Range{0x16D40, 0x16D6C}, Range{0x16D70, 0x16D79},
    Range{0x18CFF, 0x18CFF}, Range{0x1CCF0, 0x1CCF9}, Range{0x1E5D0, 0x1E5FA}, Range{0x2EBF0, 0x2EE5D},
};

constexpr std::array chinese{
    Range{0x3400, 0x4DBF},   Range{0x4E00, 0x9FFF},   Range{0xF900, 0xFAFF},   Range{0x20000, 0x2A6DF},
    Range{0x2A700, 0x2B81F}, Range{0x2B920, 0x2CEAF}, Range{0x2F800, 0x2FA1F},
};

template <std::size_t size>
bool contains(const std::array<Range, size>& ranges, char32_t c) {
    const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                        [](char32_t value, const Range& range) { return value < range.first; });
    return after != ranges.begin() && c <= std::prev(after)->last;
}

UChar32 icu(char32_t c) { return static_cast<UChar32>(c); }

// Whether the character is in the Unicode version `major`.0.
bool assigned_in(char32_t c, int major) {
    UVersionInfo age;
    u_charAge(icu(c), age);
    return age[0] != 0 && (age[0] < major || (age[0] == major && age[1] == 0));
}

// The general category (a mask of one bit) in Unicode 8.0. Of the characters that it has, these changed later.
std::uint32_t category_8(char32_t c) {
    switch (c) {
        case 0x166D:
        case 0x111C9:
            return U_GC_PO_MASK;
        case 0x1734:
        case 0x1171E:
            return U_GC_MN_MASK;
        case 0x1885:
        case 0x1886:
            return U_GC_LO_MASK;
        case 0xA9BD:
            return U_GC_MC_MASK;
        default:
            return assigned_in(c, 8) ? U_GET_GC_MASK(icu(c)) : U_GC_CN_MASK;
    }
}

std::uint8_t combining_class(char32_t c) { return assigned_in(c, 9) ? u_getCombiningClass(icu(c)) : std::uint8_t{0}; }

// Decomposes text character by character. Marks wait for the next starter, and are then put in order: ICU's own
// normalizer inserts each into its place, which takes quadratic time for a text of nothing but marks.
class Decomposer {
  public:
    explicit Decomposer(std::size_t size) { text_.reserve(size + size / 8); }

    void add(char32_t c) {
        if (c < 0xC0) {
            starter(c);
            return;
        }
        std::array<UChar, 16> units;  // the longest decomposition has 4 characters
        UErrorCode status = U_ZERO_ERROR;
        const UNormalizer2* nfd = unorm2_getNFDInstance(&status);
        const std::int32_t length =
            unorm2_getDecomposition(nfd, icu(c), units.data(), static_cast<std::int32_t>(units.size()), &status);
        if (length < 0 || U_FAILURE(status) || !assigned_in(c, 9)) {
            part(c);
            return;
        }
        for (std::int32_t i = 0; i < length;) {
            UChar32 next;
            U16_NEXT(units.data(), i, length, next);
            part(static_cast<char32_t>(next));
        }
    }

    std::u32string finish() {
        place_marks();
        return std::move(text_);
    }

  private:
    void starter(char32_t c) {
        place_marks();
        text_.push_back(c);
    }

    void part(char32_t c) {
        const std::uint8_t combining = combining_class(c);
        if (combining == 0) {
            starter(c);
        } else {
            marks_.emplace_back(combining, c);
        }
    }

    void place_marks() {
        if (marks_.size() > 1) {
            std::stable_sort(marks_.begin(), marks_.end(), [](auto a, auto b) { return a.first < b.first; });
        }
        for (const auto& mark : marks_) {
            text_.push_back(mark.second);
        }
        marks_.clear();
    }

    std::u32string text_;
    std::vector<std::pair<std::uint8_t, char32_t>> marks_;
};

}  // namespace

bool is_white_space(char32_t c) { return u_isUWhiteSpace(icu(c)) != 0; }

bool is_control(char32_t c) { return (category_8(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) != 0; }

bool is_punctuation(char32_t c) {
    if (c < 0x80) {
        return (U_GET_GC_MASK(icu(c)) & (U_GC_P_MASK | U_GC_S_MASK)) != 0;
    }
    return (category_8(c) & U_GC_P_MASK) != 0;
}

bool is_nonspacing_mark(char32_t c) { return category_8(c) == U_GC_MN_MASK; }

bool is_mark(char32_t c) {
    if (c == 0x1CF2 || c == 0x1CF3) {
        return true;  // letters since Unicode 12
    }
    return c != 0x111C9 && assigned_in(c, 9) && (U_GET_GC_MASK(icu(c)) & U_GC_M_MASK) != 0;
}

bool is_chinese(char32_t c) { return contains(chinese, c); }

bool is_word(char32_t c) {
    if (contains(new_word_characters, c)) {
        return true;
    }
    constexpr std::uint32_t categories = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
    return assigned_in(c, 16) &&
           (u_hasBinaryProperty(icu(c), UCHAR_ALPHABETIC) != 0 ||
            u_hasBinaryProperty(icu(c), UCHAR_JOIN_CONTROL) != 0 || (U_GET_GC_MASK(icu(c)) & categories) != 0);
}

void append_lower_case(char32_t c, std::u32string& text) {
    switch (c) {
        case 0x130:  // the only one with two characters
            text.append({U'i', 0x307});
            return;
        // The capitals that came with Unicode 16.0 and 17.0, for an older ICU; the last two are alphabets.
        case 0x1C89:
        case 0xA7CC:
        case 0xA7CE:
        case 0xA7D2:
        case 0xA7D4:
        case 0xA7DA:
            text.push_back(c + 1);
            return;
        case 0xA7CB:
            text.push_back(0x264);
            return;
        case 0xA7DC:
            text.push_back(0x19B);
            return;
        default:
            break;
    }
    if (c >= 0x10D50 && c <= 0x10D65) {
        text.push_back(c + 0x20);
    } else if (c >= 0x16EA0 && c <= 0x16EB8) {
        text.push_back(c + 0x1B);
    } else {
        text.push_back(assigned_in(c, 17) ? static_cast<char32_t>(u_tolower(icu(c))) : c);
    }
}

std::u32string decomposed(std::u32string_view text) {
    Decomposer decomposer(text.size());
    for (const char32_t c : text) {
        decomposer.add(c);
    }
    return decomposer.finish();
}

}  // namespace lam::unicode
