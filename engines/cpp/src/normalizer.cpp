#include "normalizer.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "unicode.h"
#include "utf8.h"

namespace lam {
namespace {

template <typename Drop>
void drop_if(std::u32string& text, Drop drop) {
    text.erase(std::remove_if(text.begin(), text.end(), drop), text.end());
}

void clean(std::u32string& text) {
    const auto is_line_or_tab = [](char32_t c) { return c == U'\t' || c == U'\n' || c == U'\r'; };
    drop_if(text,
            [&](char32_t c) { return c == 0 || c == U'\uFFFD' || (!is_line_or_tab(c) && unicode::is_control(c)); });
    std::replace_if(text.begin(), text.end(), unicode::is_white_space, U' ');
}

void space_chinese(std::u32string& text) {
    if (std::none_of(text.begin(), text.end(), unicode::is_chinese)) {
        return;
    }
    std::u32string spaced;
    spaced.reserve(text.size() * 3);
    for (const char32_t c : text) {
        if (unicode::is_chinese(c)) {
            spaced.append({U' ', c, U' '});
        } else {
            spaced.push_back(c);
        }
    }
    text = std::move(spaced);
}

void lowercase(std::u32string& text) {
    std::u32string lower;
    lower.reserve(text.size());
    for (const char32_t c : text) {
        unicode::append_lower_case(c, lower);
    }
    text = std::move(lower);
}

void take(Normalizer::Step step, std::u32string& text) {
    switch (step) {
        case Normalizer::Step::clean_text:
            return clean(text);
        case Normalizer::Step::space_chinese:
            return space_chinese(text);
        case Normalizer::Step::decompose:
            text = unicode::decomposed(text);
            return;
        case Normalizer::Step::drop_nonspacing_marks:
            return drop_if(text, unicode::is_nonspacing_mark);
        case Normalizer::Step::drop_marks:
            return drop_if(text, unicode::is_mark);
        case Normalizer::Step::lowercase:
            return lowercase(text);
    }
}

}  // namespace

Normalizer::Normalizer(std::vector<Step> steps) : steps_(std::move(steps)) {
    for (std::size_t c = 0; c < ascii_.size(); ++c) {
        std::u32string text(1, static_cast<char32_t>(c));
        for (const Step step : steps_) {
            take(step, text);
        }
        ascii_kept_[c] = !text.empty();
        ascii_[c] = ascii_kept_[c] ? static_cast<char>(text.front()) : '\0';
    }
}

void Normalizer::apply(std::string_view text, std::string& result) const {
    if (utf8::is_ascii(text)) {
        result.resize(text.size());
        std::size_t size = 0;
        for (const char byte : text) {
            const auto c = static_cast<unsigned char>(byte);
            result[size] = ascii_[c];
            if (ascii_kept_[c]) ++size;
        }
        result.resize(size);
        return;
    }
    std::u32string characters = utf8::decoded(text);
    for (const Step step : steps_) {
        take(step, characters);
    }
    result.clear();
    result.reserve(text.size());
    for (const char32_t c : characters) {
        utf8::append(c, result);
    }
}

}  // namespace lam
