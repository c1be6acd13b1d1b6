#include "wordpiece.h"

#include "unicode.h"
#include "utf8.h"

namespace lam {

WordPiece::WordPiece(const std::map<std::string, std::uint32_t>& vocabulary, const Options& options)
    : vocabulary_(vocabulary),
      continuing_(vocabulary_.find(options.continuing_prefix)),
      unknown_(options.unknown),
      longest_word_(options.longest_word) {
    for (std::size_t c = 0; c < ascii_kinds_.size(); ++c) {
        ascii_kinds_[c] = kind_of(static_cast<char32_t>(c));
    }
}

WordPiece::Kind WordPiece::kind_of(char32_t c) {
    if (unicode::is_white_space(c)) {
        return Kind::white_space;
    }
    return unicode::is_punctuation(c) ? Kind::punctuation : Kind::word;
}

void WordPiece::encode(std::string_view text, std::vector<std::int64_t>& ids) const {
    std::size_t start = 0;
    std::size_t characters = 0;  // of the word that begins at `start`
    for (std::size_t position = 0; position < text.size();) {
        const auto byte = static_cast<unsigned char>(text[position]);
        std::size_t size = 1;
        Kind kind;
        if (byte < ascii_kinds_.size()) {
            kind = ascii_kinds_[byte];
        } else {
            std::string_view rest = text.substr(position);
            kind = kind_of(utf8::next(rest));
            size = text.size() - position - rest.size();
        }
        if (kind == Kind::word) {
            if (characters == 0) {
                start = position;
            }
            ++characters;
        } else {
            if (characters != 0) {
                encode_word(text.substr(start, position - start), characters, ids);
                characters = 0;
            }
            if (kind == Kind::punctuation) {
                encode_word(text.substr(position, size), 1, ids);
            }
        }
        position += size;
    }
    if (characters != 0) {
        encode_word(text.substr(start), characters, ids);
    }
}

void WordPiece::encode_word(std::string_view word, std::size_t characters, std::vector<std::int64_t>& ids) const {
    const std::size_t before = ids.size();
    bool known = characters <= longest_word_;
    std::optional<Trie::Node> from = Trie::root;
    while (known && !word.empty()) {
        const auto match = from ? vocabulary_.longest(word, *from) : std::nullopt;
        known = match.has_value();
        if (known) {
            ids.push_back(match->value);
            word.remove_prefix(match->size);
            from = continuing_;
        }
    }
    if (!known) {
        ids.resize(before);
        ids.push_back(unknown_);
    }
}

}  // namespace lam
