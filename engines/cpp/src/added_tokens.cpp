#include "added_tokens.h"

#include <algorithm>
#include <map>
#include <utility>

#include "unicode.h"
#include "utf8.h"

namespace lam {
namespace {

// Positions in the list by content.
std::map<std::string, std::uint32_t> positions(const std::vector<AddedToken>& tokens) {
    std::map<std::string, std::uint32_t> positions;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        positions.emplace(tokens[i].content, static_cast<std::uint32_t>(i));
    }
    return positions;
}

bool stands_alone(std::string_view before, std::string_view behind) {
    return (before.empty() || !unicode::is_word(utf8::previous(before))) &&
           (behind.empty() || !unicode::is_word(utf8::next(behind)));
}

// The size of the white space at the end.
std::size_t white_space_before(std::string_view text) {
    std::string_view rest = text;
    std::string_view kept = text;
    while (!rest.empty() && unicode::is_white_space(utf8::previous(rest))) {
        kept = rest;
    }
    return text.size() - kept.size();
}

// The size of the white space at the beginning.
std::size_t white_space_behind(std::string_view text) {
    std::string_view rest = text;
    std::string_view kept = text;
    while (!rest.empty() && unicode::is_white_space(utf8::next(rest))) {
        kept = rest;
    }
    return text.size() - kept.size();
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), trie_(positions(tokens_)) {}

std::vector<AddedTokens::Piece> AddedTokens::split(std::string_view text) const {
    std::vector<Piece> pieces;
    std::size_t done = 0;
    for (std::size_t position = 0; position < text.size();) {
        if (!trie_.begins_with(text[position])) {
            ++position;
            continue;
        }
        const auto match = trie_.longest(text.substr(position));
        if (!match) {
            ++position;
            continue;
        }
        const AddedToken& token = tokens_[match->value];
        std::size_t start = position;
        std::size_t stop = position + match->size;
        // The search goes on behind the token itself, also where it is not taken or takes white space with it.
        position = stop;
        const std::string_view behind = text.substr(stop);
        if (token.single_word && !stands_alone(text.substr(0, start), behind)) {
            continue;
        }
        if (token.lstrip) {
            start = std::max(done, start - white_space_before(text.substr(0, start)));
        }
        if (token.rstrip) {
            stop += white_space_behind(behind);
        }
        if (done < start) {
            pieces.push_back({text.substr(done, start - done), std::nullopt});
        }
        pieces.push_back({text.substr(start, stop - start), token.id});
        done = stop;
    }
    if (done < text.size()) {
        pieces.push_back({text.substr(done), std::nullopt});
    }
    return pieces;
}

}  // namespace lam
